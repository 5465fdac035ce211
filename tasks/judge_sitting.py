"""What a judge has said about what it was to be asked: what it said before is not asked again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.core.judge_prompts import Malformed, question_for, read_reply
from tasks.core.judging import Exhibit
from tasks.core.metrics.score import Metric, Score, Undefined
from tasks.core.policy import JudgePolicy
from tasks.core.ports import Judge, Progress
from tasks.core.releases import canonical_json
from tasks.judge_asking import Case, Docket, Ruling, RulingCache, brief

Wanted = tuple[Metric, Exhibit]

NOT_ASKED_YET = Undefined("the judge was not asked yet")
OUT_OF_BUDGET = Undefined("the judge's budget was spent before")


@dataclass(frozen=True, slots=True)
class Sitting:
    """Everything the judge has said about what it was to be asked."""

    cases: Mapping[Wanted, Sequence[Case]]  # one per repeat
    rulings: Mapping[str, Ruling]  # by key of a case
    silent: Mapping[str, Undefined]  # cases that were asked and got no reply
    not_asked: Undefined  # why the others were not asked
    unfinished: str | None  # the same for people; None when everything was heard

    def heard(self, metric: Metric, exhibit: Exhibit) -> bool:
        """Whether it replied in every repeat."""
        return all(case.key in self.rulings for case in self.cases[metric, exhibit])

    def scores(self, metric: Metric, exhibit: Exhibit) -> list[Score]:
        """One per repeat."""
        return [self._score(case) for case in self.cases[metric, exhibit]]

    def _score(self, case: Case) -> Score:
        ruling = self.rulings.get(case.key)
        if ruling is None:
            return self.silent.get(case.key, self.not_asked)
        return _read(case, ruling)


def recall_rulings(judge: Judge, cache: RulingCache, repeats: int, wanted: Sequence[Wanted]) -> Sitting:
    """What the judge has said in its life about what is wanted. Asks nothing."""
    cases = _cases(judge, repeats, wanted)
    return Sitting(cases, cache.get_many(list(_by_key(cases))), {}, NOT_ASKED_YET, None)


def sit(
    judge: Judge, cache: RulingCache, rules: JudgePolicy, wanted: Sequence[Wanted], progress: Progress | None = None
) -> Sitting:
    """Asks what is not known yet, in order, until all is known, the next question might exceed the budget, or the judge
    cannot be asked any more.

    What was heard until then is kept. Raises Stopped when the run is to end.
    """
    cases = _cases(judge, rules.repeats, wanted)
    docket = Docket(judge, cache, rules.budget_usd, _by_key(cases))
    while some := docket.next():
        docket.ask(some)
        if progress:
            progress("judging", docket.done, docket.total)
    not_asked = Undefined(f"the judge was not asked any more: {brief(docket.gone)}") if docket.gone else OUT_OF_BUDGET
    return Sitting(cases, docket.known, docket.silent, not_asked, docket.unfinished())


def _cases(judge: Judge, repeats: int, wanted: Sequence[Wanted]) -> dict[Wanted, list[Case]]:
    fingerprint = judge.fingerprint
    return {one: [_case(fingerprint, *one, repeat) for repeat in range(repeats)] for one in dict.fromkeys(wanted)}


def _case(judge: str, metric: Metric, exhibit: Exhibit, repeat: int) -> Case:
    question = question_for(metric, exhibit, repeat)
    shown = [[message.role, message.content] for message in question.prompt]
    key = canonical_json([judge, metric, shown, question.schema, repeat])
    return Case(hashlib.sha256(key.encode()).hexdigest(), metric, exhibit, repeat, question)


def _by_key(cases: Mapping[Wanted, Sequence[Case]]) -> dict[str, Case]:
    return {case.key: case for repeats in cases.values() for case in repeats}


def _read(case: Case, ruling: Ruling) -> Score:
    if isinstance(ruling.said, Undefined):
        return ruling.said
    read = read_reply(case.metric, case.exhibit, case.repeat, ruling.said)
    return Undefined(f"the judge's reply cannot be read: {read.reason}") if isinstance(read, Malformed) else read
