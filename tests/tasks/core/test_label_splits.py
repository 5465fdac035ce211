from hypothesis import given
from hypothesis import strategies as st

from tasks.core.label_splits import SplitPolicy, allocate

POLICY = SplitPolicy(golden_fraction=0.3, validation_fraction=0.1)
TEN_PAGES = {f"page {n}": 10 for n in range(10)}


def shares(splits: dict[str, str], sizes: dict[str, int]) -> dict[str, int]:
    return {s: sum(sizes[k] for k, v in splits.items() if v == s) for s in ("golden", "validation", "train")}


def test_without_any_golden_label_the_golden_fraction_is_reserved() -> None:
    splits = allocate(TEN_PAGES, POLICY, golden=0, validation=0, train=0)
    # 3 of 10 pages are golden; validation wants .1 x 70 = 7 labels, and a page of 10 fits because half of it does
    assert shares(splits, TEN_PAGES) == {"golden": 30, "validation": 10, "train": 60}


def test_with_golden_labels_the_others_train_and_validate() -> None:
    splits = allocate(TEN_PAGES, POLICY, golden=5, validation=0, train=0)
    assert shares(splits, TEN_PAGES) == {"golden": 0, "validation": 10, "train": 90}


def test_too_few_labels_for_a_golden_set_wait() -> None:
    assert allocate({"a": 20, "b": 19}, POLICY, golden=0, validation=0, train=0) == {}
    assert allocate({"a": 20, "b": 20}, POLICY, golden=0, validation=0, train=0) != {}


def test_one_large_cluster_can_not_all_be_golden_so_it_waits_for_others() -> None:
    assert allocate({"a": 100}, POLICY, golden=0, validation=0, train=0) == {}


def test_reserving_nothing_can_be_asked_for() -> None:
    policy = SplitPolicy(golden_fraction=0, validation_fraction=0)
    assert allocate({"a": 1}, policy, golden=0, validation=0, train=0) == {"a": "train"}


@given(st.permutations(sorted(TEN_PAGES)))
def test_the_order_of_the_file_changes_nothing(keys: list[str]) -> None:
    shuffled = {key: TEN_PAGES[key] for key in keys}
    assert allocate(shuffled, POLICY, golden=0, validation=0, train=0) == allocate(
        TEN_PAGES, POLICY, golden=0, validation=0, train=0
    )
