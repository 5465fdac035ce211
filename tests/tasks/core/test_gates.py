"""Each gate on its own, and each gate's absence noticed: every case here passes all other gates."""

from dataclasses import replace

import pytest
from evaluation_fakes import (
    QUICK,
    Behaviour,
    declines,
    evidence,
    golden_label,
    golden_labels,
    manifest,
    miscited,
    mostly,
    perfect,
    says,
    sheet,
    uncited,
    wrong,
)

from tasks.core.evidence import case_of
from tasks.core.gate import Gate
from tasks.core.gates import floor_gate, fresh_gate, improves_gate, no_harm_gate
from tasks.core.integrity import Integrity
from tasks.core.labels import Label, golden_set
from tasks.core.verdict import Verdict, decide

LABELS = golden_labels(80, 30)
GOLDEN = golden_set(LABELS)
assert GOLDEN is not None


def judged(now: Behaviour, then: Behaviour | None = None, **more: object) -> Verdict:
    return decide(case_of(evidence(LABELS, now, then, **more)))  # type: ignore[arg-type]


def not_passed(verdict: Verdict) -> dict[str, str]:
    return {gate.name: gate.outcome for gate in verdict.gates if gate.outcome != "pass"}


def test_a_good_first_release_passes_on_floors_alone() -> None:
    verdict = judged(perfect)
    assert verdict.verdict == "PROMOTE"
    assert [gate.name for gate in verdict.gates] == [
        "intact",
        "golden-set",
        "no-leak",
        "floor-correct",
        "floor-style",
        "floor-recall",
        "beats-always-abstain",
        "beats-copy-first-sentence",
    ]


# ── integrity ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_intact_a_broken_candidate_is_rejected_with_its_fault_and_nothing_else_is_asked() -> None:
    broken = Integrity(GOLDEN.id, broken=("Adapter sha256-1 holds NaN.",))
    verdict = decide(case_of(evidence((), perfect, integrity=broken)))
    assert (verdict.verdict, verdict.reasons) == ("REJECT", ("Adapter sha256-1 holds NaN.",))
    assert len(verdict.gates) == 1


def test_intact_a_broken_baseline_holds() -> None:
    broken = Integrity(GOLDEN.id, baseline_broken=("Snapshot 1 is gone.",))
    verdict = decide(case_of(evidence((), perfect, perfect, integrity=broken)))
    assert (verdict.verdict, not_passed(verdict)) == ("HOLD", {"intact": "undecided"})


def test_no_leak_a_golden_question_in_the_training_data_is_rejected() -> None:
    verdict = judged(perfect, integrity=Integrity(GOLDEN.id, leaks=("Golden label l-1 was trained on.",)))
    assert (verdict.verdict, not_passed(verdict)) == ("REJECT", {"no-leak": "fail"})


def test_no_leak_an_unknown_training_set_holds() -> None:
    verdict = judged(perfect, integrity=Integrity(GOLDEN.id, unchecked="Not recorded."))
    assert (verdict.verdict, not_passed(verdict)) == ("HOLD", {"no-leak": "undecided"})


def test_golden_set_other_questions_than_the_frozen_ones_are_rejected() -> None:
    case = case_of(evidence(LABELS, perfect, perfect))
    assert case.baseline is not None
    dropped = replace(case.baseline, questions=case.baseline.questions[1:])
    verdict = decide(replace(case, baseline=dropped))
    assert (verdict.verdict, not_passed(verdict)) == ("REJECT", {"golden-set": "fail"})
    shortened = replace(case.candidate, questions=case.candidate.questions[1:])
    assert decide(replace(case, candidate=shortened)).verdict == "REJECT"


def test_golden_set_a_label_that_is_not_golden_is_rejected() -> None:
    trained = (replace(LABELS[0], split="train"), *LABELS[1:])
    verdict = decide(case_of(evidence(trained, perfect, integrity=Integrity(GOLDEN.id))))
    assert not_passed(verdict) == {"golden-set": "fail"}


def test_golden_set_none_at_all_holds_and_says_how_many_it_takes() -> None:
    verdict = decide(case_of(evidence((), perfect)))
    assert verdict.verdict == "HOLD"
    assert verdict.reasons == ("There is no golden question: 25 on different pages is the least that would decide.",)


# ── absolute ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def lost(label: Label):
    answer = perfect(label)
    return replace(answer, contexts=tuple(replace(p, document="other.md") for p in answer.contexts), citations=())


