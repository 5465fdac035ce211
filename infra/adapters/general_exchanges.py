"""Plain exchanges about anything but a customer's documents: what a training is asked whether it made a model forget.

`general_exchanges.jsonl`, a line each: a passage of everyday facts or prose, a question about it, and an answer in one
whole sentence, which is what the prompt asks for. No training row is made of them. They are rendered as the rows of the
training are, because an adapter that wakes at the question does nothing to any other text.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tasks.core.answers import Passage
from tasks.core.ports import TrainingRow
from tasks.core.prompts import default_prompt, render

FILE = Path(__file__).with_name("general_exchanges.jsonl")


def general_rows(like: TrainingRow) -> tuple[TrainingRow, ...]:
    """Every exchange in the prompt of that row: its system message and examples, with another passage and question.

    The answers carry no marker: what is asked is whether the words are still there, not whether the style is.
    """
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return tuple(_row(number, json.loads(line), like) for number, line in enumerate(lines, start=1))


def general_digest() -> str:
    """`sha256-…` of the file: two measurements compare when it is the same."""
    return "sha256-" + hashlib.sha256(FILE.read_bytes()).hexdigest()


def _row(number: int, told: dict[str, str], like: TrainingRow) -> TrainingRow:
    name = f"general-{number}"
    asked = render(default_prompt(), [Passage(1, name, name, told["passage"], 0.0, 0.0)], told["question"])[-1]
    return TrainingRow(name, (*like.prompt[:-1], asked), told["answer"])
