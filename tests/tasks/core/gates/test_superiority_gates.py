"""What a kind of change promised is kept, or the release is held; it never rejects one."""

import pytest
from evaluation_fakes import QUICK, golden_labels, sheet

from tasks.core.gate import Gate
from tasks.core.gates.superiority import best_of, better_gate, better_on_gate
from tasks.core.metrics.score import DECLINED, Undefined
from tasks.core.policy import Policy
from tasks.core.slices import NamedSlice

LABELS = golden_labels(80)
OIL = NamedSlice("oil", tuple(label.id for label in LABELS[:20]), required=False, margin=0.15)
LOST = Undefined("the reply was lost")
Value = float | Undefined


def better(gained: int, lost: int = 0, alpha: float = 0.05, doubt: str | None = None) -> Gate:
    now = [1.0] * gained + [0.0] * lost + [0.5] * (80 - gained - lost)
    then = [0.0] * gained + [1.0] * lost + [0.5] * (80 - gained - lost)
    new, old = sheet("r-new", LABELS, all_right=now), sheet("r-old", LABELS, all_right=then)
    return better_gate(new, old, "all_right", QUICK, alpha=alpha, doubt=doubt)


def test_surely_better_passes_and_nothing_else_does() -> None:
    gates = {(gained, lost): better(gained, lost) for gained, lost in ((20, 2), (3, 2), (0, 0), (2, 20))}
    assert [gate.outcome for gate in gates.values()] == ["pass", "undecided", "undecided", "undecided"]
    assert [gate.value for gate in gates.values()] == [(gained - lost) / 80 for gained, lost in gates]
    assert {gate.name for gate in gates.values()} == {"better-all-right"}
    assert "; above 0 is better." in gates[20, 2].reason


def test_a_promise_that_is_surely_broken_holds_and_says_so_once() -> None:
    gate = better(2, 40)
    assert gate.outcome == "undecided"
    assert gate.reason.endswith(". Undecided: no number of labels shows an improvement that is not there.")
    assert gate.reason.count("Undecided") == better(0).reason.count("Undecided") == 1


def test_a_little_better_says_how_many_labels_would_show_it() -> None:
    assert "such questions would decide it" in better(3, 2).reason


def test_a_smaller_alpha_takes_more() -> None:
    assert (better(12, 3, alpha=0.05).outcome, better(12, 3, alpha=0.001).outcome) == ("pass", "undecided")


def test_what_a_doubtful_judge_says_proves_nothing() -> None:
    gate = better(40, doubt="the policy has no judge.")
    assert gate.outcome == "undecided"
    assert gate.reason.startswith("Proves nothing: the policy has no judge. all_right: +50.0 points against r-old")


def test_lost_scores_prove_no_improvement() -> None:
    then: list[Value] = [0.0] * 20 + [1.0] * 60
    hidden: list[Value] = [1.0] * 20 + [0.0] * 15 + [1.0] * 45
    lost: list[Value] = [1.0] * 20 + [LOST] * 15 + [1.0] * 45
    outcomes = []
    for now in ([1.0] * 80, hidden, lost):
        new, old = sheet("r-new", LABELS, faithfulness=now), sheet("r-old", LABELS, faithfulness=then)
        outcomes.append(better_gate(new, old, "faithfulness", QUICK, alpha=0.05).outcome)
    assert outcomes == ["pass", "undecided", "undecided"]


def test_declining_where_the_other_was_wrong_is_no_improvement() -> None:
    now: list[Value] = [DECLINED] * 40 + [1.0] * 40
    new, old = sheet("r-new", LABELS, faithfulness=now), sheet("r-old", LABELS, faithfulness=[0.0] * 40 + [1.0] * 40)
    assert better_gate(new, old, "faithfulness", QUICK, alpha=0.05).outcome == "undecided"


# ── on a slice ───────────────────────────────────────────────────────────────────────────────────────────────────────


def better_on(wanted: str | None, gained: int, rest: float) -> Gate:
    """Of the 20 on oil `gained` were gained; the other 60 changed by `rest`."""
    now = [1.0] * gained + [0.5] * (20 - gained) + [0.5 + rest] * 60
    then = [0.0] * gained + [0.5] * 60 + [0.5] * (20 - gained)
    policy = QUICK.model_copy(update={"adapter_improves_on": wanted})
    new, old = sheet("r-new", LABELS, all_right=now), sheet("r-old", LABELS, all_right=then)
    return better_on_gate(new, old, [OIL], policy)