@pytest.mark.parametrize(
    ("gate", "now"),
    [
        ("floor-recall", lost),
        ("floor-style", uncited),
        ("floor-correct", wrong),
    ],
)
def test_floors_are_absolute(gate: str, now: Behaviour) -> None:
    assert not_passed(judged(now))[gate] == "fail"


def test_a_floor_is_reached_by_the_lower_bound_not_by_the_mean() -> None:
    case = case_of(evidence(LABELS, mostly(perfect, wrong, every=2)))
    assert floor_gate(case.candidate, "correct", 0.5, QUICK).outcome == "undecided"
    assert floor_gate(case.candidate, "correct", 0.3, QUICK).outcome == "pass"
    assert floor_gate(case.candidate, "correct", 0.7, QUICK).outcome == "fail"


def test_beats_copy_first_sentence() -> None:
    """Pages that open with the fact: copying is as right as the release, which has no business being promoted."""

    def opens_with_it(label: Label):
        answer = perfect(label)
        top = replace(answer.contexts[0], text=f"Pumps\n{label.answer} It is blue.")
        return replace(answer, contexts=(top, answer.contexts[1]))

    verdict = judged(opens_with_it)
    assert (verdict.verdict, not_passed(verdict)) == ("HOLD", {"beats-copy-first-sentence": "undecided"})


def test_beats_always_abstain() -> None:
    lenient = QUICK.model_copy(update={"floors": {}})
    found = not_passed(judged(declines, policy=lenient))
    assert found["beats-always-abstain"] == "undecided"


def test_a_release_worse_than_a_trivial_answerer_is_rejected() -> None:
    lenient = QUICK.model_copy(update={"floors": {}})

    def wrong_though_obvious(label: Label):
        answer = wrong(label)
        top = replace(answer.contexts[0], text=f"{label.answer} It is blue.")
        return replace(answer, contexts=(top, answer.contexts[1]))

    assert not_passed(judged(wrong_though_obvious, policy=lenient))["beats-copy-first-sentence"] == "fail"


# ── against the release being served ─────────────────────────────────────────────────────────────────────────────────


def chatty(label: Label):
    return says(label, "It may be anything.") if label.unanswerable else perfect(label)


def shy(label: Label):
    return declines(label)


@pytest.mark.parametrize(
    ("gate", "now"),
    [
        ("no-harm-correct", mostly(perfect, wrong, every=3)),
        ("no-harm-citation", mostly(perfect, miscited, every=3)),
        ("no-harm-style", mostly(perfect, lambda label: replace(perfect(label), text="Yes"), every=3)),
        ("no-harm-recall", mostly(perfect, lost, every=4)),
        ("no-harm-abstains", chatty),
        ("no-harm-answers", mostly(perfect, shy, every=2)),
    ],
)
def test_clear_harm_is_rejected_by_name(gate: str, now: Behaviour) -> None:
    verdict = judged(now, perfect)
    assert (verdict.verdict, not_passed(verdict)[gate]) == ("REJECT", "fail")


@pytest.mark.parametrize("metric", ["correct", "citation", "style", "recall", "abstains", "answers"])
def test_every_margin_of_the_policy_has_its_gate(metric: str) -> None:
    assert f"no-harm-{metric}" in [gate.name for gate in judged(perfect, perfect).gates]


def test_a_difference_that_straddles_the_margin_holds_and_says_how_many_labels_decide() -> None:
    verdict = judged(mostly(perfect, wrong, every=16), perfect)  # 5 of 80 lost: margin 10 points
    assert verdict.verdict == "HOLD"
    [gate] = [gate for gate in verdict.gates if gate.name == "no-harm-correct"]
    assert (gate.outcome, gate.value, gate.n) == ("undecided", -5 / 80, 80)
    assert "such questions would decide it" in gate.reason


def test_too_few_questions_never_pass_and_say_how_many_it_takes() -> None:
    few = golden_labels(9)
    case = case_of(evidence(few, perfect, perfect))
    assert case.baseline is not None
    gate = no_harm_gate(case.candidate, case.baseline, "correct", 0.1, QUICK)
    assert (gate.outcome, gate.n) == ("undecided", 9)
    assert gate.reason == "correct is known on 9 questions; at least 25, on different pages, would decide."
    assert decide(case).verdict == "HOLD"


