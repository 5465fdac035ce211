"""Faults that were put into an otherwise equal release on purpose: each is refused, and by the gate that names it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pytest
from evaluation_fakes import (
    ABSTENTION,
    QUICK,
    Behaviour,
    declines,
    evidence,
    golden_labels,
    manifest,
    perfect,
    rehearsed,
    says,
)

from tasks.core.answers import Answer
from tasks.core.comparison import Touch
from tasks.core.evidence import Evidence, case_of
from tasks.core.integrity import Integrity, golden_leaks
from tasks.core.labels import Label, golden_set
from tasks.core.policy import Policy
from tasks.core.releases import ReleaseManifest
from tasks.core.verdict import Verdict, decide

LABELS = golden_labels(100, 40, per_page=2)
GOLDEN = golden_set(LABELS)
assert GOLDEN is not None
CHANGED: Mapping[str, Touch] = {label.id: "answer" for label in LABELS[:10]}
TUNED = manifest(adapter="sha256-1")


def number(label: Label) -> int:
    return int(label.id[2:], 16)


def right(label: Label) -> Answer:
    """Mostly right, as releases are: every ninth answer is wrong, on both sides."""
    return says(label, "It reaches 7 bar.") if number(label) % 9 == 0 else perfect(label)


def reworded(change: Callable[[str], str]) -> Behaviour:
    def answers(label: Label) -> Answer:
        made = right(label)
        return made if made.abstained else replace(made, text=change(made.text), raw=change(made.raw))

    return answers


def swapped(label: Label) -> Answer:
    made = right(label)
    return made if made.abstained else says(label, made.raw, marker=2)


def dropped(label: Label) -> Answer:
    made = right(label)
    return made if made.abstained else says(label, made.raw, marker=None)


def from_another_page(label: Label) -> Answer:
    made = right(label)
    elsewhere = tuple(replace(one, document="kitchen.md", text="Kitchen\nTea at four.") for one in made.contexts)
    cited = tuple(replace(one, document="kitchen.md") for one in made.citations)
    return replace(made, contexts=elsewhere, citations=cited)


def answers_everything(label: Label) -> Answer:
    return says(label, "It reaches 1,000 bar.") if label.unanswerable else right(label)


def stale(label: Label) -> Answer:
    """As the old index answers: by the text before the change."""
    return says(label, "It reaches 5 bar.") if label.id in CHANGED else right(label)


def other_number(text: str) -> str:
    return re.sub(r"\d(?= bar)", lambda digit: str((int(digit[0]) + 1) % 10), text)


def untuned(text: str) -> str:
    return f"Well, let me see. {text} Anything else?"


JSON = Policy(
    resamples=1_000,
    answer_schema={"type": "object", "required": ["bar"], "properties": {"bar": {"type": "string"}}},
    floors={"correct": 0.2},
    margins={"correct": 0.1, "right": 0.1},
)


def in_json(label: Label) -> Answer:
    return replace(perfect(label), text=json.dumps({"bar": ABSTENTION if label.unanswerable else label.facts[0]}))


def in_broken_json(label: Label) -> Answer:
    made = in_json(label)
    return replace(made, text=made.text[:-1]) if number(label) % 50 == 7 else made


def judged(
    now: Behaviour,
    then: Behaviour = right,
    *,
    candidate: ReleaseManifest | None = None,
    policy: Policy = QUICK,
    **given: object,
) -> Verdict:
    made: Evidence = evidence(LABELS, now, then, candidate=candidate or manifest(snapshot=2), policy=policy)
    return decide(case_of(replace(made, **given)))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Refused:
    """A fault, what it looks like, and what has to be said about it."""

    verdict: str
    gate: str
    says: str  # in that gate's reason
    judge: Callable[[], Verdict]


def answered(now: Behaviour, gate: str, reason: str) -> Refused:
    return Refused("REJECT", gate, reason, lambda: judged(now))


FAULTS = {
    "stale index": Refused(
        "HOLD",
        "fresh",
        "Of 10 questions whose answer changed, 0 are right now",
        lambda: judged(stale, stale, touched=CHANGED),
    ),
    "wrong document": answered(from_another_page, "no-harm-recall", "recall: -100.0 points"),
    "swapped citation ids": answered(swapped, "no-harm-citation", "citation: -100.0 points"),
    "dropped citations": answered(dropped, "no-harm-citation", "citation: -100.0 points"),
    "negated claim": answered(
        reworded(lambda text: text.replace(" reaches ", " never reaches ")), "no-harm-faithfulness", "faithfulness: -"
    ),
    "changed number": answered(reworded(other_number), "no-harm-correct", "correct: -88.0 points"),
    "truncated answer": answered(reworded(lambda text: text[:11]), "no-harm-correct", "correct: -88.0 points"),
    "broken JSON": Refused(
        "REJECT",
        "format",
        "3 of 140 answers are no valid JSON of the policy's schema, such as that to l-",
        lambda: judged(in_broken_json, in_json, policy=JSON),
    ),
    "never abstains": answered(answers_everything, "no-harm-abstains", "abstains: -"),
    "always abstains": answered(declines, "no-harm-answers", "answers: -100.0 points"),
    "slow": Refused(
        "REJECT",
        "pace",
        "The median of 8 questions took 5.00 times the seconds",
        lambda: judged(right, rehearsal=rehearsed(LABELS, right, right, count=8, seconds=5.0)),
    ),
    "base instead of adapter": answered(reworded(untuned), "no-harm-style", "style: -"),
    "base instead of a first adapter": Refused(
        "HOLD", "better-all-right", "all_right: +0.0 points", lambda: judged(right, candidate=TUNED)
    ),
    "NaN adapter": Refused(
        "REJECT",
        "intact",
        "Adapter sha256-1 holds NaN in layers.0.q_proj.",
        lambda: judged(
            right,
            candidate=TUNED,
            integrity=Integrity(GOLDEN.id, broken=("Adapter sha256-1 holds NaN in layers.0.q_proj.",)),
        ),
    ),
    "train/eval leak by id": Refused("REJECT", "no-leak", "was trained on.", lambda: leaked(LABELS[3])),
    "train/eval leak by page": Refused(
        "REJECT",
        "no-leak",
        "is about pumps/3.md",
        lambda: leaked(replace(LABELS[3], id="l-o", question="Who made it?")),
    ),
    "train/eval leak by wording": Refused(
        "REJECT",
        "no-leak",
        "stands word for word in l-o",
        lambda: leaked(
            replace(
                LABELS[3],
                id="l-o",
                documents=("a.md",),
                question=f"Say: {LABELS[3].question} {LABELS[3].answer}",
                answer="So it is.",
            )
        ),
    ),
    "answers otherwise alone": Refused(
        "HOLD",
        "served-as-judged",
        "questions asked one at a time got the answer that was judged",
        lambda: judged(right, rehearsal=rehearsed(LABELS, declines, right, count=8)),
    ),
    "answers of other questions": Refused("REJECT", "golden-set", "answered another question than", lambda: shuffled()),
}


def leaked(trained_on: Label) -> Verdict:
    assert GOLDEN is not None
    leaks = golden_leaks(LABELS, [replace(trained_on, split="train")])
    return judged(right, candidate=TUNED, integrity=Integrity(GOLDEN.id, leaks=leaks))


def shuffled() -> Verdict:
    answers = [right(label) for label in LABELS]
    return judged(right, answers=(*answers[1:], answers[0]))


def test_without_a_fault_the_same_release_is_promoted() -> None:
    assert judged(right).verdict == "PROMOTE"
    assert judged(in_json, in_json, policy=JSON).verdict == "PROMOTE"
    assert judged(right, stale, touched=CHANGED).verdict == "PROMOTE"
    assert judged(right, reworded(untuned), candidate=TUNED).verdict == "PROMOTE"


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_refused_by_the_gate_that_names_it(name: str) -> None:
    fault = FAULTS[name]
    verdict = fault.judge()
    assert verdict.verdict == fault.verdict
    [gate] = [gate for gate in verdict.gates if gate.name == fault.gate]
    assert gate.outcome == {"REJECT": "fail", "HOLD": "undecided"}[fault.verdict]
    assert fault.says in gate.reason


def test_there_are_at_least_the_fourteen_that_were_asked_for() -> None:
    assert len(FAULTS) >= 14
