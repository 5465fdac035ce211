"""How much worse a training made the model at general exchanges, in nats per token of their answers.

Imports torch: import it inside functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from infra.adapters.lora_loop import losses_of_both
from infra.adapters.lora_packing import Pack, RowEncoder, opening_of, pack
from infra.adapters.lora_watching import measured
from tasks.core.ports import Progress, TrainingRow

FORGETTING = "forgetting_nats_per_token"


def forgotten(
    model: Any,
    rows: Sequence[TrainingRow],
    encoder: RowEncoder,
    progress: Progress | None = None,
    *,
    whole: bool = False,
) -> dict[str, float]:
    """The loss of the answers by the adapted model, and how much more that is than by its base. Nothing without rows.

    whole: the adapter reads the passages too, as one does that is active everywhere.

    The end of the turn is left out: a trained model wants its marker there, which is style. Does not touch the model.
    Raises TrainingInterrupted when `stopping` is set.
    """
    if not rows:
        return {}
    packs = [_without_ends(one) for one in pack(rows, encoder, whole=whole)]
    base, tuned = losses_of_both(model, measured(packs, "forgetting", progress), opening_of(packs))
    return {"general_nats_per_token": tuned, FORGETTING: tuned - base}


def _without_ends(packed: Pack) -> Pack:
    return replace(packed, blocks=tuple(replace(one, completion=one.completion[:-1]) for one in packed.blocks))
