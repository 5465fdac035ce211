"""What a release must prove, as people edit it in the Prefect UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Annotated, Any, Self

from prefect.blocks.core import Block
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from tasks.core.metrics.score import JUDGED, MEANING, METRICS, Metric
from tasks.core.policy import Approval, HoldOverride, JudgePolicy, Margin, Pace, Policy, Share, Slice


def _filled_in(value: object) -> object:
    """A form sends what was left empty as null, or not at all."""
    if isinstance(value, Mapping):
        return {name: number for name, number in value.items() if number is not None}
    return None if value == "" else value


def _by_metric(metrics: Sequence[Metric], **limits: float) -> WithJsonSchema:
    """A form with a number per metric, each explained. The form of a mapping would be a field for JSON."""
    fields = {
        metric: {"type": "number", "title": metric, "description": MEANING[metric], "position": position, **limits}
        for position, metric in enumerate(metrics)
    }
    return WithJsonSchema({"type": "object", "properties": fields, "additionalProperties": False})


_BELOW_ONE = {"exclusiveMinimum": 0, "exclusiveMaximum": 1}
_UNJUDGED = [metric for metric in METRICS if metric not in JUDGED]

Floors = Annotated[dict[Metric, Share], BeforeValidator(_filled_in), _by_metric(METRICS, minimum=0, maximum=1)]
Losses = Annotated[dict[Metric, Margin], BeforeValidator(_filled_in), _by_metric(METRICS, **_BELOW_ONE)]
Drift = Annotated[dict[Metric, Margin], BeforeValidator(_filled_in), _by_metric(_UNJUDGED, **_BELOW_ONE)]
Text = Annotated[str | None, BeforeValidator(_filled_in), WithJsonSchema({"type": "string"})]


def _with_hint(model: type[BaseModel], name: str, hint: str) -> Any:
    field = copy(model.model_fields[name])
    field.description = (field.description or "") + hint or None
    return field


class AcceptedDoubts(HoldOverride):
    """Which doubts of a HOLD a person may accept, and who may. Failures never are, nor doubts about integrity."""

    model_config = ConfigDict(title="Doubts a person may accept")

    gates: tuple[str, ...] = _with_hint(HoldOverride, "gates", '. For example `["no-harm-*", "slice-*"]`')
    who: tuple[str, ...] = _with_hint(HoldOverride, "who", '. For example `["Ada Lovelace"]`')


class Judge(JudgePolicy):
    """A model that judges answers. Its scores decide only while it agrees with people."""

    model: str = Field(default="", description="Name of the model at the judge's server; empty: no judge")
    base_url: Text = _with_hint(JudgePolicy, "base_url", "")


def _as_in_policy(name: str, title: str, hint: str = "") -> Any:
    """The field of `Policy`: its default, its range and its description are written once."""
    field = _with_hint(Policy, name, hint)
    field.title = title
    if isinstance(field.default, tuple):
        field.default = list(field.default)  # a form has lists
    return field


class RatchetGatePolicy(Block):
    """What a release must prove before it is served. Every number is a person's decision."""

    _block_type_name = "Ratchet gate policy"
    _block_type_slug = "ratchet-gate-policy"
    _description = "What a release must prove before it is served: floors, margins, slices, drift, approval."
    _code_example = """```python
from blocks import RatchetAssistant, RatchetGatePolicy

policy = RatchetGatePolicy(approval={"ask": "new-model"})
await policy.save("careful")
await RatchetAssistant(assistant="handbook", policy=policy).save("handbook")
```"""

    approval: Approval = _as_in_policy("approval", "Approval")
    override: AcceptedDoubts = Field(default=AcceptedDoubts(), title="Doubts a person may accept")
    beats_trivial_on: Metric = _as_in_policy("beats_trivial_on", "Better than trivial answerers at")
    adapter_improves: Metric = _as_in_policy("adapter_improves", "A new model is better at")
    adapter_improves_on: Text = _as_in_policy("adapter_improves_on", "A new model is better on")
    config_improves: list[Metric] = _as_in_policy("config_improves", "A new prompt or setting is better at one of")
    floors: Floors = _as_in_policy("floors", "Floors", ". Empty: no floor")
    margins: Losses = _as_in_policy("margins", "Margins", ". 0.1 is ten points; empty: not compared")
    drift_budget: Drift = _as_in_policy("drift_budget", "Drift budget", ". 0.1 is ten points; empty: not compared")
    slices: list[Slice] = _as_in_policy(
        "slices", "Slices", '. For example `[{"name": "oils", "documents": ["oils/*"], "required": true}]`'
    )
    slice_by_folder: bool = _as_in_policy("slice_by_folder", "A slice per folder")
    minimum_slice: int = _as_in_policy("minimum_slice", "Smallest slice")
    pace: Pace = _as_in_policy("pace", "Pace and cost")
    judge: Judge = Field(default=Judge(), title="Judge")
    answer_schema: dict[str, JsonValue] | None = _as_in_policy("answer_schema", "JSON Schema of answers")
    alpha: float = _as_in_policy("alpha", "Alpha")
    freshness_alpha: float = _as_in_policy("freshness_alpha", "Alpha of freshness")
    minimum_questions: int = _as_in_policy("minimum_questions", "Fewest questions")
    resamples: int = _as_in_policy("resamples", "Resamples")
    seed: int = _as_in_policy("seed", "Seed")

    @model_validator(mode="after")
    def _can_be_meant(self) -> Self:
        """What `Policy` refuses is refused when the block is saved or loaded, not when a release is judged."""
        try:
            self.policy()
        except ValidationError as error:
            said = (f"{'.'.join(map(str, wrong['loc']))} {wrong['msg']}".strip() for wrong in error.errors())
            raise ValueError("; ".join(said)) from error
        return self

    def policy(self) -> Policy:
        """The policy that a release is judged by."""
        chosen = self.model_dump(include=set(Policy.model_fields))
        return Policy.model_validate(chosen | {"judge": chosen["judge"] if self.judge.model else None})
