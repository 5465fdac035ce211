"""The step that gathers what a verdict needs: every release is opened and asked the golden questions."""

from __future__ import annotations

import platform
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from tasks.core.answers import Answer
from tasks.core.comparison import Touch, page_texts, touched_questions
from tasks.core.errors import IndexIncomplete, IntegrityFailure, NotFound
from tasks.core.evidence import Evidence
from tasks.core.integrity import Integrity, golden_leaks
from tasks.core.judging import JudgeRecord
from tasks.core.labels import Label, golden_set
from tasks.core.opinions import as_label
from tasks.core.pace import NOT_REHEARSED, Rehearsal, to_rehearse
from tasks.core.ports import Progress
from tasks.core.releases import ModelRef, ReleaseManifest

if TYPE_CHECKING:
    from tasks.evaluation import EvaluationBench

_BROKEN = (IntegrityFailure, IndexIncomplete, NotFound)


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
    asked = _ask_all(bench, candidate, baseline, labels, progress)
    opinions = [as_label(one) for one in bench.labels.opinions(bench.assistant)]
    leaks, unchecked = _leaks(bench, candidate.model, labels, [*known, *opinions])
    return Evidence(
        policy=bench.policy,
        candidate=candidate,
        baseline=baseline,
        labels=labels if asked.whole else (),
        answers=asked.answers,
        baseline_answers=asked.baseline_answers,
        integrity=Integrity(
            golden.id if golden else None, leaks, unchecked, asked.broken, asked.baseline_broken, asked.anchor_broken
        ),
        touched=_touched(bench, candidate, baseline, labels),
        versions=versions(),
        anchor=asked.anchor,
        anchor_answers=asked.anchor_answers,
        anchor_touched=_touched(bench, candidate, asked.anchor, labels),
        rehearsal=_rehearsal(bench, candidate, baseline, labels, asked, progress),
        judged=_judged(bench, labels, asked),
    )


def versions() -> dict[str, str]:
    """Of everything that scores and gates are computed with; two machines that differ in none compute the same."""
    return {
        "ratchet": version("ratchet"),
        **{name: version(name) for name in ("numpy", "jsonschema", "rfc3339-validator", "snowballstemmer")},
        "python": platform.python_version(),
        "unicode": unicodedata.unidata_version,
    }


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the releases said; nothing when the candidate or the release being served is broken."""

    answers: tuple[Answer, ...] = ()
    baseline_answers: tuple[Answer, ...] = ()
    anchor: ReleaseManifest | None = None  # None also when it is broken
    anchor_answers: tuple[Answer, ...] = ()
    broken: tuple[str, ...] = ()
    baseline_broken: tuple[str, ...] = ()
    anchor_broken: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return not self.broken and not self.baseline_broken


def _ask_all(
    bench: EvaluationBench,
    candidate: ReleaseManifest,
    baseline: ReleaseManifest | None,
    labels: Sequence[Label],
    progress: Progress | None,
) -> _Asked:
    answers, broken = _answers(bench, candidate, labels, progress)
    theirs, baseline_broken = _answers(bench, baseline, labels, progress) if baseline and not broken else ((), ())
    if broken or baseline_broken:
        return _Asked(broken=broken, baseline_broken=baseline_broken)
    anchor = bench.anchor()
    if anchor is None or anchor in (candidate, baseline):
        return _Asked(answers, theirs)
    first, anchor_broken = _answers(bench, anchor, labels, progress)
    return _Asked(answers, theirs, None if anchor_broken else anchor, first, anchor_broken=anchor_broken)


def _answers(
    bench: EvaluationBench, manifest: ReleaseManifest, labels: Sequence[Label], progress: Progress | None
) -> tuple[tuple[Answer, ...], tuple[str, ...]]:
    """A release's answers, or the sentence that says why it has none."""
    try:
        bench.check(manifest)
        return tuple(bench.ask([label.question for label in labels], manifest, progress=progress)), ()
    except _BROKEN as error:
        return (), (error.message,)


def _rehearsal(
    bench: EvaluationBench,
    candidate: ReleaseManifest,
    baseline: ReleaseManifest | None,
    labels: Sequence[Label],
    asked: _Asked,
    progress: Progress | None,
) -> Rehearsal:
    count = bench.policy.pace.questions
    if bench.rehearse is None or not count or not asked.answers:
        return NOT_REHEARSED
    given = [asked.answers, *([asked.baseline_answers] if baseline else [])]
    return bench.rehearse(to_rehearse(labels, given, count + 1), candidate, baseline, progress)


def _judged(bench: EvaluationBench, labels: Sequence[Label], asked: _Asked) -> JudgeRecord | None:
    if bench.judge is None or bench.policy.judge is None or not asked.answers:
        return None
    return bench.judge(labels, asked.answers, asked.baseline_answers)


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
