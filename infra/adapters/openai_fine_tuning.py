"""Fine-tuning at OpenAI, or at any server that speaks its protocol: files, jobs, events, checkpoints.

The SDK sends no idempotency key and would send "create" up to three times: here nothing is ever sent twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from infra.adapters.openai_retries import seconds_of
from tasks.core.errors import BadSetting, HostedUnavailable, NotFound, OutcomeUnknown, RatchetError, UsageError
from tasks.core.hosted_failures import Refusal, failure_of
from tasks.core.hosted_jobs import MARK, Checkpoint, JobError, JobRequest, RemoteEvent, RemoteJob

if TYPE_CHECKING:
    from openai import APIStatusError

OPENAI = "https://api.openai.com/v1"
PAGE = 100
MOST_LISTED = 2_000  # of a server that ignores the filter
MOST_EVENTS = 1_000  # told at once
T = TypeVar("T")


class OpenAiFineTuning:
    """FineTuning on the `openai` SDK."""

    def __init__(
        self,
        *,
        api_key: SecretStr | None = None,
        base_url: str | None = None,
        timeout_seconds: float = 60.0,
        upload_timeout_seconds: float = 600.0,
    ) -> None:
        """Asks nothing yet. Raises BadSetting without a key when the server is OpenAI's."""
        if api_key is None and base_url is None:
            raise BadSetting(
                "Fine-tuning at OpenAI needs an API key. Set RATCHET_OPENAI_API_KEY or OPENAI_API_KEY, or "
                "RATCHET_HOSTED_BASE_URL for a server without one."
            )
        self._api_key = api_key or SecretStr("none")
        self._base_url = (base_url or OPENAI).rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._upload_timeout_seconds = upload_timeout_seconds

    @property
    def name(self) -> str:
        return urlsplit(self._base_url).netloc or self._base_url

    def check(self) -> None:
        self._ask("fine-tuning", lambda: self._client.fine_tuning.jobs.list(limit=1).data)

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def upload(self, name: str, content: bytes) -> str:
        sent = (name, content, "application/jsonl")
        create = self._client.files.create
        timeout = self._upload_timeout_seconds
        return self._ask("uploading a file", lambda: str(create(file=sent, purpose="fine-tune", timeout=timeout).id))

    def find_file(self, name: str, size_bytes: int) -> str | None:
        def search() -> str | None:
            listed = self._client.files.list(purpose="fine-tune", limit=PAGE, order="desc")
            alike = (
                file.id
                for file in islice(listed, MOST_LISTED)
                if (file.filename, file.bytes) == (name, size_bytes) and file.status != "error"
            )
            return next(alike, None)

        return self._ask("listing files", search)

    def has_file(self, file: str) -> bool:
        try:
            self._ask("a file", lambda: self._client.files.retrieve(file).id)
        except NotFound:
            return False
        return True

    def delete_file(self, file: str) -> None:
        try:
            self._ask("deleting a file", lambda: self._client.files.delete(file).id)
        except NotFound:
            return

    # ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def create(self, request: JobRequest) -> RemoteJob:
        body = body_of(request)
        return self._ask(
            f"a fine-tuning job on {request.base}",
            lambda: _job(self._client.fine_tuning.jobs.create(**body)),
            creating=True,
        )

    def jobs(self, mark: str, since: float) -> Sequence[RemoteJob]:
        """Asked for the mark, and where that finds none, for all: a server may filter by what it does not keep."""

        def search() -> list[RemoteJob]:
            return self._listed(mark, since, metadata={MARK: mark}) or self._listed(mark, since)

        return self._ask("listing fine-tuning jobs", search)

    def _listed(self, mark: str, since: float, **filtered: object) -> list[RemoteJob]:
        listed = map(_job, self._client.fine_tuning.jobs.list(limit=PAGE, **filtered))
        recent = list(islice(_until(listed, lambda job: job.created_at < since), MOST_LISTED + 1))
        if len(recent) > MOST_LISTED:
            raise HostedUnavailable(
                f"{self.name} lists over {MOST_LISTED:,} recent fine-tuning jobs, so nobody can tell whether ours is "
                "among them. Use a key of a project with fewer."
            )
        return [job for job in recent if job.mark in (mark, None)]

    def job(self, job: str) -> RemoteJob:
        return self._ask(f"job {job}", lambda: _job(self._client.fine_tuning.jobs.retrieve(job)))

    def cancel(self, job: str) -> RemoteJob:
        """A server refuses to cancel what has ended: then it is asked how that job is."""
        try:
            return self._ask(f"cancelling job {job}", lambda: _job(self._client.fine_tuning.jobs.cancel(job)))
        except NotFound:
            raise
        except UsageError:
            return self.job(job)

    def events(self, job: str, after: str | None) -> Sequence[RemoteEvent]:
        """The server lists the newest first, and its own `after` means older than."""

        def search() -> list[RemoteEvent]:
            listed = islice(self._client.fine_tuning.jobs.list_events(job, limit=PAGE), MOST_EVENTS)
            return list(_until(map(_event, listed), lambda event: event.id == after))[::-1]

        return self._ask(f"the events of job {job}", search)

    def checkpoints(self, job: str) -> Sequence[Checkpoint]:
        def search() -> list[Checkpoint]:
            return [_checkpoint(one) for one in self._client.fine_tuning.jobs.checkpoints.list(job, limit=PAGE)]

        return sorted(self._ask(f"the checkpoints of job {job}", search), key=lambda one: one.step)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ask(self, what: str, request: Callable[[], T], *, creating: bool = False) -> T:
        """The answer to one request. Whatever is no answer is one of our errors."""
        from openai import APIConnectionError, APIError, APIStatusError, OpenAIError

        whom = f"{self.name}, asked for {what}"
        try:
            return request()
        except APIStatusError as error:
            raise failure_of(_refusal(error), whom, creating=creating) from error
        except APIConnectionError as error:
            raise self._unreached(error, whom, creating=creating) from error
        except APIError as error:  # an answer that is not what was asked for
            raise _garbled(error, whom, creating=creating) from error
        except OpenAIError as error:
            raise UsageError(f"{whom}: the request could not be sent: {error}.") from error
        except (ValueError, AttributeError, TypeError) as error:  # a body that is no JSON, or lacks what it must hold
            raise _garbled(error, whom, creating=creating) from error

    def _unreached(self, error: Exception, whom: str, *, creating: bool) -> RatchetError:
        if creating and not _never_sent(error):
            return OutcomeUnknown(f"{whom}: no answer ({error}), and a job may have been created.")
        return HostedUnavailable(
            f"{whom}: no answer ({error}). Check the network and {self._base_url}; run again later."
        )

    @cached_property
    def _client(self) -> Any:
        """Without the SDK's own retries."""
        from openai import OpenAI

        return OpenAI(
            api_key=self._api_key.get_secret_value(),
            base_url=self._base_url,
            timeout=self._timeout_seconds,
            max_retries=0,
        )


