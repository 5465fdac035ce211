"""Steps that judge a release: ask both releases the golden questions, decide, keep the evidence."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from tasks.core.answers import Answer
from tasks.core.comparison import Touch, page_texts, touched_questions
from tasks.core.documents import Chunk
from tasks.core.errors import IndexIncomplete, IntegrityFailure, NotFound
from tasks.core.evidence import EVIDENCE, QUESTIONS, REPORT, VERDICT, Evidence, Recheck, bundle, case_of
from tasks.core.evidence import recheck as recheck_files
from tasks.core.gate import Gate
from tasks.core.integrity import Integrity, golden_leaks
from tasks.core.labels import Label, golden_set
from tasks.core.policy import Policy
from tasks.core.ports import ArtifactStore, Progress
from tasks.core.promotion import Judgement, VerdictWord
from tasks.core.releases import ModelRef, ReleaseManifest
from tasks.core.verdict import Verdict, decide
from tasks.reports import render_report

_BROKEN = (IntegrityFailure, IndexIncomplete, NotFound)


class Ask(Protocol):
    """`tasks.answering.answer`, with its bench."""

    def __call__(
        self, questions: Sequence[str], manifest: ReleaseManifest, *, progress: Progress | None = None
    ) -> list[Answer]:
        """One answer per question, in order."""


class GoldenLabels(Protocol):
    """The labels of an assistant."""

    def labels(self, assistant: str) -> list[Label]:
        """All labels, in whatever state."""


class TrainingRecord(Protocol):
    """What models learnt from."""

    def trained_on(self, assistant: str, model: ModelRef) -> frozenset[str] | None:
        """Ids of the labels, training and validation, behind an adapter; None when that was not recorded."""


class SnapshotTexts(Protocol):
    """What the documents say."""

    def chunks(self, assistant: str, snapshot: int) -> Mapping[str, Chunk]:
        """Every chunk alive at a snapshot."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A verdict that was recorded. Its id is the digest of its evidence bundle."""

    id: str
    release: str
    baseline: str | None  # None: judged on floors alone, as the first proven release
    golden_set: str | None
    verdict: VerdictWord
    questions: int
    gates: tuple[Gate, ...]

    @property
    def judgement(self) -> Judgement:
        """The part that promotion looks at."""
        reasons = Verdict(self.verdict, self.gates).reasons
        return Judgement(self.id, self.release, self.baseline, self.verdict, self.golden_set, reasons)


class EvaluationLog(Protocol):
    """Verdicts, for ever."""

    def record(self, assistant: str, evaluation: Evaluation) -> None:
        """Makes it the newest of its release. Recording the newest again changes nothing."""

    def evaluation(self, assistant: str, id: str) -> Evaluation:
        """Raises NotFound."""

    def latest(self, assistant: str, release: str | None = None) -> Evaluation | None:
        """The newest one, of a release or of all."""


@dataclass(frozen=True, slots=True)
class EvaluationBench:
    """What judging needs."""

    assistant: str
    policy: Policy
    ask: Ask
    check: Callable[[ReleaseManifest], None]  # raises when a part of the release is not what was recorded
    labels: GoldenLabels
    training: TrainingRecord
    documents: SnapshotTexts
    artifacts: ArtifactStore
    log: EvaluationLog


def evaluate(
    bench: EvaluationBench,
    candidate: ReleaseManifest,
    baseline: ReleaseManifest | None,
    progress: Progress | None = None,
) -> Evaluation:
    """Asks both releases the golden set of this moment, decides, keeps the evidence and records the verdict.

    A release that cannot be opened is judged too: rejected, or held when it is the one being served. Judging the same
    thing twice gives the same bundle, and so the same id.
    """
    evidence = gather(bench, candidate, baseline, progress)
    case = case_of(evidence)
    verdict = decide(case)
    files = bundle(evidence, case, verdict, render_report(evidence, case, verdict))
    evaluation = Evaluation(
        id=keep(files, bench.artifacts),
        release=candidate.id,
        baseline=baseline.id if baseline else None,
        golden_set=evidence.integrity.golden_set,
        verdict=verdict.verdict,
        questions=len(evidence.labels),
        gates=verdict.gates,
    )
    bench.log.record(bench.assistant, evaluation)
    return evaluation


