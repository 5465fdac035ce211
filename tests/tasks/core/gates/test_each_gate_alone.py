"""Each gate is needed: for each there is a release that this gate alone keeps from being served."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from evaluation_fakes import (
    ABSTENTION,
    QUICK,
    declines,
    evidence,
    golden_labels,
    manifest,
    miscited,
    mostly,
    passages,
    perfect,
    rehearsed,
    says,
    wrong,
)

from tasks.core.answers import Answer
from tasks.core.evidence import Evidence, case_of
from tasks.core.integrity import Integrity
from tasks.core.labels import Label, golden_set
from tasks.core.pace import NOT_REHEARSED
from tasks.core.policy import NEVER_OVERRIDDEN, Policy
from tasks.core.verdict import Case, Verdict, decide

DOC = Path(__file__).parents[4] / "docs" / "gates.md"
LABELS = golden_labels(100, 40)
GOLDEN = golden_set(LABELS)
assert GOLDEN is not None
TUNED, PROMPTED = manifest(adapter="sha256-1"), manifest(system="Answer briefly.")
TWO_PAGES = tuple(replace(label, documents=(*label.documents, f"pumps/{label.id}.md")) for label in LABELS)
IN_FOLDERS = tuple(
    replace(label, documents=(f"oils/{label.id}.md",)) if n < 12 else label
    for n, label in enumerate(golden_labels(300, 60))
)


def policy(**fields: object) -> Policy:
    return Policy.model_validate({"resamples": 1_000, **fields})


def number(label: Label) -> int:
    return int(label.id[2:], 16)


def plain(label: Label) -> Answer:
    """Faithful, cited, in style; not what was asked."""
    return (
        declines(label)
        if label.unanswerable
        else says(label, passages(label)[0].text.split("\n")[1].split(".")[0] + ".")
    )


def unstyled(label: Label) -> Answer:
    right = perfect(label)
    return (
        right if label.unanswerable else replace(right, text=f"{label.answer.replace(' reaches', ' [1] reaches')} [1]")
    )


def negated(label: Label) -> Answer:
    return declines(label) if label.unanswerable else says(label, label.answer.replace("reaches", "never reaches"))


def answers_anything(label: Label) -> Answer:
    return plain(replace(label, unanswerable=False)) if label.unanswerable else perfect(label)


def both_pages(label: Label) -> Answer:
    right = perfect(label)
    first = right.contexts[0]
    return replace(right, contexts=(first, replace(first, marker=2, document=label.documents[1], chunk="c-2")))


def one_page(label: Label) -> Answer:
    right = both_pages(label)
    return replace(right, contexts=right.contexts[:1])


def wrong_and_miscited(label: Label) -> Answer:
    return says(label, "It reaches 7 bar.", marker=2)


def copied(label: Label) -> Answer:
    """Pages that open with the answer: copying is as right."""
    right = perfect(label)
    return replace(right, contexts=(replace(right.contexts[0], text=f"Pumps\n{label.answer}"), right.contexts[1]))


def in_json(label: Label) -> Answer:
    return replace(perfect(label), text=json.dumps({"bar": "" if label.unanswerable else label.facts[0]}))


def one_broken(label: Label) -> Answer:
    return replace(in_json(label), text="{") if number(label) == 5 else in_json(label)


def oils_wrong(label: Label) -> Answer:
    return plain(label) if label.documents[0].startswith("oils/") else perfect(label)


def not_the_first(label: Label) -> Answer:
    return plain(label) if number(label) == 0 else perfect(label)


def without_a_tenth(label: Label) -> Answer:
    return plain(label) if number(label) % 10 < 4 else perfect(label)


JSON = policy(
    floors={}, margins={"correct": 0.1}, answer_schema={"type": "object", "required": ["bar"]}, minimum_slice=100
)
UNSLICED = policy(minimum_slice=300)
CHANGED = {label.id: "answer" for label in LABELS[:10]}


def only_beats(name: str) -> Callable[[Case], Case]:
    """Beside one trivial answerer alone: what beats it not, beats nobody that does better."""
    return lambda case: replace(case, trivial=tuple(one for one in case.trivial if one.answerer == name))


@dataclass(frozen=True)
class Alone:
    """A release that one gate stops."""

    outcome: str
    given: Evidence
    then: Callable[[Case], Case] = lambda case: case


def served(now: Callable[[Label], Answer], by: Policy = QUICK, labels: tuple[Label, ...] = LABELS) -> Evidence:
    """New documents, answered as the release being served answers."""
    return evidence(labels, now, now, policy=by)


def after(now: Callable[[Label], Answer], then: Callable[[Label], Answer] = perfect, by: Policy = QUICK) -> Evidence:
    return evidence(LABELS, now, then, policy=by)


def anchored(given: Evidence, anchor: Callable[[Label], Answer]) -> Evidence:
    return replace(given, anchor=manifest(snapshot=9), anchor_answers=tuple(anchor(label) for label in given.labels))


EVERY_THIRD = 3
STOPPED_BY: dict[str, Alone] = {
    "intact": Alone("fail", replace(served(perfect), integrity=Integrity(GOLDEN.id, broken=("NaN.",)))),
    "golden-set": Alone("fail", served(perfect), lambda case: replace(case, trivial=(_shorter(case.trivial[0]),))),
    "no-leak": Alone("fail", replace(served(perfect), integrity=Integrity(GOLDEN.id, leaks=("l-1 was trained on.",)))),
    "served-as-judged": Alone(
        "undecided", replace(served(perfect), rehearsal=rehearsed(LABELS, declines, perfect, count=8))
    ),
    "format": Alone("fail", served(one_broken, JSON)),
    "floor-correct": Alone(
        "fail", served(mostly(perfect, plain, every=2), policy(floors={"correct": 0.7}, minimum_slice=300))
    ),
    "floor-style": Alone("fail", served(mostly(perfect, unstyled, every=1), policy(floors={"style": 0.6}))),
    "beats-always-abstain": Alone("undecided", served(plain, policy(floors={})), only_beats("always-abstain")),
    "beats-copy-first-sentence": Alone("undecided", served(copied), only_beats("copy-first-sentence")),
    "beats-majority-class": Alone("undecided", served(plain, policy(floors={})), only_beats("majority-class")),
    "something-new": Alone("undecided", evidence(LABELS, perfect, perfect, candidate=manifest())),
    "no-harm-correct": Alone("fail", after(mostly(perfect, plain, every=EVERY_THIRD), by=UNSLICED)),
    "no-harm-citation": Alone("fail", after(mostly(perfect, miscited, every=EVERY_THIRD))),
    "no-harm-faithfulness": Alone("fail", after(mostly(perfect, negated, every=2))),
    "no-harm-style": Alone("fail", after(mostly(perfect, unstyled, every=2), by=policy(floors={}))),
    "no-harm-recall": Alone(
        "fail", evidence(TWO_PAGES, mostly(both_pages, one_page, every=2), both_pages, policy=policy(floors={}))
    ),
    "no-harm-abstains": Alone("fail", after(answers_anything, by=UNSLICED)),
    "no-harm-answers": Alone(
        "fail", after(mostly(perfect, declines, every=2), mostly(perfect, wrong_and_miscited, every=2), UNSLICED)
    ),
    "fresh": Alone("undecided", replace(served(not_the_first), touched=CHANGED)),
    "better-all-right": Alone("undecided", evidence(LABELS, perfect, perfect, candidate=TUNED)),
    "better-at-one": Alone("undecided", evidence(LABELS, perfect, perfect, candidate=PROMPTED)),
    "slice-oils": Alone("fail", evidence(IN_FOLDERS, oils_wrong, perfect)),
    "drift-correct": Alone("fail", anchored(served(without_a_tenth, UNSLICED), perfect)),
    "drift-citation": Alone("fail", anchored(served(mostly(perfect, miscited, every=EVERY_THIRD)), perfect)),
    "anchor": Alone("undecided", replace(served(perfect), integrity=Integrity(GOLDEN.id, anchor_broken=("Gone.",)))),
    "pace": Alone(
        "fail", replace(served(perfect), rehearsal=rehearsed(LABELS, perfect, perfect, count=8, seconds=3.0))
    ),
    "pace-p95": Alone(
        "fail",
        replace(
            served(perfect, policy(pace={"questions": 60, "max_p95_seconds": 1.5})),
            rehearsal=rehearsed(LABELS, perfect, perfect, count=60, seconds=1.6),
        ),
    ),
}


def _shorter(sheet):
    return replace(sheet, questions=sheet.questions[1:])


@cache
def verdict_of(name: str) -> Verdict:
    alone = STOPPED_BY[name]
    return decide(alone.then(case_of(alone.given)))


@pytest.mark.parametrize("name", STOPPED_BY)
def test_without_this_gate_the_release_would_be_served(name: str) -> None:
    alone = STOPPED_BY[name]
    verdict = verdict_of(name)
    assert {gate.name: gate.outcome for gate in verdict.gates if gate.outcome in ("fail", "undecided")} == {
        name: alone.outcome
    }
    assert verdict.verdict == {"fail": "REJECT", "undecided": "HOLD"}[alone.outcome]


def test_a_release_without_fault_passes_all_that_are_asked() -> None:
    whole = anchored(
        evidence(
            IN_FOLDERS,
            perfect,
            mostly(perfect, wrong, every=EVERY_THIRD),
            candidate=TUNED,
            policy=policy(pace={"questions": 60, "max_p95_seconds": 1.5}),
        ),
        perfect,
    )
    verdict = decide(case_of(whole))
    assert verdict.verdict == "PROMOTE"
    assert {gate.outcome for gate in verdict.gates} == {"pass"}
    assert len(verdict.gates) > 20


def test_every_gate_a_verdict_can_hold_has_its_case_here() -> None:
    asked = {gate.name for name in STOPPED_BY for gate in verdict_of(name).gates}
    alike = {"floor-recall": "floor-correct", "drift-recall": "drift-correct", "drift-faithfulness": "drift-correct"}
    alike |= {"slice-unanswerable": "slice-oils", "slice-pumps": "slice-oils"}
    assert {alike.get(name, name) for name in asked} == set(STOPPED_BY)


def test_what_nobody_may_override_are_gates() -> None:
    assert set(NEVER_OVERRIDDEN) <= set(STOPPED_BY)


def test_every_gate_is_in_the_docs() -> None:
    documented = DOC.read_text()
    for name in STOPPED_BY:
        sort = name if f"`{name}`" in documented else f"{name.rpartition('-')[0]}-…"
        assert f"`{sort}`" in documented or f"`{name.split('-')[0]}-…`" in documented, name


def test_the_first_release_is_judged_by_itself() -> None:
    verdict = decide(case_of(evidence(LABELS, perfect)))
    assert verdict.verdict == "PROMOTE"
    assert [gate.name for gate in verdict.gates] == [
        "intact",
        "golden-set",
        "no-leak",
        "served-as-judged",
        "floor-correct",
        "floor-style",
        "floor-recall",
        "beats-always-abstain",
        "beats-copy-first-sentence",
        "beats-majority-class",
        "pace",
    ]
    assert verdict.gates[-1].outcome == "reported"


def test_where_format_has_a_floor_one_broken_answer_is_allowed() -> None:
    floored = JSON.model_copy(update={"floors": {"format": 0.9}})
    verdict = decide(case_of(served(one_broken, floored)))
    assert verdict.verdict == "PROMOTE"
    assert {"format", "floor-format"} & {gate.name for gate in verdict.gates} == {"floor-format"}


def test_of_a_broken_release_nothing_else_is_asked() -> None:
    for broken in (Integrity(GOLDEN.id, broken=("NaN.",)), Integrity(GOLDEN.id, baseline_broken=("Gone.",))):
        verdict = decide(case_of(replace(served(perfect), integrity=broken)))
        assert [gate.name for gate in verdict.gates] == ["intact"]
    leaked = decide(case_of(replace(served(wrong), integrity=Integrity(GOLDEN.id, leaks=("It leaked.",)))))
    assert [gate.name for gate in leaked.gates] == ["intact", "golden-set", "no-leak"]


def test_without_questions_asked_one_at_a_time_nothing_about_pace_is_known() -> None:
    verdict = decide(case_of(evidence(LABELS, perfect, perfect, rehearsal=NOT_REHEARSED)))
    assert verdict.doubts == ("served-as-judged", "pace")


def test_the_abstention_of_the_fakes_is_the_release_s_own() -> None:
    assert manifest().prompt.abstention == ABSTENTION
