"""Hosted training in a small world: a vendor, a clock, rows in memory, processes that die where they are told to."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hosted_vendor import FAULTS, Clock, MemoryFineTuning, Refused, Vendor

from tasks.core.errors import RatchetError
from tasks.core.hosted_cost import Price
from tasks.core.hosted_files import HostedFile, TokenCount, supervised_file
from tasks.core.hosted_jobs import ENDED, HostedJob, Pace
from tasks.core.ports import FineTuning, Message, TrainingRow
from tasks.hosted_following import tune
from tasks.hosted_training import Decide, HostedBench, HostedJobs, HostedPlan

PRICE = 3.0
INTENT = "t-1"


def rows(count: int = 12, *, word: str = "pump") -> tuple[TrainingRow, ...]:
    return tuple(
        TrainingRow(
            f"l-{n}",
            (
                Message("system", "Answer."),
                Message("user", f"[1] {word} {n}\nQuestion: At how many bar does {word} {n} run?"),
            ),
            f"It runs at {n} bar. [1]",
        )
        for n in range(count)
    )


@dataclass
class MemoryHostedJobs:
    """HostedJobs in a dictionary."""

    held: dict[tuple[str, str], HostedJob] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.RLock)
    saved: set[tuple[str, str, str]] = field(default_factory=set)

    def change(self, assistant: str, intent: str, decide: Decide) -> HostedJob:
        with self.lock:
            others = [row for key, row in self.held.items() if key[0] == assistant and key[1] != intent]
            changed = decide(self.held.get((assistant, intent)), others[::-1])
            self.held[(assistant, intent)] = changed
            return changed

    def job(self, assistant: str, intent: str) -> HostedJob | None:
        return self.held.get((assistant, intent))

    def jobs(self, assistant: str) -> list[HostedJob]:
        return [row for key, row in reversed(self.held.items()) if key[0] == assistant]

    def named(self, job: str) -> HostedJob | None:
        return next((row for row in self.held.values() if row.job == job), None)

    def file(self, sha: str) -> str | None:
        return next((row.files[sha] for row in reversed(self.held.values()) if sha in row.files), None)

    def note_answers(self, assistant: str, release: str, artifact: str) -> None:
        self.saved.add((assistant, release, artifact))


class Died(BaseException):
    """The process ended here."""


class Interrupted:
    """A port whose process does something at its n-th call, before or after it is done: dies, or lets another run.

    strikes: (call, after?) → what happens. Calls are counted across all ports that share `counter`.
    """

    def __init__(
        self,
        port: object,
        counter: itertools.count[int],
        strikes: dict[tuple[int, bool], Callable[[], None]],
    ) -> None:
        self._port, self._counter, self._strikes = port, counter, strikes

    def __getattr__(self, name: str) -> Any:
        what = getattr(self._port, name)
        if not callable(what):
            return what

        def call(*args: Any, **kwargs: Any) -> Any:
            n = next(self._counter)
            self._strike(n, False)
            result = what(*args, **kwargs)
            self._strike(n, True)
            return result

        return call

    def _strike(self, n: int, after: bool) -> None:
        strike = self._strikes.pop((n, after), None)
        if strike:
            strike()


@dataclass
class World:
    """What outlives processes."""

    clock: Clock = field(default_factory=Clock)
    budget_usd: float = 1.0
    pace: Pace = field(default_factory=Pace)
    jobs: HostedJobs = field(default_factory=MemoryHostedJobs)
    golden: Sequence[str] = ()
    epochs: int = 3
    exact: bool = True
    open_port: Callable[[Vendor], FineTuning] = MemoryFineTuning
    owners: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.vendor = Vendor(self.clock)
        self.training: HostedFile = supervised_file(rows())

    def bench(self, **changed: Any) -> HostedBench:
        """A process's own."""
        given = {"vendor": self.open_port(self.vendor), "jobs": self.jobs} | changed
        count = TokenCount(self.vendor.count, exact=True) if self.exact else TokenCount()
        return HostedBench(
            assistant=given.get("assistant", "default"),
            jobs=given["jobs"],
            vendor=given["vendor"],
            plan=HostedPlan(
                base=given.get("base", "tiny-base"),
                vendor=given.get("at", "openai"),
                budget_usd=self.budget_usd,
                price=Price(PRICE),
                epochs=self.epochs,
                tokens=count,
                pace=self.pace,
            ),
            golden=lambda: self.golden,
            now=self.clock,
            wait=given.get("wait", self.clock.wait),
            new_owner=lambda: f"process-{next(self.owners)}",
        )


