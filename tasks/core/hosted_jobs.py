"""What is known of a vendor's fine-tuning job: the row that is written before the vendor is told, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

Method = Literal["supervised", "dpo"]
Early = Literal["intended", "uploading", "submitting", "unknown"]
Active = Literal["validating_files", "queued", "running", "paused"]
Ended = Literal["succeeded", "failed", "cancelled", "retired"]
State = Literal[Early, Active, Ended]

AT_VENDOR: Final[Mapping[Method, str]] = {"supervised": "openai", "dpo": "openai-dpo"}
"""The `--method` that trains at a vendor."""
HERE: Final[Mapping[Method, str]] = {"supervised": "lora", "dpo": "dpo"}
"""The one that learns the same here."""

EARLY: Final[frozenset[str]] = frozenset(get_args(Early))
ACTIVE: Final[frozenset[str]] = frozenset(get_args(Active))
ENDED: Final[frozenset[str]] = frozenset(get_args(Ended))
AT_WORK: Final[frozenset[str]] = ACTIVE | {"submitting", "unknown"}
"""States of a job that is paid for, or may be, and has not ended."""
MARK = "release_key"
"""The key of the job's metadata that names what it was created for."""


@dataclass(frozen=True, slots=True)
class JobError:
    """Why the vendor ended a job, or refused one, in its own words."""

    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model the vendor kept on the way."""

    model: str
    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """A job as the vendor tells it."""

    id: str
    status: str  # as told; `state_of` reads it
    model: str | None = None  # the fine-tuned one
    error: JobError | None = None
    mark: str | None = None  # metadata[MARK]
    training_file: str = ""
    created_at: float = 0.0
    trained_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class RemoteEvent:
    """A line of the job's log, with the numbers it came with."""

    id: str
    message: str
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def progress(self) -> tuple[int, int]:
        """Steps done, and of how many; (0, 1) where it does not say.

        >>> RemoteEvent("e", "Step 3/10", {"step": 3.0, "total_steps": 10.0}).progress
        (3, 10)
        """
        total = int(self.metrics.get("total_steps", 0))
        return (int(self.metrics.get("step", 0)), total) if total else (0, 1)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a job is created from. epochs are always said: left to the vendor, so would be the bill."""

    base: str
    method: Method
    training_file: str
    validation_file: str | None
    epochs: int
    seed: int
    mark: str
    suffix: str | None = None  # at most 64 characters of the model's name
    beta: float | None = None  # of DPO


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things may take."""

    settle_seconds: float = 180.0  # after "create" was sent: a job that is not listed by then was not created
    first_poll_seconds: float = 5.0
    longest_poll_seconds: float = 60.0
    outage_seconds: float = 900.0  # in one run, without one good answer
    longest_wait_seconds: float = 24 * 3600.0  # in one run, for a job that goes on
    creates: int = 3  # in one run, each without an answer


@dataclass(frozen=True, slots=True)
class HostedJob:
    """The row of one intent: the same rows, base and settings are one paid job."""

    assistant: str
    intent: str  # the training's id
    base: str
    method: Method
    tokens: int  # to be billed, as estimated
    cost_usd: float  # as estimated before it was submitted
    begun_at: float
    wanted: tuple[str, ...]  # hashes of the files: training, and validation where there is one
    state: State = "intended"
    attempt: int = 1
    files: Mapping[str, str] = field(default_factory=dict)  # hash → the vendor's id
    job: str | None = None  # the vendor's id; None: none is known to exist
    model: str | None = None
    error: JobError | None = None
    owner: str | None = None  # the process that sent "create" last
    creates: int = 0  # how often it was sent in this attempt
    attempted_at: float | None = None  # when, the last time
    not_before: float = 0.0
    polls: int = 0
    polled_at: float = 0.0
    nudged_at: float = 0.0
    webhooks: tuple[str, ...] = ()  # the last ones seen
    last_event: str | None = None
    checkpoints: tuple[Checkpoint, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    trained_tokens: int | None = None  # as billed
    spent_usd: float = 0.0  # by earlier attempts
    golden_answers: str | None = None  # digest of the artifact that keeps what the model said
    beside: bool = False  # somebody asked for it though another may be at work

    @property
    def mark(self) -> str:
        """What the vendor's job carries: the same rows in the same account, whichever catalog they stand in.

        >>> HostedJob("default", "t-1", "gpt", "supervised", 1, 0.0, 0.0, ("sha",)).mark
        'default.t-1.1'
        """
        return f"{self.assistant}.{self.intent}.{self.attempt}"

    @property
    def whole(self) -> bool:
        """Whether every file is with the vendor."""
        return all(sha in self.files for sha in self.wanted)
