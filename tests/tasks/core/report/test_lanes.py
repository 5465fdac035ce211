"""What is plotted is what was decided."""

from dataclasses import replace

import pytest
from evaluation_fakes import QUICK, declines, evidence, golden_labels, manifest, miscited, mostly, perfect, wrong

from tasks.core.evidence import Evidence, case_of
from tasks.core.policy import Policy, Slice
from tasks.core.report.lanes import Lane, better_lanes, drift_lanes, floor_lanes, harm_lanes, known, slice_lanes
from tasks.core.verdict import decide

LABELS = golden_labels(70, 30, per_page=2)
SOMETIMES_WRONG = evidence(LABELS, mostly(perfect, wrong, every=5), mostly(perfect, miscited, every=3))
TOUCHED = replace(SOMETIMES_WRONG, touched={LABELS[0].id: "answer", LABELS[5].id: "answer", LABELS[6].id: "page"})
NEW_MODEL = evidence(
    LABELS, perfect, mostly(perfect, wrong, every=4), candidate=manifest(adapter="sha256-b"), baseline=manifest()
)
NEW_PROMPT = evidence(
    LABELS, perfect, mostly(perfect, miscited, every=2), candidate=manifest(system="New."), baseline=manifest()
)


MUCH_WORSE = replace(evidence(LABELS, mostly(wrong, perfect, every=2), perfect), anchor=manifest(snapshot=9))
MUCH_WORSE = replace(MUCH_WORSE, anchor_answers=MUCH_WORSE.baseline_answers)


def all_lanes(given: Evidence) -> list[Lane]:
    case = case_of(given)
    verdict = decide(case)
    return [lane for lanes in (floor_lanes, harm_lanes, better_lanes, drift_lanes) for lane in lanes(case, verdict)]


@pytest.mark.parametrize("given", [SOMETIMES_WRONG, TOUCHED, MUCH_WORSE, NEW_MODEL, NEW_PROMPT])
def test_every_lane_with_a_gate_has_the_mean_the_bound_and_the_questions_of_its_gate(given: Evidence) -> None:
    gated = [lane for lane in all_lanes(given) if lane.gate and lane.gate.value is not None]
    assert len(gated) > 8
    for lane in gated:
        assert lane.seen
        assert lane.gate
        bounds = {"pass": lane.seen.lower, "undecided": lane.seen.lower, "fail": lane.seen.upper}
        shown = (round(lane.seen.mean, 6), round(bounds[lane.gate.outcome], 6), lane.seen.n)
        assert shown == (lane.gate.value, lane.gate.bound, lane.gate.n), lane.name


def test_every_floor_and_every_margin_has_its_lane_with_its_line() -> None:
    case = case_of(SOMETIMES_WRONG)
    floors = {lane.name: lane.line for lane in floor_lanes(case, decide(case))}
    margins = {lane.name: lane.line for lane in harm_lanes(case, decide(case)) if lane.line is not None}
    assert floors == QUICK.floors
    assert margins == {metric: -margin for metric, margin in QUICK.margins.items()}


def test_a_floor_shows_what_the_others_reach() -> None:
    correct = next(
        lane for lane in floor_lanes(case_of(NEW_MODEL), decide(case_of(NEW_MODEL))) if lane.name == "correct"
    )
    trivial = {sheet.answerer: 0.0 for sheet in case_of(NEW_MODEL).trivial}
    assert dict(correct.marks) == {"current": 52 / 70, **trivial}


def test_metrics_with_a_margin_come_first() -> None:
    lanes = harm_lanes(case_of(SOMETIMES_WRONG), decide(case_of(SOMETIMES_WRONG)))
    assert [lane.line is not None for lane in lanes] == sorted((lane.line is not None for lane in lanes), reverse=True)


def test_a_metric_known_nowhere_is_left_out_unless_a_gate_waits_for_it() -> None:
    case = case_of(evidence(golden_labels(0, 30), declines, declines))
    lanes = {lane.name: lane for lane in known(harm_lanes(case, decide(case)))}
    assert "judged_relevancy" not in lanes
    assert (lanes["correct"].seen, lanes["correct"].missing) == (None, "no page answers the question")


def test_against_the_anchor_the_questions_that_changed_since_are_left_out() -> None:
    changed = {LABELS[n].id: "answer" for n in range(10)}
    given = replace(
        SOMETIMES_WRONG,
        anchor=manifest(snapshot=9),
        anchor_answers=tuple(perfect(label) for label in LABELS),
        anchor_touched={**changed, LABELS[20].id: "page"},
    )
    lanes = drift_lanes(case_of(given), decide(case_of(given)))
    assert {lane.name: lane.line for lane in lanes} == {name: -budget for name, budget in QUICK.drift_budget.items()}
    assert lanes[0].seen
    assert (lanes[0].seen.n, lanes[0].seen.mean) == (60, pytest.approx(-12 / 60, abs=1e-4))


def test_without_a_release_to_compare_with_there_are_only_floors() -> None:
    case = case_of(evidence(LABELS, perfect))
    assert harm_lanes(case, decide(case)) == better_lanes(case, decide(case)) == drift_lanes(case, decide(case)) == ()
    assert len(floor_lanes(case, decide(case))) == 3


def with_slices(**documents: str) -> Policy:
    slices = tuple(Slice(name=name, documents=(glob,), margin=0.3) for name, glob in documents.items())
    return QUICK.model_copy(update={"slices": slices})


def test_a_slice_is_compared_on_its_own_questions_with_its_own_margin() -> None:
    touched = {LABELS[5].id: "answer"}
    policy = with_slices(few="pumps/?.md")  # pages 0 to 9 hold questions 0 to 9 and 50 to 59
    case = case_of(evidence(LABELS, mostly(perfect, wrong, every=5), perfect, policy=policy, touched=touched))
    lanes = {lane.name: lane for lane in slice_lanes(case, decide(case))}
    assert lanes["few"].seen
    assert (lanes["few"].seen.n, lanes["few"].seen.mean) == (19, pytest.approx(-3 / 19, abs=1e-4))  # 0, 50 and 55
    assert (lanes["few"].line, lanes["unanswerable"].line) == (-0.3, -0.15)
    assert lanes["few"].gate
    assert lanes["few"].gate.name == "slice-few"


def test_every_slice_that_was_judged_has_its_lane_in_the_same_order() -> None:
    touched = {label.id: "page" for label in LABELS[:10]}
    case = case_of(evidence(LABELS, perfect, perfect, policy=with_slices(few="pumps/?.md"), touched=touched))
    verdict = decide(case)
    judged = [gate for gate in verdict.gates if gate.name.startswith("slice-")]
    assert [gate.name for gate in judged] == ["slice-few", "slice-page-changed", "slice-unanswerable"]
    assert [lane.gate for lane in slice_lanes(case, verdict)] == judged


def test_without_a_release_to_compare_with_a_slice_is_a_share() -> None:
    case = case_of(evidence(LABELS, mostly(perfect, wrong, every=5), policy=with_slices(few="pumps/?.md")))
    lane = slice_lanes(case, decide(case))[0]
    assert (lane.name, lane.now, lane.then, lane.line) == ("few", 16 / 20, None, None)


def test_a_slice_of_no_question_says_so() -> None:
    case = case_of(evidence(LABELS, perfect, perfect, policy=with_slices(none="valves/*")))
    lane = slice_lanes(case, decide(case))[0]
    assert (lane.seen, lane.missing) == (None, "no such question")
