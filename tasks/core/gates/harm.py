"""Whether a release is worse than another one: the one being served, or the anchor, after any number of releases.

Small losses that no comparison with the last release can see add up. The anchor stays where it is, so the sum is seen.
"""

from __future__ import annotations

from dataclasses import replace

from tasks.core.gate import Gate, Line, judge
from tasks.core.gates.floors import dashed
from tasks.core.integrity import Integrity
from tasks.core.metrics.score import Metric
from tasks.core.missing import Known, changes
from tasks.core.policy import Policy
from tasks.core.scoring import ScoreSheet


def nothing_new_gate() -> Gate:
    """The candidate is the release being served."""
    return Gate("something-new", "undecided", "The candidate is the release being served: there is nothing to promote.")


def no_harm_gate(candidate: ScoreSheet, baseline: ScoreSheet, metric: Metric, margin: float, policy: Policy) -> Gate:
    """Not worse than the release being served by the margin or more."""
    line = Line(-margin, f"losing {100 * margin:.1f} is too much", baseline.answerer)
    known = changes(candidate, baseline, metric)
    return surely(f"no-harm-{dashed(metric)}", metric, known, line, policy, among=len(policy.margins))


def drift_gate(candidate: ScoreSheet, anchor: ScoreSheet, metric: Metric, budget: float, policy: Policy) -> Gate:
    """Not worse than the anchor by the budget or more."""
    line = Line(-budget, f"the budget since the anchor is {100 * budget:.1f}", f"the anchor {anchor.answerer}")
    known = changes(candidate, anchor, metric)
    return surely(f"drift-{dashed(metric)}", metric, known, line, policy, among=len(policy.drift_budget))


def anchor_gate(integrity: Integrity) -> Gate:
    """The anchor could not be asked."""
    reason = (
        f"The anchor cannot be asked, so what was lost since is not known. {integrity.anchor_broken[0]} "
        "Set another: `ratchet anchor RELEASE`."
    )
    return Gate("anchor", "undecided", reason)


def surely(name: str, metric: Metric, known: Known, line: Line, policy: Policy, *, among: int) -> Gate:
    """`judge`, but what fails has to fail at alpha / among too (Bonferroni), or it is undecided.

    All of the gates have to pass, so passing needs no correction. One failure of any of them rejects: without sharing
    alpha, of many releases that are equal to the one being served some would be rejected by chance.
    """
    gate = judge(name, metric, known, line, policy)
    if gate.outcome != "fail" or among == 1:
        return gate
    shared = replace(line, words=f"{line.words} (bounds at alpha shared among {among} gates)")
    return judge(name, metric, known, shared, policy, alpha=policy.alpha / among)
