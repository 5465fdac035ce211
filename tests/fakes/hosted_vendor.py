"""A vendor that fine-tunes: its files, jobs and bills, on a clock that only tests move. Behind HTTP, or in memory.

`MemoryFineTuning` is the honest fake of the port; `openai_hosted_fake` puts the same vendor behind real HTTP.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tasks.core.errors import (
    HostedUnavailable,
    NotFound,
    OutcomeUnknown,
    RateLimited,
)
from tasks.core.hosted_failures import Refusal, failure_of
from tasks.core.hosted_jobs import MARK, Checkpoint, JobError, JobRequest, RemoteEvent, RemoteJob

BASES = ("gpt-4o-mini-2024-07-18", "tiny-base")
VALIDATING, QUEUED, STEPS, STEP_SECONDS = 2.0, 5.0, 4, 6.0  # a job takes 2 + 5 + 4 × 6 s

Fault = Literal[
    "lost-before",  # the connection ends before the request was looked at
    "lost-after",  # it was done, and nobody hears of it
    "500-before",
    "500-after",
    "malformed",  # done, and the answer is cut in the middle
    "html",  # done, and a proxy's page is the answer
    "429",
    "429-wait",
    "409",
]
FAULTS: Sequence[Fault] = (
    "lost-before",
    "lost-after",
    "500-before",
    "500-after",
    "malformed",
    "html",
    "429",
    "429-wait",
    "409",
)
AFTER: frozenset[Fault] = frozenset({"lost-after", "500-after", "malformed", "html"})
RETRY_AFTER = 7.0


class Refused(Exception):
    """An error of the API."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param


@dataclass
class Clock:
    """Seconds that pass when somebody waits."""

    now: float = 1_795_000_000.0  # 18 Nov 2026

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += max(seconds, 0.01)


@dataclass
class FastClock(Clock):
    """A hundred times as fast as ours, so that a job of half a minute is over in a moment."""

    began: float = 0.0

    def __call__(self) -> float:
        self.began = self.began or time.time()
        return self.began + 100 * (time.time() - self.began)


@dataclass
class File:
    id: str
    name: str
    content: bytes
    at: float


