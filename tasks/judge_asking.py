"""Asking a judge: whatever it says is kept at once, and never more is spent than the budget, whatever it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from tasks.core.errors import BadSetting, CannotRetry, ModelUnavailable, NotFound, RatchetError, Stopped, UsageError
from tasks.core.judge_prompts import LONGEST_COMPLAINT, Malformed, asked_again, read_reply
from tasks.core.judging import Exhibit
from tasks.core.metrics.score import Metric, Undefined
from tasks.core.ports import Judge, JudgeQuestion, JudgeReply
from tasks.documents import stopping

AT_ONCE = 4  # questions asked of the judge at a time
MOST_REFUSED = 20  # questions that a judge refuses before it has replied to any: it will refuse the others too
_LONGEST_REASON = 200  # characters; every score that was lost carries it


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the judge said to one question, or why nothing it said counts."""

    said: str | Undefined
    calls: int
    cost_usd: float


class RulingCache(Protocol):
    """Rulings by what was asked of whom."""

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Ruling]:
        """Those that are known."""

    def put(self, key: str, ruling: Ruling) -> None:
        """Keeps it; one that is known already stays as it is. Safe to use from several threads."""


@dataclass(frozen=True, slots=True)
class Case:
    """One metric of one exhibit in one repeat."""

    key: str
    metric: Metric
    exhibit: Exhibit
    repeat: int
    question: JudgeQuestion


@dataclass
class Docket:
    """What is known and what is left to ask, while it is being asked."""

    judge: Judge
    cache: RulingCache
    budget_usd: float
    cases: Mapping[str, Case]
    known: dict[str, Ruling] = field(init=False)
    left: list[Case] = field(init=False)
    silent: dict[str, Undefined] = field(default_factory=dict)
    gone: RatchetError | None = None  # why the judge cannot be asked any more
    heard: int = 0
    spent_usd: float = 0.0

    def __post_init__(self) -> None:
        self.known = dict(self.cache.get_many(list(self.cases)))
        self.left = [case for key, case in self.cases.items() if key not in self.known]

    @property
    def total(self) -> int:
        """Cases, known or not."""
        return len(self.cases)

    @property
    def done(self) -> int:
        """Cases that are not left."""
        return self.total - len(self.left)

    def next(self) -> list[Case]:
        """The next few that cannot cost more than what is left, however much they cost. Raises Stopped."""
        stop = stopping.get()
        if self.left and stop is not None and stop.is_set():
            raise Stopped("The run was stopped. What the judge has said is kept; evaluate again to go on.")
        some: list[Case] = []
        if self.gone:
            return some
        left_usd = self.budget_usd - self.spent_usd
        for case in islice(self.left, AT_ONCE):
            left_usd -= self.most_usd(case)
            if left_usd < 0:
                break
            some.append(case)
        return some

    def most_usd(self, case: Case) -> float:
        """What a case can cost, with the second time it may have to be asked."""
        judge, question = self.judge, case.question
        return judge.most_usd(question) + judge.most_usd(asked_again(question, LONGEST_COMPLAINT))

    def ask(self, some: Sequence[Case]) -> None:
        """Together. One that gets no reply is counted as if it had cost the most."""
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            found = list(pool.map(lambda case: _ask(self.judge, self.cache, case), some))
        failed: list[RatchetError] = []
        for case, came in zip(some, found, strict=True):
            if isinstance(came, Ruling):
                self.known[case.key] = came
                self.spent_usd += came.cost_usd
                self.heard += 1
            else:
                failed.append(came)
                self.silent[case.key] = Undefined(f"the judge could not be asked: {brief(came)}")
                self.spent_usd += self.most_usd(case)
        self.left = self.left[len(some) :]
        self.gone = _gone(failed, len(some), self.heard, len(self.silent))

    def unfinished(self) -> str | None:
        """Why something was not heard, for people; None when everything was."""
        if not self.left and not self.silent:
            return None
        said = []
        if self.silent:
            said.append(f"{len(self.silent):,} of {self.total:,} questions to the judge got no reply.")
        if self.left:
            said.append(f"{len(self.left):,} of {self.total:,} questions to the judge were not asked.")
        said.append(self.gone.message if self.gone else self._last_straw())
        return " ".join([*said, "What was paid for is kept: evaluate again to go on."])

    def _last_straw(self) -> str:
        if not self.left:
            return f"The first: {next(iter(self.silent.values())).reason}."
        return (
            f"${self.spent_usd:.4f} were spent, the next one could cost ${self.most_usd(self.left[0]):.4f}, and the "
            f"limit is ${self.budget_usd:.4f}; policy.judge.budget_usd raises it."
        )


def _gone(failed: Sequence[RatchetError], asked: int, heard: int, silent: int) -> RatchetError | None:
    """What says that asking on is no use; None when it may be one question's own fault.

    One question may be too long for the judge (UsageError), or take it too long (ModelUnavailable beside others that
    were heard). Key, model, quota and format (the other CannotRetry) are the same for all.
    """
    for error in failed:
        if isinstance(error, CannotRetry) and not _refuses_the_question(error):
            return error
    if failed and len(failed) == asked and all(isinstance(error, ModelUnavailable) for error in failed):
        return failed[0]
    return failed[0] if failed and not heard and silent >= MOST_REFUSED else None


def _refuses_the_question(error: RatchetError) -> bool:
    return isinstance(error, UsageError) and not isinstance(error, (BadSetting, NotFound))


def brief(error: RatchetError | None) -> str:
    """What it says, short enough to be carried by every score it cost."""
    said = error.message if error else ""
    return (said if len(said) <= _LONGEST_REASON else said[:_LONGEST_REASON] + "…").rstrip(".")


def _ask(judge: Judge, cache: RulingCache, case: Case) -> Ruling | RatchetError:
    """Kept at once, whatever was said, because it is paid for. An error where there was no reply."""
    try:
        ruling = _ruling(judge, case)
    except (ModelUnavailable, CannotRetry) as error:
        return error
    cache.put(case.key, ruling)
    return ruling


def _ruling(judge: Judge, case: Case) -> Ruling:
    """Asked a second time when the reply is malformed."""
    reply = judge.ask(case.question)
    calls, cost, said = 1, reply.cost_usd, _said(case, reply)
    if isinstance(said, Malformed):
        reply = judge.ask(asked_again(case.question, said))
        calls, cost, said = 2, cost + reply.cost_usd, _said(case, reply)
    if isinstance(said, Malformed):
        said = Undefined(f"the judge's reply could not be used, twice: {said.reason}")
    return Ruling(said, calls, cost)


def _said(case: Case, reply: JudgeReply) -> str | Undefined | Malformed:
    if reply.ending == "refused":
        return Undefined("the judge refused to judge this")
    if reply.ending == "cut":
        return Malformed("it was cut off before its end")
    read = read_reply(case.metric, case.exhibit, case.repeat, reply.text)
    return read if isinstance(read, Malformed) else reply.text
