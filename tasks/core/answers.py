"""An answer, with everything needed to check it: passages shown, citations, and why it abstained if it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from tasks.core.releases import Pattern

AbstainedBecause = Literal["model", "confidence", "support", "no-passages"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk as it was shown to the model, under a marker."""

    marker: int  # 1-based, as written in the answer: [1]
    document: str
    chunk: str
    text: str  # heading path and chunk text, as shown
    score: float
    similarity: float


@dataclass(frozen=True, slots=True)
class Citation:
    """A marker of the answer that resolves to a passage shown for this very question."""

    marker: int
    document: str
    chunk: str
    quote: str  # the sentence of the passage that best supports the answer
    score: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What the assistant says to one question, pinned to one release."""

    question: str
    text: str
    release: str
    snapshot: int
    pattern: Pattern
    abstained: bool
    abstained_because: AbstainedBecause | None
    raw: str  # what the model wrote, before confidence and support had their say
    citations: tuple[Citation, ...]
    contexts: tuple[Passage, ...]
    dangling_markers: tuple[int, ...]  # markers in `raw` that no shown passage has
    confidence: float  # retrieval confidence, 0 to 1
    prompt_tokens: int  # of every model that was asked
    completion_tokens: int
    cut_short: Annotated[bool, Field(exclude=True)] = False  # the limit may have ended `raw`; no evidence of a verdict