def body_of(request: JobRequest) -> dict[str, Any]:
    """The body of "create"."""
    chosen: dict[str, object] = {"n_epochs": request.epochs}
    if request.beta is not None:
        chosen["beta"] = request.beta
    body: dict[str, Any] = {
        "model": request.base,
        "training_file": request.training_file,
        "method": {"type": request.method, request.method: {"hyperparameters": chosen}},
        "seed": request.seed,
        "metadata": {MARK: request.mark},
    }
    if request.validation_file:
        body["validation_file"] = request.validation_file
    if request.suffix:
        body["suffix"] = request.suffix
    return body


def _job(told: Any) -> RemoteJob:
    """Tolerant of fields and words that came later. Raises ValueError for what is no job."""
    if not isinstance(getattr(told, "id", None), str) or not isinstance(getattr(told, "status", None), str):
        raise ValueError(f"no fine-tuning job: {str(told)[:200]}")
    error, metadata = getattr(told, "error", None), getattr(told, "metadata", None)
    code = getattr(error, "code", None)
    return RemoteJob(
        id=told.id,
        status=told.status,
        model=getattr(told, "fine_tuned_model", None),
        error=JobError(code, str(error.message or ""), error.param) if error is not None and code else None,
        mark=metadata.get(MARK, "") if metadata else None,
        training_file=getattr(told, "training_file", "") or "",
        created_at=float(getattr(told, "created_at", 0) or 0),
        trained_tokens=getattr(told, "trained_tokens", None),
    )


def _event(told: Any) -> RemoteEvent:
    return RemoteEvent(str(told.id), str(told.message), _numbers(getattr(told, "data", None)))


def _checkpoint(told: Any) -> Checkpoint:
    metrics = told.metrics.model_dump() if told.metrics else {}
    return Checkpoint(str(told.fine_tuned_model_checkpoint), int(told.step_number), _numbers(metrics))


def _numbers(data: object) -> dict[str, float]:
    given = data if isinstance(data, Mapping) else getattr(data, "__dict__", {})
    return {str(name): float(value) for name, value in given.items() if type(value) in (int, float)}


def _until(values: Iterable[T], ends: Callable[[T], bool]) -> Iterator[T]:
    for value in values:
        if ends(value):
            return
        yield value


def _refusal(error: APIStatusError) -> Refusal:
    headers = error.response.headers
    milliseconds = seconds_of(headers.get("retry-after-ms", ""))
    wait = milliseconds / 1000 if milliseconds is not None else seconds_of(headers.get("retry-after", ""))
    body = error.body if isinstance(error.body, Mapping) else {}
    return Refusal(error.status_code, str(body.get("message") or error.message), error.code or "", error.param, wait)


def _garbled(error: Exception, whom: str, *, creating: bool) -> RatchetError:
    if creating:
        return OutcomeUnknown(f"{whom}: the answer cannot be read ({error}), and a job may have been created.")
    return HostedUnavailable(f"{whom}: the answer cannot be read ({error}). Check the base URL; run again later.")


def _never_sent(error: BaseException) -> bool:
    """Whether no connection was made, so that nothing can have arrived."""
    from httpx2 import ConnectError, ConnectTimeout

    return isinstance(error.__cause__, ConnectError | ConnectTimeout)
