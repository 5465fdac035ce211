"""The arithmetic of `benchmarks/training/learning.py`: its model runs for minutes, its table does not."""

from dataclasses import replace

import pytest

from benchmarks.training.learning_table import MEASURES, Asked, Learnt, goals, row


def learnt(seed: int, *, tuned: float, answerable: int = 30, unanswerable: int = 10, seconds: float = 150.0) -> Learnt:
    """Every question on a page of its own; the base is right on none, and abstains whenever it should."""
    right = round(tuned * answerable)
    asked = [
        Asked(f"l-{n}", n, dict.fromkeys(answers(), 0.0), answers(1.0 if n < right else 0.0)) for n in range(answerable)
    ]
    silent = {"wholly right": 1.0, "style": 1.0, "abstains when it should": 1.0}
    asked += [Asked(f"l-{n}", n, silent, silent) for n in range(answerable, answerable + unanswerable)]
    return Learnt(seed, "lora-1", "r-1", "r-2", "sha256-a", "d", seconds, 2, 0.01, tuple(asked))


def answers(value: float = 0.0) -> dict[str, float]:
    return {
        "wholly right": value,
        "correct": value,
        "style": 1.0,
        "citation": value,
        "abstains when it should not": 0.0,
    }


def missed(*results: Learnt, twice: str | None = None) -> list[str]:
    return [goal.what for goal in goals(results, twice) if not goal.reached]


def test_a_question_of_several_seeds_counts_once_with_the_mean_of_its_scores() -> None:
    found = row("wholly right", [learnt(0, tuned=1.0), learnt(1, tuned=0.5)])
    assert found.n == 40
    assert found.tuned == pytest.approx((30 * (1 + 0.5) / 2 + 10) / 40)
    assert found.base == pytest.approx(10 / 40)


def test_a_measure_counts_only_the_questions_that_define_it() -> None:
    assert row("correct", [learnt(0, tuned=1.0)]).n == 30
    assert row("abstains when it should", [learnt(0, tuned=1.0)]).n == 10


def test_more_questions_on_one_page_make_the_interval_no_narrower() -> None:
    alone = learnt(0, tuned=0.5)
    on_two_pages = replace(alone, questions=tuple(replace(one, page=one.page % 2) for one in alone.questions))
    apart, together = row("wholly right", [alone]), row("wholly right", [on_two_pages])
    assert together.difference == apart.difference
    assert together.upper - together.lower > apart.upper - apart.lower


def test_what_reaches_every_goal_misses_none() -> None:
    assert missed(learnt(0, tuned=0.9), twice="sha256-a") == []


def test_each_missed_goal_is_named() -> None:
    assert "wholly right at least 55 %" in missed(learnt(0, tuned=0.2))
    assert "at most 200 s of training (2 cores)" in missed(learnt(0, tuned=0.9), learnt(1, tuned=0.9, seconds=201.0))
    assert missed(learnt(0, tuned=0.9), twice="sha256-b") == ["the same adapter when trained twice"]


def test_forgetting_that_was_not_measured_reaches_no_goal() -> None:
    unknown, bad = (replace(learnt(0, tuned=0.9), forgetting=nats) for nats in (None, 0.06))
    assert missed(unknown) == missed(bad) == ["forgets at most 0.05 nats/token of general exchanges"]


def test_the_table_shows_every_measure_that_the_goals_are_about() -> None:
    assert {name for name in MEASURES if row(name, [learnt(0, tuned=0.9)]).n == 0} == set()
