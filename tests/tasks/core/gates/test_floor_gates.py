"""What a release has to reach by itself, and whom it has to beat."""

import pytest
from evaluation_fakes import QUICK, golden_labels, sheet

from tasks.core.gates.floors import beats_gate, dashed, floor_gate
from tasks.core.metrics.score import DECLINED, Undefined

LABELS = golden_labels(80)
LOST = Undefined("the reply was lost")


def values(right: int) -> list[float]:
    return [1.0] * right + [0.0] * (80 - right)


@pytest.mark.parametrize(
    ("floor", "outcome"), [(0.0, "pass"), (0.3, "pass"), (0.5, "undecided"), (0.7, "fail"), (1.0, "fail")]
)
def test_a_floor_is_reached_by_the_lower_bound_and_missed_by_the_upper_one(floor: float, outcome: str) -> None:
    gate = floor_gate(sheet("r-new", LABELS, all_right=values(40)), "all_right", floor, QUICK)
    assert (gate.name, gate.outcome, gate.value, gate.n) == ("floor-all-right", outcome, 0.5, 80)
    assert "all_right: 50.0 %, between " in gate.reason
    assert f" on 80 questions; the floor is {100 * floor:.1f} %." in gate.reason


def test_a_floor_on_what_nobody_knows_is_undecided() -> None:
    gate = floor_gate(sheet("r-new", LABELS, faithfulness=[LOST] * 80), "faithfulness", 0.5, QUICK)
    assert (gate.outcome, gate.value, gate.n) == ("undecided", None, 0)
    assert gate.reason.endswith("On 80 of 80 it is undefined: the reply was lost.")


def test_unknown_values_count_against_a_floor_and_those_that_cannot_be_do_not() -> None:
    half: list[float | Undefined] = [1.0] * 40
    unknown = floor_gate(sheet("r-new", LABELS, faithfulness=[*half, *[LOST] * 40]), "faithfulness", 0.5, QUICK)
    declined = floor_gate(sheet("r-new", LABELS, faithfulness=[*half, *[DECLINED] * 40]), "faithfulness", 0.5, QUICK)
    assert (unknown.outcome, declined.outcome) == ("undecided", "pass")


def test_it_beats_a_trivial_answerer_when_the_difference_is_surely_above_zero() -> None:
    trivial = sheet("always-abstain", LABELS, correct=values(0))
    gates = [beats_gate(sheet("r-new", LABELS, correct=values(n)), trivial, QUICK) for n in (20, 1, 0)]
    assert [gate.outcome for gate in gates] == ["pass", "undecided", "undecided"]
    assert {gate.name for gate in gates} == {"beats-always-abstain"}
    assert gates[0].reason.startswith("correct: +25.0 points against always-abstain, between +")
    assert "above 0 beats it" in gates[0].reason
    assert gates[2].reason.endswith("no number of labels shows an improvement that is not there.")


def test_surely_worse_than_a_trivial_answerer_fails() -> None:
    gate = beats_gate(
        sheet("r-new", LABELS, correct=values(5)), sheet("copy-first-sentence", LABELS, correct=values(60)), QUICK
    )
    assert (gate.outcome, gate.value) == ("fail", (5 - 60) / 80)


def test_it_is_compared_by_the_metric_of_the_policy() -> None:
    policy = QUICK.model_copy(update={"beats_trivial_on": "all_right"})
    gate = beats_gate(
        sheet("r-new", LABELS, all_right=values(70)), sheet("majority-class", LABELS, all_right=values(5)), policy
    )
    assert (gate.outcome, gate.reason.split(":")[0]) == ("pass", "all_right")


def test_gates_are_named_with_dashes() -> None:
    assert dashed("citation_recall") == "citation-recall"
