"""What a missing value counts as: nothing, where nothing was to be had, and its worst everywhere else."""

from importlib import import_module
from pkgutil import iter_modules

import pytest
from evaluation_fakes import golden_labels, sheet

import tasks.core.judging
import tasks.core.metrics
from tasks.core.metrics.answer_format import NO_SCHEMA
from tasks.core.metrics.retrieval import NO_RETRIEVAL
from tasks.core.metrics.score import CITES_NOTHING, DECLINED, NOT_JUDGED, Undefined
from tasks.core.missing import BY_NATURE, changes, shares

LOST = Undefined("the reply was lost")
UNKNOWN = {NO_RETRIEVAL, NO_SCHEMA, NOT_JUDGED}  # a value would be there, had somebody asked


def test_every_reason_that_a_metric_knows_is_one_or_the_other() -> None:
    modules = [tasks.core.judging]
    modules += [import_module(f"tasks.core.metrics.{one.name}") for one in iter_modules(tasks.core.metrics.__path__)]
    reasons = {value for module in modules for value in vars(module).values() if isinstance(value, Undefined)}
    assert len(reasons) > 10
    assert reasons == BY_NATURE | UNKNOWN
    assert not BY_NATURE & UNKNOWN


@pytest.mark.parametrize(
    ("value", "at_worst"), [(1.0, (1.0,)), (0.0, (0.0,)), (LOST, (0.0,)), (DECLINED, ()), (CITES_NOTHING, ())]
)
def test_a_share_at_worst(value: float | Undefined, at_worst: tuple[float, ...]) -> None:
    known = shares(sheet("r-new", golden_labels(1), correct=[value]), "correct")
    assert known.at_worst.values == at_worst
    assert known.values.values == (() if isinstance(value, Undefined) else (value,))
    assert known.missing == (("the reply was lost",) if value == LOST else ())


@pytest.mark.parametrize(
    ("now", "then", "at_worst"),
    [
        (1.0, 0.0, 1.0 - 0.0),
        (0.5, 1.0, 0.5 - 1.0),
        (LOST, 0.5, 0.0 - 0.5),
        (LOST, LOST, 0.0 - 1.0),
        (LOST, DECLINED, 0.0 - 1.0),
        (0.25, LOST, 0.25 - 1.0),
        (0.25, DECLINED, 0.25 - 1.0),
        (1.0, DECLINED, 1.0 - 1.0),
        (DECLINED, 1.0, None),
        (DECLINED, DECLINED, None),
        (DECLINED, LOST, None),
    ],
)
def test_a_change_at_worst(now: float | Undefined, then: float | Undefined, at_worst: float | None) -> None:
    labels = golden_labels(1)
    known = changes(sheet("r-new", labels, correct=[now]), sheet("r-old", labels, correct=[then]), "correct")
    assert known.at_worst.values == (() if at_worst is None else (at_worst,))
    both_known = not isinstance(now, Undefined) and not isinstance(then, Undefined)
    assert known.values.values == (known.at_worst.values if both_known else ())
    assert len(known.missing) == (at_worst is not None and not both_known)


def test_a_question_that_the_other_was_not_asked_counts_as_one_it_had_right() -> None:
    labels = golden_labels(2)
    new, old = sheet("r-new", labels, correct=[0.0, 1.0]), sheet("r-old", labels[1:], correct=[1.0])
    known = changes(new, old, "correct")
    assert (known.values.values, known.at_worst.values) == ((0.0,), (0.0 - 1.0, 0.0))
    assert known.missing == ("r-old: it was not asked",)


def test_values_stand_beside_their_labels() -> None:
    labels = golden_labels(3)
    known = shares(sheet("r-new", labels, correct=[1.0, DECLINED, LOST]), "correct")
    assert known.at_worst.labels == (labels[0], labels[2])
    assert known.values.labels == (labels[0],)
