"""Steps that build a candidate release out of what is there now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from tasks.confidence import confidences
from tasks.core.candidates import abstention_of, example_labels, on_base_model, on_snapshot, reference, with_model
from tasks.core.confidence import calibrate
from tasks.core.document_catalog import DocumentCatalog
from tasks.core.documents import Chunk, Hit, Snapshot
from tasks.core.errors import NotFound
from tasks.core.labels import Label, golden_set
from tasks.core.passages import text_of
from tasks.core.patterns import with_pattern
from tasks.core.ports import ChatModels
from tasks.core.prompts import DEFAULT_ABSTENTION, default_prompt, with_examples
from tasks.core.releases import Example, ModelRef, Pattern, PromptSpec, ReleaseManifest, RetrievalSettings
from tasks.core.training_rows import answering_chunk
from tasks.labels import LabelCatalog
from tasks.releases import ReleaseCatalog
from tasks.retrieval import RetrievalBench, retrieve
from tasks.training import tuned_prompt

TRIED = 12  # labels tried as worked examples before giving up on them


@dataclass(frozen=True, slots=True)
class CandidateBench:
    """What building a candidate needs."""

    assistant: str
    documents: DocumentCatalog
    releases: ReleaseCatalog
    labels: LabelCatalog
    retrieval: RetrievalBench
    chat: ChatModels
    wished: RetrievalSettings | None = None  # how new releases find passages; None: as the one being served does
    pattern: Pattern | None = None  # how those of a tuned model answer; None: as the one being served does


def propose(bench: CandidateBench) -> ReleaseManifest | None:
    """The release to judge next, on the newest snapshot; None when the served one is the same.

    A proven release is carried over to the new snapshot, finding passages as is wished now. When nothing proven is
    served, it is the base model, prompted as well as the accepted labels allow. Raises NotFound before the first
    snapshot.
    """
    snapshot = newest_snapshot(bench)
    standing = bench.releases.standing(bench.assistant)
    served = bench.releases.release(bench.assistant, standing.release).manifest if standing.release else None
    if served is not None and not standing.unproven:
        carried = _as_wished(bench, on_snapshot(served, snapshot) or served)
        return None if carried == served else carried
    fresh = _fresh(bench, snapshot)
    return None if fresh == served and not golden_set(accepted_labels(bench)) else fresh


def newest_snapshot(bench: CandidateBench) -> Snapshot:
    """The newest published snapshot. Raises NotFound."""
    snapshot = bench.documents.published(bench.assistant)
    if snapshot is None:
        raise NotFound(f"Assistant {bench.assistant} has no documents yet. Add some: `ratchet ingest PATH`.")
    return snapshot


def accepted_labels(bench: CandidateBench) -> list[Label]:
    """All accepted labels, in the order of import."""
    return [label for label in bench.labels.labels(bench.assistant) if label.state == "accepted"]


def house_prompt(bench: CandidateBench, snapshot: Snapshot, labels: Sequence[Label]) -> PromptSpec:
    """The default prompt with the labels' own way to abstain and, when there are enough, their own examples.

    Two answered ones, whose answers stand in the first and in the last passage, around one that abstains.
    """
    prompt = default_prompt(abstention_of(labels, DEFAULT_ABSTENTION))
    answered, silent = example_labels(labels)
    found = list(islice(_answered(bench, snapshot, answered[:TRIED]), 2))
    if len(found) < 2 or not silent:
        return prompt
    abstaining = Example(
        passages=tuple(text_of(hit) for hit in _hits(bench, snapshot, silent[0])),
        question=silent[0].question,
        answer=prompt.abstention,
    )
    return with_examples(prompt, (_as_found(found[0]), abstaining, _turned_round(found[1])))


def _answered(
    bench: CandidateBench, snapshot: Snapshot, labels: Sequence[Label]
) -> Iterator[tuple[Label, list[Hit], Chunk]]:
    """The labels whose answer the retrieved passages hold, with those passages."""
    for label in labels:
        hits = _hits(bench, snapshot, label)
        chunk = answering_chunk(label, hits)
        if chunk is not None:
            yield label, hits, chunk


def _hits(bench: CandidateBench, snapshot: Snapshot, label: Label) -> list[Hit]:
    (hits,) = retrieve(bench.retrieval, reference(snapshot), [label.question], _settings(bench))
    return hits


def _as_found(found: tuple[Label, list[Hit], Chunk]) -> Example:
    label, hits, chunk = found
    marker = 1 + [hit.chunk.id for hit in hits].index(chunk.id)
    passages = tuple(text_of(hit) for hit in hits)
    return Example(passages=passages, question=label.question, answer=f"{label.answer} [{marker}]")


def _turned_round(found: tuple[Label, list[Hit], Chunk]) -> Example:
    label, hits, chunk = found
    return _as_found((label, hits[::-1], chunk))


def starting_point(bench: CandidateBench) -> ReleaseManifest:
    """What the next model is trained for and replaces: the proven release being served, else a fresh base release."""
    standing = bench.releases.standing(bench.assistant)
    if standing.release is not None and not standing.unproven:
        return _as_wished(bench, bench.releases.release(bench.assistant, standing.release).manifest)
    return _fresh(bench, newest_snapshot(bench))


def tuned_candidate(
    bench: CandidateBench, start: ReleaseManifest, snapshot: Snapshot, model: ModelRef
) -> ReleaseManifest:
    """The tuned model over the retrieved passages: prompted without examples, abstaining below a calibrated confidence.

    The threshold comes from training and validation labels only; it is about retrieval, which the model cannot change.
    """
    labels = [label for label in accepted_labels(bench) if label.split != "golden"]
    questions = [label.question for label in labels]
    settings = start.retrieval.model_copy(update={"confidence": "sentence"})
    found = retrieve(bench.retrieval, reference(snapshot), questions, settings)
    sure = confidences(bench.retrieval.embedder, questions, found, settings)
    known = list(zip(labels, sure, strict=True))
    least = calibrate(
        [confidence for label, confidence in known if not label.unanswerable],
        [confidence for label, confidence in known if label.unanswerable],
    )
    retrieval = start.retrieval if least is None else settings
    retrieval = retrieval.model_copy(update={"min_confidence": least})
    tuned = with_model(start, snapshot, model, tuned_prompt(start.prompt), retrieval)
    return with_pattern(tuned, bench.pattern)


def _fresh(bench: CandidateBench, snapshot: Snapshot) -> ReleaseManifest:
    prompt = house_prompt(bench, snapshot, accepted_labels(bench))
    return on_base_model(snapshot, bench.chat.base(), prompt, _settings(bench))


def _settings(bench: CandidateBench) -> RetrievalSettings:
    return _wish(bench) or RetrievalSettings()


def _as_wished(bench: CandidateBench, manifest: ReleaseManifest) -> ReleaseManifest:
    """With the wished pattern and way to find passages. A confidence to abstain below that nobody wished for stays."""
    manifest = with_pattern(manifest, bench.pattern)
    wish = _wish(bench)
    if wish is None:
        return manifest
    standing = manifest.retrieval
    if wish.min_confidence is None and standing.min_confidence is not None:
        kept = {"confidence": standing.confidence, "min_confidence": standing.min_confidence}
        wish = wish.model_copy(update=kept)
    return manifest.model_copy(update={"retrieval": wish})


def _wish(bench: CandidateBench) -> RetrievalSettings | None:
    """The wished settings, with what the reranker is today: its name may stand for other weights tomorrow."""
    wish = bench.wished
    if wish is None or wish.reranker is None:
        return wish
    fingerprint = bench.retrieval.open_reranker(wish.reranker).fingerprint
    return wish.model_copy(update={"reranker_fingerprint": fingerprint})
