from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import GoldenLeak
from tasks.core.labels import Label, Split
from tasks.core.ports import Message, TrainingRow
from tasks.core.retraining import (
    RetrainDecision,
    RetrainTiming,
    Waited,
    freeze,
    intent_id,
    refuse_leaks,
    should_retrain,
)


def label(name: str, question: str, page: str, split: Split | None, state: str = "accepted") -> Label:
    return Label(name, question, "At 42 bar.", (page,), False, (), split, state)  # type: ignore[arg-type]


GOLDEN = label("g", "At how many bar does the Halden 300 run?", "halden.md", "golden")


def test_the_threshold_counts_labels_that_no_succeeded_training_has_consumed() -> None:
    ids = [f"l-{n}" for n in range(10)]
    assert should_retrain(ids, frozenset(), threshold=10).train
    assert not should_retrain(ids, frozenset(ids[:1]), threshold=10).train
    assert should_retrain(ids, frozenset(ids[:1]), threshold=10).new == 10 - 1


def test_it_fires_once_per_crossing() -> None:
    first = [f"l-{n}" for n in range(100)]
    assert should_retrain(first, frozenset(), threshold=100).train
    consumed = frozenset(first)
    assert not should_retrain([*first, "l-100"], consumed, threshold=100).train
    assert should_retrain([*first, *(f"m-{n}" for n in range(100))], consumed, threshold=100).train


def test_force_needs_a_label_but_no_threshold() -> None:
    assert should_retrain(["a"], frozenset({"a"}), threshold=100, force=True).train
    assert not should_retrain([], frozenset(), threshold=100, force=True).train


def test_the_decision_says_why() -> None:
    assert should_retrain(["a", "b"], frozenset(), threshold=5).reason == "2 new labels; a training starts at 5."


def test_labels_in_no_split_are_not_passed_over_in_silence() -> None:
    reason = should_retrain([], frozenset(), threshold=5, force=True, unassigned=1).reason
    assert reason.startswith("There is no accepted training label. 1 accepted one waits for its split")
    assert '"split": "golden"' in reason
    assert "wait" not in should_retrain(["a"], frozenset(), threshold=5, unassigned=1).reason
    assert should_retrain([], frozenset(), threshold=5).reason == "There is no accepted training label."


def decided(
    new: int,
    *,
    hours: float | None = None,
    days: float = 0.0,
    interval: float = 6.0,
    age: float | None = 30.0,
    **more: bool,
) -> RetrainDecision:
    """The decision on so many new labels at a threshold of 10."""
    ids = [f"l-{n}" for n in range(new)]
    timing, waited = RetrainTiming(interval, age), Waited(hours, days)
    return should_retrain(["old", *ids], frozenset({"old"}), 10, timing=timing, waited=waited, **more)


def test_a_label_that_has_waited_too_long_is_enough() -> None:
    assert not decided(1, days=29.9).train
    assert decided(1, days=30.0).train
    assert decided(1, days=31.5).reason == "1 new labels, of which the oldest has waited 31.5 days; the limit is 30."
    assert not decided(0, days=31.5).train
    assert not decided(1, days=1000, age=None).train


def test_no_training_starts_too_soon_after_one_that_succeeded() -> None:
    assert decided(10).train  # there was none
    assert decided(10, hours=6.0).train
    early = decided(10, hours=5.9)
    assert not early.train
    assert early.reason == "10 new labels, but the last training ended 5.9 hours ago; the next may start after 6."
    assert not decided(1, hours=5.9, days=99).train
    assert decided(1, hours=5.9, force=True).train


def test_where_nothing_is_said_of_time_it_has_no_say() -> None:
    ids = [f"l-{n}" for n in range(10)]
    assert should_retrain(ids, frozenset(), 10, waited=Waited(hours_since_training=0.0)).train
    assert not should_retrain(ids[:1], frozenset(), 10, timing=RetrainTiming(max_age_days=1.0)).train


@given(
    st.integers(0, 20), st.none() | st.floats(0, 100), st.floats(0, 100), st.floats(0, 10), st.none() | st.floats(1, 50)
)
def test_it_trains_exactly_when_enough_or_old_and_not_too_soon(
    new: int, hours: float | None, days: float, interval: float, age: float | None
) -> None:
    due = new >= 10 or (new > 0 and age is not None and days >= age)
    soon = hours is not None and hours < interval
    decision = decided(new, hours=hours, days=days, interval=interval, age=age)
    assert decision.train == (due and not soon)
    assert decision.new == new


