"""Whether a release may become current, and which one a rollback returns to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from tasks.core.errors import NotFound, PromotionRefused, StaleComparison
from tasks.core.pace import Blessing
from tasks.core.policy import NEVER_OVERRIDDEN, HoldOverride

VerdictWord = Literal["PROMOTE", "HOLD", "REJECT"]


@dataclass(frozen=True, slots=True)
class Promotion:
    """One row of the history: what became current, instead of what, why and by whom."""

    seq: int
    release: str
    previous: str | None
    kind: Literal["promote", "rollback"]
    evaluation: str | None
    unproven: bool
    who: str
    reason: str
    at: str
    overridden: tuple[str, ...] = ()  # gates whose doubts `who` accepted
    approved_by: str | None = None  # who said yes when the policy asked a person
    rehearsal: Blessing | None = None  # how it answered in the process that serves, before it became current


@dataclass(frozen=True, slots=True)
class Judgement:
    """The part of an evaluation that promotion looks at."""

    id: str
    release: str
    baseline: str | None  # None: judged on floors alone, as the first proven release
    verdict: VerdictWord
    golden_set: str | None
    reasons: tuple[str, ...]  # of the gates that did not pass
    doubts: tuple[str, ...] = ()  # names of the undecided gates
    policy: str = ""  # id of the policy it was reached under; "": of a time when that was not recorded


@dataclass(frozen=True, slots=True)
class Standing:
    """What is being served now."""

    release: str | None
    unproven: bool


def require_promotable(
    release: str,
    standing: Standing,
    judgement: Judgement | None,
    history: Sequence[Promotion],
    *,
    golden_set: str | None,
    reason: str | None,
    policy: str = "",
    who: str = "",
    override: HoldOverride | None = None,
) -> tuple[str, ...]:
    """The doubts that `who` accepts, none after PROMOTE, when `release` may become current; otherwise raises.

    policy: id of the one in force. override: what it lets people accept, when a person asks for it; None: nobody asks,
    and HOLD holds.
    Raises PromotionRefused without a PROMOTE verdict or a HOLD whose doubts may all be accepted, and for a release that
    was rolled back and comes without a new reason; StaleComparison when the verdict was reached against another release
    than the one being served, on another golden set than that of today, or under another policy than the one in force.
    """
    if judgement is None:
        raise PromotionRefused(
            f"Release {release} has not been evaluated. Run `ratchet evaluate {release}` first.", release=release
        )
    accepted: tuple[str, ...] = ()
    if judgement.verdict == "HOLD" and override is not None:
        accepted = _accepted(judgement, override, who, reason)
    elif judgement.verdict != "PROMOTE":
        raise _refused(judgement, because=True)
    _require_current(judgement, standing, golden_set)
    _require_policy(judgement, policy)
    if not (reason and reason.strip()) and was_rolled_back(release, history):
        raise PromotionRefused(
            f"Release {release} was rolled back before. Promote it again only with a new reason: --reason TEXT.",
            release=release,
        )
    return accepted


def _accepted(judgement: Judgement, override: HoldOverride, who: str, reason: str | None) -> tuple[str, ...]:
    """Every doubt of the HOLD. Raises PromotionRefused unless the policy lets `who` accept all of them."""
    if not judgement.doubts:
        raise _refused(judgement, f" Its doubts are not recorded: run `ratchet evaluate {judgement.release}` again.")
    if never := [name for name in judgement.doubts if name in NEVER_OVERRIDDEN]:
        raise _refused(judgement, f" Nobody may accept a doubt about {', '.join(never)}.", because=True)
    if closed := [name for name in judgement.doubts if not covers(override.gates, name)]:
        allowed = f"only {', '.join(override.gates)}" if override.gates else "no doubt at all"
        raise _refused(
            judgement,
            f" The policy ([policy.override], docs/policy.md) lets people accept {allowed}, not {', '.join(closed)}.",
            because=True,
        )
    if not who.strip() or ("*" not in override.who and who not in override.who):
        names = "anybody who gives a name" if "*" in override.who else " or ".join(override.who) or "nobody"
        raise _refused(
            judgement, f" Its doubts may be accepted by {names}, not by {who.strip() or 'an unnamed person'}."
        )
    if not (reason and reason.strip()):
        raise _refused(judgement, " Its doubts are accepted only with a reason, which is recorded: --reason TEXT.")
    return judgement.doubts


def covers(globs: Sequence[str], gate: str) -> bool:
    """Whether one of the policy's globs names this gate."""
    return any(fnmatchcase(gate, glob) for glob in globs)


