"""What a release must prove. Every number is a person's decision, and none moves by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import chain
from math import ceil, log
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from tasks.core.metrics.answer_format import check_schema
from tasks.core.metrics.score import JUDGED, Metric
from tasks.core.stats import Resampling

Share = Annotated[float, Field(ge=0, le=1)]
Margin = Annotated[float, Field(gt=0, lt=1)]

INTEGRITY_GATES = ("intact", "golden-set", "no-leak")
NEVER_OVERRIDDEN = (*INTEGRITY_GATES, "anchor", "something-new")  # nobody's opinion makes these better
UNANSWERABLE, PAGE_CHANGED = "unanswerable", "page-changed"  # slices that every golden set has, or may have


FEWEST_TIMED = 5  # questions asked one at a time: of fewer than five, no result would be surprising at alpha 0.05
SLOWEST = 0.05  # of the answers: what a 95th percentile leaves above it


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Slice(_Part):
    """Golden questions that are also looked at by themselves. Conditions left out admit every question."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    documents: tuple[str, ...] = Field(default=(), description="Globs of the label's documents, such as `products/*`")
    question: str | None = Field(default=None, description="Regular expression found in the question, case ignored")
    unanswerable: bool | None = Field(default=None, description="Only questions that no page answers, or only others")
    required: bool = Field(default=False, description="It must be shown not worse, not just not found to be worse")
    margin: Margin = Field(default=0.15, description="How much of `right` it may at worst lose")

    @field_validator("question")
    @classmethod
    def _compiles(cls, question: str | None) -> str | None:
        try:
            re.compile(question or "")
        except re.error as error:
            raise ValueError(
                f"{question!r} is no regular expression: {error}. Write it as Python's re does."
            ) from error
        return question


class HoldOverride(_Part):
    """Which doubts a person may decide to accept. Failures never are, nor doubts about integrity."""

    gates: tuple[str, ...] = Field(
        default=(), description="Globs of gate names, such as `no-harm-*`; `*`: all that may be; none: no doubt"
    )
    who: tuple[str, ...] = Field(default=(), description="Names of those who may; `*` is anybody")


class Approval(_Part):
    """Whether a person decides in the Prefect UI before a promotion."""

    ask: Literal["never", "always", "new-model", "held"] = Field(
        default="never",
        description="never; before every promotion; before one of a new model; or where a HOLD may be overridden",
    )
    timeout_hours: float = Field(default=24, gt=0, le=8_760, description="No decision by then is no promotion")


class Pace(_Part):
    """How fast answers come and what they cost, measured by asking golden questions one at a time, as in serving."""

    questions: int = Field(
        default=8, ge=0, le=100, description="Asked one at a time of each release, 5 at least; 0: not measured"
    )
    max_slowdown: float = Field(default=2.0, gt=1, description="Times the seconds of the release being served")
    max_p95_seconds: float | None = Field(
        default=None,
        gt=0,
        description="95 of 100 answers come within; at alpha 0.05 it takes 59 questions to show that",
    )
    least_agreement: float = Field(
        default=0.75, ge=0, le=1, description="Share of answers that are the same one at a time as in a batch"
    )
    saving: float = Field(
        default=0.10, gt=0, lt=1, description="A new prompt or setting that saves this much is better"
    )
    usd_per_million_prompt_tokens: float = Field(default=0, ge=0)
    usd_per_million_completion_tokens: float = Field(default=0, ge=0)


class JudgePolicy(_Part):
    """A model that judges answers. Its scores decide only while it agrees with people."""

    model: str = Field(description="Name of the model at the judge's server")
    base_url: str | None = Field(default=None, description="A server that speaks OpenAI's protocol; none: OpenAI")
    repeats: int = Field(default=1, ge=1, le=9, description="Times each question is judged; the mean counts")
    budget_usd: float = Field(default=5.0, ge=0, description="An evaluation stops asking the judge at this much")
    usd_per_million_prompt_tokens: float = Field(default=0, ge=0)
    usd_per_million_completion_tokens: float = Field(default=0, ge=0)
    least_agreement: float = Field(
        default=0.6, ge=0, le=1, description="Cohen's kappa with people, lower bound, at which its scores may decide"
    )
    least_human_labels: int = Field(default=30, ge=2, description="Human judgements without which it never decides")


