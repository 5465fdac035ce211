"""What has to hold before any number counts."""

from dataclasses import replace

import pytest
from evaluation_fakes import QUICK, evidence, golden_labels, perfect

from tasks.core.evidence import case_of
from tasks.core.gate import Gate
from tasks.core.gates.integrity import golden_set_gate, intact_gate, leak_gate
from tasks.core.integrity import Integrity
from tasks.core.labels import golden_set
from tasks.core.scoring import Scored, ScoreSheet
from tasks.core.stats import least_questions

LABELS = golden_labels(8, 4)
GOLDEN = golden_set(LABELS)
assert GOLDEN is not None
CASE = case_of(evidence(LABELS, perfect, perfect))
WHOLE = Integrity(GOLDEN.id)


def test_whatever_was_recorded_is_intact() -> None:
    assert intact_gate(WHOLE) == Gate("intact", "pass", "Snapshot, index and model are what was recorded.")


def test_a_broken_candidate_fails_with_its_first_fault_and_the_count_of_the_others() -> None:
    gate = intact_gate(replace(WHOLE, broken=("NaN in q_proj.", "3 chunks are missing.", "And so on.")))
    assert gate == Gate("intact", "fail", "NaN in q_proj. And 2 more like it.")


def test_a_broken_baseline_is_a_doubt() -> None:
    gate = intact_gate(replace(WHOLE, baseline_broken=("Snapshot 1 is gone.",)))
    assert gate == Gate("intact", "undecided", "The current release cannot be asked. Snapshot 1 is gone.")


def test_a_broken_candidate_weighs_more_than_a_broken_baseline() -> None:
    assert intact_gate(replace(WHOLE, broken=("NaN.",), baseline_broken=("Gone.",))).outcome == "fail"


# ── golden-set ───────────────────────────────────────────────────────────────────────────────────────────────────────


def golden(sheet: ScoreSheet, integrity: Integrity = WHOLE) -> Gate:
    return golden_set_gate([CASE.candidate, sheet], integrity, QUICK)


def test_exactly_the_frozen_set_passes() -> None:
    assert GOLDEN is not None
    assert golden(CASE.candidate) == Gate(
        "golden-set", "pass", f"All answered the same 12 questions of {GOLDEN.id}.", n=12
    )


def not_golden(question: Scored) -> Scored:
    return replace(question, label=replace(question.label, id="l-ffffffffffffffff", split="train"))


def other_questions(sheet: ScoreSheet) -> ScoreSheet:
    first, *rest = sheet.questions
    return replace(sheet, questions=(replace(first, answer=replace(first.answer, question="What?")), *rest))


@pytest.mark.parametrize(
    "asked",
    [
        replace(CASE.candidate, questions=CASE.candidate.questions[1:]),
        replace(CASE.candidate, questions=(*CASE.candidate.questions, CASE.candidate.questions[0])),
        replace(
            CASE.candidate,
            questions=tuple(
                replace(q, label=replace(q.label, split="train")) if n == 0 else q
                for n, q in enumerate(CASE.candidate.questions)
            ),
        ),
        replace(CASE.candidate, questions=(*CASE.candidate.questions, not_golden(CASE.candidate.questions[0]))),
        replace(CASE.candidate, questions=()),
        other_questions(CASE.candidate),
    ],
    ids=["one less", "one twice", "one not golden", "one more that is not", "none", "an answer to another question"],
)
def test_any_other_set_fails_and_is_named(asked: ScoreSheet) -> None:
    gate = golden(replace(asked, answerer="r-other"))
    assert (gate.name, gate.outcome, gate.n) == ("golden-set", "fail", 12)
    assert gate.reason.startswith("r-other answered ")


def test_the_set_that_was_answered_instead_is_named() -> None:
    assert GOLDEN is not None
    less = replace(CASE.candidate, questions=CASE.candidate.questions[1:])
    theirs = golden_set(less.labels)
    assert theirs is not None
    assert golden(less).reason == f"{less.answerer} answered {theirs.id}, not {GOLDEN.id}."
    none = replace(CASE.candidate, questions=())
    assert golden(none).reason == f"{less.answerer} answered no golden set, not {GOLDEN.id}."


def test_another_set_than_the_frozen_one_fails() -> None:
    gate = golden(CASE.candidate, Integrity("g-0123456789abcdef"))
    assert gate.outcome == "fail"
    assert gate.reason.endswith("not g-0123456789abcdef.")


def test_the_question_that_was_answered_instead_is_named() -> None:
    gate = golden(other_questions(CASE.candidate))
    assert gate.reason.endswith(f"answered another question than {LABELS[0].id} asks. Evaluate the release again.")


@pytest.mark.parametrize("integrity", [Integrity(None), WHOLE])
def test_without_a_golden_question_it_is_undecided_and_says_how_many_it_takes(integrity: Integrity) -> None:
    empty = ScoreSheet("r-new", CASE.candidate.questions if integrity.golden_set is None else ())
    gate = golden_set_gate([empty], integrity, QUICK)
    least = max(least_questions(margin, alpha=QUICK.alpha) for margin in QUICK.margins.values())
    assert (gate.name, gate.outcome) == ("golden-set", "undecided")
    assert gate.reason == f"There is no golden question: {least} on different pages is the least that would decide."
    many = QUICK.model_copy(update={"minimum_questions": 300})
    assert "300 on different pages" in golden_set_gate([empty], integrity, many).reason
    alone = QUICK.model_copy(update={"margins": {}})
    assert f"{QUICK.minimum_questions} on different pages" in golden_set_gate([empty], integrity, alone).reason


# ── no-leak ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_that_leaked_passes() -> None:
    gate = leak_gate(WHOLE, 12)
    assert (gate.name, gate.outcome, gate.value, gate.bound, gate.n) == ("no-leak", "pass", 0.0, 0.0, 12)


def test_a_leak_fails_with_the_first_and_their_number() -> None:
    gate = leak_gate(replace(WHOLE, leaks=("Golden label l-1 was trained on.", "Another.")), 12)
    assert (gate.name, gate.outcome, gate.value, gate.bound, gate.n) == ("no-leak", "fail", 2.0, 0.0, 12)
    assert gate.reason == "Golden label l-1 was trained on. And 1 more like it."


def test_what_cannot_be_checked_is_a_doubt_and_a_leak_that_was_found_weighs_more() -> None:
    unknown = replace(WHOLE, unchecked="3 labels are gone, so a leak cannot be ruled out.")
    gate = leak_gate(unknown, 12)
    assert gate == Gate("no-leak", "undecided", "3 labels are gone, so a leak cannot be ruled out.", n=12)
    assert leak_gate(replace(unknown, leaks=("Golden label l-1 was trained on.",)), 12).outcome == "fail"