def _refused(judgement: Judgement, why: str = "", *, because: bool = False) -> PromotionRefused:
    """because: with the gates' reasons, each once on a line of its own."""
    reasons = [f"\n  {reason}" for reason in dict.fromkeys(judgement.reasons)] if because else []
    return PromotionRefused(
        f"Release {judgement.release} was judged {judgement.verdict}, not PROMOTE.{why}{''.join(reasons)}",
        release=judgement.release,
        verdict=judgement.verdict,
        doubts=judgement.doubts,
    )


def _require_current(judgement: Judgement, standing: Standing, golden_set: str | None) -> None:
    """Raises StaleComparison when the verdict is about another comparison than the one that matters now."""
    release = judgement.release
    if judgement.golden_set != golden_set:
        raise StaleComparison(
            f"The verdict on {release} was reached on golden set {judgement.golden_set}, today's is {golden_set}. "
            f"Run `ratchet evaluate {release}` again.",
            release=release,
        )
    if not _compared_with_current(judgement, standing):
        raise StaleComparison(
            f"Release {release} was compared with {judgement.baseline or 'nothing'}, but {standing.release} is being "
            f"served now. Run `ratchet evaluate {release}` again.",
            release=release,
            baseline=judgement.baseline,
            current=standing.release,
        )


def _require_policy(judgement: Judgement, policy: str) -> None:
    """Raises StaleComparison when what a release must prove was changed after the verdict, where the verdict says."""
    if judgement.policy and judgement.policy != policy:
        raise StaleComparison(
            f"The verdict on {judgement.release} was reached under policy {judgement.policy}, in force is {policy}. "
            f"Run `ratchet evaluate {judgement.release}` again.",
            release=judgement.release,
            judged_under=judgement.policy,
            policy=policy,
        )


def _compared_with_current(judgement: Judgement, standing: Standing) -> bool:
    if judgement.baseline is None:  # the first proof: nothing is served yet, or only something unproven
        return standing.release is None or standing.unproven
    return judgement.baseline == standing.release


def was_rolled_back(release: str, history: Sequence[Promotion]) -> bool:
    """Whether a rollback has ever moved away from `release`, or past it to an older one (history: oldest first)."""
    rollbacks = [(at, move) for at, move in enumerate(history) if move.kind == "rollback"]
    return any(move.previous == release or release in _passed(history[:at], move) for at, move in rollbacks)


def _passed(before: Sequence[Promotion], rollback: Promotion) -> list[str]:
    """What stood in line after the release that was returned to; nothing where that was not in the line."""
    line = [move.release for move in rollback_line(before)]
    return line[len(line) - line[::-1].index(rollback.release) :] if rollback.release in line else []


def rollback_line(history: Sequence[Promotion]) -> list[Promotion]:
    """The promotions that led to what is served now, which is the last, without those that were rolled back.

    A rollback to a release that was itself rolled back goes forward: it brings back what had led to that one.
    """
    line: list[Promotion] = []
    led_to: dict[str, list[Promotion]] = {}
    for promotion in history:
        if promotion.kind == "rollback":
            line = _back_to(promotion.release, line) or led_to.get(promotion.release, [])
        if not line or line[-1].release != promotion.release:
            line = [*line, promotion]
        led_to[promotion.release] = line
    return line


def _back_to(release: str, line: list[Promotion]) -> list[Promotion]:
    """The line as far as the last time it was at this release; nothing where it never was."""
    return next((line[:end] for end in range(len(line), 0, -1) if line[end - 1].release == release), [])


def rollback_target(history: Sequence[Promotion], wanted: str | None = None) -> Promotion:
    """The promotion whose release a rollback returns to: the newest one before the current, or that of `wanted`.

    Going back twice goes back two releases, not back and forth. Raises NotFound when there is nothing to return to.
    """
    line = rollback_line(history)
    if wanted is not None:
        found = [p for p in history if p.release == wanted]
        if not found:
            raise NotFound(f"Release {wanted} was never current, so there is no going back to it.", release=wanted)
        return found[-1]
    if len(line) < 2:
        raise NotFound("There is no earlier release to roll back to. See `ratchet releases`.")
    return line[-2]
