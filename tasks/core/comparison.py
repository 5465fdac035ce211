"""What a candidate changes against the release being served, and which golden questions that touches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from tasks.core.documents import Chunk
from tasks.core.labels import Label
from tasks.core.metrics.matching import supports
from tasks.core.releases import ReleaseManifest

Kind = Literal["adapter", "documents", "config"]
Touch = Literal["answer", "page"]


def kinds_of_change(candidate: ReleaseManifest, baseline: ReleaseManifest) -> tuple[Kind, ...]:
    """What the candidate promises to be better at: nothing (the same release), or one or two kinds.

    A new model brings its own prompt, pattern and thresholds: those are no change of their own then.
    """
    kinds: list[Kind] = []
    if candidate.model != baseline.model:
        kinds.append("adapter")
    if candidate.snapshot != baseline.snapshot:
        kinds.append("documents")
    rest = {"model": baseline.model, "snapshot": baseline.snapshot}
    if "adapter" not in kinds and candidate.model_copy(update=rest) != baseline:
        kinds.append("config")
    return tuple(kinds)


def touched_questions(labels: Sequence[Label], before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Touch]:
    """Label id → how a change of documents touches it; untouched labels are left out.

    before, after: document → text, as the two snapshots hold it. "answer": the new pages hold the ideal answer better
    than the old ones did, or a page near an unanswerable question is gone. "page": only the text around it changed.
    """
    touched: dict[str, Touch] = {}
    for label in labels:
        old = {d: before[d] for d in label.documents if d in before}
        new = {d: after[d] for d in label.documents if d in after}
        if old != new:
            touched[label.id] = "answer" if _answer_changed(label, old, new) else "page"
    return touched


def _answer_changed(label: Label, old: Mapping[str, str], new: Mapping[str, str]) -> bool:
    if label.unanswerable:
        return bool(old.keys() - new.keys())
    held_now = supports("\n".join(new.values()), label.answer, label.facts)
    held_before = supports("\n".join(old.values()), label.answer, label.facts)
    return held_now > held_before and (held_now == 1 or not label.facts)


def page_texts(chunks: Iterable[Chunk]) -> dict[str, str]:
    """Document → its text, put together from its chunks in an order that does not depend on where they stand."""
    by_document: dict[str, list[str]] = defaultdict(list)
    for chunk in chunks:
        by_document[chunk.document].append(chunk.embedded_text)
    return {document: "\n".join(sorted(texts)) for document, texts in by_document.items()}
