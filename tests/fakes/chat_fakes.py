"""A chat model without weights that reads: honest to the port, and right or wrong for visible reasons."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tasks.core.citations import sentences
from tasks.core.errors import NotFound
from tasks.core.ports import Completion, Message, Progress
from tasks.core.prompts import INVOCATION
from tasks.core.releases import ModelRef
from tasks.core.retrieval import words

_ABSTENTION = re.compile(r'write exactly "(.+?)"')
_PASSAGE = re.compile(r"\[(\d+)\] ([^\n]*)\n(.*?)(?=\n\n|\Z)", re.DOTALL)


@dataclass
class ReadingModel:
    """Says the passage sentence that shares most words with the question, with its marker; under two, it abstains.

    told: what it says instead to a question. asked: the prompts it was given, in batches.
    """

    name: str = "reader-1"
    told: dict[str, str] = field(default_factory=dict)
    asked: list[list[tuple[Message, ...]]] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        return self.name

    def complete(
        self, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, progress: Progress | None = None
    ) -> list[Completion]:
        self.asked.append([tuple(prompt) for prompt in prompts])
        completions = [self._completion(prompt, max_new_tokens) for prompt in prompts]
        if progress:
            progress("answering", len(prompts), len(prompts))
        return completions

    def stream(self, prompt: Sequence[Message], *, max_new_tokens: int) -> Iterator[str]:
        self.asked.append([tuple(prompt)])
        yield from re.findall(r".{1,3}", self._completion(prompt, max_new_tokens).text)

    def count_tokens(self, prompt: Sequence[Message]) -> int:
        return sum(3 + len(message.content.split()) for message in prompt)

    def _completion(self, prompt: Sequence[Message], max_new_tokens: int) -> Completion:
        said = self._say(prompt).split(" ")[:max_new_tokens]
        return Completion(" ".join(said), self.count_tokens(prompt), len(said))

    def _say(self, prompt: Sequence[Message]) -> str:
        passages, _, question = prompt[-1].content.rpartition(f"{INVOCATION} ")
        if question in self.told:
            return self.told[question]
        wanted = set(words(question))
        read = [(mark, one) for mark, _, text in _PASSAGE.findall(passages) for one in sentences(text)]
        mark, best = max(read, key=lambda found: len(wanted & set(words(found[1]))), default=("", ""))
        if len(wanted & set(words(best))) < 2:
            found = _ABSTENTION.search(prompt[0].content)
            return found[1] if found else "I do not know."
        return f"{best} [{mark}]"


@dataclass
class OneModel:
    """ChatModels with one base model in it."""

    model: ReadingModel = field(default_factory=ReadingModel)

    def base(self) -> ModelRef:
        return ModelRef(kind="base", base=self.model.name, base_digest="sha256-0")

    def open(self, model: ModelRef) -> ReadingModel:
        if model.base != self.model.name:
            raise NotFound(f"There is no model {model.base}.")
        return self.model


@dataclass
class TwoModels:
    """ChatModels with a base model and one that was tuned from it."""

    bare: ReadingModel
    tuned: ReadingModel

    def base(self) -> ModelRef:
        return ModelRef(kind="base", base=self.bare.name, base_digest="sha256-0")

    def open(self, model: ModelRef) -> ReadingModel:
        return self.bare if model.kind == "base" else self.tuned


@dataclass
class MemoryCompletions:
    """CompletionCache in a dictionary."""

    held: dict[str, Completion] = field(default_factory=dict)

    def get_many(self, keys: Sequence[str]) -> dict[str, Completion]:
        return {key: self.held[key] for key in keys if key in self.held}

    def put_many(self, completions: dict[str, Completion]) -> None:
        self.held = dict(completions) | self.held
