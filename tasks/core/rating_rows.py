"""Rating rows: a question as it would be served now, one answer to it, and whether people found it good.

Passages and markers are those of preference rows. A good answer that no shown passage holds makes no row: who is served
these passages should abstain. A bad one gets the marker of the passage that holds it, else the first, so that a missing
marker is not what is learned. A rating in the middle says neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.core.documents import Hit
from tasks.core.opinions import Rating
from tasks.core.passages import as_passage, text_of
from tasks.core.ports import Message
from tasks.core.preference_rows import abstains, held_by
from tasks.core.prompts import INVOCATION, render
from tasks.core.releases import PromptSpec

MIDDLE = 0.5


@dataclass(frozen=True, slots=True)
class RatingRow:
    """One prompt as served, an answer, and whether it is a good one."""

    label_id: str
    prompt: tuple[Message, ...]
    completion: str
    good: bool

    @property
    def answers(self) -> Mapping[str, str | bool]:
        """What is taught, by name."""
        return {"completion": self.completion, "good": self.good}


def rating_row(rating: Rating, hits: Sequence[Hit], prompt: PromptSpec) -> RatingRow | None:
    """The row of a rating on the passages shown; None where it cannot be taught on them."""
    if not hits or rating.value == MIDDLE or INVOCATION in rating.answer:
        return None
    good, silent = rating.value > MIDDLE, abstains(rating.answer, prompt)
    chunk = held_by(rating, rating.answer, hits)
    if good and chunk is None and not silent:
        return None
    marker = 1 + [hit.chunk.id for hit in hits].index(chunk.id) if chunk else 1
    passages = [as_passage(at, hit, text_of(hit)) for at, hit in enumerate(hits, start=1)]
    said = prompt.abstention if silent else f"{rating.answer} [{marker}]"
    return RatingRow(rating.id, render(prompt, passages, rating.question), said, good)


def kinds(rows: Iterable[RatingRow]) -> tuple[int, int]:
    """How many answers are good, and how many bad."""
    counts = Counter(row.good for row in rows)
    return counts[True], counts[False]


def weights(good: int, bad: int) -> tuple[float, float]:
    """What a good and a bad answer count, so that both kinds count the same in all (Ethayarajh et al. 2024, eq. 8).

    >>> weights(good=30, bad=10)
    (1.0, 3.0)
    """
    return max(1.0, bad / good), max(1.0, good / bad)
