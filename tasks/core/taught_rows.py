"""Rows of what people think: pairs for DPO, ratings for KTO, and the name of a training on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from tasks.core.documents import Hit
from tasks.core.errors import UsageError
from tasks.core.opinions import Opinion, Preference
from tasks.core.passages import Surroundings, joined
from tasks.core.preference_rows import PreferenceRow, preference_row
from tasks.core.rating_rows import RatingRow, rating_row
from tasks.core.releases import PromptSpec, canonical_json

OpinionMethod = Literal["dpo", "kto"]
LEARNS: Mapping[str, OpinionMethod] = {"dpo": "dpo", "kto": "kto", "openai-dpo": "dpo"}
"""What each `--method` that learns from what people think makes of it; the others learn from labels."""
TaughtRow = PreferenceRow | RatingRow


def taught_rows(
    opinions: Iterable[Opinion],
    hits: Mapping[str, Sequence[Hit]],
    prompt: PromptSpec,
    passages: int,
    where: Surroundings | None = None,
) -> tuple[TaughtRow, ...]:
    """A row of every opinion that can be taught on these passages, in their order.

    hits: by the opinion's id, best first. passages: how many are shown. where: the neighbours to join.
    """
    shown = ((one, joined(hits[one.id][:passages], where or Surroundings())) for one in opinions)
    rows = (
        preference_row(one, found, prompt) if isinstance(one, Preference) else rating_row(one, found, prompt)
        for one, found in shown
    )
    return tuple(row for row in rows if row is not None)


def pairs_of(rows: Iterable[TaughtRow]) -> tuple[PreferenceRow, ...]:
    """The rows, each a pair. Raises UsageError for a rating: OpenAI's protocol has no KTO."""
    given = tuple(rows)
    pairs = tuple(row for row in given if isinstance(row, PreferenceRow))
    if len(pairs) < len(given):
        raise UsageError("Ratings are learned here only: `ratchet train --method kto`.")
    return pairs


def opinion_intent(rows: Sequence[TaughtRow], validation: Sequence[TaughtRow], trainer: str) -> str:
    """The training's name, `t-` and 32 hex digits: the same rows and trainer are the same training."""
    content = [
        [[row.label_id, [[m.role, m.content] for m in row.prompt], *row.answers.values()] for row in part]
        for part in (rows, validation)
    ]
    return "t-" + hashlib.sha256(canonical_json([content, trainer]).encode()).hexdigest()[:32]