def test_where_the_policy_names_a_slice_only_that_counts() -> None:
    assert better_on("oil", 15, -0.5).outcome == "pass"
    assert better_on(None, 15, -0.5).outcome == "undecided"
    assert better_on("oil", 0, 0.5).outcome == "undecided"
    assert better_on(None, 0, 0.5).outcome == "pass"


def test_the_sentence_names_the_slice_and_the_gate_the_metric() -> None:
    gate = better_on("oil", 15, 0.0)
    assert (gate.name, gate.n) == ("better-all-right", 20)
    assert gate.reason.startswith("On oil: all_right: +75.0 points against r-old")


def test_a_slice_that_is_none_is_no_pass_and_those_there_are_are_named() -> None:
    gate = better_on("grease", 15, 0.5)
    assert (gate.name, gate.outcome) == ("better-all-right", "undecided")
    assert gate.reason == ("adapter_improves_on names grease, which is no slice of this golden set. Its slices: oil.")
    policy = QUICK.model_copy(update={"adapter_improves_on": "grease"})
    alone = better_on_gate(
        sheet("r", LABELS, all_right=[1.0] * 80), sheet("r", LABELS, all_right=[1.0] * 80), [], policy
    )
    assert alone.reason.endswith("Its slices: none.")


@pytest.mark.parametrize("wanted", [None, "oil"])
def test_a_doubt_about_the_judge_holds_on_a_slice_and_on_all(wanted: str | None) -> None:
    policy: Policy = QUICK.model_copy(update={"adapter_improves_on": wanted})
    new, old = sheet("r-new", LABELS, all_right=[1.0] * 80), sheet("r-old", LABELS, all_right=[0.0] * 80)
    assert better_on_gate(new, old, [OIL], policy).outcome == "pass"
    assert better_on_gate(new, old, [OIL], policy, doubt="nobody agrees.").outcome == "undecided"


# ── one of several ───────────────────────────────────────────────────────────────────────────────────────────────────


def gate(name: str, outcome: str, value: float | None, bound: float | None = 0.0) -> Gate:
    return Gate(name, outcome, f"{name}.", value, bound, 80)  # type: ignore[arg-type]


def test_one_that_passes_is_enough_whatever_the_others_gained() -> None:
    tried = [gate("better-correct", "undecided", 0.4), gate("cheaper", "pass", 0.12), gate("faster", "undecided", 0.9)]
    assert best_of(tried) is tried[1]


def test_of_several_that_pass_the_one_that_gained_most_is_shown() -> None:
    tried = [gate("better-correct", "pass", 0.1), gate("cheaper", "pass", 0.3), gate("faster", "pass", 0.2)]
    assert best_of(tried) is tried[1]


def test_none_is_a_doubt_that_names_what_was_tried_and_shows_where_most_was_gained() -> None:
    tried = [
        gate("better-correct", "undecided", -0.1, -0.2),
        gate("better-citation", "undecided", 0.05, -0.01),
        gate("faster", "undecided", 0.01, 0.9),
        gate("cheaper", "undecided", None, None),
    ]
    best = best_of(tried)
    assert (best.name, best.outcome, best.value, best.bound, best.n) == (
        "better-at-one",
        "undecided",
        0.05,
        -0.01,
        80,
    )
    assert best.reason == (
        "Nothing promised is sure (better-correct, better-citation, faster, cheaper); "
        "most was gained here: better-citation."
    )


def test_what_was_lost_says_more_than_what_is_not_known() -> None:
    unknown, lost = gate("cheaper", "undecided", None, None), gate("better-correct", "undecided", -0.5)
    assert best_of([unknown, lost]).value == -0.5
    five_times_as_slow = gate("faster", "undecided", 1 - 5.0, 1.0)
    assert best_of([unknown, five_times_as_slow]).value == 1 - 5.0
    assert best_of([lost, five_times_as_slow]).value == -0.5
    assert best_of([unknown]).reason.endswith("most was gained here: cheaper.")


def test_a_chance_of_one_is_no_gain() -> None:
    """`faster` is judged by a probability, of which a large one means nothing was gained."""
    slow = gate("faster", "undecided", -0.5, 1.0)
    near = gate("better-correct", "undecided", 0.04, -0.01)
    assert best_of([slow, near]).value == 0.04
