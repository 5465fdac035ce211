"""Whether what a judging model says may decide: only while it agrees with people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tasks.core.gate import Gate
from tasks.core.judging import Agreement
from tasks.core.metrics.score import JUDGED, Metric
from tasks.core.policy import Policy


def doubt_of(metric: Metric, agreement: Mapping[Metric, Agreement], policy: Policy) -> str | None:
    """Why values of this metric may not decide; None when they may, as any that no judge gave."""
    if metric not in JUDGED:
        return None
    if policy.judge is None:
        return "the policy has no judge."
    found, least, labels = agreement.get(metric), policy.judge.least_agreement, policy.judge.least_human_labels
    if found is None:
        return f"no answer was judged by people too; it takes {labels}."
    if _could_not_be_asked(found, labels):
        return (
            f"people judged {found.n + found.unheard} answers, and the judge could not be asked about {found.unheard}."
        )
    if found.n < labels:
        return f"people judged {found.n} answers; it takes {labels - found.n} more before the judge may decide."
    if not found.lower >= least:
        return (
            f"the judge agrees with people on {found.n} answers by kappa {found.kappa:.2f}, "
            f"at least {found.lower:.2f}; it may decide from {least:.2f} on."
        )
    return None


def if_trusted(gate: Gate, metric: Metric, agreement: Mapping[Metric, Agreement], policy: Policy) -> Gate:
    """The gate, or a report that decides nothing; undecided where only the silence of the judge is in the way."""
    doubt = doubt_of(metric, agreement, policy)
    if doubt is None:
        return gate
    found = agreement.get(metric)
    if policy.judge and found and _could_not_be_asked(found, policy.judge.least_human_labels):
        return replace(gate, outcome="undecided", reason=f"Undecided: {doubt} {gate.reason}")
    return replace(gate, outcome="reported", reason=f"Decides nothing: {doubt} {gate.reason}")


def _could_not_be_asked(found: Agreement, labels: int) -> bool:
    """Whether people have judged enough: a judge that is down must not turn into one that decides nothing."""
    return found.n < labels <= found.n + found.unheard
