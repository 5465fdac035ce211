"""How an estimate that meets a line becomes pass, fail or undecided, and what the sentence says then."""

import re

import pytest
from evaluation_fakes import QUICK, golden_label, golden_labels, sheet
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.gate import MOST_ASKED_FOR, Gate, Line, judge, would_decide
from tasks.core.metrics.score import DECLINED, Undefined
from tasks.core.missing import changes, shares
from tasks.core.stats import estimate_difference, questions_needed

LOST = Undefined("the reply was lost")
FLOOR = Line(0.7, "the floor is 70.0 %")
MARGIN = Line(-0.1, "losing 10.0 is too much", "r-current")
ABOVE = Line(0.0, "above 0 is better", "r-current")


def share(*values: float | Undefined, line: Line = FLOOR, alpha: float | None = None) -> Gate:
    labels = golden_labels(len(values))
    return judge("gate", "correct", shares(sheet("r-new", labels, correct=values), "correct"), line, QUICK, alpha=alpha)


def difference(
    now: list[float | Undefined], then: list[float | Undefined], line: Line = MARGIN, alpha: float | None = None
) -> Gate:
    labels = golden_labels(len(now))
    new, old = sheet("r-new", labels, correct=now), sheet("r-current", labels, correct=then)
    return judge("gate", "correct", changes(new, old, "correct"), line, QUICK, alpha=alpha)


def outcome_of(right: int, wrong: int) -> str:
    return share(*[1.0] * right, *[0.0] * wrong).outcome


def test_the_lower_bound_has_to_lie_above_the_line_and_only_the_upper_one_below_it_fails() -> None:
    assert [outcome_of(right, 100 - right) for right in (95, 75, 70, 65, 40)] == [
        "pass",
        "undecided",
        "undecided",
        "undecided",
        "fail",
    ]


def test_the_bound_that_decided_is_shown() -> None:
    passed, failed = share(*[1.0] * 95, *[0.0] * 5), share(*[1.0] * 40, *[0.0] * 60)
    assert (passed.value, failed.value) == (0.95, 0.4)
    assert 0.7 < (passed.bound or 0) < 0.95
    assert 0.4 < (failed.bound or 1) < 0.7
    undecided = share(*[1.0] * 75, *[0.0] * 25)
    assert (undecided.bound or 1) < 0.7 < (undecided.value or 0)


def test_the_sentence_holds_the_numbers_in_percent() -> None:
    gate = share(*[1.0] * 95, *[0.0] * 5)
    found = re.fullmatch(
        r"correct: 95\.0 %, between ([\d.]+) and ([\d.]+) % on 100 questions; the floor is 70\.0 %\.", gate.reason
    )
    assert found
    assert float(found[1]) == pytest.approx(100 * (gate.bound or 0), abs=0.05)


def test_the_sentence_of_a_difference_names_the_other_and_counts_in_points() -> None:
    gate = difference([1.0] * 40 + [0.0] * 60, [1.0] * 100)
    assert gate.outcome == "fail"
    assert gate.reason.startswith("correct: -60.0 points against r-current, between -")
    assert gate.reason.endswith(" on 100 questions; losing 10.0 is too much.")


def test_too_few_questions_never_pass_and_say_how_many_would() -> None:
    gate = share(*[1.0] * 9)
    assert (gate.outcome, gate.value, gate.bound, gate.n) == ("undecided", None, None, 9)
    assert gate.reason == "correct is known on 9 questions; at least 10, on different pages, would decide."
    margin = difference([1.0] * 9, [1.0] * 9)
    assert margin.reason == "correct is known on 9 questions; at least 29, on different pages, would decide."
    high = share(*[1.0] * 9, line=Line(0.9, "the floor is 90.0 %"))
    assert high.reason == "correct is known on 9 questions; at least 29, on different pages, would decide."
    assert share(*[1.0] * 10).outcome == "pass"


def test_a_metric_that_is_undefined_never_passes_and_says_why() -> None:
    gate = share(*[1.0] * 9, *[LOST] * 30, *[DECLINED] * 2)
    assert gate.outcome == "undecided"
    assert gate.reason.endswith("On 30 of 41 it is undefined: the reply was lost.")


