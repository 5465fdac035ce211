"""Which runs have lost their process. A run that only waits, or that was heard of lately, has not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
