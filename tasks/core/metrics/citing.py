"""Whether an answer's markers lead where they should: to passages shown, to the right page, to what supports it.

Recall and precision are those of ALCE (Gao et al. 2023), with `entailment` for its model.
"""

from __future__ import annotations

from collections.abc import Mapping

from tasks.core.answers import Answer, Passage
from tasks.core.citations import markers
from tasks.core.labels import Label
from tasks.core.metrics.entailment import entails
from tasks.core.metrics.retrieval import holds_answer
from tasks.core.metrics.score import CITES_NOTHING, DECLINED, IS_UNANSWERABLE, Score, Undefined, yes
from tasks.core.metrics.statements import Statement, statements_to_check


def citation(label: Label, answer: Answer) -> Score:
    """Every marker leads to a passage shown for this question, and one of them to a page of the label.

    Defined on every answerable question, so that both sides of a comparison are asked the same ones: declining scores
    0. A label that names no page asks whether a cited passage holds the ideal answer.
    """
    if label.unanswerable:
        return IS_UNANSWERABLE
    cited = cited_passages(answer)
    if answer.abstained or not cited:
        return 0.0
    if label.documents:
        return yes(any(passage.document in label.documents for passage in cited))
    return yes(any(holds_answer(passage.text, label) for passage in cited))


def citation_valid(answer: Answer) -> Score:
    """Every marker the model wrote leads to a passage shown for this question, and to the one that is cited for it."""
    if answer.abstained:
        return DECLINED
    if not (answer.dangling_markers or answer.citations or markers(answer.text)):
        return CITES_NOTHING
    return yes(bool(cited_passages(answer)))


def citation_recall(answer: Answer, k: int) -> Score:
    """Share of the answer's sentences that the passages cited by each support together; without any, none is."""
    made = statements_to_check(answer, k)
    if isinstance(made, Undefined):
        return made
    shown = _by_marker(answer)
    return sum(_supported(one, shown) for one in made) / len(made)


def citation_precision(answer: Answer, k: int) -> Score:
    """Share of the citations that their sentence needs: it is supported, and not as well without this one.

    A citation that supports its sentence alone is needed, beside others that do the same. A marker that leads nowhere
    is a citation that nothing needs. Unlike in ALCE, where it is 0, an answer without citations is undefined: what it
    lacks is recall.
    """
    made = statements_to_check(answer, k)
    if isinstance(made, Undefined):
        return made
    shown = _by_marker(answer)
    needed = [_needs(one, marker, shown) for one in made for marker in one.cites]
    count = len(needed) + len(answer.dangling_markers)
    return sum(needed) / count if count else CITES_NOTHING


def cited_passages(answer: Answer) -> tuple[Passage, ...]:
    """The passages the answer's markers lead to; none at all when one marker or citation leads astray."""
    shown = _by_marker(answer)
    written = set(markers(answer.text))
    agreed = all(
        c.marker in shown and (c.document, c.chunk) == (shown[c.marker].document, shown[c.marker].chunk)
        for c in answer.citations
    )
    if answer.dangling_markers or not agreed or written != {c.marker for c in answer.citations}:
        return ()
    return tuple(shown[marker] for marker in sorted(written))


def _by_marker(answer: Answer) -> Mapping[int, Passage]:
    return {passage.marker: passage for passage in answer.contexts}


def _supported(one: Statement, shown: Mapping[int, Passage], *, without: int | None = None) -> bool:
    """By its citations together, all of which have to lead somewhere. without: a marker left out."""
    cited = [marker for marker in one.cites if marker != without]
    led = [shown[marker].text for marker in cited if marker in shown]
    return 0 < len(led) == len(cited) and entails(led, one.text)


def _needs(one: Statement, marker: int, shown: Mapping[int, Passage]) -> bool:
    if not _supported(one, shown):
        return False
    return entails([shown[marker].text], one.text) or not _supported(one, shown, without=marker)
