"""How much of the accepted labels one contributor may have given: a model shall not learn one person's habits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tasks.core.label_splits import SplitPolicy
from tasks.core.labels import Label


def over_their_share(accepted: Sequence[Label], can_wait: Sequence[str], policy: SplitPolicy) -> Mapping[str, str]:
    """Why labels have to wait, by id, so that nobody named has given more than their share of those that stay.

    can_wait: ids of labels that this import accepted, in the order of the file; the last wait first. What was accepted
    before stays so. Labels without a contributor count, and are nobody's.
    """
    if policy.max_share_per_contributor >= 1:
        return {}
    counts = Counter(label.contributor for label in accepted if label.contributor)
    whose = {label.id: label.contributor for label in accepted}
    fresh: dict[str, list[str]] = {}
    for one in can_wait:
        fresh.setdefault(whose[one] or "", []).append(one)
    total = len(accepted)
    wait: dict[str, str] = {}
    while over := next((x for x in sorted(counts) if counts[x] > _most(total, policy) and fresh.get(x)), None):
        wait[fresh[over].pop()] = over
        counts[over] -= 1
        total -= 1
    return {one: _reason(who, counts[who], total, policy) for one, who in wait.items()}


def _most(total: int, policy: SplitPolicy) -> int:
    return max(policy.contributor_minimum, int(policy.max_share_per_contributor * total + 1e-9))


def _reason(who: str, count: int, total: int, policy: SplitPolicy) -> str:
    return (
        f"{who} has given {count:,} of {total:,} accepted labels, the most that max_share_per_contributor = "
        f"{policy.max_share_per_contributor:g} allows; accept it in `ratchet labels review`, or bring labels of others"
    )
