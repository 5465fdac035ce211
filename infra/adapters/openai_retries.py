"""One request to an OpenAI-compatible server: tried again while that can help, and its failures as our own errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tasks.core.errors import BadSetting, CannotRetry, ModelUnavailable, NotFound, RatchetError, UsageError

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAIError

Answer = TypeVar("Answer")
_LONGEST_WAIT = 60.0
_TRY_AGAIN = {408, 409, 429}
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long one request is tried, and how long the first wait is; each further one is twice as long."""

    seconds: float = 300.0
    first_wait_seconds: float = 0.5


def ask(request: Callable[[], Answer], what: str, patience: Patience) -> Answer:
    """The answer. what: the model and the server, for messages.

    Raises ModelUnavailable once patience is over, and at once: BadSetting (key), NotFound (model), CannotRetry (quota)
    or UsageError (the request itself).
    """
    from openai import OpenAIError

    ends, wait = time.monotonic() + patience.seconds, patience.first_wait_seconds
    while True:
        try:
            return request()
        except OpenAIError as error:
            if (refusal := _refusal(error, what)) is not None:
                raise refusal from error
            asked = _asked_wait(error)
            pause = wait if asked is None else asked
            if time.monotonic() + pause > ends:
                raise _gave_up(error, what, pause, patience) from error
        time.sleep(pause)
        wait = min(2 * wait, _LONGEST_WAIT)


def seconds_of(duration: str) -> float | None:
    """A wait as the headers write it; None when it is none.

    >>> seconds_of("2"), seconds_of("6m0s"), seconds_of("20ms"), seconds_of("1.5s"), seconds_of("soon")
    (2.0, 360.0, 0.02, 1.5, None)
    """
    import re

    if re.fullmatch(r"\d+(\.\d+)?", duration):
        return float(duration)
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", duration):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", duration))


def _asked_wait(error: OpenAIError) -> float | None:
    """What the server asks for, if it does: never sooner than that, or it counts against the limit again."""
    from openai import APIStatusError

    if not isinstance(error, APIStatusError):
        return None
    headers: Mapping[str, str] = error.response.headers
    if (milliseconds := seconds_of(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    if (asked := seconds_of(headers.get("retry-after", ""))) is not None:
        return asked
    spent = [kind for kind in ("requests", "tokens") if headers.get(f"x-ratelimit-remaining-{kind}") == "0"]
    resets = [seconds_of(headers.get(f"x-ratelimit-reset-{kind}", "")) for kind in spent]
    return max((reset for reset in resets if reset is not None), default=None)


def _refusal(error: OpenAIError, what: str) -> RatchetError | None:
    """Why trying again cannot help; None when it can."""
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIConnectionError):
        return None
    if not isinstance(error, APIStatusError):
        return UsageError(f"{what} could not be asked: {error}.")
    status, said = error.status_code, error.message
    if error.code == "insufficient_quota":
        return CannotRetry(f"{what}: the account's quota is used up. Add credit or raise its budget: {said}")
    if status in _TRY_AGAIN or status >= 500:
        return None
    return _for_good(error, what)


def _for_good(error: APIStatusError, what: str) -> RatchetError:
    status, said = error.status_code, error.message
    if status in (401, 403):
        return BadSetting(f"{what} refused the API key ({status}). Check the key and what it may use: {said}")
    if status == 404:
        return NotFound(f"{what} is not there (404). Check the model's name and the base URL: {said}")
    return UsageError(f"{what} refused the request ({status}): {said}")


def _gave_up(error: OpenAIError, what: str, pause: float, patience: Patience) -> ModelUnavailable:
    return ModelUnavailable(
        f"{what} cannot be used now: {error}. The next try would be in {pause:g} s, after the limit of "
        f"{patience.seconds:g} s for one request. Run again later, or check the server.",
        wait_seconds=pause,
    )
