"""What judging a release takes: how it is asked, what it is compared with, how its pace is measured, who judges."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from infra.adapters.open_judge import open_judge
from infra.showing import shown_progress
from tasks.answering import AnsweringBench, answer, answer_one
from tasks.core.answers import Answer
from tasks.core.labels import Label
from tasks.core.pace import Rehearsal
from tasks.core.ports import Progress
from tasks.core.releases import ReleaseManifest
from tasks.evaluation import EvaluationBench
from tasks.rehearsal import RehearsalBench, rehearse
from tasks.releases import check_bundle

if TYPE_CHECKING:
    from infra.workbench import Workbench


def evaluation_bench(bench: Workbench) -> EvaluationBench:
    """For tasks.evaluation. Raises BadSetting when the policy's judge could not be asked."""
    settings, policy = bench.settings, bench.settings.policy
    return EvaluationBench(
        assistant=bench.assistant,
        policy=policy,
        ask=partial(_ask, bench),
        check=lambda manifest: check_bundle(bench.release_bench, manifest),
        labels=bench.label_catalog,
        training=bench.trainings,
        documents=bench.document_catalog,
        artifacts=bench.artifacts,
        log=bench.evaluations,
        anchor=partial(_anchor, bench),
        rehearse=partial(_rehearse, bench),
        judge=open_judge(settings, policy, bench.engine, assistant=bench.assistant, progress=shown_progress()),
    )


def _ask(
    bench: Workbench, questions: Sequence[str], manifest: ReleaseManifest, *, progress: Progress | None = None
) -> list[Answer]:
    return answer(questions, manifest, bench.answering, progress)


def _anchor(bench: Workbench) -> ReleaseManifest | None:
    release = bench.anchors.anchor(bench.assistant)
    return bench.releases.release(bench.assistant, release).manifest if release else None


def _rehearse(
    bench: Workbench,
    labels: Sequence[Label],
    candidate: ReleaseManifest,
    baseline: ReleaseManifest | None,
    progress: Progress | None = None,
) -> Rehearsal:
    alone = AnsweringBench(bench.retrieval, bench.chat, completions=None)
    one_at_a_time = RehearsalBench(lambda question, manifest: answer_one(question, manifest, alone), time.perf_counter)
    return rehearse(one_at_a_time, labels, candidate, baseline, progress)
