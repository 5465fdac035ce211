"""What a training process and its parent say to each other: a line of JSON each.

parent → child    a Job, and then nothing: that the pipe ends tells the child that its parent is gone
child → parent    Ready, Progressed any number of times, and at last Made or Ended
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter
from pydantic_core import to_jsonable_python

from infra.adapters.lora_trainer import TrainingJob
from infra.adapters.preference_trainer import PreferenceJob
from tasks.core import errors


@dataclass(frozen=True, slots=True)
class Ready:
    """The job was read and the libraries are there."""

    kind: Literal["ready"] = "ready"


@dataclass(frozen=True, slots=True)
class Progressed:
    """As the Progress port takes it."""

    what: str
    done: int
    total: int
    kind: Literal["progressed"] = "progressed"


@dataclass(frozen=True, slots=True)
class Made:
    """The adapter is in the job's folder."""

    metrics: dict[str, float]
    kind: Literal["made"] = "made"


@dataclass(frozen=True, slots=True)
class Ended:
    """An error ended it. error: the name of its class."""

    error: str
    message: str
    values: dict[str, object] = field(default_factory=dict)
    kind: Literal["ended"] = "ended"

    def as_error(self) -> errors.RatchetError:
        """The error as it was, or TrainingFailed for one that is not of Ratchet's tree."""
        known = getattr(errors, self.error, None)
        if isinstance(known, type) and issubclass(known, errors.RatchetError):
            return known(self.message, **self.values)
        return errors.TrainingFailed(
            f"Training ended with {self.error}: {self.message}. Nothing was registered; the labels wait for the next.",
            error=self.error,
        )


Said = Ready | Progressed | Made | Ended
Job = TrainingJob | PreferenceJob
JOB: TypeAdapter[Job] = TypeAdapter(Annotated[Job, Field(discriminator="kind")])
SAID: TypeAdapter[Said] = TypeAdapter(Annotated[Said, Field(discriminator="kind")])


def ended(error: Exception) -> Ended:
    """What is said of an error."""
    if isinstance(error, errors.RatchetError):
        return Ended(type(error).__name__, error.message, to_jsonable_python(error.values, fallback=str))
    return Ended(type(error).__name__, str(error)[:2000])


def as_line(said: Said) -> bytes:
    """One line."""
    return SAID.dump_json(said) + b"\n"
