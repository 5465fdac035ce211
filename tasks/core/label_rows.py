"""One line of a label file: what it says, or everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from tasks.core.labels import Label, LabelState, Split, asked, label_id, squeezed, without_marker
from tasks.core.opinion_rows import OpinionRow, opinion_row
from tasks.core.ports import Message
from tasks.core.row_shapes import (
    MAX_DOCUMENT_CHARACTERS,
    ChatShape,
    LabelShape,
    PreferenceShape,
    PromptShape,
    QuestionShape,
    RatingShape,
    RowError,
    VendorPreferenceShape,
    near_misses,
    page,
)


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
    contributor: str | None = None

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
            contributor=self.contributor,
        )


Row = LabelRow | OpinionRow

_SHAPES: tuple[tuple[str, type[BaseModel]], ...] = (  # the first whose key is there
    ("chosen", PreferenceShape),
    ("rejected", PreferenceShape),
    ("preferred_output", VendorPreferenceShape),
    ("label", RatingShape),
)
_LABELS: dict[str, type[BaseModel]] = {"question": QuestionShape, "messages": ChatShape, "prompt": PromptShape}


def read_row(line: int, raw: bytes) -> Row | RowError:
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


def _read_object(line: int, found: dict[str, object]) -> Row | RowError:
    shapes = [shape for key, shape in _SHAPES if key in found][:1] or [x for key, x in _LABELS.items() if key in found]
    if len(shapes) != 1:
        what = "mixes several" if shapes else "has none"
        return RowError(line, f'{what} of "question" with "answer", "messages", and "prompt" with "completion"')
    reasons = near_misses(list(found))
    try:
        parsed = shapes[0].model_validate(found)
    except ValidationError as error:
        reasons += [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        return RowError(line, "; ".join(reasons))
    row: Row | None
    if isinstance(parsed, LabelShape):
        row, problems = _label_row(line, parsed)
    else:
        assert isinstance(parsed, PreferenceShape | VendorPreferenceShape | RatingShape)
        row, problems = opinion_row(line, parsed)
    reasons += problems
    return RowError(line, "; ".join(reasons)) if reasons or row is None else row


def _label_row(line: int, parsed: LabelShape) -> tuple[LabelRow | None, list[str]]:
    row = _row(line, parsed)
    return (None, [row]) if isinstance(row, str) else (row, _wrong(row))


def _row(line: int, parsed: LabelShape) -> LabelRow | str:
    messages: tuple[Message, ...] = ()
    if isinstance(parsed, ChatShape):
        messages = tuple(Message(turn.role, turn.content) for turn in parsed.messages)
        if [turn.role for turn in messages[-2:]] != ["user", "assistant"]:
            return "messages: the last two turns must be the user's question and the assistant's ideal answer"
        question, answer = messages[-2].content, messages[-1].content
    elif isinstance(parsed, PromptShape):
        question, answer = parsed.prompt, parsed.completion
    else:
        question, answer = parsed.question, parsed.answer
    return LabelRow(
        line=line,
        question=question.strip(),
        answer=without_marker(answer),
        documents=tuple(sorted({page(document) for document in parsed.documents})),
        facts=tuple(squeezed(fact) for fact in parsed.facts),
        unanswerable=parsed.unanswerable,
        split=parsed.split,
        supersedes=parsed.supersedes,
        messages=messages,
        contributor=parsed.contributor,
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
    said = (row.question, row.answer, row.contributor or "")
    return (*said, *row.documents, *row.facts, *(turn.content for turn in row.messages))


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
