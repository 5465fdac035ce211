from __future__ import annotations

import pytest

from tasks.core.errors import GoldenLeak
from tasks.core.labels import Label, Split
from tasks.core.ports import Message, TrainingRow
from tasks.core.retraining import freeze, intent_id, refuse_leaks, should_retrain


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


def test_a_question_with_another_number_is_another_question() -> None:
    study = label("t", "At how many bar does the Halden 500 run?", "halden-500.md", "train")
    refuse_leaks([study], [GOLDEN])
    assert freeze([study, GOLDEN]).train == (study,)


def test_the_intent_changes_with_a_row_and_with_the_trainer_only() -> None:
    row = TrainingRow("l-1", (Message("user", "How hot?"),), "42. [1]")
    other = TrainingRow("l-1", (Message("user", "How hot?"),), "43. [1]")
    assert intent_id([row], [], "lora-1") == intent_id([row], [], "lora-1")
    assert len({intent_id(*x) for x in [([row], [], "a"), ([other], [], "a"), ([], [row], "a"), ([row], [], "b")]}) == 4
