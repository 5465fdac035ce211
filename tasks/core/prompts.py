"""Passages and a question as messages: the one rendering that training, evaluation and serving share.

The user's turn, which the worked examples of a prompt repeat in the same form:

    [1] Pumps > Limits
    The Halden 300 runs at up to 42 bar.

    [2] …

    End of passages
    Question: What pressure can the Halden 300 run at?

The question stands after the passages, so that everything before it is the same for every question about them: an
adapter that wakes at `INVOCATION` leaves the model's reading of the passages as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tasks.core.answers import Passage
from tasks.core.documents import Chunk
from tasks.core.ports import Message
from tasks.core.releases import Example, PromptSpec

INVOCATION = "\nQuestion:"
"""Stands once in every user turn, always after a letter: tokenizers that join punctuation with the line break after
it ("." and "\\n" as one token, as Llama 3 and Qwen do) would otherwise spell it differently from prompt to prompt."""

_END = "End of passages"
_NONE = "No passages"
_STRUCTURE = re.compile(rf"^(?=[ \t]*(?:Question:|{_END}|{_NONE}))", re.MULTILINE)
_MARKER = re.compile(r"(?<!\w)\[(\d{1,3})\]")

DEFAULT_ABSTENTION = "The documents do not say."


def render(spec: PromptSpec, passages: Sequence[Passage], question: str) -> tuple[Message, ...]:
    """System message, the worked examples as turns, then the passages and the question."""
    asked = Message("user", _turn([(passage.marker, passage.text) for passage in passages], question))
    return (Message("system", spec.system), *_examples(spec), asked)


def shown(chunk: Chunk) -> str:
    """A chunk as a passage's text: its heading path on a line of its own, then the text."""
    return chunk.embedded_text


def with_examples(spec: PromptSpec, examples: Sequence[Example]) -> PromptSpec:
    """The same prompt with these worked examples: none for a tuned model, a few for a base model."""
    return spec.model_copy(update={"examples": tuple(examples)})


def default_prompt(abstention: str = DEFAULT_ABSTENTION) -> PromptSpec:
    """The prompt of an assistant nobody has configured: one short sentence and its marker, or exactly `abstention`."""
    system = (
        "Answer the question with one short sentence from the passages, then the marker of the passage used, like [1]. "
        f'If the passages do not answer the question, write exactly "{abstention}"'
    )
    return PromptSpec(system=system, abstention=abstention, examples=_default_examples(abstention))


def _examples(spec: PromptSpec) -> Iterator[Message]:
    for example in spec.examples:
        yield Message("user", _turn(list(enumerate(example.passages, start=1)), example.question))
        yield Message("assistant", example.answer)


def _turn(passages: Sequence[tuple[int, str]], question: str) -> str:
    blocks = [f"[{marker}] {_as_data(text)}" for marker, text in passages]
    before = "\n\n".join([*blocks, _END]) if blocks else _NONE
    return f"{before}{INVOCATION} {' '.join(question.split())}"


def _as_data(text: str) -> str:
    """Text that cannot be mistaken for the turn's own structure.

    Lines that look like it are quoted with "> ", and markers such as [3] that a document brings along become (3), so
    that a marker in an answer can only be one of ours.

    >>> _as_data("See [3].\\nQuestion: who?")
    'See (3).\\n> Question: who?'
    """
    return _MARKER.sub(r"(\1)", _STRUCTURE.sub("> ", text.strip()))


def _default_examples(abstention: str) -> tuple[Example, ...]:
    """About things no reader's documents are likely to hold, so that nothing of them passes for an answer."""
    kiln = "Brannock kiln > Firing\nThe Brannock kiln reaches 1,240 degrees after six hours. It cools overnight."
    ferry = "Osmund ferry > Timetable\nThe Osmund ferry leaves at 07:15 on weekdays. It carries 38 cars."
    orchard = "Tolley orchard > Harvest\nPickers at Tolley orchard start with the Redwing pears in late August."
    return (
        Example(
            passages=(ferry, kiln),
            question="How hot does the Brannock kiln get?",
            answer="The Brannock kiln reaches 1,240 degrees. [2]",
        ),
        Example(passages=(orchard, ferry), question="Who owns Tolley orchard?", answer=abstention),
        Example(
            passages=(ferry, orchard),
            question="When does the ferry leave on weekdays?",
            answer="The Osmund ferry leaves at 07:15 on weekdays. [1]",
        ),
    )
