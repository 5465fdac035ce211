import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.report.lanes import Lane
from tasks.core.report.scale import MOST_TICKS, scale_of, seconds_scale
from tasks.core.stats import Estimate

shares = st.floats(-1, 1)


def lane(lower: float, upper: float, line: float | None) -> Lane:
    middle = (lower + upper) / 2
    return Lane("x", "", Estimate(middle, lower, upper, 10, 10, 0.1, 1.0), line, None, None)


@given(st.lists(st.tuples(shares, shares, shares), max_size=9))
def test_everything_that_is_drawn_lies_on_the_scale_and_zero_is_on_it(drawn: list[tuple[float, float, float]]) -> None:
    scale = scale_of([lane(min(a, b), max(a, b), line) for a, b, line in drawn], share=False)
    values = [0.0, *(value for three in drawn for value in three)]
    assert all(scale.low < value < scale.high for value in values)
    assert 2 <= len(scale.ticks) <= MOST_TICKS
    assert 0.0 in scale.ticks


@given(st.lists(st.floats(0, 1e5), max_size=20))
def test_seconds_start_at_zero_and_end_at_a_round_number(seconds: list[float]) -> None:
    scale = seconds_scale(seconds)
    assert scale.low == 0.0
    assert scale.high >= max(seconds, default=0.0)
    assert 2 <= len(scale.ticks) <= 7


def test_places_are_shares_of_the_width() -> None:
    scale = scale_of([lane(-0.12, 0.06, -0.1)], share=False)
    assert (scale.low, scale.high) == pytest.approx((-0.15, 0.1))
    assert [scale.at(tick) for tick in scale.ticks] == ["0.00%", "20.00%", "40.00%", "60.00%", "80.00%", "100.00%"]
