from tasks.core.contributors import over_their_share
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
