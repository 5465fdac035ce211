"""Whether a person is asked before a promotion, and what exactly a decision is about."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.core.errors import StaleComparison
from tasks.core.policy import NEVER_OVERRIDDEN, HoldOverride, Policy
from tasks.core.promotion import Judgement, covers


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked to decide. Whatever comes later, the answer is about this release and this verdict."""

    release: str
    judgement: Judgement
    why: str  # the part of the policy that asks

    @property
    def accepts(self) -> tuple[str, ...]:
        """The doubts that a yes accepts; none after a verdict of PROMOTE."""
        return self.judgement.doubts if self.judgement.verdict == "HOLD" else ()

    @property
    def topic(self) -> str:
        """What it is about, see `topic_of`."""
        return topic_of(self.release, self.judgement.baseline, self.judgement.golden_set)


def topic_of(release: str, baseline: str | None, golden_set: str | None) -> str:
    """Equal for questions that one answer settles: the same release, against the same, on the same golden set."""
    return f"{release} instead of {baseline or 'nothing'} on {golden_set}"


def question(judgement: Judgement, policy: Policy, *, new_model: bool, may_override: bool) -> Question | None:
    """What a person has to be asked before this release is promoted; None where nobody is, or nobody could say yes.

    may_override: a HOLD is put to the person too, where the policy lets its doubts be accepted.
    """
    if judgement.verdict == "REJECT":
        return None
    held = judgement.verdict == "HOLD"
    if held and not (may_override and acceptable(judgement.doubts, policy.override)):
        return None
    why = {
        "never": None,
        "always": "the policy asks before every promotion",
        "new-model": "the policy asks before a new model is served" if new_model else None,
        "held": "the policy lets a person accept the doubts of a HOLD" if held else None,
    }[policy.approval.ask]
    return None if why is None else Question(judgement.release, judgement, why)


def acceptable(doubts: tuple[str, ...], override: HoldOverride) -> bool:
    """Whether there is anybody who may accept all of them."""
    covered = all(covers(override.gates, name) and name not in NEVER_OVERRIDDEN for name in doubts)
    return bool(doubts) and bool(override.who) and covered


def require_same_question(asked: Question, newest: Judgement | None) -> None:
    """Raises StaleComparison when the release was judged again since, and otherwise than what the person saw."""
    if newest is None or _seen(newest) != _seen(asked.judgement):
        raise StaleComparison(
            f"Release {asked.release} was judged {newest.verdict if newest else 'by nobody'} after a person was asked "
            f"about a verdict of {asked.judgement.verdict}. Nothing was promoted; run promote-release to ask again.",
            release=asked.release,
            asked_about=asked.judgement.id,
            newest=newest.id if newest else None,
        )


def _seen(judgement: Judgement) -> tuple[object, ...]:
    """Timings differ from one evaluation to the next, and its id with them: a decision is about what they come to."""
    return judgement.verdict, judgement.baseline, judgement.golden_set, frozenset(judgement.doubts)
