"""Steps of a hosted training: check, count the cost, write the intent down; `tasks.hosted_following` does the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from tasks.core.errors import NotFound
from tasks.core.hosted_checks import require_valid
from tasks.core.hosted_collecting import require_first
from tasks.core.hosted_cost import Estimate, Price, committed_usd, estimate, require_budget
from tasks.core.hosted_files import HostedFile, TokenCount
from tasks.core.hosted_jobs import ENDED, HostedJob, Method, Pace
from tasks.core.hosted_retirement import Vendor, require_open
from tasks.core.hosted_training import again
from tasks.core.ports import FineTuning

Decide = Callable[[HostedJob | None, Sequence[HostedJob]], HostedJob]


class HostedJobs(Protocol):
    """Rows of hosted jobs, one per assistant and intent."""

    def change(self, assistant: str, intent: str, decide: Decide) -> HostedJob:
        """In one transaction that no other of this assistant overlaps: the row as `decide` makes it.

        `decide` gets the row, None when there is none, and the assistant's other rows; it may run more than once, and
        what it raises leaves everything as it was. The row it returns is committed when this returns.
        """

    def job(self, assistant: str, intent: str) -> HostedJob | None:
        """The row of an intent."""

    def jobs(self, assistant: str) -> list[HostedJob]:
        """Every row, newest first."""

    def named(self, job: str) -> HostedJob | None:
        """The row that names the vendor's job."""

    def file(self, sha: str) -> str | None:
        """The vendor's id of a file with this content, as the newest row that has it says."""

    def note_answers(self, assistant: str, release: str, artifact: str) -> None:
        """Names an artifact with saved answers, so that vacuum leaves it. Again changes nothing."""


@dataclass(frozen=True, slots=True)
class HostedPlan:
    """What is trained at the vendor, and for how much. budget_usd: for 30 days of one assistant."""

    base: str
    vendor: Vendor
    budget_usd: float
    price: Price
    method: Method = "supervised"
    epochs: int = 3
    seed: int = 0
    beta: float | None = None
    tokens: TokenCount = field(default_factory=TokenCount)
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class HostedBench:
    """What hosted training needs. golden: questions no file may ask. wait: returns early, or raises Stopped."""

    assistant: str
    jobs: HostedJobs
    vendor: FineTuning
    plan: HostedPlan
    golden: Callable[[], Sequence[str]]
    now: Callable[[], float]
    wait: Callable[[float], None]
    new_owner: Callable[[], str]
    read_at: float | None = None  # when what is trained on was read: what another run has trained since comes first


def begin(
    bench: HostedBench, intent: str, training: HostedFile, validation: HostedFile | None, *, another: bool = False
) -> HostedJob:
    """The committed row of this intent. Nothing is uploaded; a new row has passed every check and the budget.

    another: start a new attempt where the last ended without a model, or beside a job on other rows; else raises
    HostedJobAhead while there is one.
    """
    known = bench.jobs.job(bench.assistant, intent)
    wanted = tuple(one.sha for one in (training, validation) if one is not None)
    if known is not None and not _tries_again(known, another):
        return change_row(bench.jobs, bench.assistant, intent, lambda row: _wanting(row, wanted, another))
    asked = check(bench, training, validation)
    plan, now = bench.plan, bench.now()
    fresh = HostedJob(
        bench.assistant,
        intent,
        plan.base,
        plan.method,
        asked.tokens,
        asked.cost_usd,
        begun_at=now,
        wanted=wanted,
        beside=another,
    )

    def decide(row: HostedJob | None, others: Sequence[HostedJob]) -> HostedJob:
        if row is None:
            require_first(fresh, others, bench.read_at or now)
            require_budget(asked, others, plan.budget_usd, now, plan.method)
            return fresh
        if _tries_again(row, another):
            require_budget(asked, [*others, row], plan.budget_usd, now, plan.method)
            return again(row, fresh, committed_usd(row))
        return row

    return bench.jobs.change(bench.assistant, intent, decide)


def check(bench: HostedBench, training: HostedFile, validation: HostedFile | None) -> Estimate:
    """What the training would cost, once the files, the vendor and the key have been found fit for it."""
    plan = bench.plan
    require_open(plan.base, plan.vendor, datetime.fromtimestamp(bench.now(), UTC).date(), plan.method)
    require_valid(training, validation, plan.method, plan.tokens, bench.golden())
    asked = estimate(training, plan.method, plan.epochs, plan.price, plan.tokens)
    require_budget(asked, bench.jobs.jobs(bench.assistant), plan.budget_usd, bench.now(), plan.method)
    bench.vendor.check()
    return asked


def change_row(jobs: HostedJobs, assistant: str, intent: str, change: Callable[[HostedJob], HostedJob]) -> HostedJob:
    """The row after a change. Raises NotFound when there is none."""

    def decide(row: HostedJob | None, _others: Sequence[HostedJob]) -> HostedJob:
        if row is None:
            raise NotFound(f"There is no hosted job {intent} of {assistant}. `ratchet hosted jobs` lists them.")
        return change(row)

    return jobs.change(assistant, intent, decide)


def _tries_again(row: HostedJob, another: bool) -> bool:
    return another and row.state in ENDED and row.state != "succeeded"


def _wanting(row: HostedJob, wanted: tuple[str, ...], another: bool) -> HostedJob:
    """A newer version may write the same rows in other bytes; what was submitted keeps those it was made from."""
    return replace(row, wanted=wanted, beside=another) if row.state in ("intended", "uploading") else row
