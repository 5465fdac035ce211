"""A line of a label file that says what people think of an answer."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.core.labels import LabelState, squeezed, without_marker
from tasks.core.opinions import Preference, Rating, preference_id, rating_id
from tasks.core.row_shapes import (
    MAX_DOCUMENT_CHARACTERS,
    OpinionShape,
    PreferenceShape,
    Provenance,
    RatingShape,
    page,
)


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """One valid line: chosen is better than rejected."""

    line: int
    question: str
    chosen: str
    rejected: str
    documents: tuple[str, ...] = ()
    contributor: str | None = None

    def opinion(self, state: LabelState, reason: str | None = None) -> Preference:
        """The preference it makes."""
        return Preference(
            id=preference_id(self.question, self.chosen, self.rejected, self.documents),
            question=self.question,
            chosen=self.chosen,
            rejected=self.rejected,
            documents=self.documents,
            split=None,
            state=state,
            reason=reason,
            contributor=self.contributor,
        )


@dataclass(frozen=True, slots=True)
class RatingRow:
    """One valid line: the answer is good (1) or bad (0)."""

    line: int
    question: str
    answer: str
    value: float
    documents: tuple[str, ...] = ()
    contributor: str | None = None
    comment: str | None = None

    def opinion(self, state: LabelState, reason: str | None = None) -> Rating:
        """The rating it makes."""
        return Rating(
            id=rating_id(self.question, self.answer, self.documents, self.contributor),
            question=self.question,
            answer=self.answer,
            value=self.value,
            documents=self.documents,
            split=None,
            state=state,
            comment=self.comment,
            reason=reason,
            contributor=self.contributor,
        )


OpinionRow = PreferenceRow | RatingRow


def opinion_row(line: int, parsed: OpinionShape) -> tuple[OpinionRow, list[str]]:
    """The row, and everything that a well-formed line can still get wrong."""
    if isinstance(parsed, RatingShape):
        return _rating(line, parsed)
    if isinstance(parsed, PreferenceShape):
        question, problems = _either(parsed.question, parsed.prompt, '"question" or "prompt"')
        chosen, rejected = parsed.chosen, parsed.rejected
    else:
        turn = parsed.input.messages[-1]
        problems = [] if turn.role == "user" else ["input.messages: the last turn must be the user's question"]
        question, chosen, rejected = turn.content, parsed.preferred_output, parsed.non_preferred_output
    row = PreferenceRow(
        line, question.strip(), without_marker(chosen), without_marker(rejected), _pages(parsed), parsed.contributor
    )
    problems = problems or _wrong(row.question, {"chosen": row.chosen, "rejected": row.rejected}, parsed)
    if squeezed(row.chosen).casefold() == squeezed(row.rejected).casefold():
        problems.append("chosen and rejected are the same answer")
    return row, problems


def _rating(line: int, parsed: RatingShape) -> tuple[RatingRow, list[str]]:
    question, problems = _either(parsed.question, parsed.prompt, '"question" or "prompt"')
    answer, more = _either(parsed.answer, parsed.completion, '"answer" or "completion"')
    value = 1.0 if parsed.label else 0.0
    row = RatingRow(
        line, question.strip(), without_marker(answer), value, _pages(parsed), parsed.contributor, parsed.comment
    )
    said = {"answer": row.answer, "comment": row.comment or "none"}
    return row, problems + more or _wrong(row.question, said, parsed)


def _either(one: str | None, other: str | None, names: str) -> tuple[str, list[str]]:
    given = [text for text in (one, other) if text is not None]
    if len(given) == 1:
        return given[0], []
    return "", [f"has both {names.replace(' or ', ' and ')}; write one" if given else f"has no {names}"]


def _pages(parsed: Provenance) -> tuple[str, ...]:
    return tuple(sorted({page(document) for document in parsed.documents}))


def _wrong(question: str, answers: dict[str, str], parsed: Provenance) -> list[str]:
    pages = _pages(parsed)
    problems = [] if any(c.isalnum() for c in question) else ["question: holds no word"]
    problems += [f"{name}: is empty" for name, text in answers.items() if not text.strip()]
    if not all(pages):
        problems.append("documents must not be empty texts")
    if any(len(document) > MAX_DOCUMENT_CHARACTERS for document in pages):
        problems.append(f"documents: a name is longer than {MAX_DOCUMENT_CHARACTERS} characters")
    if any("\x00" in text for text in (question, *answers.values(), *pages, parsed.contributor or "")):
        problems.append("holds a NUL character")
    return problems
