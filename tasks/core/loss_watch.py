"""Whether a training's loss still means anything."""

from __future__ import annotations

import math
from collections.abc import Sequence

WINDOW = 10
"""Steps whose mean is compared: a step is a few rows, and its loss alone says little."""


def diverged(losses: Sequence[float], max_growth: float) -> str | None:
    """Why training must end after the last of these losses, one per step; None when it may go on.

    >>> diverged([2.0, 1.0, float("nan")], 2.0)
    'the loss of step 3 is nan'
    >>> diverged([1.0] * 10 + [2.5] * 10, 2.0)
    'the loss of the 10 steps up to step 20 is 2.50, 2.5 times the 1.00 of the first 10; the limit is 2'
    >>> diverged([1.0] * 10 + [0.1] * 9 + [9.0], 2.0)
    """
    if losses and not math.isfinite(losses[-1]):
        return f"the loss of step {len(losses)} is {losses[-1]}"
    if len(losses) < 2 * WINDOW:
        return None
    first, last = math.fsum(losses[:WINDOW]) / WINDOW, math.fsum(losses[-WINDOW:]) / WINDOW
    if last <= max_growth * first:
        return None
    return (
        f"the loss of the {WINDOW} steps up to step {len(losses)} is {last:.2f}, {last / first:.1f} times the "
        f"{first:.2f} of the first {WINDOW}; the limit is {max_growth:g}"
    )
