"""Harm to a few, which the mean over all hides."""

import pytest
from evaluation_fakes import QUICK, golden_label, golden_labels, sheet

from tasks.core.gate import Gate, would_decide
from tasks.core.gates.slice_harm import slice_gates
from tasks.core.labels import Label
from tasks.core.metrics.score import Undefined
from tasks.core.policy import Policy
from tasks.core.slices import NamedSlice
from tasks.core.stats import estimate_difference, holm, p_worse, questions_needed

LABELS = golden_labels(200)
LOST = Undefined("the reply was lost")


def named(name: str, labels: tuple[Label, ...], *, required: bool = False, margin: float = 0.15) -> NamedSlice:
    return NamedSlice(name, tuple(label.id for label in labels), required, margin)


def gates(
    slices: list[NamedSlice], lost: set[int], labels: tuple[Label, ...] = LABELS, policy: Policy = QUICK
) -> dict[str, Gate]:
    """All were right before; those of these numbers no longer are."""
    now = [0.0 if n in lost else 1.0 for n in range(len(labels))]
    new, old = sheet("r-new", labels, right=now), sheet("r-old", labels, right=[1.0] * len(labels))
    return {gate.name: gate for gate in slice_gates(new, old, slices, policy)}


def one(lost: int, n: int = 40, margin: float = 0.15) -> Gate:
    [gate] = gates([named("oils", LABELS[:n], margin=margin)], set(range(lost))).values()
    return gate


def test_no_loss_passes_some_loss_is_looked_at_and_more_than_the_margin_fails() -> None:
    found = [one(lost) for lost in (0, 1, 5, 20)]
    assert [gate.outcome for gate in found] == ["pass", "pass", "undecided", "fail"]
    assert [gate.value for gate in found] == [-lost / 40 for lost in (0, 1, 5, 20)]
    assert {(gate.name, gate.n) for gate in found} == {("slice-oils", 40)}


def test_the_bound_is_the_chance_that_decided() -> None:
    passed, doubtful, failed = one(1), one(5), one(20)
    assert (passed.bound or 0) > QUICK.alpha >= max(doubtful.bound or 1, failed.bound or 1)
    assert f"not found worse (p = {passed.bound:.4f} among 1 slice)." in passed.reason
    assert f"surely worse (p = {doubtful.bound:.4f} among 1 slice), by 15.0 or less" in doubtful.reason
    assert f"surely more is lost than 15.0 (p = {failed.bound:.4f} among 1 slice)." in failed.reason
    assert failed.reason.startswith("right: -50.0 points against r-old on 40 questions;")


def test_a_doubt_says_how_many_such_questions_would_decide_it() -> None:
    """Whether more than the margin is lost: that is as far away as the loss that was seen is from the margin."""
    for lost, margin in ((5, 0.15), (6, 0.15), (3, 0.9)):
        values = [-1.0] * lost + [0.0] * (40 - lost)
        seen = estimate_difference(values, range(40), alpha=QUICK.alpha, how=QUICK.resampling)
        distance = max(abs(margin - lost / 40), 0.005)
        needed = questions_needed(seen, distance, alpha=QUICK.alpha)
        assert one(lost, margin=margin).reason.endswith(f" Undecided: {would_decide(needed)}")


def test_a_chance_of_exactly_alpha_is_small_enough() -> None:
    against = [(lost, [-1.0] * lost + [0.0] * (40 - lost), margin) for lost, margin in ((5, 0.0), (20, 0.15))]
    found = []
    for lost, values, margin in against:
        chance = p_worse(values, range(40), margin=margin, how=QUICK.resampling)
        exact = QUICK.model_copy(update={"alpha": chance})
        found += gates([named("oils", LABELS[:40])], set(range(lost)), policy=exact).values()
    assert [gate.outcome for gate in found] == ["undecided", "fail"]


def test_the_margin_is_the_slices() -> None:
    assert [one(20, margin=margin).outcome for margin in (0.15, 0.3, 0.9)] == ["fail", "fail", "undecided"]


def test_harm_is_found_where_it_is() -> None:
    found = gates([named("oils", LABELS[:40]), named("hoses", LABELS[40:80])], set(range(20)))
    assert {name: gate.outcome for name, gate in found.items()} == {"slice-oils": "fail", "slice-hoses": "pass"}


def test_the_more_slices_are_looked_at_the_more_it_takes() -> None:
    """Holm: the smallest of k chances counts k times."""
    oils = named("oils", LABELS[:40])
    others = [named(f"other-{n}", LABELS[40 + 8 * n : 48 + 8 * n]) for n in range(19)]
    alone, among = gates([oils], {0, 1, 2, 3})["slice-oils"], gates([oils, *others], {0, 1, 2, 3})["slice-oils"]
    assert (alone.outcome, among.outcome) == ("undecided", "pass")
    assert among.bound == pytest.approx(holm([alone.bound or 0.0, *[1.0] * 19])[0], abs=1e-5)
    assert "among 20 slices)" in among.reason


def test_slices_of_few_questions_are_reported_and_take_nothing_from_the_others() -> None:
    small = [named(f"small-{n}", LABELS[100 + 7 * n : 107 + 7 * n]) for n in range(10)]
    found = gates([named("oils", LABELS[:40]), *small], {0, 1, 2, 3, *range(100, 107)})
    assert found["slice-oils"].outcome == "undecided"
    assert "among 1 slice)" in found["slice-oils"].reason
    assert found["slice-small-0"] == Gate(
        "slice-small-0",
        "reported",
        "right: -100.0 points against r-old on 7 questions; a slice is tested from 8 on.",
        -1.0,
        None,
        7,
    )
    assert gates([named("eight", LABELS[:8])], set(range(8)))["slice-eight"].outcome == "fail"


