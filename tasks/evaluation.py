"""The step that judges a release: everything it needs is gathered, then it decides and keeps the evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.bundles import keep
from tasks.core.answers import Answer
from tasks.core.documents import Chunk
from tasks.core.evidence import PAGE, REPORT, Evidence, bundle, case_of, policy_id
from tasks.core.gate import Gate
from tasks.core.judging import JudgeRecord
from tasks.core.labels import Label
from tasks.core.opinions import Opinion
from tasks.core.pace import Rehearsal
from tasks.core.policy import Policy
from tasks.core.ports import ArtifactStore, Progress
from tasks.core.promotion import Judgement, VerdictWord
from tasks.core.releases import ModelRef, ReleaseManifest
from tasks.core.verdict import Case, Verdict, decide
from tasks.gathering import gather
from tasks.reports import render_report


class Ask(Protocol):
    """`tasks.answering.answer`, with its bench."""

    def __call__(
        self, questions: Sequence[str], manifest: ReleaseManifest, *, progress: Progress | None = None
    ) -> list[Answer]:
        """One answer per question, in order."""


class Rehearse(Protocol):
    """`tasks.rehearsal.rehearse`, with its bench."""

    def __call__(
        self,
        labels: Sequence[Label],
        candidate: ReleaseManifest,
        baseline: ReleaseManifest | None,
        progress: Progress | None = None,
    ) -> Rehearsal:
        """What was measured by asking one question at a time; the first label only warms up."""


class Judge(Protocol):
    """`tasks.judging`, with its bench."""

    def __call__(
        self, labels: Sequence[Label], answers: Sequence[Answer], baseline_answers: Sequence[Answer]
    ) -> JudgeRecord:
        """What a judging model says of the answers; baseline_answers: none where there is no baseline."""


class GoldenLabels(Protocol):
    """The labels of an assistant, and what people think of answers, which models learn from too."""

    def labels(self, assistant: str) -> list[Label]:
        """All labels, in whatever state."""

    def opinions(self, assistant: str) -> Sequence[Opinion]:
        """All preferences and ratings, in whatever state."""


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
    policy: str = ""  # id of the policy it was reached under; "": of a time when that was not recorded

    @property
    def judgement(self) -> Judgement:
        """The part that promotion looks at."""
        return Judgement(
            id=self.id,
            release=self.release,
            baseline=self.baseline,
            verdict=self.verdict,
            golden_set=self.golden_set,
            reasons=Verdict(self.verdict, self.gates).reasons,
            doubts=tuple(gate.name for gate in self.gates if gate.outcome == "undecided"),
            policy=self.policy,
        )


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
    anchor: Callable[[], ReleaseManifest | None]  # what every release is measured against besides what is served
    rehearse: Rehearse | None = None  # None: pace is not measured
    judge: Judge | None = None


def evaluate(
    bench: EvaluationBench,
    candidate: ReleaseManifest,
    baseline: ReleaseManifest | None,
    progress: Progress | None = None,
) -> Evaluation:
    """Asks the releases the golden set of this moment, decides, keeps the evidence and records the verdict.

    A release that cannot be opened is judged too: rejected, or held when it is the one being served. The same answers
    give the same bundle, and so the same id, as long as pace is not measured: that is a new measurement each time.
    """
    evidence = gather(bench, candidate, baseline, progress)
    case = case_of(evidence)
    verdict = decide(case)
    files = bundle(evidence, case, verdict, _reports(evidence, case, verdict))
    evaluation = Evaluation(
        id=keep(files, bench.artifacts),
        release=candidate.id,
        baseline=baseline.id if baseline else None,
        golden_set=evidence.integrity.golden_set,
        verdict=verdict.verdict,
        questions=len(evidence.labels),
        gates=verdict.gates,
        policy=policy_id(bench.policy),
    )
    bench.log.record(bench.assistant, evaluation)
    return evaluation


def _reports(evidence: Evidence, case: Case, verdict: Verdict) -> dict[str, str]:
    from tasks.report_page import render_page

    return {REPORT: render_report(evidence, case, verdict), PAGE: render_page(evidence, case, verdict)}
