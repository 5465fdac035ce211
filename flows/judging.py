"""The commands about judges: importing what people said of answers, and how far the judge agrees with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.terminal import FAILED, Shown, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.workbench import Workbench
    from tasks.core.judging import Agreement
    from tasks.core.metrics.score import Metric
    from tasks.core.policy import Policy


def show_judge_import(bench: Workbench, file: Path) -> Shown:
    """What an import of people's judgements did, line by line where a line was refused."""
    from infra.adapters.catalog.judgements import CatalogHumanJudgements
    from tasks.human_judgements import import_judgements

    report = import_judgements(CatalogHumanJudgements(bench.engine), bench.assistant, file)
    taken = report.taken
    lines = [
        f"{taken.new:,} new, {taken.changed:,} changed, {taken.known:,} known already, {len(report.errors):,} refused",
        *(f"  line {error.line}: {error.reason}" for error in report.errors),
    ]
    if taken.new or taken.changed:
        lines.append(_next(bench.settings.policy))
    nothing_usable = bool(report.errors) and not (taken.new or taken.changed or taken.known)
    return Shown(report.as_json(), "\n".join(lines), FAILED if nothing_usable else 0)


def _next(policy: Policy) -> str:
    if policy.judge is None:
        return "The policy has no judge that could be held to them. Add [policy.judge] to ratchet.toml."
    return "The next evaluation asks the judge about the same answers: ratchet evaluate"


def show_judge_status(bench: Workbench) -> Shown:
    """By metric: how many answers people judged, how far the judge agrees with them, whether it may decide.

    From what the judge said in evaluations before; asks it nothing, and needs no key.
    """
    from infra.adapters.open_judge import judge_bench
    from tasks.judging import known_agreement

    policy = bench.settings.policy
    if policy.judge is None:
        return Shown({"judge": None, "metrics": []}, "The policy has no judge. Add [policy.judge] to ratchet.toml.")
    judging = judge_bench(bench.settings, policy.judge, bench.engine, assistant=bench.assistant)
    rows = _metric_rows(known_agreement(judging, policy), policy)
    headings = ("metric", "people", "both", "kappa", "at least", "may it decide")
    lines = [f"judge {policy.judge.model}", table(headings, [_cells(row) for row in rows])]
    return Shown({"judge": policy.judge.model, "metrics": rows}, "\n".join(lines))


def _metric_rows(agreement: Mapping[Metric, Agreement], policy: Policy) -> list[dict[str, Any]]:
    from tasks.core.gates.judge_trust import doubt_of
    from tasks.core.judging import NOTHING_HEARD
    from tasks.core.metrics.score import JUDGED

    rows = []
    for metric in JUDGED:
        found, doubt = agreement.get(metric, NOTHING_HEARD), doubt_of(metric, agreement, policy)
        if doubt and found.unheard:
            doubt = f"the judge was not asked about {found.unheard} of them yet; the next evaluation asks it."
        rows.append(
            {
                "metric": metric,
                "people": found.n + found.unheard,
                "both": found.n,
                "kappa": found.kappa if found.n else None,
                "lower": found.lower if found.n else None,
                "decides": doubt is None,
                "doubt": doubt,
            }
        )
    return rows


def _cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    kappa, lower = ("" if row[name] is None else f"{row[name]:.2f}" for name in ("kappa", "lower"))
    return row["metric"], row["people"], row["both"], kappa, lower, row["doubt"] or "decides"
