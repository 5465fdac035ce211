"""The gates: each asks one question of the scores and answers pass, fail or undecided, in a sentence with the numbers.

A release passes only when every gate does, so each may be wrong with probability alpha and the whole is still wrong
about harm at most that often (an intersection-union test, Berger 1982): no correction is due.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasks.core.comparison import Touch
from tasks.core.gate import Gate, Line, Outcome, judge
from tasks.core.integrity import Integrity
from tasks.core.labels import golden_set
from tasks.core.metrics.score import Metric
from tasks.core.policy import Policy
from tasks.core.scoring import ScoreSheet, differences, only, values_of
from tasks.core.stats import least_questions, sign_test

# ── integrity ────────────────────────────────────────────────────────────────────────────────────────────────────────


def intact_gate(integrity: Integrity) -> Gate:
    """Every part is what was recorded."""
    if integrity.broken:
        return Gate("intact", "fail", _first_of(integrity.broken))
    if integrity.baseline_broken:
        return Gate(
            "intact", "undecided", f"The current release cannot be asked. {_first_of(integrity.baseline_broken)}"
        )
    return Gate("intact", "pass", "Snapshot, index and model are what was recorded.")


def golden_set_gate(sheets: Sequence[ScoreSheet], integrity: Integrity, policy: Policy) -> Gate:
    """Every answerer answered exactly the frozen golden set."""
    n = len(sheets[0].questions)
    if integrity.golden_set is None or not n:
        least = max((least_questions(margin, alpha=policy.alpha) for margin in policy.margins.values()), default=0)
        needed = max(least, policy.minimum_questions)
        reason = f"There is no golden question: {needed} on different pages is the least that would decide."
        return Gate("golden-set", "undecided", reason)
    for sheet in sheets:
        asked = golden_set(sheet.labels)
        if asked is None or asked.id != integrity.golden_set or len(asked.label_ids) != len(sheet.questions):
            reason = f"{sheet.answerer} answered {asked.id if asked else 'no golden set'}, not {integrity.golden_set}."
            return Gate("golden-set", "fail", reason, n=n)
    return Gate("golden-set", "pass", f"All answered the same {n} questions of {integrity.golden_set}.", n=n)


def leak_gate(integrity: Integrity, n: int) -> Gate:
    """No golden question, page or wording was trained on."""
    found = float(len(integrity.leaks))
    if integrity.leaks:
        return Gate("no-leak", "fail", _first_of(integrity.leaks), found, 0.0, n)
    if integrity.unchecked is not None:
        return Gate("no-leak", "undecided", integrity.unchecked, n=n)
    return Gate("no-leak", "pass", "No golden question, nor a page of one, was trained on.", found, 0.0, n)


def _first_of(sentences: Sequence[str]) -> str:
    more = len(sentences) - 1
    return sentences[0] + (f" And {more} more like it." if more else "")


# ── absolute ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def floor_gate(candidate: ScoreSheet, metric: Metric, floor: float, policy: Policy) -> Gate:
    """Above a floor that never moves."""
    line = Line(floor, f"the floor is {100 * floor:.1f} %")
    return judge(f"floor-{_dashed(metric)}", metric, values_of(candidate, metric), line, policy)


def beats_gate(candidate: ScoreSheet, trivial: ScoreSheet, policy: Policy) -> Gate:
    """Better than an answerer that understands nothing."""
    metric = policy.beats_trivial_on
    line = Line(0.0, "above 0 beats it", trivial.answerer)
    return judge(f"beats-{trivial.answerer}", metric, differences(candidate, trivial, metric), line, policy)


# ── against the release being served ─────────────────────────────────────────────────────────────────────────────────


def no_harm_gate(candidate: ScoreSheet, baseline: ScoreSheet, metric: Metric, margin: float, policy: Policy) -> Gate:
    """Not worse by the margin or more."""
    line = Line(-margin, f"losing {100 * margin:.1f} is too much", baseline.answerer)
    return judge(f"no-harm-{_dashed(metric)}", metric, differences(candidate, baseline, metric), line, policy)


def improves_gate(candidate: ScoreSheet, baseline: ScoreSheet, metrics: Sequence[Metric], policy: Policy) -> Gate:
    """Better at one of the metrics at least; alpha is shared among them (Bonferroni)."""
    tried = [_better(candidate, baseline, metric, policy, policy.alpha / len(metrics)) for metric in metrics]
    order: Sequence[Outcome] = ("pass", "undecided", "fail")
    best = min(tried, key=lambda gate: (order.index(gate.outcome), -1.0 if gate.bound is None else -gate.bound))
    if len(metrics) == 1 or best.outcome == "pass":
        return best
    reason = f"None of {', '.join(metrics)} is surely better; nearest: {best.reason}"
    return Gate("better-at-one", best.outcome, reason, best.value, best.bound, best.n)


def _better(candidate: ScoreSheet, baseline: ScoreSheet, metric: Metric, policy: Policy, alpha: float) -> Gate:
    line = Line(0.0, "above 0 is better", baseline.answerer)
    found = differences(candidate, baseline, metric)
    return judge(f"better-{_dashed(metric)}", metric, found, line, policy, alpha=alpha)


def fresh_gate(candidate: ScoreSheet, baseline: ScoreSheet, touched: Mapping[str, Touch], policy: Policy) -> Gate:
    """Questions whose answer changed with the documents are answered from the new text.

    All of them are asked, they are no sample of pages: hence an exact sign test over questions, without clusters. It
    guards against answers that flip by chance.
    """
    changed = [label for label, touch in touched.items() if touch == "answer"]
    if not changed:
        return Gate("fresh", "pass", "Not required: no golden question's answer changed with the documents.")
    found = differences(only(candidate, changed), only(baseline, changed), "right")
    better, worse = sum(v > 0 for v in found.values), sum(v < 0 for v in found.values)
    gained, lost = sign_test(better, worse), sign_test(worse, better)
    outcome: Outcome = (
        "pass" if gained <= policy.freshness_alpha else "fail" if lost <= policy.freshness_alpha else "undecided"
    )
    reason = f"Of {len(changed)} questions whose answer changed, {better} are right now and {worse} no longer."
    if outcome == "undecided":
        reason += f" Undecided: {_wins_missing(better, worse, policy)} more that are right now would decide it."
    return Gate("fresh", outcome, reason, (better - worse) / len(changed), round(min(gained, lost), 6), len(changed))


def _wins_missing(better: int, worse: int, policy: Policy) -> int:
    missing = 1
    while sign_test(better + missing, worse) > policy.freshness_alpha:
        missing += 1
    return missing


def nothing_new_gate() -> Gate:
    """The candidate is the release being served."""
    return Gate("something-new", "undecided", "The candidate is the release being served: there is nothing to promote.")


def _dashed(metric: Metric) -> str:
    return metric.replace("_", "-")
