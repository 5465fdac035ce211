"""One line of a label file: what it says, or everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, StrictBool, StrictStr, ValidationError
from pydantic_core import from_json

from tasks.core.labels import Label, LabelState, Split, asked, label_id, squeezed, without_marker
from tasks.core.ports import Message, Role

MAX_DOCUMENT_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One valid line. `split` is only what the line itself asks for."""

    line: int
    question: str
    answer: str
    documents: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    unanswerable: bool = False
    split: Split | None = None
    supersedes: bool = False
    messages: tuple[Message, ...] = ()

    @property
    def id(self) -> str:
        """The id of the label it makes."""
        return label_id(self.question, self.answer, self.documents, self.messages)

    @property
    def asked(self) -> str:
        """The question with the turns before it."""
        return asked(self.question, self.messages)

    def label(self, state: LabelState, split: Split | None, reason: str | None = None) -> Label:
        """The label it makes."""
        return Label(
            id=self.id,
            question=self.question,
            answer=self.answer,
            documents=self.documents,
            unanswerable=self.unanswerable,
            facts=self.facts,
            split=split,
            state=state,
            messages=self.messages,
            reason=reason,
        )


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


class _Turn(BaseModel):
    role: Annotated[Role, BeforeValidator(_role)]
    content: Annotated[StrictStr, BeforeValidator(_text_of_parts)]


class _Extras(BaseModel):
    documents: list[StrictStr] = []
    facts: list[StrictStr] = []
    unanswerable: StrictBool = False
    split: Split | None = None
    supersedes: StrictBool = False


class _QuestionRow(_Extras):
    question: StrictStr
    answer: StrictStr


class _PromptRow(_Extras):
    prompt: StrictStr
    completion: StrictStr


class _ChatRow(_Extras):
    messages: list[_Turn] = Field(min_length=2)


_SHAPES: dict[str, type[_QuestionRow] | type[_PromptRow] | type[_ChatRow]] = {
    "question": _QuestionRow,
    "messages": _ChatRow,
    "prompt": _PromptRow,
}
_KNOWN = frozenset(name for shape in _SHAPES.values() for name in shape.model_fields)


def read_row(line: int, raw: bytes) -> LabelRow | RowError:
    """The row of one line (1-based). Keys that mean nothing here are ignored, near misses of known keys are not."""
    try:
        text = raw.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        at = f"byte 0x{raw[error.start]:02x} at position {error.start + 1}"
        return RowError(line, f"is not UTF-8 ({at}); save the file as UTF-8")
    try:
        found = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        return RowError(line, f"is not JSON: {error}")
    if not isinstance(found, dict):
        return RowError(line, "is not a JSON object; write one object per line, such as " + _EXAMPLE)
    return _read_object(line, found)


_EXAMPLE = '{"question": "…", "answer": "…"}'


def _read_object(line: int, found: dict[str, object]) -> LabelRow | RowError:
    shapes = [shape for key, shape in _SHAPES.items() if key in found]
    if len(shapes) != 1:
        what = "mixes several" if shapes else "has none"
        return RowError(line, f'{what} of "question" with "answer", "messages", and "prompt" with "completion"')
    reasons = [_near_miss(key) for key in found if key not in _KNOWN and _near_miss(key)]
    try:
        parsed = shapes[0].model_validate(found)
    except ValidationError as error:
        reasons += [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        return RowError(line, "; ".join(reasons))
    row = _row(line, parsed)
    reasons += [row] if isinstance(row, str) else _wrong(row)
    return RowError(line, "; ".join(reasons)) if reasons or isinstance(row, str) else row


def _row(line: int, parsed: _QuestionRow | _PromptRow | _ChatRow) -> LabelRow | str:
    messages: tuple[Message, ...] = ()
    if isinstance(parsed, _ChatRow):
        messages = tuple(Message(turn.role, turn.content) for turn in parsed.messages)
        if [turn.role for turn in messages[-2:]] != ["user", "assistant"]:
            return "messages: the last two turns must be the user's question and the assistant's ideal answer"
        question, answer = messages[-2].content, messages[-1].content
    elif isinstance(parsed, _PromptRow):
        question, answer = parsed.prompt, parsed.completion
    else:
        question, answer = parsed.question, parsed.answer
    return LabelRow(
        line=line,
        question=question.strip(),
        answer=without_marker(answer),
        documents=tuple(sorted({_page(document) for document in parsed.documents})),
        facts=tuple(squeezed(fact) for fact in parsed.facts),
        unanswerable=parsed.unanswerable,
        split=parsed.split,
        supersedes=parsed.supersedes,
        messages=messages,
    )


def _wrong(row: LabelRow) -> list[str]:
    """Everything a well-formed row can still get wrong."""
    reasons = []
    if not any(c.isalnum() for c in row.question):
        reasons.append("question: holds no word")
    if not any(c.isalnum() for c in row.answer):
        reasons.append("answer: is empty" + (" (write what the assistant should say instead)" * row.unanswerable))
    if not all(row.documents) or not all(row.facts):
        reasons.append("documents and facts must not be empty texts")
    if any(len(document) > MAX_DOCUMENT_CHARACTERS for document in row.documents):
        reasons.append(f"documents: a name is longer than {MAX_DOCUMENT_CHARACTERS} characters")
    if row.unanswerable and row.facts:
        reasons.append("facts: an unanswerable question has none")
    missing = [fact for fact in row.facts if fact.casefold() not in squeezed(row.answer).casefold()]
    if missing and not row.unanswerable:
        reasons.append(f"facts: the answer itself does not contain {', '.join(map(repr, missing))}")
    if any("\x00" in text for text in _texts(row)):
        reasons.append("holds a NUL character")
    return reasons


def _texts(row: LabelRow) -> Iterable[str]:
    return (row.question, row.answer, *row.documents, *row.facts, *(turn.content for turn in row.messages))


def _near_miss(key: str) -> str:
    close = get_close_matches(key.casefold(), _KNOWN, n=1, cutoff=0.8)
    return f'unknown key "{key}"; did you mean "{close[0]}"?' if close else ""


def _page(written: str) -> str:
    page = written.strip().removeprefix("file://").replace("\\", "/")
    while page.startswith("./"):
        page = page[2:]
    return page


def page_uri(written: str, known: frozenset[str], roots: Sequence[str]) -> str:
    """The document's URI for a page as a person wrote it: what lies under a source's folder, however much of the
    folder's path was written in front; anything else stays as it is.

    >>> page_uri("handbook/pumps/halden.md", frozenset({"pumps/halden.md"}), ["/srv/handbook"])
    'pumps/halden.md'
    """
    if written in known:
        return written
    parts = written.split("/")
    for root in roots:
        folders = root.rstrip("/").split("/")
        for depth in range(min(len(folders), len(parts) - 1), 0, -1):
            if folders[-depth:] == parts[:depth] and "/".join(parts[depth:]) in known:
                return "/".join(parts[depth:])
    return written
