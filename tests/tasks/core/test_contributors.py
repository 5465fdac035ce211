from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tasks.core.contributors import ShareLimit, over_their_share, within_share
from tasks.core.label_splits import SplitPolicy
from tasks.core.labels import Label

CAP = SplitPolicy(0, 0, max_share_per_contributor=0.5, contributor_minimum=1)


def labels(*given: str) -> list[Label]:
    return [
        Label(f"l-{n}", "Q?", "A.", (), False, (), "train", "accepted", contributor=who or None)
        for n, who in enumerate(given)
    ]


def test_the_last_of_the_file_wait_first_until_the_share_is_kept() -> None:
    all_ = labels("ann", "ann", "ann", "ann", "bob")
    # 4 of 5, then 3 of 4, then 2 of 3: 1 of 2 is half
    assert list(over_their_share(all_, [x.id for x in all_], CAP)) == ["l-3", "l-2", "l-1"]


def test_what_was_accepted_before_never_waits() -> None:
    assert over_their_share(labels("ann", "ann", "ann", "bob"), ["l-3"], CAP) == {}
    assert list(over_their_share(labels("ann", "ann", "ann", "bob"), ["l-2", "l-3"], CAP)) == ["l-2"]


def test_labels_of_nobody_count_and_are_never_held() -> None:
    all_ = labels("", "", "ann", "ann")
    assert over_their_share(all_, [x.id for x in all_], CAP) == {}


def test_without_a_cap_nobody_waits() -> None:
    all_ = labels("ann", "ann", "ann")
    assert over_their_share(all_, [x.id for x in all_], SplitPolicy(0, 0)) == {}


HALF = ShareLimit(0.5, minimum=1)


def test_only_so_many_of_one_stay_the_first_of_them_and_it_is_said() -> None:
    shared = within_share(["ann", "bob", "ann", "ann", "bob", ""], lambda one: one or None, HALF)
    assert (shared.kept, shared.left_out) == (("ann", "bob", "ann", "ann", "bob", ""), {})  # 3 of 6 is half
    shared = within_share(["ann", "ann", "ann", "ann", "bob", ""], lambda one: one or None, HALF)
    assert (shared.kept, shared.left_out) == (("ann", "ann", "bob", ""), {"ann": 2})  # 4 of 6, 3 of 5, 2 of 4
    assert shared.sentence.startswith("Left out: 2 of ann; of the 4 that stay nobody may have given more than 2 (max_")


def test_anybody_may_give_the_minimum_and_without_a_cap_everything_stays() -> None:
    assert within_share(["ann"] * 12, str, ShareLimit(0.1)).kept == ("ann",) * 10
    alone = within_share(["ann"] * 12, str, ShareLimit())
    assert (len(alone.kept), alone.sentence) == (12, "")


@given(st.lists(st.sampled_from(["", "a", "b", "c", "d"]), max_size=60), st.floats(0.05, 0.99), st.integers(1, 5))
def test_whoever_gives_what_nobody_has_more_than_their_share_and_one_more_would_be_too_many(
    whose: list[str], share: float, minimum: int
) -> None:
    limit = ShareLimit(share, minimum)
    shared = within_share(whose, lambda one: one or None, limit)
    counts, most = Counter(one for one in shared.kept if one), limit.most(len(shared.kept))
    assert all(count <= most for count in counts.values())
    assert all(counts[who] == most for who in shared.left_out)
    assert len(shared.kept) + sum(shared.left_out.values()) == len(whose)
