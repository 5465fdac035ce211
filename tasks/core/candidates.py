"""Which release to build next: the manifest that differs from the current one in exactly what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tasks.core.documents import Snapshot
from tasks.core.labels import Label
from tasks.core.releases import ModelRef, PromptSpec, ReleaseManifest, RetrievalSettings, SnapshotRef


def reference(snapshot: Snapshot) -> SnapshotRef:
    """How a manifest names a published snapshot."""
    return SnapshotRef(number=snapshot.number, manifest_hash=snapshot.manifest_hash, collection=snapshot.collection)


def on_base_model(
    snapshot: Snapshot, base: ModelRef, prompt: PromptSpec, retrieval: RetrievalSettings
) -> ReleaseManifest:
    """The plain hybrid to start from: retrieval and the base model."""
    return ReleaseManifest(
        assistant=snapshot.assistant,
        snapshot=reference(snapshot),
        model=base,
        prompt=prompt,
        retrieval=retrieval,
        pattern="rag",
        mend_citations=True,
    )


def on_snapshot(current: ReleaseManifest, snapshot: Snapshot) -> ReleaseManifest | None:
    """The current release on another snapshot; None when the documents and the pipeline are the same."""
    if snapshot.manifest_hash == current.snapshot.manifest_hash:
        return None
    return current.model_copy(update={"snapshot": reference(snapshot)})


def with_model(
    current: ReleaseManifest, snapshot: Snapshot, model: ModelRef, prompt: PromptSpec, retrieval: RetrievalSettings
) -> ReleaseManifest:
    """The current release answering by a tuned model: as it did by the one before, else over the retrieved passages."""
    before = current.pattern if current.model.kind == model.kind else "sequential"
    return current.model_copy(
        update={
            "snapshot": reference(snapshot),
            "model": model,
            "prompt": prompt,
            "retrieval": retrieval,
            "pattern": before,
            "mend_citations": True,
        }
    )


def abstention_of(labels: Sequence[Label], default: str) -> str:
    """The sentence the labels use for "the documents do not say": the most frequent one, ties by alphabet."""
    counts = Counter(label.answer for label in labels if label.unanswerable)
    return min(counts, key=lambda text: (-counts[text], text)) if counts else default


def example_labels(labels: Sequence[Label]) -> tuple[tuple[Label, ...], tuple[Label, ...]]:
    """Training labels that could show the house style, in the order to try them: (answered, abstaining).

    Deterministic: by label id, and no two answered ones about the same pages.
    """
    trainable = sorted((label for label in labels if label.split == "train"), key=lambda label: label.id)
    by_pages: dict[tuple[str, ...], Label] = {}
    for label in trainable:
        if not label.unanswerable:
            by_pages.setdefault(label.documents, label)
    return tuple(by_pages.values()), tuple(label for label in trainable if label.unanswerable)
