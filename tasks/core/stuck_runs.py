"""Which runs have lost their process, and what becomes of them. One that waits, or was heard of lately, has not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MOST_STARTS = 3  # or a run that takes its machine down would do so for ever


@dataclass(frozen=True, slots=True)
class RunSigns:
    """What is known of a run. Times in seconds before now."""

    name: str
    state: Literal["PENDING", "RUNNING", "CANCELLING"]
    in_state: float
    last_heard: float | None  # its last event of any kind; None: none is kept
    heartbeats: bool  # it has sent one, so silence means something
    workers: int | None  # of its work pool, heard of lately; None where it has no pool


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a run may be silent, in seconds."""

    pending: float  # between being taken by a worker and its process saying so
    silent: float  # at least three times the heartbeat


def lost(run: RunSigns, patience: Patience) -> str | None:
    """Why this run's process is gone; None while it may be there.

    >>> patience = Patience(pending=600, silent=600)
    >>> lost(RunSigns("a", "PENDING", 601, None, False, 1), patience)
    'Pending for 601 s: its process never started.'
    >>> lost(RunSigns("b", "RUNNING", 9000, 30, True, 1), patience)
    >>> lost(RunSigns("c", "RUNNING", 9000, 601, True, 1), patience)
    'Its heartbeats stopped 601 s ago: the process or its machine is gone.'
    >>> lost(RunSigns("d", "RUNNING", 9000, 601, False, 0), patience)
    'It sends no heartbeats, was last heard of 601 s ago, and its work pool has no worker: nothing can be running it.'
    >>> lost(RunSigns("e", "RUNNING", 9000, 601, False, 1), patience)
    """
    heard = run.in_state if run.last_heard is None else min(run.in_state, run.last_heard)
    if run.state == "PENDING":
        return f"Pending for {run.in_state:.0f} s: its process never started." if heard > patience.pending else None
    if heard <= patience.silent:
        return None
    if run.heartbeats:
        return f"Its heartbeats stopped {heard:.0f} s ago: the process or its machine is gone."
    if run.workers == 0:
        return (
            f"It sends no heartbeats, was last heard of {heard:.0f} s ago, and its work pool has no worker: "
            "nothing can be running it."
        )
    return None


@dataclass(frozen=True, slots=True)
class NextState:
    """The state an interrupted run is put into, in Prefect's words."""

    type: Literal["SCHEDULED", "CRASHED", "CANCELLED"]
    name: Literal["AwaitingRetry", "Crashed", "Cancelled"]
    message: str


def next_state(state: str, starts: int, why: str, *, once: bool) -> NextState:
    """What becomes of a run whose process is gone: begun again, because every flow goes on where it was.

    state: Prefect's state type. starts: how often a worker took it. once: it is of the kind that a person must repeat.

    >>> next_state("RUNNING", 1, "Its worker ended.", once=False)
    NextState(type='SCHEDULED', name='AwaitingRetry', message='Its worker ended. It is begun again.')
    >>> next_state("RUNNING", 3, "Its worker ended.", once=False).message
    'Its worker ended. It was begun 3 times, and is not begun again.'
    >>> next_state("CANCELLING", 1, "Its worker ended.", once=False).name
    'Cancelled'
    """
    if state == "CANCELLING":
        return NextState("CANCELLED", "Cancelled", f"Cancelled. {why}")
    if once:
        return NextState("CRASHED", "Crashed", f"{why} See whether it was done before you run it again.")
    if starts >= MOST_STARTS:
        return NextState("CRASHED", "Crashed", f"{why} It was begun {starts} times, and is not begun again.")
    return NextState("SCHEDULED", "AwaitingRetry", f"{why} It is begun again.")
