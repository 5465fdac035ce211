"""What belongs to one run of a hosted training and to nobody else: how long it has waited, for what, and as whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from tasks.core.errors import HostedUnavailable, NotFound
from tasks.core.hosted_collecting import require_first
from tasks.core.hosted_jobs import AT_WORK, HostedJob
from tasks.core.hosted_training import poll_delay
from tasks.hosted_training import HostedBench, change_row

T = TypeVar("T")


class HostedRun:
    """One process's hold on one row, and its patience with a service that cannot be asked just now."""

    def __init__(self, bench: HostedBench, intent: str) -> None:
        self.bench = bench
        self.pace = bench.plan.pace
        self.intent = intent
        self.owner = bench.new_owner()
        self.began = bench.now()
        self.unanswered = 0  # "create"s that nobody said anything to
        self.refusals = 0  # "create"s that may be granted later
        self._good_at = self.began
        self._fails = 0

    def row(self) -> HostedJob:
        """The row as it stands."""
        row = self.bench.jobs.job(self.bench.assistant, self.intent)
        if row is None:
            raise NotFound(f"The row of hosted job {self.intent} is gone from the catalog.")
        return row

    def change(self, change: Callable[[HostedJob], HostedJob]) -> HostedJob:
        """The committed row after a change."""
        return change_row(self.bench.jobs, self.bench.assistant, self.intent, change)

    def taking(self, change: Callable[[HostedJob], HostedJob]) -> HostedJob:
        """The same after a change that makes it a job at work, which no other run's may be meanwhile.

        Raises HostedJobAhead, in the transaction of the change, where another comes first.
        """

        def decide(row: HostedJob | None, others: Sequence[HostedJob]) -> HostedJob:
            if row is None:
                raise NotFound(f"The row of hosted job {self.intent} is gone from the catalog.")
            changed = change(row)
            if changed != row and changed.state in AT_WORK:
                require_first(row, others, self.bench.read_at or self.began)
            return changed

        return self.bench.jobs.change(self.bench.assistant, self.intent, decide)

    def patiently(self, call: Callable[[], T]) -> T | None:
        """The result, or None after a wait when the service could not be asked. Raises when that lasts too long."""
        try:
            result = call()
        except HostedUnavailable as error:
            pause = asked_pause(error) or poll_delay(self._fails, self.pace)
            self._fails += 1
            self.lose_patience(error, pause)
            self.bench.wait(pause)
            return None
        self.answered()
        return result

    def answered(self) -> None:
        """The service is there."""
        self._good_at, self._fails = self.bench.now(), 0

    def lose_patience(self, error: HostedUnavailable, pause: float) -> None:
        """Raises the error when there would have been no good answer for too long after this pause."""
        if self.bench.now() + pause - self._good_at > self.pace.outage_seconds:
            raise error


def asked_pause(error: HostedUnavailable) -> float | None:
    """Seconds the vendor asks for; None when it does not say."""
    asked = error.values.get("wait_seconds")
    return float(asked) if isinstance(asked, int | float) else None
