"""The processes that a release must answer in: the services that run, or else one that is started to be asked."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import IO

from pydantic import SecretStr

from infra.adapters.answer_service import AnswerService
from infra.child_environment import child_environment
from infra.service.handed_settings import as_line
from infra.settings import Settings
from tasks.core.errors import BadSetting, ModelUnavailable

CHILD = "infra.service.service_child"
START_SECONDS = 120.0  # importing takes seconds, and longer on a cold disk
STOP_SECONDS = 5.0
STARTED = "a process started for this"


@contextmanager
def open_processes(settings: Settings) -> Iterator[Sequence[AnswerService]]:
    """Every service that the settings name; where they name none, a new one of the same settings.

    Raises BadSetting for what is no URL, and ModelUnavailable when the new one does not start.
    """
    with ExitStack() as stack:
        if settings.service_url is None:
            yield [stack.enter_context(start_service(settings))]
        else:
            yield [stack.enter_context(AnswerService(url, settings.api_key)) for url in _urls(settings.service_url)]


def _urls(named: str) -> list[str]:
    urls = list(dict.fromkeys(url.strip() for url in named.split(",") if url.strip()))
    if not urls:
        raise BadSetting("RATCHET_SERVICE_URL is set and names no service. Name one, or unset it.")
    return urls


@contextmanager
def start_service(settings: Settings, *, within_seconds: float = START_SECONDS) -> Iterator[AnswerService]:
    """A new process of the answer service, with a key and a port of its own; ended with the block, or with us.

    Raises ModelUnavailable when it cannot answer `within_seconds`.
    """
    key = SecretStr(secrets.token_urlsafe(24))
    handed = as_line(settings.model_copy(update={"api_key": key}))
    ends = time.monotonic() + within_seconds
    with tempfile.TemporaryFile() as log, _child(log) as child:
        port = _port(child, handed, within_seconds)
        if port is None:
            raise _did_not_start(log, f"did not begin within {within_seconds:g} s, or ended at once")
        with AnswerService(f"http://127.0.0.1:{port}", key, where=STARTED, stays=False, proxies=False) as service:
            while not service.is_ready():
                if time.monotonic() > ends:  # asked first: a child that was ended for it has a status too
                    raise _did_not_start(log, f"could not answer within {within_seconds:g} s")
                if (status := child.poll()) is not None:
                    raise _did_not_start(log, f"ended with exit status {status}")
                time.sleep(0.05)
            yield service


@contextmanager
def _child(log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    # In a group of its own: Ctrl-C reaches this process, which decides.
    child = subprocess.Popen(
        [sys.executable, "-m", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=child_environment(),
        process_group=0,
    )
    try:
        yield child
    finally:
        for pipe in (child.stdin, child.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _port(child: subprocess.Popen[bytes], settings: bytes, within_seconds: float) -> int | None:
    """What the child says its port is; None when it ended, or was ended because its time was up."""
    assert child.stdin is not None
    assert child.stdout is not None
    timer = threading.Timer(within_seconds, child.kill)
    timer.start()
    try:
        child.stdin.write(settings)
        child.stdin.flush()
        line = child.stdout.readline()
    except BrokenPipeError:
        return None
    finally:
        timer.cancel()
    return int(line) if line.endswith(b"\n") else None


def _did_not_start(log: IO[bytes], how: str) -> ModelUnavailable:
    log.seek(0)
    said = log.read().decode(errors="replace").strip()[-1000:] or "nothing"
    return ModelUnavailable(
        f"The answer service that was started for this promotion {how}. It said: {said}. Nothing was promoted; "
        "`ratchet serve` shows whether it starts by itself."
    )
