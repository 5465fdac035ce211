"""What verdicts promise over many sets of scores: equal never rejects, better never hurts, harm is rarely missed."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from evaluation_fakes import (
    QUICK,
    Behaviour,
    declines,
    evidence,
    golden_labels,
    manifest,
    miscited,
    mostly,
    perfect,
    rehearsed,
    sheet,
    wrong,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.comparison import Kind, Touch
from tasks.core.evidence import Evidence, case_of, verdict_bytes
from tasks.core.gates.harm import drift_gate, no_harm_gate
from tasks.core.gates.superiority import better_gate
from tasks.core.integrity import Integrity
from tasks.core.judging import Agreement
from tasks.core.labels import Label
from tasks.core.metrics.score import JUDGED, METRICS, Metric, Score, Undefined
from tasks.core.policy import JudgePolicy, Policy
from tasks.core.promotion import VerdictWord
from tasks.core.scoring import ScoreSheet
from tasks.core.verdict import Case, Verdict, decide

LABELS = golden_labels(84, 24, per_page=3)
BASE = case_of(evidence(LABELS, perfect, perfect))
RANK: dict[VerdictWord, int] = {"REJECT": 0, "HOLD": 1, "PROMOTE": 2}
FASTEST = QUICK.model_copy(update={"floors": {}})
LOST = Undefined("the reply was lost")


def with_values(sheet: ScoreSheet, values: dict[Metric, list[float]]) -> ScoreSheet:
    """The sheet with other values wherever a metric is defined."""

    def value(metric: Metric, score: Score, n: int) -> Score:
        return score if isinstance(score, Undefined) or metric not in values else values[metric][n]

    return with_scores(sheet, lambda n, metric, score: value(metric, score, n))


def with_scores(sheet: ScoreSheet, of: Callable[[int, Metric, Score], Score]) -> ScoreSheet:
    questions = (
        replace(q, scores={metric: of(n, metric, score) for metric, score in q.scores.items()})
        for n, q in enumerate(sheet.questions)
    )
    return replace(sheet, questions=tuple(questions))


CHANCES: dict[Metric, float] = {
    "all_right": 0.5,
    "right": 0.6,
    "correct": 0.6,
    "citation": 0.8,
    "faithfulness": 0.9,
    "style": 0.9,
    "abstains": 0.6,
    "answers": 0.9,
    "recall": 0.9,
}


def noisy(rng: np.random.Generator, sheet: ScoreSheet) -> ScoreSheet:
    n = len(sheet.questions)
    return with_values(sheet, {m: (rng.random(n) < p).astype(float).tolist() for m, p in CHANCES.items()})


KINDS: tuple[tuple[Kind, ...], ...] = ((), ("documents",), ("adapter",), ("config",), ("adapter", "documents"))


def test_the_same_scores_on_both_sides_never_reject_and_promote_only_what_promised_nothing_more() -> None:
    found: dict[tuple[Kind, ...], set[VerdictWord]] = {kinds: set() for kinds in KINDS}
    for seed in range(200):
        kinds = KINDS[seed % len(KINDS)]
        same = noisy(np.random.default_rng(seed), BASE.candidate)
        served = replace(same, answerer="r-current")
        found[kinds].add(decide(replace(BASE, candidate=same, baseline=served, kinds=kinds, policy=FASTEST)).verdict)
    assert found == {kinds: {"PROMOTE" if kinds == ("documents",) else "HOLD"} for kinds in KINDS}


def test_a_candidate_is_asked_for_what_changed_in_it_and_for_nothing_else() -> None:
    always = {gate.name for gate in decide(replace(BASE, kinds=("documents",))).gates} - {"fresh"}
    more = {
        kinds: {gate.name for gate in decide(replace(BASE, kinds=kinds)).gates} - always
        for kinds in (*KINDS, ("config", "documents"))
    }
    better = "better-all-right"
    assert more == {
        (): {"something-new"},
        ("documents",): {"fresh"},
        ("adapter",): {better},
        ("config",): {"better-at-one"},
        ("adapter", "documents"): {"fresh", better},
        ("config", "documents"): {"better-at-one", "fresh"},
    }


def test_three_verdicts_in_three_sentences() -> None:
    labels, tuned, half_wrong = golden_labels(84, 24), manifest(adapter="sha256-1"), mostly(perfect, wrong, every=2)
    assert decide(case_of(evidence(labels, perfect, half_wrong, candidate=tuned))).verdict == "PROMOTE"
    assert decide(case_of(evidence(labels, perfect, perfect, candidate=tuned))).verdict == "HOLD"
    assert decide(case_of(evidence(labels, half_wrong, perfect, candidate=tuned))).verdict == "REJECT"


def test_always_abstaining_is_rejected() -> None:
    assert decide(case_of(evidence(LABELS, declines))).verdict == "REJECT"


def test_one_failure_rejects_whatever_is_in_doubt_and_reasons_name_failures_first() -> None:
    given_ = evidence(golden_labels(84, 24), mostly(perfect, wrong, every=2), perfect, candidate=manifest(adapter="a"))
    verdict = decide(case_of(given_))
    assert verdict.verdict == "REJECT"
    assert verdict.doubts
    failed = [gate.reason for gate in verdict.gates if gate.outcome == "fail"]
    doubtful = [gate.reason for gate in verdict.gates if gate.outcome == "undecided"]
    assert verdict.reasons == (*failed, *doubtful)
    assert verdict.doubts == tuple(gate.name for gate in verdict.gates if gate.outcome == "undecided")


def test_what_a_judge_says_is_reported_until_it_agrees_with_people_and_decides_then() -> None:
    fields = {"judge": JudgePolicy(model="gpt"), "floors": {"judged_faithfulness": 0.7}, "resamples": 1_000}
    policy = Policy.model_validate(fields)
    case = replace(BASE, policy=policy)
    unfaithful = replace(
        case, candidate=with_scores(case.candidate, lambda n, m, score: 0.0 if m == "judged_faithfulness" else score)
    )
    outcomes = [
        decide(replace(unfaithful, agreement=agreement)).verdict
        for agreement in ({}, {"judged_faithfulness": Agreement(0.9, 0.8, 40)})
    ]
    assert outcomes == ["PROMOTE", "REJECT"]


TRUSTED: dict[Metric, Agreement] = {"judged_relevancy": Agreement(0.9, 0.8, 40)}


def relevant(sheet: ScoreSheet, value: float) -> ScoreSheet:
    return with_scores(sheet, lambda n, metric, score: value if metric == "judged_relevancy" else score)


def by_the_judge(now: float, then: float, kinds: tuple[Kind, ...], promise: dict[str, object]) -> list[VerdictWord]:
    """The verdict while nobody knows whether the judge agrees with people, and once it does."""
    fields = {"judge": JudgePolicy(model="gpt"), "resamples": 1_000, **promise}
    sheets = {"candidate": relevant(BASE.candidate, now), "baseline": relevant(BASE.baseline, then)}  # type: ignore[arg-type]
    case = replace(BASE, policy=Policy.model_validate(fields), kinds=kinds, **sheets)
    return [decide(replace(case, agreement=agreement)).verdict for agreement in ({}, TRUSTED)]


@pytest.mark.parametrize(
    ("kinds", "promise"),
    [
        (("adapter",), {"adapter_improves": "judged_relevancy"}),
        (("config",), {"config_improves": ["judged_relevancy"]}),
    ],
)
def test_what_was_promised_is_kept_by_a_judges_word_only_once_it_agrees_with_people(
    kinds: tuple[Kind, ...], promise: dict[str, object]
) -> None:
    assert by_the_judge(1.0, 0.0, kinds, promise) == ["HOLD", "PROMOTE"]


def test_a_loss_that_only_a_judge_sees_rejects_only_once_it_agrees_with_people() -> None:
    assert by_the_judge(0.0, 1.0, ("documents",), {"margins": {"judged_relevancy": 0.1}}) == ["PROMOTE", "REJECT"]


# ── which questions are compared ─────────────────────────────────────────────────────────────────────────────────────

CHANGED: dict[str, Touch] = {label.id: "answer" for label in LABELS[:10]}


def wrong_where_it_changed(label: Label):
    return wrong(label) if label.id in CHANGED else perfect(label)


def outcomes(verdict: Verdict) -> dict[str, str]:
    return {gate.name: gate.outcome for gate in verdict.gates if gate.outcome not in ("pass", "reported")}


def test_what_was_right_about_the_old_documents_is_no_measure_of_harm() -> None:
    verdict = decide(case_of(evidence(LABELS, wrong_where_it_changed, perfect, touched=CHANGED)))
    assert outcomes(verdict) == {"fresh": "fail"}
    counted = {gate.name: gate.n for gate in verdict.gates}
    assert (counted["no-harm-correct"], counted["floor-correct"]) == (84 - 10, 84)


def test_nor_is_it_a_measure_of_drift() -> None:
    given_ = evidence(LABELS, wrong_where_it_changed, wrong_where_it_changed)
    anchored = replace(given_, anchor=manifest(snapshot=9), anchor_answers=tuple(perfect(label) for label in LABELS))
    assert "drift-correct" in outcomes(decide(case_of(anchored)))
    assert outcomes(decide(case_of(replace(anchored, anchor_touched=CHANGED)))) == {}


def test_a_page_that_changed_around_the_answer_is_still_compared() -> None:
    around: dict[str, Touch] = dict.fromkeys(CHANGED, "page")
    counted = {gate.name: gate.n for gate in decide(case_of(evidence(LABELS, perfect, perfect, touched=around))).gates}
    assert (counted["no-harm-correct"], counted["slice-page-changed"]) == (84, 10)


def test_small_losses_that_every_comparison_lets_through_are_stopped_by_the_anchor() -> None:
    """Minus one point per release: none is worse than the one before, and the tenth would be ten points worse."""
    labels = golden_labels(400)
    releases = [sheet(f"r-{n}", labels, correct=[0.0] * 4 * n + [1.0] * (400 - 4 * n)) for n in range(12)]
    steps = [no_harm_gate(now, then, "correct", 0.1, QUICK).outcome for then, now in pairwise(releases)]
    since = [drift_gate(now, releases[0], "correct", 0.1, QUICK).outcome for now in releases]
    assert set(steps) == {"pass"}
    assert 3 < since.index("undecided") <= 10
    assert "pass" not in since[since.index("undecided") :]


# ── saving counts as better ──────────────────────────────────────────────────────────────────────────────────────────


def terser(behaviour: Behaviour) -> Behaviour:
    return lambda label: replace(behaviour(label), prompt_tokens=60 + int(label.id[2:], 16) % 2)


PROMPTED = manifest(system="Answer briefly.")


@pytest.mark.parametrize(
    ("now", "then", "seconds", "gate"),
    [
        (terser(perfect), perfect, 1.0, "cheaper"),
        (perfect, perfect, 0.5, "faster"),
        (perfect, mostly(perfect, miscited, every=2), 1.0, "better-citation"),
    ],
)
def test_a_new_prompt_has_to_be_better_at_one_thing_or_cheaper_or_faster(
    now: Behaviour, then: Behaviour, seconds: float, gate: str
) -> None:
    timed = rehearsed(LABELS, now, then, count=8, seconds=seconds)
    verdict = decide(case_of(evidence(LABELS, now, then, candidate=PROMPTED, rehearsal=timed)))
    assert verdict.verdict == "PROMOTE"
    assert gate in [one.name for one in verdict.gates]


def test_where_pace_is_not_measured_nothing_about_it_is_asked() -> None:
    unhurried = Policy.model_validate({"resamples": 1_000, "pace": {"questions": 0}})
    verdict = decide(case_of(evidence(LABELS, perfect, perfect, candidate=PROMPTED, policy=unhurried)))
    assert outcomes(verdict) == {"better-at-one": "undecided"}
    assert "faster" not in verdict.reasons[0]
    assert not {"pace", "served-as-judged"} & {gate.name for gate in verdict.gates}


def test_alpha_is_shared_among_all_that_is_tried() -> None:
    """Seven of 84 gained are surely an improvement where one metric is tried, and not where two dozen are."""
    labels = golden_labels(84)
    seven = {label.id for label in labels[:7]}
    everything = [metric for metric in METRICS if metric not in (*JUDGED, "format")]
    words = []
    for tried in (["correct"], everything):
        fields = {"resamples": 1_000, "config_improves": tried, "margins": {"correct": 0.1}}
        given_ = evidence(
            labels,
            perfect,
            lambda label: wrong(label) if label.id in seven else perfect(label),
            candidate=PROMPTED,
            policy=Policy.model_validate(fields),
        )
        words.append(decide(case_of(given_)).verdict)
    assert words == ["PROMOTE", "HOLD"]


@pytest.mark.parametrize(("timed", "tried"), [(0, 1 + 1), (8, 1 + 1 + 1)])
def test_what_is_saved_takes_its_share_of_alpha_and_time_only_where_it_is_measured(timed: int, tried: int) -> None:
    fields = {"resamples": 1_000, "config_improves": ["correct"], "pace": {"questions": timed}}
    policy = Policy.model_validate(fields)
    three = {label.id for label in LABELS[::28]}
    case = case_of(
        evidence(
            LABELS,
            perfect,
            lambda label: wrong(label) if label.id in three else perfect(label),
            candidate=PROMPTED,
            policy=policy,
        )
    )
    assert case.baseline is not None
    [found] = [gate for gate in decide(case).gates if gate.name == "better-at-one"]
    bounds = [
        better_gate(case.candidate, case.baseline, "correct", policy, alpha=policy.alpha / share).bound
        for share in (1, 2, 3)
    ]
    assert len(set(bounds)) == 3
    assert found.bound == bounds[tried - 1]


# ── over any scores ──────────────────────────────────────────────────────────────────────────────────────────────────

flips = st.lists(st.tuples(st.integers(0, len(LABELS) - 1), st.sampled_from(sorted(CHANCES))), min_size=1, max_size=12)


def noisy_case(seed: int) -> Case:
    """Any kind of change, noisy on all sides, with an anchor, changed answers and a required slice."""
    rng = np.random.default_rng(seed)
    kinds = KINDS[1:][seed % 4]
    fields = {
        "resamples": 1_000,
        "floors": {},
        "slices": [{"name": "first", "question": "pump [0-4]", "required": True}],
    }
    touched: dict[str, Touch] = {label.id: "answer" for label in LABELS[: seed % 8]}
    return replace(
        BASE,
        candidate=noisy(rng, BASE.candidate),
        baseline=replace(noisy(rng, BASE.candidate), answerer="r-current"),
        anchor=replace(noisy(rng, BASE.candidate), answerer="r-first"),
        kinds=kinds,
        touched=touched,
        policy=Policy.model_validate(fields),
    )


def set_to(sheet: ScoreSheet, cells: list[tuple[int, Metric]], value: Score) -> ScoreSheet:
    chosen = set(cells)
    return with_scores(
        sheet, lambda n, m, score: value if (n, m) in chosen and not isinstance(score, Undefined) else score
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1_000), flips)
def test_a_better_candidate_never_gets_a_worse_value_from_any_gate(seed: int, better: list[tuple[int, Metric]]) -> None:
    """Only a verdict can fall, through a wider spread; never a value, through the mean."""
    case = noisy_case(seed)
    before = {gate.name: gate.value for gate in decide(case).gates}
    after = {
        gate.name: gate.value for gate in decide(replace(case, candidate=set_to(case.candidate, better, 1.0))).gates
    }
    assert len(before.keys() & after.keys()) > 10
    assert all((after[name] or 0.0) >= (before[name] or 0.0) for name in before.keys() & after.keys())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1_000), flips, st.sampled_from(["candidate", "baseline", "anchor"]))
def test_losing_scores_never_makes_a_gate_pass(seed: int, lost: list[tuple[int, Metric]], role: str) -> None:
    """Of the candidate or of those it is compared with: so no HOLD and no REJECT becomes PROMOTE."""
    case = noisy_case(seed)
    less = replace(case, **{role: set_to(getattr(case, role), lost, LOST)})  # type: ignore[arg-type]
    before = {gate.name: gate.outcome for gate in decide(case).gates}
    after = {gate.name: gate.outcome for gate in decide(less).gates}
    newly = {name for name in after if after[name] == "pass" and before.get(name, "pass") != "pass"}
    assert newly == set()
    assert "better-at-one" in after or "better-at-one" not in before


ALMOST = [case for case in map(noisy_case, range(40)) if decide(case).verdict != "PROMOTE"][:10]


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(range(len(ALMOST))), st.data())
def test_losing_every_score_that_speaks_against_a_release_does_not_promote_it(at: int, data: st.DataObject) -> None:
    """The most tempting of all ways to lose scores."""
    case = ALMOST[at]
    metrics = data.draw(st.sets(st.sampled_from(sorted(CHANCES)), min_size=1))
    against = [
        (n, metric) for n, q in enumerate(case.candidate.questions) for metric in metrics if q.scores[metric] == 0.0
    ]
    assert decide(replace(case, candidate=set_to(case.candidate, against, LOST))).verdict != "PROMOTE"


@pytest.mark.parametrize("worse", range(0, 60, 12))
def test_losing_more_questions_never_improves_the_verdict(worse: int) -> None:
    def verdict(lost: int) -> int:
        first = {label.id for label in LABELS[:lost]}
        evidence_ = evidence(LABELS, lambda label: wrong(label) if label.id in first else perfect(label), perfect)
        return RANK[decide(case_of(evidence_)).verdict]

    assert verdict(worse + 12) <= verdict(worse)


# ── the same case, the same verdict ──────────────────────────────────────────────────────────────────────────────────


def shuffled(given: Evidence, seed: int) -> Evidence:
    """The same evidence in another order: labels with their answers, and every mapping."""
    order = list(range(len(given.labels)))
    random.Random(seed).shuffle(order)

    def reordered(answers: tuple) -> tuple:
        return tuple(answers[n] for n in order) if answers else ()

    fields = given.policy.model_dump()
    mixed = {key: dict(_reversed(value)) if isinstance(value, dict) else value for key, value in _reversed(fields)}
    return replace(
        given,
        policy=Policy.model_validate(mixed),
        labels=reordered(given.labels),
        answers=reordered(given.answers),
        baseline_answers=reordered(given.baseline_answers),
        anchor_answers=reordered(given.anchor_answers),
        touched=dict(_reversed(given.touched)),
        rehearsal=replace(
            given.rehearsal, candidate=given.rehearsal.candidate[::-1], baseline=given.rehearsal.baseline[::-1]
        ),
    )


def _reversed(mapping: object) -> Iterator[tuple[str, object]]:
    assert hasattr(mapping, "items")
    return iter(list(mapping.items())[::-1])


MIXED = replace(
    evidence(
        golden_labels(40, 16, per_page=3),
        mostly(perfect, wrong, every=5),
        mostly(perfect, miscited, every=3),
        candidate=manifest(system="Answer briefly.", snapshot=2),
        touched={
            label.id: "answer" if n % 2 else "page" for n, label in enumerate(golden_labels(40, 16, per_page=3)[:9])
        },
    ),
    anchor=manifest(snapshot=9),
    anchor_answers=tuple(map(perfect, golden_labels(40, 16, per_page=3))),
)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_a_verdict_depends_on_its_case_alone_byte_for_byte_in_whatever_order_it_comes(seed: int) -> None:
    again = shuffled(MIXED, seed)
    assert verdict_bytes(again, decide(case_of(again))) == verdict_bytes(MIXED, decide(case_of(MIXED)))


def test_another_seed_draws_otherwise_and_is_another_case() -> None:
    other = replace(MIXED, policy=MIXED.policy.model_copy(update={"seed": 7}))
    bounds = [[gate.bound for gate in decide(case_of(one)).gates] for one in (MIXED, other)]
    values = [[gate.value for gate in decide(case_of(one)).gates] for one in (MIXED, other)]
    assert values[0] == values[1]
    assert bounds[0] != bounds[1]


def test_an_anchor_nobody_asks_about_may_be_broken() -> None:
    unasked = QUICK.model_copy(update={"drift_budget": {}})
    broken = Integrity(BASE.integrity.golden_set, anchor_broken=("Its snapshot is gone.",))
    assert decide(replace(BASE, integrity=broken)).doubts == ("anchor",)
    assert decide(replace(BASE, integrity=broken, policy=unasked)).verdict == "PROMOTE"
