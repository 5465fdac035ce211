"""Which older labels are trained on again beside the new ones, so that what they taught is not forgotten."""

from __future__ import annotations

import hashlib
from collections.abc import Set as AbstractSet
from dataclasses import replace

from tasks.core.retraining import TrainingSet


def with_replay(labels: TrainingSet, consumed: AbstractSet[str], fraction: float | None, seed: int = 0) -> TrainingSet:
    """The new training labels, and so many older ones that they are `fraction` of all (0 to below 1).

    consumed: ids that a succeeded training was made from. None trains on every label; so does a set without a new one.
    Older labels are drawn by a hash of (seed, id): the same for the same labels, in any order.
    """
    new = [label for label in labels.train if label.id not in consumed]
    if fraction is None or not new:
        return labels
    older = sorted((label for label in labels.train if label.id in consumed), key=lambda one: _draw(seed, one.id))
    chosen = {label.id for label in [*new, *older[: round(fraction / (1 - fraction) * len(new))]]}
    return replace(labels, train=tuple(label for label in labels.train if label.id in chosen))


def _draw(seed: int, label_id: str) -> str:
    return hashlib.sha256(f"{seed}\n{label_id}".encode()).hexdigest()
