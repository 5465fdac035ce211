"""Rows of what people think: pairs for DPO, ratings for KTO, and the name of a training on them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

from tasks.core.preference_rows import PreferenceRow
from tasks.core.rating_rows import RatingRow
from tasks.core.releases import canonical_json

OpinionMethod = Literal["dpo", "kto"]
TaughtRow = PreferenceRow | RatingRow


def opinion_intent(rows: Sequence[TaughtRow], validation: Sequence[TaughtRow], trainer: str) -> str:
    """The training's name, `t-` and 32 hex digits: the same rows and trainer are the same training."""
    content = [
        [[row.label_id, [[m.role, m.content] for m in row.prompt], *row.answers.values()] for row in part]
        for part in (rows, validation)
    ]
    return "t-" + hashlib.sha256(canonical_json([content, trainer]).encode()).hexdigest()[:32]