def test_only_accepted_labels_of_a_split_are_frozen() -> None:
    frozen = freeze(
        [
            GOLDEN,
            label("t", "How heavy is the Brisk?", "brisk.md", "train"),
            label("v", "How wide is the Tarn?", "tarn.md", "validation"),
            label("pending", "How long is the Ness?", "ness.md", "train", "pending"),
            label("unassigned", "How old is the Fell?", "fell.md", None),
        ]
    )
    assert [one.id for one in frozen.train] == ["t"]
    assert [one.id for one in frozen.validation] == ["v"]
    assert frozen.label_ids == ("t",)
    assert frozen.golden_pages == {"halden.md"}


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (label("g", "How heavy is the Brisk?", "brisk.md", "train"), "label g is golden"),
        (label("t", "How heavy is it?", "halden.md", "train"), "about halden.md"),
        (label("t", "at how many bar does Halden 300 run", "copy.md", "train"), "asks what golden label g asks"),
        (label("v", "How heavy is it?", "halden.md", "validation"), "about halden.md"),
    ],
)
def test_a_golden_id_page_or_question_in_the_training_data_stops_everything(study: Label, said: str) -> None:
    with pytest.raises(GoldenLeak, match=said):
        refuse_leaks([study], [GOLDEN])
    if study.id != GOLDEN.id:
        with pytest.raises(GoldenLeak, match=said):
            freeze([study, GOLDEN])


def test_golden_words_under_another_question_and_page_stop_everything_too() -> None:
    golden = replace(GOLDEN, answer="The gearbox oil of the Skerry is changed every 500 hours.")
    study = label("t", "What is there to know of upkeep?", "upkeep.md", "train")
    study = replace(study, answer="Note: gearbox oil of the Skerry is changed every 500 hours of work.")
    with pytest.raises(GoldenLeak) as stopped:
        freeze([study, golden])
    assert stopped.value.values["leaks"] == ("label t holds golden label g word for word",)


def test_every_way_is_told_and_the_first_one_in_words() -> None:
    study = label("t", GOLDEN.question, "halden.md", "train")
    with pytest.raises(
        GoldenLeak, match=r"3 ways from the golden set .*, the first: label t is about halden\.md"
    ) as said:
        refuse_leaks([study], [GOLDEN])
    assert said.value.values["leaks"] == (
        "label t is about halden.md, as golden label g is",
        "label t asks what golden label g asks",
        "label t holds golden label g word for word",
    )


def test_leaks_are_told_in_the_order_of_their_ids() -> None:
    both = [label(name, f"What is {name}?", f"{name}.md", "train") for name in "edcba"]
    with pytest.raises(GoldenLeak) as stopped:
        refuse_leaks(both, both)
    assert stopped.value.values["leaks"][:5] == tuple(f"label {name} is golden" for name in "abcde")  # type: ignore[index]


def test_labels_of_one_side_that_ask_the_same_leak_nothing() -> None:
    study = [label(name, "How heavy is the Brisk?", "brisk.md", "train") for name in ("a", "b")]
    golden = [GOLDEN, replace(GOLDEN, id="h")]
    refuse_leaks(study, golden)
    assert freeze([*study, *golden]).label_ids == ("a", "b")


def test_labels_are_frozen_in_the_order_of_their_ids() -> None:
    study = [label(name, f"How heavy is the {name}?", f"{name}.md", "train") for name in ("cairn", "ayre", "brisk")]
    assert [one.id for one in freeze(study).train] == ["ayre", "brisk", "cairn"]
    assert freeze(study).label_ids == ("ayre", "brisk", "cairn")


def test_a_question_with_another_number_is_another_question() -> None:
    study = label("t", "At how many bar does the Halden 500 run?", "halden-500.md", "train")
    refuse_leaks([study], [GOLDEN])
    assert freeze([study, GOLDEN]).train == (study,)


def test_an_intent_is_named_by_all_that_a_row_says() -> None:
    row = TrainingRow("l-1", (Message("user", "How hot?"),), "42. [1]")
    others = [
        TrainingRow("l-2", row.prompt, row.completion),
        TrainingRow("l-1", (Message("system", "How hot?"),), row.completion),
        TrainingRow("l-1", (Message("user", "How cold?"),), row.completion),
    ]
    names = {intent_id([one], [], "a") for one in (row, *others)}
    assert len(names) == 1 + len(others)
    assert all(re.fullmatch("t-[0-9a-f]{32}", name) for name in names)


def test_the_intent_changes_with_a_row_and_with_the_trainer_only() -> None:
    row = TrainingRow("l-1", (Message("user", "How hot?"),), "42. [1]")
    other = TrainingRow("l-1", (Message("user", "How hot?"),), "43. [1]")
    assert intent_id([row], [], "lora-1") == intent_id([row], [], "lora-1")
    assert len({intent_id(*x) for x in [([row], [], "a"), ([other], [], "a"), ([], [row], "a"), ([row], [], "b")]}) == 4
