"""Which snapshots stay, and why."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import NotFound
from tasks.core.promotion import Promotion, rollback_target
from tasks.core.retention import Pinnable, past_adapters, retain, rollback_targets


def served(*names: str) -> list[Promotion]:
    """A history; `<b` is a rollback to b."""
    history: list[Promotion] = []
    for seq, name in enumerate(names):
        kind = "rollback" if name.startswith("<") else "promote"
        before = history[-1].release if history else None
        history.append(Promotion(seq, name.lstrip("<"), before, kind, None, False, "ann", "why", "now"))  # type: ignore[arg-type]
    return history


def one_each(names: str) -> list[Pinnable]:
    """Release a on snapshot 1, b on 2 and so on; newest first."""
    return [Pinnable(name, number) for number, name in reversed(list(enumerate(names, start=1)))]


def test_the_release_being_served_its_rollback_targets_and_the_newest_snapshot_stay() -> None:
    decided = retain([1, 2, 3, 4, 5, 6], one_each("abcde"), "e", served(*"abcde"), keep_releases=2)
    assert decided.keep == (3, 4, 5, 6)
    assert decided.reclaim == (1, 2)
    assert decided.releases == ("c", "d", "e")
    assert [fate.reason for fate in decided.fates] == [
        "Snapshot 1 can go: a answered from it and is beyond the 2 that are kept.",
        "Snapshot 2 can go: b answered from it and is beyond the 2 that are kept.",
        "Snapshot 3 is kept: release c is one that a rollback can return to.",
        "Snapshot 4 is kept: release d is one that a rollback can return to.",
        "Snapshot 5 is kept: release e is being served.",
        "Snapshot 6 is kept: it is the newest.",
    ]


def test_a_snapshot_that_no_release_answers_from_can_go() -> None:
    decided = retain([1, 2, 3], [Pinnable("a", 1)], "a", served("a"), keep_releases=5)
    assert decided.fates[1].reason == "Snapshot 2 can go: no release answers from it."
    assert (decided.keep, decided.reclaim) == ((1, 3), (2,))


def test_a_candidate_that_may_still_be_judged_stays_and_one_older_than_what_was_served_since_does_not() -> None:
    decided = retain([1, 2, 3, 4, 5], one_each("abcd"), "c", served("a", "c"), keep_releases=5)
    assert decided.releases == ("a", "c", "d")
    assert decided.reclaim == (2,)


def test_at_most_so_many_candidates_wait_the_newest_ones() -> None:
    decided = retain([1, 2, 3, 4, 5], one_each("abcde"), "a", served("a"), keep_releases=2)
    assert decided.releases == ("a", "d", "e")


def test_the_anchor_stays_however_old_it_is() -> None:
    decided = retain([1, 2, 3], one_each("abc"), "c", served(*"abc"), keep_releases=1, anchor="a")
    assert decided.fates[0].reason == "Snapshot 1 is kept: release a is the anchor."
    assert decided.reclaim == ()


def test_the_snapshot_of_a_running_training_stays_and_no_other_because_of_it() -> None:
    decided = retain([1, 2, 3], [], None, [], keep_releases=5, trainings={"t-1": 1})
    assert decided.fates[0].reason == "Snapshot 1 is kept: training t-1 runs on it."
    assert decided.reclaim == (2,)


def test_a_release_whose_snapshot_is_gone_already_pins_nothing() -> None:
    decided = retain([2, 3], one_each("abc"), "c", served(*"abc"), keep_releases=9)
    assert decided.releases == ("b", "c")


def test_without_any_snapshot_nothing_is_decided() -> None:
    assert retain([], [], None, [], keep_releases=5).fates == ()


def test_after_a_rollback_far_back_the_next_ones_back_stay_before_those_that_were_left() -> None:
    assert rollback_targets(served(*"abcdefg", "<b"), 3) == ("a", "g", "f")


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=12), st.lists(st.booleans(), min_size=12, max_size=12))
def test_what_a_plain_rollback_returns_to_is_always_kept(names: list[str], back: list[bool]) -> None:
    history: list[Promotion] = []
    for name, is_rollback in zip(names, back, strict=False):
        known = {promotion.release for promotion in history}
        spelled = [*(("<" if p.kind == "rollback" else "") + p.release for p in history)]
        if not history or name != history[-1].release:
            history = served(*spelled, f"<{name}" if is_rollback and name in known else name)
    try:
        target = rollback_target(history).release
    except NotFound:
        return
    current = history[-1].release
    assert target == current or rollback_targets(history, 1) == (target,)


def test_an_adapter_is_of_the_past_when_every_release_that_uses_it_is() -> None:
    used = [("old", True), ("kept", True), ("kept", False), ("new", False)]
    assert past_adapters(used, {"old": None, "kept": None, "new": None}) == {"old"}
    assert past_adapters([*used, ("old", False)], {}) == frozenset()


def test_an_adapter_that_no_release_uses_yet_is_not_of_the_past() -> None:
    assert past_adapters([], {"trained": None}) == frozenset()


def test_what_an_adapter_began_with_stays_as_long_as_it_does() -> None:
    began_with = {"first": None, "second": "first", "third": "second"}
    assert past_adapters([("first", True), ("second", True), ("third", False)], began_with) == frozenset()
    assert past_adapters([("first", True), ("second", True), ("third", True)], began_with) == set(began_with)
    assert past_adapters([("first", True), ("second", False), ("third", True)], began_with) == {"third"}
