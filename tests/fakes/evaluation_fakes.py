"""A small world to judge releases in: golden questions about pumps, and answers of known quality to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from tasks.core.answers import Answer, Citation, Passage
from tasks.core.comparison import Touch
from tasks.core.documents import Chunk
from tasks.core.evidence import Evidence
from tasks.core.integrity import Integrity
from tasks.core.labels import Label, golden_set
from tasks.core.metrics.score import Metric, Undefined
from tasks.core.opinions import Opinion
from tasks.core.pace import NOT_REHEARSED, Rehearsal, Rehearsed, to_rehearse
from tasks.core.policy import Policy
from tasks.core.ports import Progress
from tasks.core.releases import ModelRef, PromptSpec, ReleaseManifest, RetrievalSettings, SnapshotRef
from tasks.core.scoring import Scored, ScoreSheet
from tasks.evaluation import Evaluation

ABSTENTION = "The handbook does not say."
QUICK = Policy(resamples=1_000)

Behaviour = Callable[[Label], Answer]


def golden_label(n: int, *, page: str | None = None, unanswerable: bool = False) -> Label:
    return Label(
        id=f"l-{n:016x}",
        question=f"What does pump {n} weigh?" if unanswerable else f"What pressure does pump {n} reach?",
        answer=ABSTENTION if unanswerable else f"Pump {n} reaches {n + 1000} bar.",
        documents=(page or f"pumps/{n}.md",),
        unanswerable=unanswerable,
        facts=() if unanswerable else (f"{n + 1000} bar",),
        split="golden",
        state="accepted",
    )


def golden_labels(answerable: int, unanswerable: int = 0, *, per_page: int = 1) -> tuple[Label, ...]:
    """Spread over pages as questions are: each page has some of both sorts."""
    n = answerable + unanswerable
    pages = max(1, n // per_page)
    return tuple(golden_label(i, page=f"pumps/{i % pages}.md", unanswerable=i >= answerable) for i in range(n))


def passages(label: Label) -> tuple[Passage, ...]:
    page, name = label.documents[0], label.question.split("pump ")[1].split()[0]
    held = "" if label.unanswerable else f" {label.answer}"
    return (
        Passage(1, page, f"c-{name}", f"Pump {name} > Limits\nPump {name} stands on a plinth.{held}", 0.9, 0.8),
        Passage(2, "oils.md", "c-oil", "Oils\nUse grade 46.", 0.1, 0.2),
    )


def says(label: Label, text: str, *, marker: int | None = 1) -> Answer:
    shown = passages(label)
    cited = [p for p in shown if p.marker == marker]
    return Answer(
        question=label.question,
        text=text if marker is None else f"{text} [{marker}]",
        release="r-test",
        snapshot=1,
        pattern="rag",
        abstained=False,
        abstained_because=None,
        raw=text,
        citations=tuple(Citation(p.marker, p.document, p.chunk, p.text, p.score) for p in cited),
        contexts=shown,
        dangling_markers=(),
        confidence=0.8,
        prompt_tokens=100,
        completion_tokens=10,
    )


def declines(label: Label) -> Answer:
    return replace(says(label, ABSTENTION, marker=None), abstained=True, abstained_because="model")


def perfect(label: Label) -> Answer:
    return declines(label) if label.unanswerable else says(label, label.answer)


def wrong(label: Label) -> Answer:
    return says(label, "It reaches 7 bar.")


def uncited(label: Label) -> Answer:
    return declines(label) if label.unanswerable else says(label, label.answer, marker=None)


def miscited(label: Label) -> Answer:
    return declines(label) if label.unanswerable else says(label, label.answer, marker=2)


def mostly(behaviour: Behaviour, otherwise: Behaviour, *, every: int) -> Behaviour:
    """`behaviour`, but `otherwise` on every `every`-th label."""
    return lambda label: (otherwise if int(label.id[2:], 16) % every == 0 else behaviour)(label)


def manifest(*, snapshot: int = 1, adapter: str | None = None, k: int = 2, system: str = "Answer.") -> ReleaseManifest:
    return ReleaseManifest(
        assistant="default",
        snapshot=SnapshotRef(number=snapshot, manifest_hash=f"{snapshot:064x}", collection="default-1"),
        model=ModelRef(kind="lora" if adapter else "base", base="tiny", base_digest="sha256-0", adapter=adapter),
        prompt=PromptSpec(system=system, abstention=ABSTENTION),
        retrieval=RetrievalSettings(k=k),
        pattern="rag",
    )


def evidence(
    labels: Sequence[Label],
    now: Behaviour,
    then: Behaviour | None = None,
    *,
    candidate: ReleaseManifest | None = None,
    baseline: ReleaseManifest | None = None,
    policy: Policy = QUICK,
    integrity: Integrity | None = None,
    touched: Mapping[str, Touch] | None = None,
    rehearsal: Rehearsal | None = None,
) -> Evidence:
    """Evidence of a candidate that behaves as `now` against a baseline that behaves as `then`.

    rehearsal: by default both take a second, and say alone what they say in a batch.
    """
    golden = golden_set(labels)
    return Evidence(
        policy=policy,
        candidate=candidate or manifest(snapshot=2),
        baseline=(baseline or manifest()) if then else None,
        labels=tuple(labels),
        answers=tuple(now(label) for label in labels),
        baseline_answers=tuple(then(label) for label in labels) if then else (),
        integrity=integrity or Integrity(golden.id if golden else None),
        touched=touched or {},
        versions={},
        rehearsal=rehearsed(labels, now, then, count=policy.pace.questions) if rehearsal is None else rehearsal,
    )


def rehearsed(
    labels: Sequence[Label], now: Behaviour, then: Behaviour | None = None, *, count: int, seconds: float = 1.0
) -> Rehearsal:
    """`count` golden questions asked one at a time; each answer of `now` takes `seconds`, each of `then` one second."""
    asked = to_rehearse(labels, [[now(label) for label in labels]], count)
    if not asked:
        return NOT_REHEARSED
    return Rehearsal(
        tuple(Rehearsed(label.id, now(label).text, seconds) for label in asked),
        tuple(Rehearsed(label.id, then(label).text, 1.0) for label in asked) if then else (),
    )


def sheet(answerer: str, labels: Sequence[Label], **values: Sequence[float | Undefined]) -> ScoreSheet:
    """A score sheet with made-up values: by metric, one a label."""
    return ScoreSheet(
        answerer,
        tuple(
            Scored(label, perfect(label), {cast("Metric", metric): given[n] for metric, given in values.items()})
            for n, label in enumerate(labels)
        ),
    )


@dataclass
class Releases:
    """An Ask that answers as each release was told to behave, and counts what it was asked."""

    behaviours: Mapping[str, Behaviour]
    labels: Sequence[Label]
    asked: list[str] = field(default_factory=list)

    def __call__(
        self, questions: Sequence[str], manifest: ReleaseManifest, *, progress: Progress | None = None
    ) -> list[Answer]:
        self.asked.append(manifest.id)
        by_question = {label.question: label for label in self.labels}
        return [self.behaviours[manifest.id](by_question[question]) for question in questions]

    def rehearse(
        self,
        labels: Sequence[Label],
        candidate: ReleaseManifest,
        baseline: ReleaseManifest | None,
        progress: Progress | None = None,
    ) -> Rehearsal:
        """A Rehearse: the same answers, a second each; the first label only warms up."""
        releases = [candidate, *([baseline] if baseline else [])]
        return Rehearsal(
            *(
                tuple(Rehearsed(label.id, self.behaviours[m.id](label).text, 1.0) for label in labels[1:])
                for m in releases
            )
        )


@dataclass
class MemoryLabels:
    known: list[Label]
    thought: list[Opinion] = field(default_factory=list)

    def labels(self, assistant: str) -> list[Label]:
        return self.known

    def opinions(self, assistant: str) -> list[Opinion]:
        return self.thought


@dataclass
class MemoryTraining:
    ids: frozenset[str] | None = frozenset()

    def trained_on(self, assistant: str, model: ModelRef) -> frozenset[str] | None:
        return self.ids


@dataclass
class MemoryTexts:
    """Snapshot number → document → text."""

    texts: Mapping[int, Mapping[str, str]] = field(default_factory=dict)

    def chunks(self, assistant: str, snapshot: int) -> Mapping[str, Chunk]:
        return {d: Chunk(d, d, (), text) for d, text in self.texts.get(snapshot, {}).items()}


@dataclass
class MemoryLog:
    recorded: list[Evaluation] = field(default_factory=list)

    def record(self, assistant: str, evaluation: Evaluation) -> None:
        if self.latest(assistant) != evaluation:
            self.recorded.append(evaluation)

    def evaluation(self, assistant: str, id: str) -> Evaluation:
        return next(e for e in self.recorded if e.id == id)

    def latest(self, assistant: str, release: str | None = None) -> Evaluation | None:
        return next((e for e in reversed(self.recorded) if release in (None, e.release)), None)


def read_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "files.json"}
