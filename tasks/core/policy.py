"""What a release must prove. Every number is a person's decision, and none moves by itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tasks.core.metrics.score import Metric
from tasks.core.stats import Resampling

Share = Annotated[float, Field(ge=0, le=1)]
Margin = Annotated[float, Field(gt=0, lt=1)]


class Policy(BaseModel):
    """The defaults are what a small model and about a hundred golden questions can be held to, with nobody watching.

    A margin that the questions cannot decide holds every release: halving it takes four times as many of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(default=0.05, gt=0, le=0.2, description="Chance each gate may be wrong, one-sided")
    minimum_questions: int = Field(default=10, ge=2, description="A gate with fewer questions is undecided")
    floors: dict[Metric, Share] = Field(
        default={"recall": 0.7, "style": 0.6, "correct": 0.2},
        description="What every release reaches, whatever is being served: the lower bound counts",
    )
    beats_trivial_on: Metric = Field(
        default="correct", description="Better than every trivial answerer at this, lower bound above zero"
    )
    margins: dict[Metric, Margin] = Field(
        default={"correct": 0.10, "citation": 0.10, "style": 0.10, "recall": 0.10, "abstains": 0.20, "answers": 0.25},
        description="How much of each may at worst be lost against the release being served",
    )
    adapter_improves: Metric = Field(default="all_right", description="What a new model must be better at")
    config_improves: tuple[Metric, ...] = Field(
        default=("all_right", "correct", "citation", "recall"),
        min_length=1,
        description="A new prompt or setting must be better at one of these; alpha is shared among them",
    )
    freshness_alpha: float = Field(
        default=0.05, gt=0, le=0.5, description="Exact sign test over the questions whose answer changed with documents"
    )
    seed: int = Field(default=20_260_101, ge=0, description="Of the bootstrap")
    resamples: int = Field(default=10_000, ge=1_000)

    @property
    def resampling(self) -> Resampling:
        """How the bootstrap draws."""
        return Resampling(self.seed, self.resamples)
