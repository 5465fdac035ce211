"""How much of what is learned one contributor may have given: a model shall not learn one person's habits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tasks.core.label_splits import SplitPolicy
from tasks.core.labels import Label

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ShareLimit:
    """max_share: 0 to 1; 1: no limit. minimum: what anybody may give, whatever share that is."""

    max_share: float = 1.0
    minimum: int = 10

    def most(self, total: int) -> int:
        """How many of so many one contributor may have given."""
        return max(self.minimum, int(self.max_share * total + 1e-9))


@dataclass(frozen=True, slots=True)
class Shared(Generic[T]):
    """What stays, in the order it came, and of whom how many are left out."""

    kept: tuple[T, ...]
    left_out: Mapping[str, int]
    limit: ShareLimit

    @property
    def sentence(self) -> str:
        """Who has given too much, and what to do; nothing where nobody has."""
        if not self.left_out:
            return ""
        of_whom = ", ".join(f"{count:,} of {who}" for who, count in sorted(self.left_out.items()))
        total = len(self.kept)
        return (
            f"Left out: {of_whom}; of the {total:,} that stay nobody may have given more than "
            f"{self.limit.most(total):,} (max_share_per_contributor = {self.limit.max_share:g}). Bring those of others."
        )


def within_share(given: Sequence[T], whose: Callable[[T], str | None], limit: ShareLimit) -> Shared[T]:
    """As many as can stay so that nobody named has given more than their share of what stays, the first of each.

    Those of nobody count and stay. Taking one out makes the others' share larger: most() falls until all fit.

    >>> limit = ShareLimit(0.5, minimum=1)
    >>> within_share(["ann 1", "ann 2", "ann 3", "bob 1"], lambda one: one[:3], limit).kept  # 3 of 4, 2 of 3, 1 of 2
    ('ann 1', 'bob 1')
    """
    if limit.max_share >= 1:
        return Shared(tuple(given), {}, limit)
    counts = Counter(who for one in given if (who := whose(one)))
    nobodys = len(given) - counts.total()
    stay, before = counts, -1
    while stay.total() != before:
        before = stay.total()
        most = limit.most(nobodys + before)
        stay = Counter({who: min(count, most) for who, count in stay.items()})
    seen: Counter[str] = Counter()
    kept = []
    for one in given:
        who = whose(one)
        if who:
            seen[who] += 1
        if not who or seen[who] <= stay[who]:
            kept.append(one)
    return Shared(tuple(kept), dict(counts - stay), limit)


def over_their_share(accepted: Sequence[Label], can_wait: Sequence[str], policy: SplitPolicy) -> Mapping[str, str]:
    """Why labels have to wait, by id, so that nobody named has given more than their share of those that stay.

    can_wait: ids of labels that this import accepted, in the order of the file; the last wait first. What was accepted
    before stays so. Labels without a contributor count, and are nobody's.
    """
    if policy.max_share_per_contributor >= 1:
        return {}
    limit = ShareLimit(policy.max_share_per_contributor, policy.contributor_minimum)
    counts = Counter(label.contributor for label in accepted if label.contributor)
    whose = {label.id: label.contributor for label in accepted}
    fresh: dict[str, list[str]] = {}
    for one in can_wait:
        fresh.setdefault(whose[one] or "", []).append(one)
    total = len(accepted)
    wait: dict[str, str] = {}
    while over := next((x for x in sorted(counts) if counts[x] > limit.most(total) and fresh.get(x)), None):
        wait[fresh[over].pop()] = over
        counts[over] -= 1
        total -= 1
    return {one: _reason(who, counts[who], total, policy) for one, who in wait.items()}


def _reason(who: str, count: int, total: int, policy: SplitPolicy) -> str:
    return (
        f"{who} has given {count:,} of {total:,} accepted labels, the most that max_share_per_contributor = "
        f"{policy.max_share_per_contributor:g} allows; accept it in `ratchet labels review`, or bring labels of others"
    )
