"""Fast enough, asked one at a time."""

import pytest
from evaluation_fakes import QUICK

from tasks.core.gate import Gate
from tasks.core.gates.invariants import NOTHING_MEASURED
from tasks.core.gates.pace import pace_gate, paired_seconds, slowest_gate
from tasks.core.pace import NOT_REHEARSED, Rehearsal, Rehearsed
from tasks.core.policy import SLOWEST, Policy
from tasks.core.stats import sign_test


def timed(now: list[float], then: list[float] | None = None) -> Rehearsal:
    def asked(seconds: list[float]) -> tuple[Rehearsed, ...]:
        return tuple(Rehearsed(f"l-{n}", "said", one) for n, one in enumerate(seconds))

    return Rehearsal(asked(now), asked(then) if then is not None else ())


def pace(now: list[float], then: list[float], policy: Policy = QUICK) -> Gate:
    return pace_gate(timed(now, then), policy, compared=True)


def test_the_median_question_may_take_twice_as_long() -> None:
    gate = pace([2.0] * 5 + [9.0] * 3, [1.0] * 8)
    assert (gate.outcome, gate.value, gate.bound, gate.n) == ("pass", 2.0, 2.0, 8)
    assert gate.reason == (
        "The median of 8 questions took 2.00 times the seconds of the release being served; most is 2."
    )


def test_one_busy_moment_of_the_machine_is_no_slow_release() -> None:
    assert pace([1.0] * 7 + [60.0], [1.0] * 8).outcome == "pass"


def test_surely_slower_fails_by_an_exact_sign_test() -> None:
    gate = pace([2.5] * 7 + [1.0], [1.0] * 8)
    assert sign_test(7, 1) <= QUICK.alpha
    assert (gate.outcome, gate.value) == ("fail", 2.5)
    assert gate.reason.endswith("most is 2. 7 took longer than that.")


def test_slower_by_chance_perhaps_is_a_doubt_that_asks_for_more_questions() -> None:
    gate = pace([2.5] * 6 + [1.0] * 2, [1.0] * 8)
    assert sign_test(6, 2) > QUICK.alpha
    assert gate.outcome == "undecided"
    assert gate.reason.endswith("Undecided: 9 questions asked one at a time might decide it (pace.questions).")
    assert "Undecided: 5 questions" in pace([2.5] * 2, [1.0] * 2).reason


def test_fewer_than_five_questions_never_pass() -> None:
    assert [pace([1.0] * n, [1.0] * n).outcome for n in (1, 4, 5)] == ["undecided", "undecided", "pass"]
    for seconds in (1.0, 2.0):
        assert "Undecided: 5 at least have to be asked of both." in pace([seconds] * 4, [1.0] * 4).reason


def test_exactly_as_slow_as_allowed_is_not_slower() -> None:
    assert sign_test(8, 0) <= QUICK.alpha < sign_test(5, 3)
    assert pace([2.5] * 5 + [2.0] * 3, [1.0] * 8).outcome == "undecided"


def test_a_chance_of_exactly_alpha_is_small_enough() -> None:
    exact = QUICK.model_copy(update={"alpha": 1 / 2**5})
    assert pace([2.5] * 5, [1.0] * 5, exact).outcome == "fail"
    assert pace([2.5] * 4, [1.0] * 4, exact).outcome == "undecided"


def test_each_question_is_compared_with_itself_whatever_it_takes() -> None:
    then = [0.1, 4.0, 0.5, 9.0, 2.0, 0.2, 1.0, 3.0]
    assert pace([1.9 * one for one in then], then).outcome == "pass"
    slow = pace([2.1 * one for one in then], then)
    assert (slow.outcome, slow.value) == ("fail", 2.1)
    assert "8 took longer than that." in slow.reason


def test_numbers_are_kept_to_six_digits() -> None:
    third = 0.333333
    assert [pace([1.0] * n, [3.0] * n).value for n in (8, 4)] == [third, third]
    assert pace([7.0] * 8, [3.0] * 8).value == pace([7.0] * 4, [3.0] * 4).value == 2.333333
    assert pace_gate(timed([1 / 3]), QUICK, compared=False).value == third
    assert slowest_gate(timed([1 / 3] * 59), 2.0, QUICK).value == third


def test_the_policy_says_how_much_slower_is_too_slow() -> None:
    patient = QUICK.model_copy(update={"pace": QUICK.pace.model_copy(update={"max_slowdown": 3.0})})
    assert (pace([2.5] * 8, [1.0] * 8).outcome, pace([2.5] * 8, [1.0] * 8, patient).outcome) == ("fail", "pass")


@pytest.mark.parametrize("compared", [True, False])
def test_nothing_measured_is_no_pass(compared: bool) -> None:
    gate = pace_gate(NOT_REHEARSED, QUICK, compared=compared)
    assert gate == Gate("pace", "undecided", NOTHING_MEASURED)


