"""A judge without a model: it reads its prompt as a model would and judges by words in common."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tasks.core.human_judgements import HumanJudgement
from tasks.core.metrics.matching import sentences, token_recall, without_markers
from tasks.core.ports import JudgeQuestion, JudgeReply, Message
from tasks.human_judgements import Taken
from tasks.judge_asking import Ruling

ENOUGH = 0.6  # share of a claim's words


def sections(prompt: Sequence[Message]) -> list[tuple[str, str]]:
    """The texts between the prompt's marks, by name, in order; whatever else the user's message holds fails."""
    found = re.search(r"the mark ([0-9a-f]{16})", prompt[0].content)
    assert found
    mark, rest, texts = found[1], prompt[1].content, []
    while rest:
        begin = re.match(rf"\[begin ([a-z0-9 ]+) {mark}\]\n", rest)
        assert begin, f"outside of all texts: {rest[:60]!r}"
        text, end, rest = rest[begin.end() :].partition(f"\n[end {begin[1]} {mark}]")
        assert end
        texts.append((begin[1], text))
        rest = rest.removeprefix("\n\n")
    return texts


def lexical_reply(prompt: Sequence[Message], name: str) -> str:
    """The JSON that a judge who knows nothing but words would write."""
    texts = sections(prompt)
    passages = [text for part, text in texts if part.startswith("passage ")]
    named = dict(texts)
    if name == "judged_faithfulness":
        claims = sentences(without_markers(named["answer"]))
        return json.dumps({"claims": [{"claim": c, "supported": _held(c, passages)} for c in claims]})
    if name == "judged_relevancy":
        return json.dumps({"why": "words", "grade": round(4 * token_recall(named["answer"], named["question"]))})
    if name == "judged_context_recall":
        claims = sentences(named["ideal answer"])
        return json.dumps({"claims": [{"claim": c, "found": _held(c, passages)} for c in claims]})
    useful = [{"passage": n, "useful": _held(named["ideal answer"], [p])} for n, p in enumerate(passages, start=1)]
    return json.dumps({"passages": useful})


def _held(claim: str, passages: Sequence[str]) -> bool:
    return max((token_recall(passage, claim) for passage in passages), default=0.0) >= ENOUGH


@dataclass
class LexicalJudge:
    """Judge. instead: what it does to a question before it would judge; None where it judges.

    A reply costs as much as `most_usd` says, or `share_of_most` of that; one that never comes is billed in full.
    """

    usd: float = 0.0
    share_of_most: float = 1.0
    name: str = "lexical"
    instead: Callable[[JudgeQuestion, int], str | JudgeReply | BaseException | None] = lambda question, number: None
    asked: list[JudgeQuestion] = field(default_factory=list)
    billed_usd: float = 0.0
    _counting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def fingerprint(self) -> str:
        return self.name

    def most_usd(self, question: JudgeQuestion) -> float:
        return self.usd

    def ask(self, question: JudgeQuestion) -> JudgeReply:
        with self._counting:
            self.asked.append(question)
            number = len(self.asked)
        found = self.instead(question, number)
        if found is None or isinstance(found, str):
            found = JudgeReply(found or lexical_reply(question.prompt, question.name), "whole", self._cost())
        with self._counting:
            self.billed_usd += self.usd if isinstance(found, BaseException) else found.cost_usd
        if isinstance(found, BaseException):
            raise found
        return found

    def _cost(self) -> float:
        return self.usd * self.share_of_most


@dataclass
class MemoryRulings:
    """RulingCache in memory."""

    kept: dict[str, Ruling] = field(default_factory=dict)

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Ruling]:
        return {key: self.kept[key] for key in keys if key in self.kept}

    def put(self, key: str, ruling: Ruling) -> None:
        self.kept.setdefault(key, ruling)


@dataclass
class MemoryJudgements:
    """HumanJudgements and JudgementCatalog in memory, of one assistant."""

    said: dict[str, HumanJudgement] = field(default_factory=dict)

    def judgements(self, assistant: str) -> Sequence[HumanJudgement]:
        return list(self.said.values())

    def add(self, assistant: str, judgements: Sequence[HumanJudgement]) -> Taken:
        wanted = {one.id: one for one in judgements}
        new = [id for id in wanted if id not in self.said]
        changed = [id for id, one in wanted.items() if id in self.said and self.said[id].value != one.value]
        self.said |= wanted
        return Taken(len(new), len(changed), len(judgements) - len(new) - len(changed))
