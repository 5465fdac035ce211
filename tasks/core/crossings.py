"""When the new labels cross the threshold: told once, until a training has consumed what crossed or labels have left.

A crossing opens when the number of new labels reaches the threshold, and it is told then. It closes when the number
falls below again, or when none of the labels that crossed is new any more. So many imports are one crossing, a failed
training changes nothing, and labels that came while a training ran cross anew as soon as it has succeeded.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Crossing:
    """One crossing that is open: the labels that were new when the threshold was reached."""

    number: int
    label_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Step:
    """What a change of the labels does to crossings. Both, when what crossed is consumed and as much came since."""

    close: str | None = None  # why the open one closes
    opens: bool = False


def step(is_open: Crossing | None, new: Set[str], threshold: int) -> Step:
    """What follows from the labels that are new now. Asked again without a change, nothing.

    >>> step(None, {"a", "b"}, 2)
    Step(close=None, opens=True)
    >>> step(Crossing(1, frozenset({"a", "b"})), {"a", "b", "c"}, 2)
    Step(close=None, opens=False)
    >>> step(Crossing(1, frozenset({"a", "b"})), {"c", "d"}, 2)
    Step(close='the labels that crossed are no longer new', opens=True)
    """
    reached = len(new) >= threshold
    if is_open is None:
        return Step(opens=reached)
    if not reached:
        return Step(close=f"{len(new)} new labels are fewer than {threshold}")
    if not is_open.label_ids & new:
        return Step(close="the labels that crossed are no longer new", opens=True)
    return Step()
