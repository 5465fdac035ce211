"""The commands about what was decided: its history, the anchor, its evidence, and the way back. Prefect may be down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.terminal import FAILED, Shown, minute

if TYPE_CHECKING:
    from infra.workbench import Workbench
    from tasks.core.promotion import Promotion


def show_recheck(bench: Workbench, report: str) -> Shown:
    """The verdict recomputed from an evidence bundle: a folder, a file inside one, or an evaluation's id.

    A bundle on a disk is all it takes: nothing else is opened, and nothing is written.
    """
    from tasks.bundles import recheck
    from tasks.gathering import versions

    named = Path(report).expanduser()
    folder = named.parent if named.is_file() else named if named.is_dir() else bench.artifacts.path(report)
    found = recheck(folder)
    data = {"verdict": found.verdict.verdict, "identical": found.identical, "differences": list(found.differences)}
    word = "identical to" if found.identical else "NOT what is in"
    lines = [f"{found.verdict.verdict}, recomputed: {word} the bundle {folder}", *(f"  {x}" for x in found.differences)]
    others = [f"{what} {was}" for what, was in found.versions.items() if versions().get(what) != was]
    if others and not found.identical:
        lines.append(f"It was computed with other versions: {', '.join(others)}. Try again with those.")
    return Shown(data, "\n".join(lines), 0 if found.identical else FAILED)


def show_history(bench: Workbench) -> Shown:
    """Every promotion and rollback, newest first, with what it was decided by."""
    listed = [_moved(one) for one in reversed(bench.releases.history(bench.assistant))]
    return Shown({"history": listed}, "\n".join(map(_moved_text, listed)) or "Nothing was ever promoted.")


def _moved(one: Promotion) -> dict[str, Any]:
    return {
        "at": one.at,
        "kind": one.kind,
        "release": one.release,
        "previous": one.previous,
        "who": one.who,
        "reason": one.reason,
        "evaluation": one.evaluation,
        "unproven": one.unproven,
        "overridden": list(one.overridden),
        "approved_by": one.approved_by,
    }


def _moved_text(row: dict[str, Any]) -> str:
    verb = "rolled back to" if row["kind"] == "rollback" else "promoted"
    proof = "unproven" if row["unproven"] else f"evaluation {row['evaluation'] or 'none'}"
    lines = [
        f"{minute(row['at'])}  {verb} {row['release']} instead of {row['previous'] or 'nothing'}, by {row['who']}",
        f"    {row['reason']}",
        f"    {proof}",
    ]
    if row["overridden"]:
        lines.append(f"    doubts accepted: {', '.join(row['overridden'])}")
    if row["approved_by"]:
        lines.append(f"    approved by {row['approved_by']}")
    return "\n".join(lines)


def show_anchor(bench: Workbench, release: str | None, who: str | None, reason: str | None) -> Shown:
    """The anchor with its history; with a release, after that has been made it."""
    from flows.requests import whoever_runs_this
    from tasks.anchors import set_anchor

    if release is not None:
        set_anchor(bench.anchoring, release, who=who or whoever_runs_this(), reason=reason)
    rows = list(reversed(bench.anchors.anchorings(bench.assistant)))
    data = {
        "anchor": rows[0].release if rows else None,
        "history": [{"release": r.release, "who": r.who, "reason": r.reason, "at": r.at} for r in rows],
    }
    lines = [f"{row.release}  since {minute(row.at)}, by {row.who}: {row.reason}" for row in rows]
    return Shown(data, "\n".join(lines) or "There is no anchor yet: the first release that proves itself becomes it.")


def show_rollback(bench: Workbench, to: str | None, who: str | None, reason: str) -> Shown:
    """Rolls back with the step that the flow `roll-back` runs, in well under a second."""
    from flows.requests import whoever_runs_this
    from tasks.releases import roll_back

    made = roll_back(bench.release_bench, to=to, who=who or whoever_runs_this(), reason=reason)
    data = {"release": made.release, "previous": made.previous, "who": made.who, "at": made.at}
    forward = f"\nForward again: ratchet rollback --to {made.previous}" if made.previous else ""
    return Shown(data, f"{made.release} is being served again, instead of {made.previous}.{forward}")
