"""How an adapter learns preferences, as `RATCHET_PREFERENCES__…` and `[preferences]` set it. Imports no torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

FREE = ("checkpoint_steps", "least")
"""Settings that change no weight."""


class PreferenceSettings(BaseModel):
    """How an adapter learns preferences or ratings. The LoRA settings say what a new one is made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    least: int = Field(default=50, ge=1, description="New accepted preferences, or ratings, that a training asks for")
    beta: float = Field(
        default=0.1,
        gt=0,
        description="How strongly the model is held to what it was before: β of DPO and of KTO",
    )
    epochs: int = Field(default=1, ge=1, description="Passes over the rows")
    learning_rate: float = Field(default=5e-5, gt=0, le=1, description="At its highest; it ends at 0 along a cosine")
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1, description="Share of all steps in which the rate rises")
    pairs_per_step: int = Field(
        default=4, ge=1, description="Each is two sequences, read twice; of ratings twice as many"
    )
    max_grad_norm: float = Field(default=1.0, gt=0, description="Longer gradients are cut to this")
    seed: int = Field(default=0, ge=0, description="Of a new adapter's first weights and the order of rows")
    checkpoint_steps: int = Field(default=20, ge=1, description="Steps between checkpoints")