class Policy(_Part):
    """The defaults are what a small model and golden questions on thirty pages can be held to, with nobody watching.

    A margin that the questions cannot decide holds every release: 10 points take 29 pages, 5 take 59, 20 take 14.
    """

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
        default={
            "correct": 0.10,
            "citation": 0.10,
            "faithfulness": 0.20,
            "style": 0.10,
            "recall": 0.10,
            "abstains": 0.20,
            "answers": 0.25,
        },
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
    adapter_improves_on: str | None = Field(
        default=None, description="Name of the slice on which a new model must be better; none: all questions"
    )
    slices: tuple[Slice, ...] = Field(default=(), description="Looked at besides those made of the documents' folders")
    slice_by_folder: bool = Field(default=True, description="The documents' top folders are slices too")
    minimum_slice: int = Field(default=8, ge=2, description="A slice with fewer questions is only reported")
    drift_budget: dict[Metric, Margin] = Field(
        default={"correct": 0.10, "citation": 0.10, "faithfulness": 0.20, "recall": 0.10},
        description="How much of each may at worst be lost against the anchor, over any number of releases",
    )
    answer_schema: dict[str, JsonValue] | None = Field(
        default=None, description="JSON Schema of every answer, for assistants that answer in JSON"
    )
    pace: Pace = Pace()
    judge: JudgePolicy | None = Field(default=None, description="A model that judges answers; none: no judge")
    override: HoldOverride = HoldOverride()
    approval: Approval = Approval()
    seed: int = Field(default=20_260_101, ge=0, description="Of the bootstrap")
    resamples: int = Field(default=10_000, ge=1_000, le=100_000)

    @property
    def resampling(self) -> Resampling:
        """How the bootstrap draws."""
        return Resampling(self.seed, self.resamples)

    @model_validator(mode="after")
    def _can_be_meant(self) -> Self:
        wrong = (_wrong_slices(self), _wrong_schema(self), _wrong_judging(self), _wrong_pace(self))
        if said := [*chain.from_iterable(wrong), *_wrong_override(self.override)]:
            raise ValueError(" ".join(said))
        return self


def _wrong_slices(policy: Policy) -> Iterator[str]:
    names = [one.name for one in policy.slices]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        yield f"Two slices are called {', '.join(twice)}. Give each its own name."
    if PAGE_CHANGED in names:
        yield f"A slice cannot be called {PAGE_CHANGED}: that is the one of the pages a release changes. Rename it."
    wanted = policy.adapter_improves_on
    if wanted is not None and not policy.slice_by_folder and wanted not in (*names, UNANSWERABLE):
        known = ", ".join([*names, UNANSWERABLE])
        yield f"adapter_improves_on names {wanted}, which is no slice. There are: {known}."


def _wrong_schema(policy: Policy) -> Iterator[str]:
    if policy.answer_schema is not None and (wrong := check_schema(policy.answer_schema)):
        yield wrong
    decides = {*policy.floors, *policy.margins, *policy.drift_budget, *policy.config_improves}
    decides |= {policy.adapter_improves, policy.beats_trivial_on}
    if policy.answer_schema is None and "format" in decides:
        yield "The policy decides by format, but there is no answer_schema that an answer could break. Add one."


def _wrong_pace(policy: Policy) -> Iterator[str]:
    asked, limit = policy.pace.questions, policy.pace.max_p95_seconds
    if 0 < asked < FEWEST_TIMED:
        yield f"pace.questions is {asked}: fewer than {FEWEST_TIMED} decide nothing. Ask more; 0 measures none."
    if limit is not None and asked < (least := ceil(log(policy.alpha) / log(1 - SLOWEST))):
        yield (
            f"pace.max_p95_seconds needs pace.questions of {least} at least at alpha {policy.alpha:g}, not {asked}: "
            "fewer cannot show that 95 of 100 answers come in time."
        )


def _wrong_judging(policy: Policy) -> Iterator[str]:
    scored_alone = {*policy.drift_budget, policy.beats_trivial_on}
    if never := [metric for metric in JUDGED if metric in scored_alone]:
        yield (
            f"drift_budget and beats_trivial_on cannot name {', '.join(never)}: the judge is asked about the candidate "
            "and the release being served only."
        )
    decides = {*policy.floors, *policy.margins, policy.adapter_improves, *policy.config_improves}
    if policy.judge is None and (unknown := [metric for metric in JUDGED if metric in decides]):
        yield f"The policy decides by {', '.join(unknown)}, but has no judge. Add [policy.judge], or leave them out."


def _wrong_override(override: HoldOverride) -> Iterator[str]:
    for glob in override.gates:
        never = [gate for gate in NEVER_OVERRIDDEN if fnmatchcase(gate, glob)]
        if never and glob != "*":
            yield (
                f"override.gates: {glob} covers {', '.join(never)}, which nobody may override. Name the gates more "
                "closely, such as no-harm-* or slice-*; * alone covers every gate but those."
            )
