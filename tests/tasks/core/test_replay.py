from __future__ import annotations

import pytest

from tasks.core.labels import Label
from tasks.core.replay import with_replay
from tasks.core.retraining import TrainingSet

OLD = [f"old-{n:03}" for n in range(200)]
NEW = [f"new-{n:03}" for n in range(85)]


def frozen(names: list[str]) -> TrainingSet:
    labels = [Label(name, f"What is {name}?", "42 bar.", ("p.md",), False, (), "train", "accepted") for name in names]
    return TrainingSet(train=tuple(labels), validation=(), golden_pages=frozenset())


def names(labels: TrainingSet) -> list[str]:
    return [label.id for label in labels.train]


@pytest.mark.parametrize(("fraction", "older"), [(0.15, 15), (0.0, 0), (0.5, 85)])
def test_older_labels_are_the_asked_share_of_all(fraction: float, older: int) -> None:
    chosen = names(with_replay(frozen(NEW + OLD), set(OLD), fraction))
    assert [name for name in chosen if name in NEW] == NEW
    assert len(chosen) - len(NEW) == older  # 15 / (85 + 15) = 0.15


def test_no_more_older_labels_are_taken_than_there_are() -> None:
    assert names(with_replay(frozen(NEW + OLD[:3]), set(OLD), 0.5)) == NEW + OLD[:3]


def test_the_same_labels_are_replayed_in_whatever_order_they_come() -> None:
    one, other = (with_replay(frozen(order), set(OLD), 0.15) for order in (NEW + OLD, OLD[::-1] + NEW))
    assert set(names(one)) == set(names(other))


def test_without_a_share_or_without_a_new_label_everything_is_trained_on() -> None:
    assert names(with_replay(frozen(NEW + OLD), set(OLD), None)) == NEW + OLD
    assert names(with_replay(frozen(OLD), set(OLD), 0.15)) == OLD