def test_a_slice_without_a_question_says_so() -> None:
    assert gates([named("none", ())], set())["slice-none"] == Gate(
        "slice-none", "reported", "No question; tested from 8 on."
    )


def test_a_slice_of_one_page_shows_no_spread_and_is_reported() -> None:
    labels = (*(golden_label(n, page="only.md") for n in range(20)), *LABELS[20:])
    found = gates([named("page", labels[:20]), named("oils", labels[20:60])], set(range(24)), labels)
    assert (found["slice-page"].outcome, found["slice-page"].value) == ("reported", -1.0)
    assert found["slice-page"].reason.endswith("on 20 questions; all about one page, which shows no spread.")
    assert "among 1 slice)" in found["slice-oils"].reason
    eight = gates([named("page", labels[:8])], set(range(8)), labels)["slice-page"]
    assert eight.reason.endswith("on 8 questions; all about one page, which shows no spread.")


def test_two_pages_are_enough_to_be_tested() -> None:
    labels = tuple(golden_label(n, page=f"{n % 2}.md") for n in range(20))
    assert gates([named("pages", labels)], set(), labels)["slice-pages"].outcome == "pass"


def test_numbers_are_kept_to_six_digits_and_slices_are_counted_in_words() -> None:
    oils, hoses = named("oils", LABELS[:30]), named("hoses", LABELS[30:37])
    third = gates([oils, hoses, named("rest", LABELS[60:99])], {*range(1), 30})
    assert (third["slice-oils"].value, third["slice-hoses"].value) == (round(-1 / 30, 6), round(-1 / 7, 6))
    assert "among 2 slices)" in third["slice-oils"].reason
    for lost in (1, 5, 20):
        bound = one(lost, n=39).bound or 0.0
        assert bound == round(bound, 6) != round(bound, 3)


# ── required ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_required_slice_is_shown_not_worse() -> None:
    found = [
        gates([named("oils", LABELS[:n], required=True)], set(range(lost)))["slice-oils"]
        for n, lost in ((40, 0), (12, 0), (40, 3), (40, 30))
    ]
    assert [gate.outcome for gate in found] == ["pass", "undecided", "undecided", "fail"]
    assert found[0].reason.startswith("right: +0.0 points against r-old, between ")
    assert found[0].reason.endswith("losing 15.0 is too much.")


def test_a_required_slice_of_few_questions_is_no_pass_and_says_how_many_more_it_takes() -> None:
    few = gates([named("oils", LABELS[:3], required=True)], set())["slice-oils"]
    assert (few.outcome, few.value, few.n) == ("undecided", None, 3)
    least = 19  # 0.85^18 > 0.05 > 0.85^19
    assert few.reason == (
        "The policy requires this slice, and 3 questions belong to it. "
        f"Undecided: {least - 3} more, on different pages, is the least that would decide it."
    )
    assert gates([named("none", (), required=True)], set())["slice-none"].outcome == "undecided"
    lenient = QUICK.model_copy(update={"minimum_questions": 8})
    enough = gates([named("oils", LABELS[:8], required=True, margin=0.9)], set(), policy=lenient)["slice-oils"]
    assert enough.outcome == "pass"
    strict = QUICK.model_copy(update={"minimum_slice": 50})
    assert (
        "Undecided: 47 more"
        in gates([named("oils", LABELS[:3], required=True)], set(), policy=strict)["slice-oils"].reason
    )
    asking = QUICK.model_copy(update={"minimum_questions": 60})
    assert (
        "Undecided: 57 more"
        in gates([named("oils", LABELS[:3], required=True)], set(), policy=asking)["slice-oils"].reason
    )


def test_required_slices_share_alpha_for_failing() -> None:
    """13 of 40 lost is surely more than 15 points where one slice is required, and not where fifty are."""
    slices = [named(f"required-{n}", LABELS[:40] if n == 0 else LABELS[40:80], required=True) for n in range(50)]
    alone = gates(slices[:1], set(range(13)))["slice-required-0"]
    among = gates(slices, set(range(13)))["slice-required-0"]
    assert (alone.outcome, among.outcome) == ("fail", "undecided")


def test_required_slices_take_nothing_from_those_that_are_tested() -> None:
    required = [named(f"required-{n}", LABELS[40:80], required=True) for n in range(20)]
    found = gates([named("oils", LABELS[:40]), *required], {0, 1, 2, 3})
    assert "among 1 slice)" in found["slice-oils"].reason
    assert found["slice-oils"].outcome == "undecided"


def test_the_gates_come_in_the_order_of_the_slices() -> None:
    order = [named("b", LABELS[:40]), named("none", ()), named("a", LABELS[:40], required=True)]
    assert list(gates(order, set())) == ["slice-b", "slice-none", "slice-a"]


def test_an_unknown_score_is_no_reason_to_call_a_slice_unharmed() -> None:
    old = sheet("r-old", LABELS[:40], right=[1.0] * 40)
    hidden = sheet("r-new", LABELS[:40], right=[LOST] * 20 + [1.0] * 20)
    for required in (False, True):
        [gate] = slice_gates(hidden, old, [named("oils", LABELS[:40], required=required)], QUICK)
        assert gate.outcome != "pass"
