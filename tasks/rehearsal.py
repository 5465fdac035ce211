"""The step that asks golden questions one at a time, as people do, of the candidate and of the release being served."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks.core.answers import Answer
from tasks.core.errors import Stopped
from tasks.core.labels import Label
from tasks.core.pace import NOT_REHEARSED, Rehearsal, Rehearsed
from tasks.core.ports import Progress
from tasks.core.releases import ReleaseManifest
from tasks.documents import stopping


@dataclass(frozen=True, slots=True)
class RehearsalBench:
    """What rehearsing needs."""

    ask_one: Callable[[str, ReleaseManifest], Answer]  # keeps no completion: a cached one would take no time
    clock: Callable[[], float]  # seconds, never going back


def rehearse(
    bench: RehearsalBench,
    labels: Sequence[Label],
    candidate: ReleaseManifest,
    baseline: ReleaseManifest | None,
    progress: Progress | None = None,
) -> Rehearsal:
    """Asks each release every question by itself, in turns, and measures.

    The first label only warms up, unless it is the only one: opening a model is no part of an answer's time. Who
    begins changes from question to question, so that a machine that gets slower meanwhile slows both alike.
    Raises Stopped before the next question when the run is to end.
    """
    if not labels:
        return NOT_REHEARSED
    releases = [candidate, *([baseline] if baseline else [])]
    for manifest in releases:
        bench.ask_one(labels[0].question, manifest)
    measured: list[list[Rehearsed]] = [[] for _ in releases]
    counted = labels[1:] or labels
    for n, label in enumerate(counted):
        turns = range(len(releases))
        for role in turns if n % 2 == 0 else reversed(turns):
            measured[role].append(_measured(bench, label, releases[role]))
        if progress:
            progress("asking one at a time", n + 1, len(counted))
    return Rehearsal(*(tuple(one) for one in measured))


def _measured(bench: RehearsalBench, label: Label, manifest: ReleaseManifest) -> Rehearsed:
    stop = stopping.get()
    if stop is not None and stop.is_set():
        raise Stopped("The run was stopped while questions were asked one at a time. Run it again to go on.")
    begun = bench.clock()
    answer = bench.ask_one(label.question, manifest)
    return Rehearsed(label.id, answer.text, round(bench.clock() - begun, 3))
