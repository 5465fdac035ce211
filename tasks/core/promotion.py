"""Whether a release may become current, and which one a rollback returns to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.core.errors import NotFound, PromotionRefused, StaleComparison

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


@dataclass(frozen=True, slots=True)
class Judgement:
    """The part of an evaluation that promotion looks at."""

    id: str
    release: str
    baseline: str | None  # None: judged on floors alone, as the first proven release
    verdict: VerdictWord
    golden_set: str | None
    reasons: tuple[str, ...]  # of the gates that did not pass


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
) -> None:
    """Returns when `release` may become current; otherwise raises, saying what to do.

    Raises PromotionRefused without a PROMOTE verdict on the golden set of today, or for a release that was rolled back
    and comes without a new reason; StaleComparison when the verdict was reached against another release than the
    one being served.
    """
    if judgement is None:
        raise PromotionRefused(
            f"Release {release} has not been evaluated. Run `ratchet evaluate {release}` first.", release=release
        )
    if judgement.verdict != "PROMOTE":
        why = " ".join(judgement.reasons) or "No gate gave a reason."
        raise PromotionRefused(
            f"Release {release} was judged {judgement.verdict}, not PROMOTE. {why}",
            release=release,
            verdict=judgement.verdict,
        )
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
    if reason is None and was_rolled_back(release, history):
        raise PromotionRefused(
            f"Release {release} was rolled back before. Promote it again only with a new reason: --reason TEXT.",
            release=release,
        )


def _compared_with_current(judgement: Judgement, standing: Standing) -> bool:
    if judgement.baseline is None:  # the first proof: nothing is served yet, or only something unproven
        return standing.release is None or standing.unproven
    return judgement.baseline == standing.release


def was_rolled_back(release: str, history: Sequence[Promotion]) -> bool:
    """Whether a rollback has ever moved away from `release` (history: oldest first)."""
    return any(p.kind == "rollback" and p.previous == release for p in history)


def rollback_line(history: Sequence[Promotion]) -> list[Promotion]:
    """The promotions that led to what is served now, which is the last, without those that were rolled back."""
    line: list[Promotion] = []
    for promotion in history:
        if promotion.kind == "rollback":
            while line and line[-1].release != promotion.release:
                line.pop()
        if not line or line[-1].release != promotion.release:
            line.append(promotion)
    return line


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
