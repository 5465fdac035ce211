"""Not worse than the release being served, and not worse than the anchor."""

import pytest
from evaluation_fakes import QUICK, declines, golden_label, golden_labels, perfect, says, sheet

from tasks.core.gate import Gate, Line, judge
from tasks.core.gates.harm import anchor_gate, drift_gate, no_harm_gate, nothing_new_gate, surely
from tasks.core.integrity import Integrity
from tasks.core.metrics.question import Marking
from tasks.core.metrics.score import DECLINED, Undefined
from tasks.core.missing import changes
from tasks.core.scoring import mark

LABELS = golden_labels(100)
LOST = Undefined("the reply was lost")
Value = float | Undefined


def harm(now: list[Value], then: list[Value], margin: float = 0.1) -> Gate:
    new, old = sheet("r-new", LABELS, faithfulness=now), sheet("r-old", LABELS, faithfulness=then)
    return no_harm_gate(new, old, "faithfulness", margin, QUICK)


def worse_by(lost: int) -> Gate:
    return harm([0.0] * lost + [1.0] * (100 - lost), [1.0] * 100)


def test_loss_within_the_margin_passes_straddling_it_is_undecided_and_beyond_it_fails() -> None:
    gates = [worse_by(lost) for lost in (0, 2, 8, 15, 40)]
    assert [gate.outcome for gate in gates] == ["pass", "pass", "undecided", "undecided", "fail"]
    assert [gate.value for gate in gates] == [-lost / 100 for lost in (0, 2, 8, 15, 40)]
    assert {(gate.name, gate.n) for gate in gates} == {("no-harm-faithfulness", 100)}
    assert gates[1].reason.startswith("faithfulness: -2.0 points against r-old, between -")
    assert gates[1].reason.endswith(" on 100 questions; losing 10.0 is too much.")
    assert "such questions would decide it" in gates[2].reason


def test_a_wider_margin_lets_more_through() -> None:
    lost: list[Value] = [0.0] * 8 + [1.0] * 92
    assert [harm(lost, [1.0] * 100, margin).outcome for margin in (0.05, 0.1, 0.25)] == [
        "undecided",
        "undecided",
        "pass",
    ]


def test_the_anchor_has_its_own_words_and_its_own_line() -> None:
    now, anchor = sheet("r-new", LABELS, correct=[0.0] * 40 + [1.0] * 60), sheet("r-first", LABELS, correct=[1.0] * 100)
    gate = drift_gate(now, anchor, "correct", 0.1, QUICK)
    assert (gate.name, gate.outcome, gate.value) == ("drift-correct", "fail", -0.4)
    assert gate.reason.startswith("correct: -40.0 points against the anchor r-first, between -")
    assert "; the budget since the anchor is 10.0" in gate.reason
    assert drift_gate(anchor, anchor, "correct", 0.1, QUICK).outcome == "pass"
    assert drift_gate(now, anchor, "correct", 0.6, QUICK).outcome == "pass"


def test_an_anchor_that_cannot_be_asked_is_a_doubt_that_says_what_to_do() -> None:
    gate = anchor_gate(Integrity("g-1", anchor_broken=("Its snapshot is gone.",)))
    assert (gate.name, gate.outcome) == ("anchor", "undecided")
    assert "Its snapshot is gone. Set another: `ratchet anchor RELEASE`." in gate.reason


def test_the_release_being_served_is_nothing_new() -> None:
    gate = nothing_new_gate()
    assert (gate.name, gate.outcome) == ("something-new", "undecided")


# ── what a failure takes ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_failure_takes_more_the_more_gates_could_fail() -> None:
    """18 of 100 lost is surely more than 10 where one gate is asked; among fifty such results one is expected."""
    new, old = sheet("r-new", LABELS, correct=[0.0] * 18 + [1.0] * 82), sheet("r-old", LABELS, correct=[1.0] * 100)
    known, line = changes(new, old, "correct"), Line(-0.1, "losing 10.0 is too much", "r-old")
    alone, among = (surely("gate", "correct", known, line, QUICK, among=among) for among in (1, 50))
    assert (alone.outcome, among.outcome) == ("fail", "undecided")
    assert alone == judge("gate", "correct", known, line, QUICK)
    assert "losing 10.0 is too much (bounds at alpha shared among 50 gates)" in among.reason