def test_a_doubt_says_how_many_such_questions_would_decide_it() -> None:
    gate = share(*[1.0] * 75, *[0.0] * 25)
    needed = asked_for(gate)
    assert needed > 100
    as_many = [1.0] * (3 * needed // 4) + [0.0] * (needed // 4)
    assert share(*as_many).outcome == "pass"


def asked_for(gate: Gate) -> int:
    assert gate.outcome == "undecided"
    [asked] = re.findall(r"about ([\d,]+) such questions would decide it", gate.reason)
    return int(asked.replace(",", ""))


@pytest.mark.parametrize(("gains", "losses", "distance"), [(6, 4, 0.1), (5, 5, 0.1), (4, 5, 0.1)])
def test_for_a_margin_equality_is_what_has_to_be_shown(gains: int, losses: int, distance: float) -> None:
    """Two points ahead are nothing that was promised, and might be gone with the next twenty questions."""
    values = [1.0] * gains + [-1.0] * losses + [0.0] * (20 - gains - losses)
    gate = difference([max(0.0, v) for v in values], [max(0.0, -v) for v in values])
    seen = estimate_difference(values, range(20), alpha=QUICK.alpha, how=QUICK.resampling)
    assert asked_for(gate) == questions_needed(seen, distance, alpha=QUICK.alpha)


def test_an_improvement_that_is_small_says_how_many_labels_would_show_it() -> None:
    gate = difference([1.0] * 3 + [0.0] * 37, [0.0] * 39 + [1.0], ABOVE)
    assert gate.value == (3 - 1) / 40
    values = [1.0] * 3 + [0.0] * 36 + [-1.0]
    seen = estimate_difference(values, range(40), alpha=QUICK.alpha, how=QUICK.resampling)
    assert asked_for(gate) == questions_needed(seen, 2 / 40, alpha=QUICK.alpha)


def test_numbers_are_kept_to_six_digits() -> None:
    gate = share(*[1.0] * 10, *[0.0] * 20)
    assert gate.value == 0.333333
    assert gate.bound == round(gate.bound or 0, 6) != round(gate.bound or 0, 5)


def test_no_number_of_labels_shows_an_improvement_that_is_not_there() -> None:
    gate = difference([1.0] * 20, [1.0] * 20, ABOVE)
    assert gate.outcome == "undecided"
    assert gate.reason.endswith(" Undecided: no number of labels shows an improvement that is not there.")


def test_a_floor_of_zero_that_nothing_rises_above_is_no_improvement_that_is_not_there() -> None:
    gate = share(*[0.0] * 20, line=Line(0.0, "the floor is 0.0 %"))
    assert gate.outcome == "undecided"
    assert gate.reason.endswith(f"more than {MOST_ASKED_FOR:,} questions would be needed: a person should look.")


def test_as_many_questions_as_a_person_would_write_are_named() -> None:
    assert would_decide(MOST_ASKED_FOR) == "about 20,000 such questions would decide it."
    assert "would decide" not in would_decide(MOST_ASKED_FOR + 1)


def test_no_number_of_labels_shows_that_there_is_never_an_exception() -> None:
    gate = share(*[1.0] * 200, line=Line(1.0, "the floor is 100.0 %"))
    assert gate.outcome == "undecided"
    assert gate.reason.endswith("no number of labels shows that there is never an exception; lower the floor.")


def test_another_alpha_takes_more() -> None:
    answers = [1.0] * 80 + [0.0] * 20
    assert share(*answers, alpha=0.05).outcome == "pass"
    assert share(*answers, alpha=0.0001).outcome == "undecided"


def test_questions_of_one_page_say_as_much_as_one_question() -> None:
    labels = tuple(golden_label(n, page="only.md") for n in range(60))
    known = shares(sheet("r-new", labels, correct=[1.0] * 60), "correct")
    assert judge("gate", "correct", known, FLOOR, QUICK).outcome == "undecided"


# ── what is missing ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_unknown_values_pass_only_where_they_would_as_zero() -> None:
    assert share(*[1.0] * 100, *[LOST] * 5).outcome == "pass"
    gate = share(*[1.0] * 100, *[LOST] * 40)
    assert (gate.outcome, gate.value, gate.n) == ("undecided", 1.0, 100)
    assert " Undecided: 40 more have no value (the reply was lost); with them at their worst it may " in gate.reason
    as_zero = share(*[1.0] * 100, *[0.0] * 40)
    assert gate.reason.endswith(f"be as low as {100 * (as_zero.bound or 0):.1f} %.")


def test_what_has_no_value_by_nature_is_left_out() -> None:
    assert share(*[1.0] * 100, *[DECLINED] * 60) == share(*[1.0] * 100)


def test_an_answer_where_the_other_gave_none_is_held_against_a_perfect_one() -> None:
    """Twenty made up where the other declined: nobody compared says a word about them."""
    made_up = difference([1.0] * 60 + [0.0] * 20, [1.0] * 60 + [DECLINED] * 20)
    assert (made_up.outcome, made_up.value, made_up.n) == ("undecided", 0.0, 60)
    assert "20 more have no value (r-current: the answer declines, and so claims nothing)" in made_up.reason
    against_perfect = difference([1.0] * 60 + [0.0] * 20, [1.0] * 80)
    low = re.findall(r"between ([-+][\d.]+) and", against_perfect.reason)
    assert made_up.reason.endswith(f"at their worst it may be as low as {low[0]}.")
    assert difference([1.0] * 80, [1.0] * 60 + [DECLINED] * 20).outcome == "pass"


def test_reasons_for_missing_values_are_counted() -> None:
    gate = share(*[1.0] * 60, *[LOST] * 30, *[Undefined("it timed out")] * 10)
    assert "30 more have no value (the reply was lost), and 10 for other reasons;" in gate.reason


def test_a_failure_stays_one_whatever_is_missing() -> None:
    assert share(*[0.0] * 50, *[LOST] * 100).outcome == "fail"


scores = st.lists(st.sampled_from([0.0, 0.5, 1.0, LOST]), min_size=12, max_size=60)


@settings(max_examples=60, deadline=None)
@given(scores, st.data())
def test_losing_a_value_never_makes_a_gate_pass(values: list[float | Undefined], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(values) - 1))
    lost = [*values[:at], LOST, *values[at + 1 :]]
    floor = Line(0.3, "the floor is 30.0 %")
    assert share(*values, line=floor).outcome == "pass" or share(*lost, line=floor).outcome != "pass"
    then: list[float | Undefined] = [0.5] * len(values)
    for line in (MARGIN, ABOVE):
        assert difference(values, then, line).outcome == "pass" or difference(lost, then, line).outcome != "pass"
        assert difference(then, values, line).outcome == "pass" or difference(then, lost, line).outcome != "pass"
