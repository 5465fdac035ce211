"""What a vendor is given to train on: lines of JSON.

Lines are what is checked, counted, hashed and uploaded, so that no two of these can be about different bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tasks.core.hosted_jobs import Method
from tasks.core.ports import Message, TrainingRow
from tasks.core.preference_rows import PreferenceRow

TOKENS_AROUND_A_MESSAGE = 3  # OpenAI's cookbook, "How to count tokens with tiktoken": per message, and per reply
BYTES_AROUND_A_MESSAGE = 16  # generously, where nobody can count

OUTPUTS = ("preferred_output", "non_preferred_output")


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Tokens of a text. Not exact: never too few, one per byte."""

    count: Callable[[str], int] = lambda text: len(text.encode())
    exact: bool = False

    @property
    def around(self) -> int:
        """Tokens around one message."""
        return TOKENS_AROUND_A_MESSAGE if self.exact else BYTES_AROUND_A_MESSAGE


@dataclass(frozen=True, slots=True)
class HostedFile:
    """The lines of one file, ready to upload. made_of: ids of the labels they come from, where that is known."""

    lines: tuple[str, ...]
    made_of: tuple[str, ...] = ()

    @classmethod
    def of(cls, lines: Iterable[tuple[str, str]]) -> HostedFile:
        """Of lines, each with its label's id; a line that repeats another word for word would only be paid twice."""
        first: dict[str, str] = {}
        for line, label in lines:
            first.setdefault(line, label)
        return cls(tuple(first), tuple(first.values()))

    @property
    def content(self) -> bytes:
        return ("\n".join(self.lines) + "\n").encode()

    @property
    def sha(self) -> str:
        """SHA-256 of the content: equal content is uploaded once."""
        return hashlib.sha256(self.content).hexdigest()


def supervised_file(rows: Iterable[TrainingRow]) -> HostedFile:
    """A line per row, the prompt as it is served."""
    return HostedFile.of(
        (_line({"messages": [*_turns(row.prompt), {"role": "assistant", "content": row.completion}]}), row.label_id)
        for row in rows
    )


def preference_file(rows: Iterable[PreferenceRow]) -> HostedFile:
    """A line per pair, for DPO."""
    return HostedFile.of(
        (
            _line(
                {
                    "input": {"messages": _turns(row.prompt)},
                    "preferred_output": [{"role": "assistant", "content": row.chosen}],
                    "non_preferred_output": [{"role": "assistant", "content": row.rejected}],
                }
            ),
            row.label_id,
        )
        for row in rows
    )


def tokens_of(line: str, method: Method, tokens: TokenCount) -> int:
    """What one epoch over a valid line is billed as: every message of it, prompt and answers."""
    messages = list(messages_of(json.loads(line), method))
    each = (tokens.around + tokens.count(one["role"]) + tokens.count(one["content"]) for one in messages)
    return sum(each) + tokens.around


def messages_of(example: Mapping[str, object], method: Method) -> Iterator[dict[str, str]]:
    """Every message of a valid example."""
    if method == "supervised":
        yield from example["messages"]  # type: ignore[misc]
        return
    yield from example["input"]["messages"]  # type: ignore[index]
    for name in OUTPUTS:
        yield from example[name]  # type: ignore[misc]


def _turns(prompt: Iterable[Message]) -> list[dict[str, str]]:
    return [{"role": one.role, "content": one.content} for one in prompt]


def _line(example: Mapping[str, object]) -> str:
    return json.dumps(example)  # ASCII: some readers take U+2028 for the end of a line
