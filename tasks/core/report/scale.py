"""Scale: where a value stands on a plot, as a share of its width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

from tasks.core.report.lanes import Lane

STEPS = (0.05, 0.1, 0.2, 0.25, 0.5)
MOST_TICKS = 9


@dataclass(frozen=True, slots=True)
class Scale:
    """From `low` at the left end to `high` at the right one."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> str:
        """The place, as SVG and CSS write it; what lies outside stands at the end.

        >>> Scale(-0.1, 0.1, ()).at(0.0), Scale(0.0, 1.0, ()).at(7.0)
        ('50.00%', '100.00%')
        """
        share = (value - self.low) / (self.high - self.low)
        return f"{100 * min(1.0, max(0.0, share)):.2f}%"

    def width(self, start: float, end: float) -> str:
        """How wide the stretch between two values is."""
        return f"{max(0.0, float(self.at(end)[:-1]) - float(self.at(start)[:-1])):.2f}%"


def scale_of(lanes: Sequence[Lane], *, share: bool) -> Scale:
    """One scale for all lanes, with round ends and zero in sight."""
    if share:
        return Scale(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))
    seen = [lane.seen for lane in lanes if lane.seen]
    values = [0.0, *(s.lower for s in seen), *(s.upper for s in seen), *(x.line for x in lanes if x.line is not None)]
    low, high = min(values) - 0.02, max(values) + 0.02
    step = next(step for step in STEPS if ceil(high / step) - floor(low / step) < MOST_TICKS)
    first, last = floor(low / step), ceil(high / step)
    return Scale(first * step, last * step, tuple(n * step for n in range(first, last + 1)))


def seconds_scale(seconds: Sequence[float]) -> Scale:
    """From no time at all to a round number that is no less than any of them."""
    longest = max(seconds, default=1.0) or 1.0
    step = next(s * 10.0**p for p in range(-3, 7) for s in (1, 2, 5) if longest <= 5 * s * 10.0**p)
    last = ceil(longest / step)
    return Scale(0.0, last * step, tuple(n * step for n in range(last + 1)))