@dataclass
class Job:
    """ends: what becomes of it. paused: seconds it pauses in the middle. stopped: when somebody cancelled it."""

    id: str
    body: dict[str, Any]
    at: float
    ends: str
    paused: float
    tokens: int  # per epoch
    stopped: float | None = None

    @property
    def epochs(self) -> int:
        chosen = self.body["method"][self.body["method"]["type"]]["hyperparameters"]["n_epochs"]
        return int(chosen)

    def status(self, now: float) -> str:
        if self.stopped is not None and self.stopped <= now:
            return "cancelled"
        return self._on_its_own(now)

    def _on_its_own(self, now: float) -> str:
        age, half = now - self.at, VALIDATING + QUEUED + STEPS * STEP_SECONDS / 2
        if age < VALIDATING:
            return "validating_files"
        if self.ends == "invalid":
            return "failed"
        if age < VALIDATING + QUEUED:
            return "queued"
        if half <= age < half + self.paused:
            return "paused"
        if age < VALIDATING + QUEUED + STEPS * STEP_SECONDS + self.paused:
            return "running"
        return self.ends

    def steps(self, now: float) -> int:
        until = now if self.stopped is None else min(now, self.stopped)
        return max(0, min(STEPS, int((until - self.at - VALIDATING - QUEUED) // STEP_SECONDS)))

    def billed(self, now: float) -> int:
        """Tokens that were trained on; a job that was stopped before it ran costs nothing."""
        if self.ends == "invalid":
            return 0
        return self.tokens * self.epochs * self.steps(now) // STEPS


@dataclass
class Vendor:
    """count: tokens of a text, as billed. list_lag: seconds until a job or file is listed.

    faults: operation → what happens to its next calls, in order. ends, paused: of jobs to come.
    """

    clock: Clock = field(default_factory=Clock)
    count: Callable[[str], int] = lambda text: len(text.split())
    list_lag: float = 0.0
    ends: str = "succeeded"
    paused: float = 0.0
    retired: bool = False
    ignores_filter: bool = False
    keeps_metadata: bool = True
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    refusals: dict[str, list[Refused]] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    made: list[Job] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def fault(self, operation: str) -> Fault | None:
        waiting = self.faults.get(operation, [])
        return waiting.pop(0) if waiting else None

    # ── what the API does ────────────────────────────────────────────────────────────────────────────────────────────

    def upload(self, name: str, content: bytes) -> File:
        file = File(f"file-{len(self.files) + 1}", name, content, self.clock())
        self.files[file.id] = file
        return file

    def listed_files(self) -> list[File]:
        return [one for one in reversed(self.files.values()) if one.at + self.list_lag <= self.clock()]

    def file(self, file: str) -> File:
        if file not in self.files:
            raise Refused(404, f"No such File object: {file}", None, "id")
        return self.files[file]

    def create(self, body: dict[str, Any]) -> Job:
        if self.retired:
            raise Refused(403, "Fine-tuning is no longer available to your organization.", "training_not_available")
        if body["model"] not in self.models():
            raise Refused(404, f"The model {body['model']} does not exist", "model_not_found", "model")
        for param in ("training_file", "validation_file"):
            if body.get(param) and body[param] not in self.files:
                raise Refused(400, f"{body[param]} is not there", "invalid_training_file", param)
        lines = self.files[body["training_file"]].content.decode().splitlines()
        tokens = sum(billed_tokens(json.loads(line), self.count) for line in lines)
        told = {"supervised": "messages", "dpo": "preferred_output"}[body["method"]["type"]]
        ends = self.ends if all(told in json.loads(line) for line in lines) else "invalid"
        job = Job(f"ftjob-{len(self.made) + 1}", body, self.clock(), ends, self.paused, tokens)
        self.made.append(job)
        return job

    def job(self, job: str) -> Job:
        found = [one for one in self.made if one.id == job]
        if not found:
            raise Refused(404, f"Could not find fine tune: {job}", "fine_tune_not_found", "fine_tune_id")
        return found[0]

    def listed(self, mark: str | None) -> list[Job]:
        """Newest first."""
        shown = [one for one in reversed(self.made) if one.at + self.list_lag <= self.clock()]
        if mark is None or self.ignores_filter:
            return shown
        return [one for one in shown if self.keeps_metadata and one.body["metadata"].get(MARK) == mark]

    def cancel(self, job: str) -> Job:
        found = self.job(job)
        status = found.status(self.clock())
        if status in ("succeeded", "failed", "cancelled"):
            raise Refused(400, f"Job has already {status}", "invalid_request_error")
        found.stopped = self.clock()
        return found

    # ── what is told of a job ────────────────────────────────────────────────────────────────────────────────────────

    def told(self, job: Job) -> dict[str, Any]:
        now, method = self.clock(), job.body["method"]["type"]
        status = job.status(now)
        ended = status in ("succeeded", "failed", "cancelled")
        failed = {"code": "invalid_training_file", "message": "line 3 breaks a policy", "param": "training_file"}
        return {
            "object": "fine_tuning.job",
            "id": job.id,
            "created_at": int(job.at),
            "finished_at": int(now) if ended else None,
            "model": job.body["model"],
            "fine_tuned_model": self.model_of(job) if status == "succeeded" else None,
            "organization_id": "org-1",
            "status": status,
            "error": failed if status == "failed" else None,
            "hyperparameters": {"n_epochs": job.epochs, "batch_size": "auto", "learning_rate_multiplier": "auto"},
            "method": {"type": method, method: job.body["method"][method]},
            "training_file": job.body["training_file"],
            "validation_file": job.body.get("validation_file"),
            "result_files": [],
            "trained_tokens": job.billed(now) if status == "succeeded" else None,
            "seed": job.body.get("seed", 0),
            "estimated_finish": None,
            "metadata": job.body.get("metadata") if self.keeps_metadata else None,
        }

    def models(self) -> list[str]:
        """Names of what answers, and can be tuned: the bases, and what was tuned from them."""
        return [*BASES, *(self.model_of(one) for one in self.made if one.status(self.clock()) == "succeeded")]

    def model_of(self, job: Job) -> str:
        model = job.body["model"]
        base = model.split(":")[1] if model.startswith("ft:") else model
        return f"ft:{base}:acme:{job.body.get('suffix', 'x')}:{job.id[6:]}"

    def events(self, job: Job) -> list[dict[str, Any]]:
        """Newest first."""
        status = job.status(self.clock())
        told: list[tuple[str, dict[str, float]]] = [("Created fine-tuning job", {})]
        for step in range(1, job.steps(self.clock()) + 1):
            numbers = {"step": step, "total_steps": STEPS, "train_loss": 2.0 / step}
            told.append((f"Step {step}/{STEPS}: training loss={2.0 / step:.2f}", numbers))
        if status in ("succeeded", "failed", "cancelled"):
            told.append((f"The job has {status}", {}))
        return [
            {
                "object": "fine_tuning.job.event",
                "id": f"ftevent-{job.id}-{n}",
                "created_at": int(job.at) + n,
                "level": "info",
                "message": message,
                "type": "metrics" if numbers else "message",
                "data": numbers,
            }
            for n, (message, numbers) in reversed(list(enumerate(told)))
        ]

    def checkpoints(self, job: Job) -> list[dict[str, Any]]:
        """Newest first."""
        return [
            {
                "object": "fine_tuning.job.checkpoint",
                "id": f"ftckpt-{job.id}-{step}",
                "created_at": int(job.at) + step,
                "fine_tuned_model_checkpoint": f"{self.model_of(job)}:ckpt-step-{step}",
                "fine_tuning_job_id": job.id,
                "metrics": {"step": step, "train_loss": 2.0 / step, "valid_loss": 3.0 / step},
                "step_number": step,
            }
            for step in range(job.steps(self.clock()), 0, -1)
        ]

    # ── what it costs ────────────────────────────────────────────────────────────────────────────────────────────────

    def to_the_end(self) -> None:
        """Lets every job run out."""
        self.clock.now += 1e6

    @property
    def paid(self) -> list[Job]:
        """Jobs that are on the bill."""
        return [job for job in self.made if job.billed(self.clock()) > 0]


def billed_tokens(example: Mapping[str, Any], count: Callable[[str], int]) -> int:
    """OpenAI's cookbook: three tokens around each message, its role and its content, and three for the reply."""
    chats = [example["messages"]] if "messages" in example else [example["input"]["messages"]]
    chats += [example[name] for name in ("preferred_output", "non_preferred_output") if name in example]
    total = 3
    for messages in chats:
        for message in messages:
            total += 3
            for value in message.values():
                total += count(value)
    return total


@dataclass
class MemoryFineTuning:
    """FineTuning over the vendor, without HTTP."""

    vendor: Vendor
    name: str = "vendor.test"

    def check(self) -> None:
        self._ask("jobs", lambda: None)

    def upload(self, name: str, content: bytes) -> str:
        return self._ask("upload", lambda: self.vendor.upload(name, content).id)

    def find_file(self, name: str, size_bytes: int) -> str | None:
        def search() -> str | None:
            alike = (f.id for f in self.vendor.listed_files() if (f.name, len(f.content)) == (name, size_bytes))
            return next(alike, None)

        return self._ask("files", search)

    def has_file(self, file: str) -> bool:
        try:
            self._ask("file", lambda: self.vendor.file(file))
        except NotFound:
            return False
        return True

    def delete_file(self, file: str) -> None:
        self._ask("delete", lambda: self.vendor.files.pop(file, None))

    def create(self, request: JobRequest) -> RemoteJob:
        beta = {} if request.beta is None else {"beta": request.beta}
        chosen = {"hyperparameters": {"n_epochs": request.epochs, **beta}}
        body = {
            "model": request.base,
            "training_file": request.training_file,
            "validation_file": request.validation_file,
            "method": {"type": request.method, request.method: chosen},
            "seed": request.seed,
            "suffix": request.suffix,
            "metadata": {MARK: request.mark},
        }
        return self._ask("create", lambda: self._job(self.vendor.create(body)))

    def jobs(self, mark: str, since: float) -> Sequence[RemoteJob]:
        def search() -> list[RemoteJob]:
            told = [self._job(one) for one in self.vendor.listed(None) if one.at >= since]
            return [one for one in told if one.mark in (mark, None)]

        return self._ask("jobs", search)

    def job(self, job: str) -> RemoteJob:
        return self._ask("job", lambda: self._job(self.vendor.job(job)))

    def cancel(self, job: str) -> RemoteJob:
        def cancelled() -> RemoteJob:
            try:
                return self._job(self.vendor.cancel(job))
            except Refused as refusal:
                if refusal.status != 400:
                    raise
                return self._job(self.vendor.job(job))

        return self._ask("cancel", cancelled)

    def events(self, job: str, after: str | None) -> Sequence[RemoteEvent]:
        def search() -> list[RemoteEvent]:
            told = [RemoteEvent(e["id"], e["message"], e["data"]) for e in self.vendor.events(self.vendor.job(job))]
            names = [one.id for one in told]
            return (told[: names.index(after)] if after in names else told)[::-1]

        return self._ask("events", search)

    def checkpoints(self, job: str) -> Sequence[Checkpoint]:
        def search() -> list[Checkpoint]:
            kept = self.vendor.checkpoints(self.vendor.job(job))[::-1]
            return [Checkpoint(c["fine_tuned_model_checkpoint"], c["step_number"], c["metrics"]) for c in kept]

        return self._ask("checkpoints", search)

    def _job(self, job: Job) -> RemoteJob:
        told = self.vendor.told(job)
        return RemoteJob(
            id=told["id"],
            status=told["status"],
            model=told["fine_tuned_model"],
            error=JobError(**told["error"]) if told["error"] else None,
            mark=told["metadata"].get(MARK, "") if told["metadata"] else None,
            training_file=told["training_file"],
            created_at=float(told["created_at"]),
            trained_tokens=told["trained_tokens"],
        )

    def _ask(self, operation: str, work: Callable[[], Any]) -> Any:
        self.vendor.calls.append(operation)
        fault = self.vendor.fault(operation)
        waiting = self.vendor.refusals.get(operation, [])
        try:
            if waiting:
                raise waiting.pop(0)
            result = work() if fault is None or fault in AFTER else None
        except Refused as refusal:
            told = Refusal(refusal.status, refusal.message, refusal.code or "", refusal.param)
            raise failure_of(told, f"{self.name}, {operation}", creating=operation == "create") from refusal
        if fault is None:
            return result
        if fault.startswith("429"):
            raise RateLimited("Too many requests.", wait_seconds=RETRY_AFTER if fault == "429-wait" else None)
        raise (OutcomeUnknown if operation == "create" else HostedUnavailable)(f"{operation}: {fault}")
