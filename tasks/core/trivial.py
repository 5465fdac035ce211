"""Answerers that understand nothing, scored on the same questions: what they reach, a release has to beat."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from tasks.core.answers import Answer, Citation
from tasks.core.labels import Label, squeezed, without_marker
from tasks.core.metrics.matching import sentences, without_markers
from tasks.core.slices import folders_of

ALWAYS_ABSTAIN = "always-abstain"
COPY_FIRST_SENTENCE = "copy-first-sentence"
MAJORITY_CLASS = "majority-class"


def always_abstain(answer: Answer, abstention: str) -> Answer:
    """Declines, whatever the passages say."""
    return replace(
        answer,
        text=abstention,
        raw=abstention,
        release=ALWAYS_ABSTAIN,
        abstained=True,
        abstained_because="model",
        citations=(),
        dangling_markers=(),
        completion_tokens=0,
        prompt_tokens=0,
    )


def copy_first_sentence(answer: Answer, abstention: str) -> Answer:
    """The first sentence of the top passage and its marker; declines when no passage was shown."""
    if not answer.contexts:
        return replace(always_abstain(answer, abstention), release=COPY_FIRST_SENTENCE, abstained_because="no-passages")
    top = answer.contexts[0]
    copied = _first_sentence(top.text)
    text = f"{copied} [{top.marker}]"
    return replace(
        answer,
        text=text,
        raw=text,
        release=COPY_FIRST_SENTENCE,
        abstained=False,
        abstained_because=None,
        citations=(Citation(top.marker, top.document, top.chunk, copied, top.score),),
        dangling_markers=(),
        completion_tokens=0,
        prompt_tokens=0,
    )


def majority_class(answer: Answer, usual: str | None, abstention: str) -> Answer:
    """Says what is usual, without a citation. usual: see `majority_answers`; None: declines."""
    declined = replace(always_abstain(answer, abstention), release=MAJORITY_CLASS)
    if usual is None:
        return declined
    return replace(declined, text=usual, raw=usual, abstained=False, abstained_because=None)


def majority_answers(labels: Sequence[Label]) -> dict[str, str | None]:
    """Label id → the most frequent ideal answer among the labels of the same folders; None: it is the abstention.

    It knows the golden answers, so where each occurs once it is right about one of them. Ties: by alphabet, the
    abstention last.
    """
    counts: dict[tuple[str, ...], Counter[str | None]] = defaultdict(Counter)
    for label in labels:
        counts[folders_of(label)][_said(label)] += 1
    usual = {
        folders: min(found, key=lambda said: (-found[said], said is None, said or ""))
        for folders, found in counts.items()
    }
    return {label.id: usual[folders_of(label)] for label in labels}


def _said(label: Label) -> str | None:
    return None if label.unanswerable else squeezed(without_marker(label.answer))


def _first_sentence(passage: str) -> str:
    """The first line that ends like a sentence, up to its end: headings stand on lines of their own."""
    found = sentences(without_markers(passage))
    return next((s for s in found if s.rstrip("\"'”’)").endswith((".", "!", "?"))), found[-1] if found else "")
