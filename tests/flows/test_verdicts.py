from pathlib import Path

import pytest

from flows.verdicts import acted_on_text, evaluation_text, next_step, questions_wanted
from tasks.core.gate import Gate
from tasks.core.promotion import VerdictWord
from tasks.evaluation import Evaluation

PASSED = Gate("intact", "pass", "Whole.")
ASIDE = Gate("slice-oils", "reported", "Too small to decide.")
DOUBT = Gate("no-harm-correct", "undecided", "correct: … Undecided: about 1,240 such questions would decide it.")
FEW = Gate("floor-style", "undecided", "style is known on 3 questions; at least 25, on different pages, would decide.")
UNKNOWN = Gate("no-leak", "undecided", "What the model was trained on is not recorded, so a leak cannot be ruled out.")
BAD = Gate("floor-correct", "fail", "correct: 5.0 %, between 1.0 and 9.0 % on 40 questions; the floor is 20.0 %.")


def judged(verdict: VerdictWord, *gates: Gate) -> Evaluation:
    return Evaluation("sha256-1", "r-2", "r-1", "g-1", verdict, 40, gates)


def lines(evaluation: Evaluation, *, whole: bool = False) -> list[str]:
    return evaluation_text(evaluation, Path("/a/report.md"), whole=whole).splitlines()


def test_what_stopped_a_release_comes_first_and_what_passed_is_only_counted() -> None:
    shown = lines(judged("REJECT", PASSED, DOUBT, ASIDE, PASSED, BAD))
    outcomes = [line.split()[0] for line in shown if line.startswith(("fail", "undecided", "pass", "reported"))]
    assert outcomes == ["fail", "undecided"]
    assert "2 passed, 1 only reported of 5 gates; --all shows every one" in shown


def test_every_gate_is_shown_when_asked() -> None:
    shown = lines(judged("REJECT", PASSED, DOUBT, ASIDE, BAD), whole=True)
    outcomes = [line.split()[0] for line in shown if line.startswith(("fail", "undecided", "pass", "reported"))]
    assert outcomes == ["fail", "undecided", "reported", "pass"]
    assert not any("--all" in line for line in shown)


def test_what_was_acted_on_shows_the_telling_gates_and_no_next_step() -> None:
    better = Gate("better-all-right", "pass", "all_right: +25.8 points.")
    shown = acted_on_text(judged("PROMOTE", PASSED, better), Path("/a/report.md"), ["better-*"]).splitlines()
    assert [line.split()[1] for line in shown if line.startswith("pass")] == ["better-all-right"]
    assert "2 passed of 2 gates; --all shows every one" in shown
    assert not any(line.startswith("next:") for line in shown)


def test_both_reports_are_named_where_both_lie(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("")
    shown = evaluation_text(judged("PROMOTE", PASSED), tmp_path / "report.md").splitlines()
    assert f"report: {tmp_path / 'report.md'}" in shown
    assert f"page:   {tmp_path / 'report.html'}" in shown


def test_a_hold_asks_for_as_many_questions_as_its_greatest_doubt_needs() -> None:
    assert questions_wanted([FEW, DOUBT, UNKNOWN, PASSED]) == 1_240
    assert "about 1,240 golden questions" in (next_step(judged("HOLD", FEW, DOUBT)) or "")


def test_a_hold_says_on_how_many_questions_the_gate_that_wants_most_could_judge() -> None:
    few = Gate(
        "floor-correct",
        "undecided",
        "correct is known on 8 questions; at least 41, on different pages, would decide.",
        n=8,
    )
    assert "there are 40, of which floor-correct counts 8: ratchet labels" in (next_step(judged("HOLD", few)) or "")
    every = Gate("floor-style", "undecided", few.reason, n=40)
    assert "there are 40: ratchet labels" in (next_step(judged("HOLD", every)) or "")


def test_what_a_passed_or_failed_gate_says_asks_for_nothing() -> None:
    passed = Gate("x", "pass", "about 9,999 such questions would decide it.")
    assert questions_wanted([passed, FEW]) == 25


def test_a_doubt_that_questions_cannot_settle_asks_for_none() -> None:
    assert questions_wanted([UNKNOWN]) is None
    assert "more labels would not decide it" in (next_step(judged("HOLD", UNKNOWN)) or "")


def test_doubts_that_labels_would_not_settle_are_named_before_those_they_would() -> None:
    todo = next_step(judged("HOLD", DOUBT, UNKNOWN)) or ""
    assert todo.startswith("see to no-leak; more labels would not decide it; about 1,240 golden questions")


@pytest.mark.parametrize(("verdict", "todo"), [("PROMOTE", "ratchet promote r-2"), ("REJECT", None)])
def test_other_verdicts_say_what_is_next_too(verdict: VerdictWord, todo: str | None) -> None:
    assert next_step(judged(verdict, BAD if verdict == "REJECT" else PASSED)) == todo
