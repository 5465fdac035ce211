"""Steps that record what a release finds for its probe questions, and ask them again after publishes and vacuums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tasks.anchors import Anchors
from tasks.core.document_catalog import DocumentCatalog
from tasks.core.errors import CannotRetry, IntegrityFailure
from tasks.core.fingerprints import collection_name
from tasks.core.labels import Label
from tasks.core.probes import (
    DriftReport,
    Probe,
    Reasked,
    ReleaseDrift,
    evenly_spaced,
    golden_questions,
    questions_about,
)
from tasks.core.releases import ReleaseManifest, SnapshotRef
from tasks.releases import ReleaseCatalog, ReleaseRow
from tasks.remembered_questions import RememberedQuestions
from tasks.retrieval import RetrievalBench, retrieve
from tasks.vacuum import retained_by


@dataclass(frozen=True, slots=True)
class LastCheck:
    """The newest time that probes were asked again."""

    checked: int
    identical: int
    at: str  # ISO 8601 UTC


class ProbeCatalog(Protocol):
    """The probes of releases."""

    def probes(self, assistant: str, release: str) -> tuple[Probe, ...]:
        """Those of a release, in the order they were recorded."""

    def record(self, assistant: str, release: str, probes: Sequence[Probe]) -> None:
        """Keeps what a release found first. A release that has probes keeps those it has."""

    def note_found(self, assistant: str, found: Mapping[str, Sequence[Reasked]]) -> None:
        """Release → its probes in their order, asked again: what they found, and that it was now."""

    def last_check(self, assistant: str) -> LastCheck | None:
        """None before the first."""


class Labels(Protocol):
    """The labels of an assistant."""

    def labels(self, assistant: str) -> list[Label]:
        """All labels, in whatever state."""


@dataclass(frozen=True, slots=True)
class ProbeBench:
    """What probing needs. keep_releases: as for vacuum."""

    assistant: str
    releases: ReleaseCatalog
    documents: DocumentCatalog
    labels: Labels
    probes: ProbeCatalog
    retrieval: RetrievalBench
    anchors: Anchors
    keep_releases: int = 5


def record_probes(bench: ProbeBench, release: ReleaseRow) -> int:
    """Asks a new release its probe questions and keeps what it finds; how many. Does nothing the second time.

    The questions are the golden ones, else headings and first sentences of its own documents.
    """
    known = bench.probes.probes(bench.assistant, release.id)
    if known:
        return len(known)
    questions = _questions(bench, release.manifest.snapshot)
    found = _ask(bench.retrieval, release.manifest, questions)
    made = [Probe(question, ids) for question, ids in zip(questions, found, strict=True)]
    bench.probes.record(bench.assistant, release.id, made)
    return len(made)


def record_missing_probes(bench: ProbeBench) -> int:
    """Records probes of retained releases that have none, as when a run was killed right after it registered one."""
    missing = [row for row in _retained(bench) if not bench.probes.probes(bench.assistant, row.id)]
    return sum(record_probes(bench, row) for row in missing if _why_not(bench, row) is None)


def recheck_probes(bench: ProbeBench) -> DriftReport:
    """Asks every retained release its probes again, and notes what they find now.

    Raises only what may pass, such as IndexUnavailable: a release that cannot be asked is reported with the reason.
    """
    record_missing_probes(bench)
    rows = _retained(bench)
    recorded = {row.id: bench.probes.probes(bench.assistant, row.id) for row in rows}
    questions = dict.fromkeys(probe.question for probes in recorded.values() for probe in probes)
    embedder = RememberedQuestions(bench.retrieval.embedder)
    embedder.embed_queries(list(questions))  # in one call: releases ask the same ones
    retrieval = replace(bench.retrieval, embedder=embedder)
    drifts: list[ReleaseDrift] = []
    unasked: list[tuple[str, str]] = []
    for row in rows:
        asked = _ask_again(bench, retrieval, row, recorded[row.id])
        if isinstance(asked, ReleaseDrift):
            drifts.append(asked)
        else:
            unasked.append((row.id, asked))
    bench.probes.note_found(bench.assistant, {one.release: one.asked for one in drifts})
    return DriftReport(bench.retrieval.index.exact, tuple(drifts), tuple(unasked))


def require_no_alarm(report: DriftReport) -> None:
    """Raises IntegrityFailure when a release on an exact index finds other chunks than it always did."""
    if report.alarming:
        drifted = next(one for one in report.releases if one.drifted)
        worst = drifted.worst[0]
        raise IntegrityFailure(
            f"{report.sentence} The furthest of release {drifted.release}: “{worst.probe.question}” found "
            f"{', '.join(worst.probe.expected) or 'nothing'}, now {', '.join(worst.found) or 'nothing'}. Delete the "
            "index and re-ingest: it is refilled from the catalog. If it stays so, restore the catalog from a backup.",
            checked=report.checked,
            drifted=report.drifted,
        )


def _retained(bench: ProbeBench) -> list[ReleaseRow]:
    anchor = bench.anchors.anchor(bench.assistant)
    kept = retained_by(bench.assistant, bench.releases, bench.documents, bench.keep_releases, anchor=anchor)
    return [row for row in bench.releases.releases(bench.assistant) if row.id in set(kept.releases)]


def _ask_again(
    bench: ProbeBench, retrieval: RetrievalBench, row: ReleaseRow, probes: Sequence[Probe]
) -> ReleaseDrift | str:
    """What became of a release's probes, or why it could not be asked."""
    reason = _why_not(bench, row)
    if reason is not None:
        return reason
    try:
        found = _ask(retrieval, row.manifest, [probe.question for probe in probes])
    except CannotRetry as error:
        return error.message
    asked = tuple(Reasked(probe, ids) for probe, ids in zip(probes, found, strict=True))
    return ReleaseDrift(row.id, row.manifest.snapshot.number, asked)


def _why_not(bench: ProbeBench, row: ReleaseRow) -> str | None:
    configured = collection_name(bench.assistant, bench.retrieval.embedder.fingerprint)
    if row.manifest.snapshot.collection == configured:
        return None
    return "Its documents were embedded by another embedder than the one that is configured."


def _ask(retrieval: RetrievalBench, manifest: ReleaseManifest, questions: Sequence[str]) -> list[tuple[str, ...]]:
    """Ids of the chunks found per question, best first."""
    found = retrieve(retrieval, manifest.snapshot, questions, manifest.retrieval)
    return [tuple(hit.chunk.id for hit in hits) for hits in found]


def _questions(bench: ProbeBench, at: SnapshotRef) -> tuple[str, ...]:
    golden = golden_questions(bench.labels.labels(bench.assistant))
    if golden:
        return golden
    ids = evenly_spaced(sorted(bench.documents.chunk_keys(bench.assistant, at.number)))
    return questions_about(life.chunk for life in bench.documents.living(bench.assistant, at.number, ids))