@dataclass(frozen=True)
class Schedule:
    """What goes wrong, drawn from a seed."""

    seed: int
    lag: float
    ends: str
    retired: bool
    poor: bool  # the budget is smaller than the cost
    deaths: int
    overtaken: bool

    @classmethod
    def drawn(cls, seed: int) -> Schedule:
        draw = random.Random(seed)
        return cls(
            seed=seed,
            lag=draw.choice([0.0, 0.0, 20.0, 150.0]),
            ends=draw.choice(["succeeded"] * 6 + ["failed", "invalid", "cancelled"]),
            retired=draw.random() < 0.08,
            poor=draw.random() < 0.08,
            deaths=draw.choice([0, 1, 1, 2, 4]),
            overtaken=draw.random() < 0.3,
        )

    @property
    def should_end(self) -> str | None:
        """None: nothing is ever begun."""
        if self.poor:
            return None
        return "retired" if self.retired else {"invalid": "failed"}.get(self.ends, self.ends)


def play(schedule: Schedule, world: World) -> HostedJob | None:
    """Processes, one after another and one inside another, until the job has ended; at most 80."""
    draw, vendor = random.Random(schedule.seed + 1), world.vendor
    spoil(schedule, world, draw)
    deaths = schedule.deaths
    for _ in range(80):
        strikes: dict[tuple[int, bool], Callable[[], None]] = {}
        if deaths:
            deaths -= 1
            strikes[(draw.randrange(25), draw.random() < 0.5)] = _die
        if schedule.overtaken:
            strikes.setdefault((draw.randrange(25), draw.random() < 0.5), lambda: _run(world, {}))
        _run(world, strikes)
        row = world.jobs.job("default", INTENT)
        if row is not None and row.state in ENDED:
            break
        world.clock.wait(draw.choice([0.0, 1.0, 30.0, 600.0]))
    _run(world, {})  # whoever comes later changes nothing
    vendor.to_the_end()
    return world.jobs.job("default", INTENT)


def _run(world: World, strikes: dict[tuple[int, bool], Callable[[], None]]) -> None:
    """One process, to its end, its error or its death."""
    counter = itertools.count()
    bench = world.bench(
        vendor=Interrupted(world.open_port(world.vendor), counter, strikes),
        jobs=Interrupted(world.jobs, counter, strikes),
    )
    with suppress(RatchetError, Died):
        tune(bench, INTENT, world.training)


def _die() -> None:
    raise Died


def spoil(schedule: Schedule, world: World, draw: random.Random) -> None:
    """What goes wrong at the vendor."""
    vendor = world.vendor
    vendor.list_lag, vendor.ends, vendor.retired = schedule.lag, schedule.ends, schedule.retired
    vendor.paused = draw.choice([0.0, 0.0, 400.0])
    vendor.ignores_filter, vendor.keeps_metadata = draw.random() < 0.2, draw.random() < 0.9
    world.budget_usd = 1e-6 if schedule.poor else 0.01
    for operation in ("upload", "files", "file", "create", "jobs", "job", "cancel", "events", "checkpoints"):
        often = 0.6 if operation in ("create", "jobs") else 0.3
        vendor.faults[operation] = [draw.choice(FAULTS) for _ in range(4) if draw.random() < often]
    refusals = [
        Refused(401, "Incorrect API key provided", "invalid_api_key"),
        Refused(429, "You exceeded your current quota", "insufficient_quota"),
        Refused(403, "You do not have access to this organization", None),
        Refused(400, "Invalid suffix", None, "suffix"),
    ]
    for operation in ("create", "job", "jobs"):
        vendor.refusals[operation] = [draw.choice(refusals) for _ in range(2) if draw.random() < 0.15]