def test_without_a_release_to_compare_with_the_seconds_are_reported() -> None:
    gate = pace_gate(timed([1.0, 5.0, 2.0]), QUICK, compared=False)
    assert (gate.outcome, gate.value, gate.bound, gate.n) == ("reported", 2.0, None, 3)
    assert gate.reason == "The median of 3 answers took 2.000 seconds; there is no release to compare with."


def test_questions_that_only_one_release_was_asked_are_not_compared() -> None:
    rehearsal = Rehearsal(
        (Rehearsed("a", "", 1.0), Rehearsed("b", "", 9.0)), (Rehearsed("a", "", 2.0), Rehearsed("c", "", 0.1))
    )
    assert paired_seconds(rehearsal) == ((1.0, 2.0),)
    assert pace_gate(Rehearsal(rehearsal.candidate, rehearsal.baseline[1:]), QUICK, compared=True) == Gate(
        "pace", "undecided", NOTHING_MEASURED
    )


def test_what_no_clock_can_tell_from_nothing_is_a_millisecond() -> None:
    assert paired_seconds(timed([0.0], [0.0])) == ((0.001, 0.001),)
    assert pace([0.0] * 8, [0.0] * 8).outcome == "pass"


# ── 95 of 100 ────────────────────────────────────────────────────────────────────────────────────────────────────────


def slowest(slow: int, n: int, limit: float = 2.0) -> Gate:
    return slowest_gate(timed([9.0] * slow + [1.0] * (n - slow)), limit, QUICK)


def test_that_95_of_100_come_in_time_takes_59_questions_to_show() -> None:
    assert 0.95**59 <= QUICK.alpha < 0.95**58
    assert [slowest(0, n).outcome for n in (6, 58, 59, 100)] == ["undecided", "undecided", "pass", "pass"]
    assert "it takes 59 of them at least, none slower (pace.questions)." in slowest(0, 58).reason


def test_one_slow_answer_takes_93_questions_to_make_up_for() -> None:
    assert 0.95**93 + 93 * 0.05 * 0.95**92 <= QUICK.alpha < 0.95**92 + 92 * 0.05 * 0.95**91
    assert [slowest(1, n).outcome for n in (92, 93)] == ["undecided", "pass"]


def test_more_slow_answers_than_chance_explains_fail() -> None:
    two_of_six = 1 - 0.95**6 - 6 * 0.05 * 0.95**5
    assert two_of_six <= QUICK.alpha
    assert [slowest(slow, 6).outcome for slow in (0, 1, 2)] == ["undecided", "undecided", "fail"]
    assert slowest(6, 6).value == 9.0


def test_a_chance_of_exactly_alpha_is_small_enough_for_the_slowest_too() -> None:
    exact = QUICK.model_copy(update={"alpha": (1 - SLOWEST) ** 20})
    assert [slowest_gate(timed([1.0] * n), 2.0, exact).outcome for n in (19, 20)] == ["undecided", "pass"]
    certain = QUICK.model_copy(update={"alpha": SLOWEST})
    assert slowest_gate(timed([9.0]), 2.0, certain).outcome == "fail"


def test_every_answer_bears_the_name_of_its_gate() -> None:
    """By which a policy says who may override it."""
    paces = [pace([seconds] * 8, [1.0] * 8) for seconds in (1.0, 2.5)] + [pace([1.0] * 4, [1.0] * 4)]
    paces += [pace([2.5] * 6 + [1.0] * 2, [1.0] * 8), pace_gate(timed([1.0] * 8), QUICK, compared=False)]
    assert [gate.name for gate in paces] == ["pace"] * 5
    assert {gate.outcome for gate in paces} == {"pass", "fail", "undecided", "reported"}
    slowest_ones = [slowest(0, 59), slowest(0, 58), slowest(6, 6)]
    assert [(gate.name, gate.outcome) for gate in slowest_ones] == [
        ("pace-p95", outcome) for outcome in ("pass", "undecided", "fail")
    ]


def test_the_sentence_says_which_answer_stands_for_the_95th() -> None:
    assert slowest(1, 6).reason.startswith(
        "95 % of answers within 9.000 seconds (the slowest of 6); the limit is 2; 1 took longer."
    )
    gate = slowest(3, 60)
    assert (gate.value, gate.bound, gate.n) == (1.0, 2.0, 60)
    assert "within 1.000 seconds (the 57th of 60)" in gate.reason


def test_as_long_as_the_limit_is_in_time() -> None:
    assert slowest_gate(timed([2.0] * 59), 2.0, QUICK).outcome == "pass"


def test_no_answer_at_all_is_no_pass() -> None:
    assert slowest_gate(NOT_REHEARSED, 2.0, QUICK) == Gate("pace-p95", "undecided", NOTHING_MEASURED)
