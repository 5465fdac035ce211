"""What holds for every answer: it is the one that was judged, in the form promised."""

import json
from dataclasses import replace

import pytest
from evaluation_fakes import QUICK, golden_labels, perfect, rehearsed, sheet, wrong

from tasks.core.gate import Gate
from tasks.core.gates.invariants import NOTHING_MEASURED, format_gate, served_as_judged_gate
from tasks.core.labels import Label
from tasks.core.metrics.question import Marking
from tasks.core.metrics.score import Undefined
from tasks.core.pace import NOT_REHEARSED, Rehearsed
from tasks.core.scoring import ScoreSheet, mark

LABELS = golden_labels(40, 20)
CANDIDATE = mark("r-new", LABELS, [perfect(label) for label in LABELS], Marking("The handbook does not say.", k=2))


def served(other: int, asked: int = 8, least: float = 0.75) -> Gate:
    """`other` of the questions asked alone got another answer."""
    rehearsal = rehearsed(LABELS, perfect, count=asked)
    said = [replace(one, text=f"{one.text}!") if n < other else one for n, one in enumerate(rehearsal.candidate)]
    policy = QUICK.model_copy(update={"pace": QUICK.pace.model_copy(update={"least_agreement": least})})
    return served_as_judged_gate(CANDIDATE, replace(rehearsal, candidate=tuple(said)), policy)


def test_every_answer_being_the_judged_one_passes() -> None:
    gate = served(0)
    assert (gate.outcome, gate.value, gate.bound, gate.n) == ("pass", 1.0, 0.75, 8)
    assert gate.reason == "All 8 questions asked one at a time got the answer that was judged."


@pytest.mark.parametrize(("other", "outcome"), [(1, "pass"), (2, "pass"), (3, "undecided"), (8, "undecided")])
def test_enough_of_them_is_enough_and_the_share_is_stated(other: int, outcome: str) -> None:
    gate = served(other)
    assert (gate.outcome, gate.value, gate.n) == (outcome, (8 - other) / 8, 8)
    assert (
        f"{8 - other} of 8 questions asked one at a time got the answer that was judged; least is 75 %." in gate.reason
    )
    assert ("Undecided: what was judged is not what would be served." in gate.reason) == (outcome == "undecided")


def test_how_many_are_enough_is_the_policys() -> None:
    assert (served(1, least=1.0).outcome, served(0, least=1.0).outcome, served(8, least=0.0).outcome) == (
        "undecided",
        "pass",
        "pass",
    )


def test_shares_are_kept_to_six_digits() -> None:
    assert served(1, asked=3, least=0.5).value == 0.666667


def test_nothing_asked_alone_is_no_pass() -> None:
    assert served_as_judged_gate(CANDIDATE, NOT_REHEARSED, QUICK) == Gate(
        "served-as-judged", "undecided", NOTHING_MEASURED
    )


def test_an_answer_to_a_question_that_was_not_judged_agrees_with_nothing() -> None:
    stray = replace(NOT_REHEARSED, candidate=(Rehearsed("l-unknown", perfect(LABELS[0]).text, 1.0),))
    assert served_as_judged_gate(CANDIDATE, stray, QUICK).outcome == "undecided"


def test_it_is_asked_of_the_candidate_and_not_of_the_release_being_served() -> None:
    rehearsal = rehearsed(LABELS, perfect, wrong, count=8)
    assert served_as_judged_gate(CANDIDATE, rehearsal, QUICK).outcome == "pass"


# ── format ───────────────────────────────────────────────────────────────────────────────────────────────────────────

SCHEMA = {"type": "object", "required": ["bar"], "properties": {"bar": {"type": ["string", "null"]}}}


def in_json(broken: int) -> ScoreSheet:
    def answer(label: Label, n: int):
        text = json.dumps({"bar": None if label.unanswerable else label.facts[0]})
        return replace(perfect(label), text=text[:-1] if n < broken else text)

    marking = Marking("null", k=2, answer_schema=SCHEMA)
    return mark("r-new", LABELS, [answer(label, n) for n, label in enumerate(LABELS)], marking)


def test_every_answer_in_the_promised_form_passes() -> None:
    gate = format_gate(in_json(0))
    assert gate == Gate("format", "pass", "All 60 answers are valid JSON of the policy's schema.", 1.0, 1.0, 60)


def test_one_broken_answer_fails_and_is_named() -> None:
    gate = format_gate(in_json(1))
    assert (gate.name, gate.outcome, gate.value, gate.bound, gate.n) == ("format", "fail", round(59 / 60, 6), 1.0, 60)
    assert gate.reason.startswith(
        f"1 of 60 answers are no valid JSON of the policy's schema, such as that to {LABELS[0].id}."
    )


def test_a_form_that_nobody_can_tell_is_no_pass() -> None:
    lost = sheet("r-new", LABELS[:2], format=[1.0, Undefined("the reply was lost")])
    gate = format_gate(lost)
    assert (gate.name, gate.outcome, gate.n) == ("format", "undecided", 1)
    assert gate.reason == "On 1 of 2 answers format is undefined: the reply was lost."
    assert format_gate(ScoreSheet("r-new", ())).outcome == "undecided"
