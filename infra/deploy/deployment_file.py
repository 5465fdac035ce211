"""prefect.yaml, read strictly: Prefect ignores keys that it does not know, without a word. No Prefect here."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from tasks.core.errors import BadSetting

_VARIABLE = re.compile(r"\{\{\s*prefect\.variables\.([a-z0-9_]+)\s*\}\}")
IN_THE_PACKAGE = Path(__file__).with_name("prefect.yaml")
"""In a checkout a link to the one at its root, where Prefect looks; in an installation the file itself."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Schedule(_Strict):
    """When a deployment starts by itself. Times are the wall clock of the time zone."""

    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    timezone: str
    cron: str | None = None
    interval: float | None = Field(default=None, gt=0)  # seconds
    anchor_date: datetime | None = None
    parameters: dict[str, JsonValue] = {}
    active: str | None = None

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        return ZoneInfo(value).key

    @model_validator(mode="after")
    def _one_kind(self) -> Schedule:
        if (self.cron is None) == (self.interval is None):
            raise ValueError("a schedule has either cron or interval")
        if (self.interval is None) != (self.anchor_date is None):
            raise ValueError("an interval counts from its anchor_date: without one every deploy would move it")
        if self.active is not None and not _VARIABLE.fullmatch(self.active):
            raise ValueError('active is "{{ prefect.variables.NAME }}", or left out')
        return self

    @property
    def variable(self) -> str | None:
        """The Prefect Variable that switches it."""
        found = _VARIABLE.fullmatch(self.active or "")
        return found[1] if found else None


class WorkPoolName(_Strict):
    """Where the runs of a deployment are worked off."""

    name: str


class Concurrency(_Strict):
    """How many runs of a deployment go on at once. A run that finds them taken waits; none is dropped."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE"]
    grace_period_seconds: int = Field(ge=60, le=600)  # 60 is the least that Prefect takes


class Deployment(_Strict):
    """One flow with parameters, a place and times."""

    name: str
    entrypoint: str = Field(pattern=r"^flows\.[a-z_]+\.[a-z_]+$")
    description: str
    tags: tuple[str, ...]
    parameters: dict[str, JsonValue] = {}
    work_pool: WorkPoolName
    concurrency_limit: Concurrency | None = None
    schedules: tuple[Schedule, ...] = ()

    @field_validator("schedules")
    @classmethod
    def _told_apart(cls, value: tuple[Schedule, ...]) -> tuple[Schedule, ...]:
        if len({one.slug for one in value}) < len(value):
            raise ValueError("two schedules of one deployment have the same slug")
        return value

    @property
    def flow_name(self) -> str:
        """`flows.tend_runs.tend_runs` is flow `tend-runs`."""
        return self.entrypoint.rpartition(".")[2].replace("_", "-")

    @property
    def full_name(self) -> str:
        """As Prefect says it: flow/deployment."""
        return f"{self.flow_name}/{self.name}"


class DeploymentFile(_Strict):
    """The whole file. `pull` is empty: the package is installed where workers run."""

    name: str
    pull: tuple[()]
    definitions: dict[str, Any] = {}  # YAML anchors
    deployments: tuple[Deployment, ...]

    @model_validator(mode="after")
    def _told_apart(self) -> DeploymentFile:
        names = [one.full_name for one in self.deployments]
        variables = [s.variable for one in self.deployments for s in one.schedules if s.variable]
        for twice in (
            set(filter(lambda n: names.count(n) > 1, names)),
            {v for v in variables if variables.count(v) > 1},
        ):
            if twice:
                raise ValueError(f"there twice: {', '.join(sorted(twice))}")
        return self


def read_deployments(file: Path | None = None) -> DeploymentFile:
    """The file given, the one in the working directory, or the one in the package. Raises BadSetting."""
    here = Path("prefect.yaml")
    where = file or (here if here.is_file() else IN_THE_PACKAGE)
    try:
        return DeploymentFile.model_validate(yaml.safe_load(where.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadSetting(
            f"{where} cannot be read: {error.strerror}. Name another: ratchet deploy --file FILE."
        ) from error
    except yaml.YAMLError as error:
        raise BadSetting(f"{where} is not YAML: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadSetting(f"{where} is wrong: {wrong}.") from error
