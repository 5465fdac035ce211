"""The shapes a line of a label file can have, as pydantic reads them. What a well-formed line can still get wrong is
judged where the row is made."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, StrictBool, StrictStr

from tasks.core.labels import Split
from tasks.core.ports import Role

MAX_DOCUMENT_CHARACTERS = 1024
MAX_CONTRIBUTOR_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class RowError:
    """A line that was refused, and everything that is wrong with it."""

    line: int
    reason: str


def _role(role: object) -> object:
    return "system" if role == "developer" else role


def _text_of_parts(content: object) -> object:
    if isinstance(content, list) and content and all(isinstance(p, dict) and p.get("type") == "text" for p in content):
        return "".join(str(part.get("text", "")) for part in content)
    return content


def _text_of_turn(content: object) -> object:
    """Where a list of turns may stand for a text, one turn is that text."""
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict) and "content" in content[0]:
        return _text_of_parts(content[0]["content"])
    return content


Text = Annotated[StrictStr, BeforeValidator(_text_of_turn)]


class Turn(BaseModel):
    """One turn of a chat."""

    role: Annotated[Role, BeforeValidator(_role)]
    content: Annotated[StrictStr, BeforeValidator(_text_of_parts)]


class Provenance(BaseModel):
    """What any row may say of itself."""

    documents: list[StrictStr] = []
    contributor: Annotated[StrictStr, Field(max_length=MAX_CONTRIBUTOR_CHARACTERS)] | None = None


class _Label(Provenance):
    facts: list[StrictStr] = []
    unanswerable: StrictBool = False
    split: Split | None = None
    supersedes: StrictBool = False


class QuestionShape(_Label):
    """{"question", "answer"}"""

    question: StrictStr
    answer: StrictStr


class PromptShape(_Label):
    """{"prompt", "completion"}"""

    prompt: Text
    completion: Text


class ChatShape(_Label):
    """{"messages": [..., user, assistant]}"""

    messages: list[Turn] = Field(min_length=2)


class PreferenceShape(Provenance):
    """{"question" or "prompt", "chosen", "rejected"}, as TRL's DPO trainer reads it"""

    question: StrictStr | None = None
    prompt: Text | None = None
    chosen: Text
    rejected: Text


class _Input(BaseModel):
    messages: list[Turn] = Field(min_length=1)


class VendorPreferenceShape(Provenance):
    """{"input": {"messages"}, "preferred_output", "non_preferred_output"}, as OpenAI's DPO reads it"""

    input: _Input
    preferred_output: Text
    non_preferred_output: Text


class RatingShape(Provenance):
    """{"prompt", "completion", "label": true or false}, as TRL's KTO trainer reads it"""

    question: StrictStr | None = None
    prompt: Text | None = None
    answer: StrictStr | None = None
    completion: Text | None = None
    label: StrictBool
    comment: StrictStr | None = None


LabelShape = QuestionShape | PromptShape | ChatShape
OpinionShape = PreferenceShape | VendorPreferenceShape | RatingShape

_KNOWN = frozenset(
    name
    for shape in (QuestionShape, PromptShape, ChatShape, PreferenceShape, VendorPreferenceShape, RatingShape)
    for name in shape.model_fields
)


def near_misses(keys: list[str]) -> list[str]:
    """Keys that mean nothing, and are spelt nearly as one that does. Others are ignored."""
    found = ((key, get_close_matches(key.casefold(), _KNOWN, n=1, cutoff=0.8)) for key in keys if key not in _KNOWN)
    return [f'unknown key "{key}"; did you mean "{close[0]}"?' for key, close in found if close]


def page(written: str) -> str:
    """A page's name without what says only where it lies on this machine."""
    name = written.strip().removeprefix("file://").replace("\\", "/")
    while name.startswith("./"):
        name = name[2:]
    return name
