"""How an adapter is trained, as `RATCHET_LORA__…` and `[lora]` in ratchet.toml set it. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

FREE = ("checkpoint_steps", "context_cache_tokens", "gradient_checkpointing", "report_to", "forgetting")
"""Settings that change no weight."""


class LoraSettings(BaseModel):
    """How an adapter is trained. The defaults are measured for SmolLM2-135M on a CPU; see docs/decisions.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(default=16, ge=1, le=1024, description="Rank of every adapted layer")
    alpha: int = Field(
        default=32, ge=1, description="The adapter counts alpha / rank times, or alpha / √rank by rsLoRA"
    )
    rslora: bool = Field(default=False, description="Rank-stabilised scaling (arXiv:2312.03732): for ranks above 64")
    use_dora: bool = Field(
        default=False,
        description="DoRA (arXiv:2402.09353): learns how long weights are apart from where they point. Such an adapter "
        "is active everywhere, the passages included: PEFT has none that is both DoRA and woken by the question",
    )
    quantized: Literal["none", "nf4"] = Field(
        default="none", description="nf4: the frozen base in 4 bits while training (QLoRA); wants a CUDA GPU"
    )
    epochs: int = Field(
        default=1, ge=1, description="Passes over the rows; other contexts teach more than the same ones again"
    )
    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="At its highest; it ends at 0 along a cosine")
    warmup_fraction: float = Field(default=0.05, ge=0, lt=1, description="Share of all steps in which the rate rises")
    packs_per_step: int = Field(default=2, ge=1, description="Contexts, each with all its questions, per step")
    processes: int = Field(
        default=1,
        ge=1,
        description="Of `accelerate launch`, which share a step's packs; where there are GPUs, one each",
    )
    max_block_tokens: int = Field(default=512, ge=16, description="Of one pack, its context apart")
    max_grad_norm: float = Field(default=1.0, gt=0, description="Longer gradients are cut to this")
    seed: int = Field(default=0, ge=0, description="Of the adapter's first weights and the order of packs")
    checkpoint_steps: int = Field(default=20, ge=1, description="Steps between checkpoints; one takes under a second")
    context_cache_tokens: int = Field(
        default=20_000, ge=0, description="Keys and values kept between epochs; about 46 kB a token for SmolLM2-135M"
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute each layer again instead of keeping what it saw: less memory, more time, the same adapter",
    )
    validation_steps: int = Field(
        default=0, ge=0, description="Steps between two looks at the validation loss; 0: one look, at the end"
    )
    patience: int = Field(default=3, ge=1, description="Looks without a better validation loss that end the training")
    max_loss_growth: float = Field(
        default=2, gt=1, description="Training ends when ten steps' loss is this many times that of the first ten"
    )
    forgetting: bool = Field(
        default=True, description="Measure at the end how much worse general exchanges are answered; takes seconds"
    )
    report_to: Literal["none", "tensorboard", "mlflow", "wandb"] = Field(
        default="none", description="Where transformers also sends the curves; its package must be installed"
    )
