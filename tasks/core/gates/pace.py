"""Whether answers come fast enough, asked one at a time as in serving."""

from __future__ import annotations

from math import ceil, comb, log, log2
from statistics import median

from tasks.core.gate import Gate
from tasks.core.gates.invariants import NOTHING_MEASURED
from tasks.core.pace import Rehearsal
from tasks.core.policy import FEWEST_TIMED, SLOWEST, Policy
from tasks.core.stats import sign_test

_LEAST_SECONDS = 0.001  # what a clock that counts milliseconds can tell from nothing


def paired_seconds(rehearsal: Rehearsal) -> tuple[tuple[float, float], ...]:
    """(candidate, release being served) for every question that was asked of both."""
    then = {one.label: one.seconds for one in rehearsal.baseline}
    return tuple(
        (max(one.seconds, _LEAST_SECONDS), max(then[one.label], _LEAST_SECONDS))
        for one in rehearsal.candidate
        if one.label in then
    )


def pace_gate(rehearsal: Rehearsal, policy: Policy, *, compared: bool) -> Gate:
    """The median question takes no more than `max_slowdown` times the seconds of the release being served.

    Passes by the median that was measured, of five questions at least: a bound would hold equal releases whenever a
    machine was busy during one of a few questions. Fails when more than half of all questions surely take longer than
    that: an exact sign test over those asked. compared: whether there is a release being served; without one the
    seconds are only reported.
    """
    if not rehearsal.candidate:
        return Gate("pace", "undecided", NOTHING_MEASURED)
    if not compared:
        typical, n = median(one.seconds for one in rehearsal.candidate), len(rehearsal.candidate)
        reason = f"The median of {n} answers took {typical:.3f} seconds; there is no release to compare with."
        return Gate("pace", "reported", reason, round(typical, 6), None, n)
    pairs, most = paired_seconds(rehearsal), policy.pace.max_slowdown
    if not pairs:
        return Gate("pace", "undecided", NOTHING_MEASURED)
    slower = sum(now > most * then for now, then in pairs)
    ratio = median(now / then for now, then in pairs)
    n = len(pairs)
    reason = (
        f"The median of {n} questions took {ratio:.2f} times the seconds of the release being served; most is {most:g}."
    )
    if ratio <= most and n < FEWEST_TIMED:
        reason += f" Undecided: {FEWEST_TIMED} at least have to be asked of both."
        return Gate("pace", "undecided", reason, round(ratio, 6), most, n)
    if ratio <= most:
        return Gate("pace", "pass", reason, round(ratio, 6), most, n)
    reason += f" {slower} took longer than that."
    if sign_test(slower, n - slower) <= policy.alpha:
        return Gate("pace", "fail", reason, round(ratio, 6), most, n)
    least = max(n + 1, ceil(log2(1 / policy.alpha)))
    reason += f" Undecided: {least} questions asked one at a time might decide it (pace.questions)."
    return Gate("pace", "undecided", reason, round(ratio, 6), most, n)


def slowest_gate(rehearsal: Rehearsal, limit: float, policy: Policy) -> Gate:
    """95 of 100 answers come within the limit: a floor, so it is shown and not guessed.

    Passes when surely less than 5 of 100 are slower, fails when surely more are: exact binomial tails. Even with none
    slower that takes 59 questions at alpha 0.05.
    """
    seconds = sorted(one.seconds for one in rehearsal.candidate)
    n = len(seconds)
    if not n:
        return Gate("pace-p95", "undecided", NOTHING_MEASURED)
    at = ceil((1 - SLOWEST) * n)
    found, slower = round(seconds[at - 1], 6), sum(one > limit for one in seconds)
    which = "the slowest" if at == n else f"the {at}th"
    reason = (
        f"95 % of answers within {found:.3f} seconds ({which} of {n}); the limit is {limit:g}; {slower} took longer."
    )
    if _at_least(n - slower, n, 1 - SLOWEST) <= policy.alpha:
        return Gate("pace-p95", "pass", reason, found, limit, n)
    if _at_least(slower, n, SLOWEST) <= policy.alpha:
        return Gate("pace-p95", "fail", reason, found, limit, n)
    least = ceil(log(policy.alpha) / log(1 - SLOWEST))
    reason += f" Undecided: to show it takes {least} of them at least, none slower (pace.questions)."
    return Gate("pace-p95", "undecided", reason, found, limit, n)


def _at_least(k: int, n: int, chance: float) -> float:
    """Probability of k or more of n."""
    return sum(comb(n, i) * chance**i * (1 - chance) ** (n - i) for i in range(k, n + 1))
