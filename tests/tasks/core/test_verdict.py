"""What verdicts promise over many sets of scores: equal never rejects, better never hurts, harm is rarely missed."""

from dataclasses import replace

import numpy as np
import pytest
from evaluation_fakes import QUICK, declines, evidence, golden_labels, manifest, mostly, perfect, wrong
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.comparison import Kind
from tasks.core.evidence import case_of
from tasks.core.metrics.score import Metric, Undefined
from tasks.core.promotion import VerdictWord
from tasks.core.scoring import ScoreSheet
from tasks.core.verdict import Case, decide

LABELS = golden_labels(84, 24, per_page=6)
BASE = case_of(evidence(LABELS, perfect, perfect))
RANK = {"REJECT": 0, "HOLD": 1, "PROMOTE": 2}
FASTEST = QUICK.model_copy(update={"floors": {}})


def with_values(sheet: ScoreSheet, values: dict[Metric, list[float]]) -> ScoreSheet:
    """The sheet with other values wherever a metric is defined."""
    return replace(
        sheet,
        questions=tuple(
            replace(
                q,
                scores={
                    m: s if isinstance(s, Undefined) or m not in values else values[m][n] for m, s in q.scores.items()
                },
            )
            for n, q in enumerate(sheet.questions)
        ),
    )


def noisy(rng: np.random.Generator, sheet: ScoreSheet) -> ScoreSheet:
    chances: dict[Metric, float] = {"all_right": 0.5, "correct": 0.6, "citation": 0.8, "style": 0.9, "recall": 0.9}
    chances |= {"abstains": 0.6, "answers": 0.9, "right": 0.6}
    n = len(sheet.questions)
    return with_values(sheet, {m: (rng.random(n) < p).astype(float).tolist() for m, p in chances.items()})


KINDS: tuple[tuple[Kind, ...], ...] = ((), ("documents",), ("adapter",), ("config",), ("adapter", "documents"))


def test_the_same_scores_on_both_sides_never_reject_and_promote_only_what_promised_nothing_more() -> None:
    found: dict[tuple[Kind, ...], set[VerdictWord]] = {kinds: set() for kinds in KINDS}
    for seed in range(200):
        kinds = KINDS[seed % len(KINDS)]
        sheet = noisy(np.random.default_rng(seed), BASE.candidate)
        same = replace(sheet, answerer="r-current")
        found[kinds].add(decide(replace(BASE, candidate=sheet, baseline=same, kinds=kinds, policy=FASTEST)).verdict)
    assert found == {kinds: {"PROMOTE" if kinds == ("documents",) else "HOLD"} for kinds in KINDS}


def test_three_verdicts_in_three_sentences() -> None:
    tuned = manifest(adapter="sha256-1")
    third_wrong = mostly(perfect, wrong, every=3)
    assert decide(case_of(evidence(LABELS, perfect, third_wrong, candidate=tuned))).verdict == "PROMOTE"
    assert decide(case_of(evidence(LABELS, perfect, perfect, candidate=tuned))).verdict == "HOLD"
    assert decide(case_of(evidence(LABELS, third_wrong, perfect, candidate=tuned))).verdict == "REJECT"


def test_always_abstaining_is_rejected() -> None:
    assert decide(case_of(evidence(LABELS, declines))).verdict == "REJECT"


flips = st.lists(
    st.tuples(st.integers(0, len(LABELS) - 1), st.sampled_from(["correct", "citation", "all_right"])), max_size=8
)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1_000), flips)
def test_answering_one_more_question_right_never_worsens_the_score_bounds(
    seed: int, better: list[tuple[int, Metric]]
) -> None:
    """Holds for every gate's value; the verdict itself can only fall through a wider spread, never through the mean."""
    case = replace(BASE, candidate=noisy(np.random.default_rng(seed), BASE.candidate), policy=FASTEST)
    before = {gate.name: gate.value for gate in decide(case).gates}
    after = {gate.name: gate.value for gate in decide(improved(case, better)).gates}
    assert all((after[name] or 0.0) >= (value or 0.0) for name, value in before.items())


def improved(case: Case, better: list[tuple[int, Metric]]) -> Case:
    values: dict[Metric, list[float]] = {}
    for n, metric in better:
        row = values.setdefault(metric, [_value(case.candidate, metric, i) for i in range(len(LABELS))])
        row[n] = 1.0
    return replace(case, candidate=with_values(case.candidate, values))


def _value(sheet: ScoreSheet, metric: Metric, n: int) -> float:
    score = sheet.questions[n].scores[metric]
    return 0.0 if isinstance(score, Undefined) else score


@pytest.mark.parametrize("worse", range(0, 60, 6))
def test_losing_more_questions_never_improves_the_verdict(worse: int) -> None:
    def verdict(lost: int) -> int:
        first = {label.id for label in LABELS[:lost]}
        evidence_ = evidence(LABELS, lambda label: wrong(label) if label.id in first else perfect(label), perfect)
        return RANK[decide(case_of(evidence_)).verdict]

    assert verdict(worse + 6) <= verdict(worse)