def test_passing_takes_no_more_however_many_gates_there_are() -> None:
    new = sheet("r-new", LABELS, correct=[1.0] * 100)
    known, line = changes(new, new, "correct"), Line(-0.1, "losing 10.0 is too much", "r-old")
    assert surely("gate", "correct", known, line, QUICK, among=50) == judge("gate", "correct", known, line, QUICK)


@pytest.mark.parametrize("gate", [no_harm_gate, drift_gate])
def test_alpha_is_shared_by_as_many_gates_as_the_policy_asks_for(gate) -> None:
    new, old = sheet("r-new", LABELS, correct=[0.0] * 18 + [1.0] * 82), sheet("r-old", LABELS, correct=[1.0] * 100)
    few, many = ({"correct": 0.1}, {f"m{n}": 0.1 for n in range(50)})
    outcomes = [
        gate(new, old, "correct", 0.1, QUICK.model_copy(update={"margins": x, "drift_budget": x})).outcome
        for x in (few, many)
    ]
    assert outcomes == ["fail", "undecided"]


# ── answering more, answering less ───────────────────────────────────────────────────────────────────────────────────


def test_declining_more_is_no_loss_of_faithfulness() -> None:
    assert harm([1.0] * 60 + [DECLINED] * 40, [1.0] * 100).outcome == "pass"


def test_declining_more_hides_no_loss_of_faithfulness_in_what_is_still_said() -> None:
    still_said: list[Value] = [0.0] * 30 + [1.0] * 30
    assert harm([*still_said, *[DECLINED] * 40], [1.0] * 100).outcome == "fail"
    assert harm([*still_said, *[DECLINED] * 40], [*[1.0] * 60, *[0.0] * 40]).outcome == "fail"


def test_made_up_answers_where_the_other_declined_are_no_pass() -> None:
    made_up = harm([1.0] * 70 + [0.0] * 30, [1.0] * 70 + [DECLINED] * 30)
    assert (made_up.outcome, made_up.value, made_up.n) == ("undecided", 0.0, 70)
    assert "30 more have no value (r-old: the answer declines" in made_up.reason


def test_faithful_answers_where_the_other_declined_pass() -> None:
    assert harm([1.0] * 100, [1.0] * 70 + [DECLINED] * 30).outcome == "pass"


def test_a_value_that_was_lost_is_no_pass() -> None:
    assert harm([1.0] * 70 + [LOST] * 30, [1.0] * 100).outcome == "undecided"
    assert harm([LOST] * 100, [1.0] * 100).outcome == "undecided"


def test_a_negated_claim_is_seen_in_real_answers() -> None:
    """As scored, not made up: every fact is in place, and the opposite is said."""
    labels = golden_labels(60, 20)

    def negated(label):
        return declines(label) if label.unanswerable else says(label, label.answer.replace("reaches", "never reaches"))

    marking = Marking("The handbook does not say.", k=2)
    old = mark("r-old", labels, [perfect(label) for label in labels], marking)
    new = mark("r-new", labels, [negated(label) for label in labels], marking)
    gates = {metric: no_harm_gate(new, old, metric, margin, QUICK).outcome for metric, margin in QUICK.margins.items()}
    assert {metric for metric, outcome in gates.items() if outcome != "pass"} == {"faithfulness"}
    assert gates["faithfulness"] == "fail"


def test_questions_about_one_page_are_one_observation() -> None:
    labels = tuple(golden_label(n, page="only.md") for n in range(100))
    new, old = (sheet(name, labels, correct=[1.0] * 100) for name in ("r-new", "r-old"))
    assert no_harm_gate(new, old, "correct", 0.1, QUICK).outcome == "undecided"
