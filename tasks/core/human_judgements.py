"""What people said of answers: one line of a file of judgements, and what several people make of one answer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from statistics import fmean
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, StrictStr, ValidationError
from pydantic_core import from_json

from tasks.core.judge_prompts import needs, pared
from tasks.core.judging import Exhibit
from tasks.core.metrics.score import Metric
from tasks.core.releases import canonical_json
from tasks.core.row_shapes import RowError

ShortName = Literal["faithfulness", "relevancy", "context_precision", "context_recall"]
_PREFIX = "judged_"


@dataclass(frozen=True, slots=True)
class HumanJudgement:
    """One person's value for one answer. The same person judging the same thing again changes their mind."""

    metric: Metric
    exhibit: Exhibit
    value: float  # 0 to 1
    who: str | None = None

    @property
    def id(self) -> str:
        """`j-` and 16 hex digits over everything but the value: metric, what the judge is shown for it, and who."""
        e = self.exhibit
        parts = [self.metric, e.question, e.answer, e.ideal, list(e.contexts), self.who]
        return "j-" + hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:16]


def pooled(judgements: Sequence[HumanJudgement]) -> list[tuple[Metric, Exhibit, float]]:
    """Each thing that was judged once, with the mean of the people's values, in the order first seen."""
    values: dict[tuple[Metric, Exhibit], list[float]] = {}
    for one in judgements:
        values.setdefault((one.metric, one.exhibit), []).append(one.value)
    return [(metric, exhibit, fmean(said)) for (metric, exhibit), said in values.items()]


def _without_prefix(name: object) -> object:
    return name.removeprefix(_PREFIX) if isinstance(name, str) else name


def _number_of_truth(value: object) -> object:
    return float(value) if isinstance(value, bool) else value


class _Row(BaseModel):
    metric: Annotated[ShortName, BeforeValidator(_without_prefix)] = "faithfulness"
    question: StrictStr
    answer: StrictStr = ""
    contexts: list[StrictStr] = []
    ideal: StrictStr = ""
    value: Annotated[float, BeforeValidator(_number_of_truth), Field(ge=0, le=1, strict=True)]
    who: StrictStr | None = Field(default=None, max_length=160)


_KNOWN = frozenset(_Row.model_fields)
_EXAMPLE = '{"metric": "faithfulness", "question": "…", "answer": "…", "contexts": ["…"], "value": 1}'


def read_judgement(line: int, raw: bytes) -> HumanJudgement | RowError:
    """The judgement of one line (1-based), or everything that is wrong with it.

    Keys that mean nothing here are ignored, near misses of known keys are not.
    """
    try:
        found = from_json(raw.decode("utf-8"), allow_inf_nan=False)
    except UnicodeDecodeError as error:
        return RowError(line, f"is not UTF-8 (position {error.start + 1}); save the file as UTF-8")
    except ValueError as error:
        return RowError(line, f"is not JSON: {error}")
    if not isinstance(found, dict):
        return RowError(line, f"is not a JSON object; write one object per line, such as {_EXAMPLE}")
    reasons = [miss for key in found if (miss := _near_miss(key))]
    try:
        row = _Row.model_validate(found)
    except ValidationError as error:
        reasons += [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        return RowError(line, "; ".join(reasons))
    reasons += _wrong(row)
    return RowError(line, "; ".join(reasons)) if reasons else _judgement(row)


def _judgement(row: _Row) -> HumanJudgement:
    exhibit = Exhibit(row.question.strip(), row.answer.strip(), tuple(row.contexts), row.ideal.strip())
    metric = _metric(row)
    return HumanJudgement(metric, pared(metric, exhibit), row.value, (row.who or "").strip() or None)


def _metric(row: _Row) -> Metric:
    names: dict[ShortName, Metric] = {
        "faithfulness": "judged_faithfulness",
        "relevancy": "judged_relevancy",
        "context_precision": "judged_context_precision",
        "context_recall": "judged_context_recall",
    }
    return names[row.metric]


def _wrong(row: _Row) -> list[str]:
    """Everything a well-formed row can still get wrong: whatever the judge will be shown has to be there."""
    given = {
        "question": row.question,
        "answer": row.answer,
        "ideal answer": row.ideal,
        "passages": "".join(row.contexts),
    }
    keys = {"question": "question", "answer": "answer", "ideal answer": "ideal", "passages": "contexts"}
    reasons = [
        f"{keys[part]}: holds no word, and {row.metric} is judged by it"
        for part in needs(_metric(row))
        if not any(c.isalnum() for c in given[part])
    ]
    if any("\x00" in text for text in (*given.values(), row.who or "")):
        reasons.append("holds a NUL character")
    return reasons


def _near_miss(key: str) -> str:
    if key in _KNOWN:
        return ""
    close = get_close_matches(key.casefold(), _KNOWN, n=1, cutoff=0.8)
    return f'unknown key "{key}"; did you mean "{close[0]}"?' if close else ""
