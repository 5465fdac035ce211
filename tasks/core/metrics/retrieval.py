"""Whether the right pages were found, and the right words in them.

By document, the values are those of `ir-measures` (R@k, RR@10, nDCG@10) for the pages in the order of their best
passages; a test holds them to it. By span, a passage is relevant to each fact it says, whatever page it is from; a
label without facts has one span, its ideal answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import log2

from tasks.core.answers import Passage
from tasks.core.labels import Label
from tasks.core.metrics.entailment import content, entails
from tasks.core.metrics.matching import says, supports
from tasks.core.metrics.score import IS_UNANSWERABLE, Score, Undefined, yes
from tasks.core.support import supported

CUT = 10  # ranks that MRR and nDCG look at, however many passages a release shows: so that two releases compare
HOLDS = 0.6  # of the ideal answer: a passage that supports this much holds it

NO_RETRIEVAL = Undefined("the release shows no passages")
NO_PAGE_NAMED = Undefined("the label names no page")
NO_SPAN = Undefined("the label states no fact, and its answer has no word to look for")

# ── by document ──────────────────────────────────────────────────────────────────────────────────────────────────────


def ranked_documents(contexts: Sequence[Passage]) -> list[str]:
    """Each document once, where its best passage stands."""
    return list(dict.fromkeys(passage.document for passage in contexts))


def recall_at_k(ranked: Sequence[str], relevant: Iterable[str], k: int) -> float:
    """Share of the relevant documents among the first k. Needs one relevant document at least."""
    wanted = set(relevant)
    return len(wanted & set(ranked[:k])) / len(wanted)


def rr_at_k(ranked: Sequence[str], relevant: Iterable[str], k: int) -> float:
    """One over the rank of the first relevant document among the first k; 0 without one (Voorhees 1999)."""
    wanted = set(relevant)
    return next((1 / rank for rank, document in enumerate(ranked[:k], start=1) if document in wanted), 0.0)


def ndcg_at_k(ranked: Sequence[str], relevant: Iterable[str], k: int) -> float:
    """Discounted gain of the first k over the best possible, by binary relevance (Järvelin & Kekäläinen 2002)."""
    wanted = set(relevant)
    gain = sum(_discount(rank) for rank, document in enumerate(ranked[:k], start=1) if document in wanted)
    return gain / sum(_discount(rank) for rank in range(1, min(len(wanted), k) + 1))


def recall(label: Label, contexts: Sequence[Passage], k: int) -> Score:
    """recall@k by document. A label that names no page asks instead whether any passage holds the ideal answer."""
    if undefined := _unasked(label, k):
        return undefined
    if not label.documents:
        return yes(any(holds_answer(passage.text, label) for passage in contexts[:k]))
    return recall_at_k(ranked_documents(contexts), label.documents, k)


def mrr(label: Label, contexts: Sequence[Passage], k: int) -> Score:
    """MRR@10 by document."""
    if undefined := _unasked(label, k):
        return undefined
    return rr_at_k(ranked_documents(contexts[:k]), label.documents, CUT) if label.documents else NO_PAGE_NAMED


def ndcg(label: Label, contexts: Sequence[Passage], k: int) -> Score:
    """nDCG@10 by document: a page of the label that is not shown costs, also where fewer are shown than it names."""
    if undefined := _unasked(label, k):
        return undefined
    return ndcg_at_k(ranked_documents(contexts[:k]), label.documents, CUT) if label.documents else NO_PAGE_NAMED


# ── by span ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def span_recall(label: Label, contexts: Sequence[Passage], k: int) -> Score:
    """Share of the label's facts that a passage shown says."""
    ranks = _span_ranks(label, contexts, k)
    return ranks if isinstance(ranks, Undefined) else sum(rank is not None for rank in ranks) / len(ranks)


def span_mrr(label: Label, contexts: Sequence[Passage], k: int) -> Score:
    """One over the rank of the first passage that says a fact, among the first ten."""
    ranks = _span_ranks(label, contexts, k)
    if isinstance(ranks, Undefined):
        return ranks
    return max((1 / rank for rank in ranks if rank is not None and rank <= CUT), default=0.0)


def span_ndcg(label: Label, contexts: Sequence[Passage], k: int) -> Score:
    """Mean over the facts of nDCG@10 with the first passage that says the fact as the one that is relevant.

    So repeating a fact gains nothing, and no passage outside of those shown has to be known (as in α-nDCG with α = 1,
    Clarke et al. 2008, when one passage could say everything).
    """
    ranks = _span_ranks(label, contexts, k)
    if isinstance(ranks, Undefined):
        return ranks
    return sum(_discount(rank) for rank in ranks if rank is not None and rank <= CUT) / len(ranks)


def sufficiency(label: Label, contexts: Sequence[Passage], k: int) -> Score:
    """1 when the passages shown hold everything the ideal answer says (sufficient context, Joren et al. 2024).

    Every fact is said, and the passages that say them hold every number and name of the ideal answer: else "42 bar" of
    another machine would do. Without facts the passages together have to entail the ideal answer.
    """
    if undefined := _unasked(label, k):
        return undefined
    shown = [passage.text for passage in contexts[:k]]
    if not label.facts:
        return yes(entails(shown, label.answer)) if content(label.answer).all else NO_SPAN
    telling = [text for text in shown if any(says(text, fact) for fact in label.facts)]
    told = all(any(says(text, fact) for text in telling) for fact in label.facts)
    return yes(told and supported(label.answer, "\n".join(telling)).supported)


def holds_answer(text: str, label: Label) -> bool:
    """Whether a passage says what the label's ideal answer says."""
    return _holds(text, label.answer, label.facts)


@lru_cache(maxsize=8192)
def _holds(text: str, ideal: str, facts: tuple[str, ...]) -> bool:
    return supports(text, ideal, facts) >= (1.0 if facts else HOLDS)


def _span_ranks(label: Label, contexts: Sequence[Passage], k: int) -> list[int | None] | Undefined:
    """By fact, the rank of the first passage that says it. Without facts: of the one that holds the ideal answer."""
    if undefined := _unasked(label, k):
        return undefined
    shown = [passage.text for passage in contexts[:k]]
    if label.facts:
        return [_first(says(text, fact) for text in shown) for fact in label.facts]
    return [_first(holds_answer(text, label) for text in shown)] if content(label.answer).all else NO_SPAN


def _unasked(label: Label, k: int) -> Undefined | None:
    if label.unanswerable:
        return IS_UNANSWERABLE
    return NO_RETRIEVAL if k == 0 else None


def _first(truths: Iterable[bool]) -> int | None:
    return next((rank for rank, truth in enumerate(truths, start=1) if truth), None)


def _discount(rank: int) -> float:
    return 1 / log2(rank + 1)