def gather(
    bench: EvaluationBench,
    candidate: ReleaseManifest,
    baseline: ReleaseManifest | None,
    progress: Progress | None = None,
) -> Evidence:
    """Everything a verdict needs, before any score. Writes nothing."""
    known = bench.labels.labels(bench.assistant)
    golden = golden_set(known)
    members = frozenset(golden.label_ids if golden else ())
    labels = tuple(sorted((label for label in known if label.id in members), key=lambda label: label.id))
    answers, broken = _answers(bench, candidate, labels, progress)
    theirs, baseline_broken = _answers(bench, baseline, labels, progress) if baseline and not broken else ([], ())
    leaks, unchecked = _leaks(bench, candidate.model, labels, known)
    whole = not broken and not baseline_broken
    return Evidence(
        policy=bench.policy,
        candidate=candidate,
        baseline=baseline,
        labels=labels if whole else (),
        answers=tuple(answers) if whole else (),
        baseline_answers=tuple(theirs) if whole else (),
        integrity=Integrity(golden.id if golden else None, leaks, unchecked, broken, baseline_broken),
        touched=_touched(bench, candidate, baseline, labels),
        versions={"ratchet": version("ratchet"), "numpy": version("numpy")},
    )


def _answers(
    bench: EvaluationBench, manifest: ReleaseManifest, labels: Sequence[Label], progress: Progress | None
) -> tuple[list[Answer], tuple[str, ...]]:
    """A release's answers, or the sentence that says why it has none."""
    try:
        bench.check(manifest)
        return bench.ask([label.question for label in labels], manifest, progress=progress), ()
    except _BROKEN as error:
        return [], (error.message,)


def _leaks(
    bench: EvaluationBench, model: ModelRef, golden: Sequence[Label], known: Sequence[Label]
) -> tuple[tuple[str, ...], str | None]:
    if model.kind == "base":
        return (), None
    ids = bench.training.trained_on(bench.assistant, model)
    if ids is None:
        return (), "What the model was trained on is not recorded, so a leak cannot be ruled out."
    trained_on = [label for label in known if label.id in ids]
    lost = len(ids) - len(trained_on)
    unchecked = f"{lost} labels the model was trained on are gone, so a leak cannot be ruled out." if lost else None
    return golden_leaks(golden, trained_on), unchecked


def _touched(
    bench: EvaluationBench, candidate: ReleaseManifest, baseline: ReleaseManifest | None, labels: Sequence[Label]
) -> dict[str, Touch]:
    if baseline is None or candidate.snapshot == baseline.snapshot:
        return {}
    before, after = (
        page_texts(bench.documents.chunks(bench.assistant, manifest.snapshot.number).values())
        for manifest in (baseline, candidate)
    )
    return touched_questions(labels, before, after)


def keep(files: Mapping[str, bytes], artifacts: ArtifactStore) -> str:
    """Puts the bundle into the store; returns its digest."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        return artifacts.put(Path(folder))


def recheck(folder: Path) -> Recheck:
    """Recomputes the verdict of the bundle in `folder`. Raises NotFound, or IntegrityFailure when it was changed."""
    missing = [name for name in (EVIDENCE, QUESTIONS, VERDICT, REPORT) if not (folder / name).is_file()]
    if missing:
        raise NotFound(f"{folder} is no evidence bundle: {', '.join(missing)} is missing.", folder=str(folder))
    return recheck_files({name: (folder / name).read_bytes() for name in (EVIDENCE, QUESTIONS, VERDICT, REPORT)})
