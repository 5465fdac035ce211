"""Fitting in a child process, seen from outside: torch is loaded there, and gone with it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from os import environ
from typing import IO

from infra.adapters.lora_trainer import LIBRARIES, TrainingJob
from infra.adapters.training_messages import JOB, SAID, Ended, Made, Progressed, Ready
from infra.offline import QUIET
from tasks.core.errors import BadSetting, TrainingInterrupted
from tasks.core.ports import Progress
from tasks.documents import stopping

CHILD = "infra.adapters.training_child"
STOP_SECONDS = 120.0  # one step and its checkpoint, on a machine that is busy
LOOK_SECONDS = 0.2
_ASK = "import importlib.metadata as m, json; print(json.dumps({n: m.version(n) for n in %r}))"


class ChildFitting:
    """Fitting in a process of its own, which ends with this one: by Ctrl-C, by an error, and when this one is killed.

    Other interpreters must have Ratchet installed too: the child runs `python -m infra.adapters.training_child`.
    """

    def __init__(self, python: str | None = None) -> None:
        """python: the interpreter; none: this one."""
        self._python = python or sys.executable

    def versions(self) -> Mapping[str, str]:
        """Of the libraries there. Raises BadSetting when the interpreter lacks them."""
        if self._python == sys.executable:
            return {name: version(name) for name in LIBRARIES}
        return _versions_of(self._python)

    def fit(self, job: TrainingJob, progress: Progress | None = None) -> dict[str, float]:
        """Relays progress and errors. `stopping` ends the child after a checkpoint: TrainingInterrupted."""
        with tempfile.TemporaryFile() as log, self._child(log) as child:
            assert child.stdout is not None
            assert child.stdin is not None
            with suppress(BrokenPipeError):  # it ended at once: its output says why
                child.stdin.write(JOB.dump_json(job) + b"\n")
                child.stdin.flush()
            ready = False
            for line in child.stdout:
                match SAID.validate_json(line):
                    case Ready():
                        ready = True
                    case Progressed(what, done, total) if progress:
                        progress(what, done, total)
                    case Made(metrics):
                        return metrics
                    case Ended() as told:
                        raise told.as_error()
            raise self._ended(child.wait(), log, ready)

    @contextmanager
    def _child(self, log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
        command = [self._python, "-m", CHILD]
        try:
            # In a group of its own: Ctrl-C reaches this process, which decides.
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environ | QUIET,
                process_group=0,
            )
        except OSError as error:
            raise BadSetting(f"{self._python} cannot be run ({error}). Check RATCHET_TRAINING_PYTHON.") from error
        over = threading.Event()
        stop = stopping.get()
        watch = threading.Thread(target=_end_when_asked, args=(child, stop, over), daemon=True)
        watch.start()
        try:
            yield child
        finally:
            over.set()
            watch.join()
            _end(child)
            for pipe in (child.stdin, child.stdout):
                if pipe:
                    with suppress(BrokenPipeError):
                        pipe.close()

    def _ended(self, status: int, log: IO[bytes], ready: bool) -> Exception:
        """It ended without a word: killed, by the kernel for memory perhaps, or it never started."""
        log.seek(0)
        said = log.read().decode(errors="replace").strip()[-1000:] or "nothing"
        if ready or status < 0:
            return TrainingInterrupted(
                f"The training process ended with status {status}; -9 is a kill, often for want of memory. It goes "
                f"on from its last checkpoint when it is run again. It said: {said}",
                status=status,
            )
        return BadSetting(
            f"The training process did not start (status {status}). RATCHET_TRAINING_PYTHON must name an interpreter "
            f"in which Ratchet is installed; it is {self._python}. It said: {said}",
            status=status,
        )


def _end_when_asked(child: subprocess.Popen[bytes], stop: threading.Event | None, over: threading.Event) -> None:
    while not over.wait(LOOK_SECONDS):
        if stop is not None and stop.is_set():
            _end(child)
            return


def _end(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM, time for a step and its checkpoint, and then SIGKILL."""
    with suppress(ProcessLookupError):
        child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


@cache
def _versions_of(python: str) -> Mapping[str, str]:
    try:
        told = subprocess.run([python, "-c", _ASK % (LIBRARIES,)], capture_output=True, check=True, timeout=60)
        known: dict[str, str] = json.loads(told.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise BadSetting(
            f"{python} cannot say which {', '.join(LIBRARIES)} it has ({error}). RATCHET_TRAINING_PYTHON must name an "
            "interpreter in which Ratchet is installed."
        ) from error
    return known
