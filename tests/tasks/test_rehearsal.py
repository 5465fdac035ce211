import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from evaluation_fakes import golden_labels, manifest, perfect

from tasks.core.answers import Answer
from tasks.core.errors import Stopped
from tasks.core.pace import NOT_REHEARSED
from tasks.core.releases import ReleaseManifest
from tasks.documents import stopping
from tasks.rehearsal import RehearsalBench, rehearse

LABELS = golden_labels(5)
CURRENT, TUNED = manifest(), manifest(adapter="sha256-1")


@dataclass
class SlowReleases:
    """Answers as told, and lets the clock run for as long as each takes."""

    takes: Callable[[ReleaseManifest, int], float]  # release, how many it was asked before → seconds
    seconds: float = 100.0
    asked: list[tuple[str, str]] = field(default_factory=list)  # release, question

    def bench(self) -> RehearsalBench:
        return RehearsalBench(self.ask_one, lambda: self.seconds)

    def ask_one(self, question: str, manifest: ReleaseManifest) -> Answer:
        before = sum(release == manifest.id for release, _ in self.asked)
        self.asked.append((manifest.id, question))
        self.seconds += self.takes(manifest, before)
        label = next(label for label in LABELS if label.question == question)
        return replace(perfect(label), text=f"{manifest.id} says {label.id}")


def even(manifest: ReleaseManifest, before: int) -> float:
    return 0.25


def test_every_question_but_the_first_is_measured_on_both_releases_by_itself() -> None:
    found = rehearse(SlowReleases(lambda m, _: 0.5 if m == TUNED else 0.25).bench(), LABELS, TUNED, CURRENT)
    assert [one.label for one in found.candidate] == [label.id for label in LABELS[1:]]
    assert [one.label for one in found.baseline] == [label.id for label in LABELS[1:]]
    assert {one.seconds for one in found.candidate} == {0.5}
    assert {one.seconds for one in found.baseline} == {0.25}
    assert found.candidate[0].text == f"{TUNED.id} says {LABELS[1].id}"


def test_opening_a_model_is_no_part_of_an_answers_time() -> None:
    found = rehearse(SlowReleases(lambda m, before: 30.0 if before == 0 else 0.25).bench(), LABELS, TUNED, CURRENT)
    assert {one.seconds for one in (*found.candidate, *found.baseline)} == {0.25}


def test_who_begins_changes_from_question_to_question() -> None:
    world = SlowReleases(even)
    rehearse(world.bench(), LABELS, TUNED, CURRENT)
    turns = [release for release, _ in world.asked[2:]]
    a, b = TUNED.id, CURRENT.id
    assert turns == [a, b, b, a, a, b, b, a]


def test_a_machine_that_gets_slower_slows_both_alike() -> None:
    world = SlowReleases(even)
    world.takes = lambda m, _: len(world.asked) / 8
    found = rehearse(world.bench(), LABELS, TUNED, CURRENT)
    assert sum(one.seconds for one in found.candidate) == sum(one.seconds for one in found.baseline)


def test_a_run_that_is_to_end_asks_no_further() -> None:
    world, stop = SlowReleases(even), threading.Event()
    token = stopping.set(stop)
    try:
        with pytest.raises(Stopped):
            rehearse(world.bench(), LABELS, TUNED, CURRENT, lambda _, done, __: stop.set() if done == 2 else None)
    finally:
        stopping.reset(token)
    assert len(world.asked) == 2 + 2 * 2  # one to warm up and two that count, of each release


def test_seconds_are_kept_to_the_millisecond() -> None:
    found = rehearse(SlowReleases(lambda m, _: 0.123456).bench(), LABELS, TUNED, None)
    assert {one.seconds for one in found.candidate} == {0.123}


def test_without_a_release_being_served_only_the_candidate_is_asked() -> None:
    found = rehearse(SlowReleases(even).bench(), LABELS, TUNED, None)
    assert (len(found.candidate), found.baseline) == (4, ())


def test_a_release_that_is_compared_with_itself_is_measured_twice_over() -> None:
    found = rehearse(SlowReleases(even).bench(), LABELS, CURRENT, CURRENT)
    assert (len(found.candidate), len(found.baseline)) == (4, 4)


def test_a_single_question_warms_up_and_is_measured() -> None:
    world = SlowReleases(even)
    assert len(rehearse(world.bench(), LABELS[:1], TUNED, None).candidate) == 1
    assert len(world.asked) == 2


def test_without_questions_nobody_is_asked() -> None:
    world = SlowReleases(even)
    assert rehearse(world.bench(), (), TUNED, CURRENT) == NOT_REHEARSED
    assert world.asked == []