def test_an_undefined_metric_never_passes_and_says_why() -> None:
    tuned = manifest(snapshot=2).model_copy(update={"pattern": "tuned"})
    verdict = judged(perfect, perfect, candidate=tuned)
    [gate] = [gate for gate in verdict.gates if gate.name == "no-harm-recall"]
    assert gate.outcome == "undecided"
    assert gate.reason.endswith("On 80 of 110 it is undefined: the release shows no passages.")
    assert verdict.verdict == "HOLD"


def test_better_a_new_model_must_be_better() -> None:
    tuned = manifest(adapter="sha256-1")
    same = judged(perfect, perfect, candidate=tuned)
    assert (same.verdict, not_passed(same)) == ("HOLD", {"better-all-right": "undecided"})
    better = judged(perfect, mostly(perfect, wrong, every=3), candidate=tuned)
    assert better.verdict == "PROMOTE"


def test_better_at_one_is_enough_for_a_new_prompt() -> None:
    prompted = manifest(system="Answer briefly.")
    same = judged(perfect, perfect, candidate=prompted)
    assert (same.verdict, not_passed(same)) == ("HOLD", {"better-at-one": "undecided"})
    assert judged(perfect, mostly(perfect, miscited, every=3), candidate=prompted).verdict == "PROMOTE"


def test_better_at_one_of_four_takes_more_than_better_at_the_only_one() -> None:
    labels = golden_labels(60)
    then, now = sheet("then", labels, [0.0] * 60), sheet("now", labels, [1.0] * 4 + [0.0] * 56)
    assert improves_gate(now, then, ("correct",), QUICK).outcome == "pass"
    assert improves_gate(now, then, ("correct", "all_right", "right", "correct"), QUICK).outcome == "undecided"


def fresh(better: int, worse: int, same: int = 0) -> Gate:
    labels = golden_labels(better + worse + same)
    now = [1.0] * better + [0.0] * (worse + same)
    then = [0.0] * better + [1.0] * worse + [0.0] * same
    touched = dict.fromkeys((label.id for label in labels), "answer")
    return fresh_gate(sheet("now", labels, now), sheet("then", labels, then), touched, QUICK)  # type: ignore[arg-type]


def test_fresh_changed_answers_must_be_found() -> None:
    assert fresh(5, 0).outcome == "pass"
    assert fresh(8, 1, same=4).outcome == "pass"
    assert fresh(4, 0).outcome == "undecided"
    assert fresh(4, 0).reason.endswith("Undecided: 1 more that are right now would decide it.")
    assert fresh(0, 0, same=9).outcome == "undecided"
    assert fresh(0, 5).outcome == "fail"


def test_fresh_a_stale_index_does_not_pass() -> None:
    touched = dict.fromkeys((label.id for label in LABELS[:10]), "answer")
    verdict = judged(perfect, perfect, touched=touched)
    assert (verdict.verdict, not_passed(verdict)) == ("HOLD", {"fresh": "undecided"})


def test_fresh_is_not_required_when_no_answer_changed() -> None:
    verdict = judged(perfect, perfect, touched={LABELS[0].id: "page"})
    assert verdict.verdict == "PROMOTE"


def test_what_was_right_about_the_old_documents_is_no_measure_of_harm() -> None:
    """Ten labels whose ideal answer changed: the old release is right by the old text only where the label is old."""
    touched = dict.fromkeys((label.id for label in LABELS[:10]), "answer")
    changed = set(touched)
    verdict = judged(lambda label: wrong(label) if label.id in changed else perfect(label), perfect, touched=touched)
    assert not_passed(verdict) == {"fresh": "fail"}


def test_something_new_the_served_release_itself_is_not_promoted_again() -> None:
    verdict = judged(perfect, perfect, candidate=manifest())
    assert (verdict.verdict, not_passed(verdict)) == ("HOLD", {"something-new": "undecided"})


def test_one_page_alone_decides_nothing() -> None:
    labels = tuple(golden_label(n, page="only.md") for n in range(60))
    assert decide(case_of(evidence(labels, perfect))).verdict == "HOLD"


def test_the_trivial_answerers_are_judged_on_the_same_questions() -> None:
    case = case_of(evidence(LABELS, perfect))
    assert [t.answerer for t in case.trivial] == ["always-abstain", "copy-first-sentence"]
    assert {t.label_ids for t in case.trivial} == {case.candidate.label_ids}
