"""Fitting in a child process, seen from outside: torch is loaded there, and gone with it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import IO

from infra.adapters.lora_trainer import LIBRARIES, TrainingJob
from infra.adapters.preference_trainer import LIBRARIES_OF_PREFERENCES, require_trl
from infra.adapters.training_messages import JOB, SAID, Ended, Job, Made, Progressed, Ready
from infra.child_environment import child_environment
from tasks.core.errors import BadSetting, TrainingInterrupted
from tasks.core.ports import Progress
from tasks.documents import stopping

CHILD = "infra.adapters.training_child"
LAUNCHER = "accelerate.commands.launch"
STOP_SECONDS = 120.0  # one step and its checkpoint, on a machine that is busy
LOOK_SECONDS = 0.2
_ASK = "import importlib.metadata as m, json; print(json.dumps({n: m.version(n) for n in %r}))"


class ChildFitting:
    """Fitting in a process of its own, which ends with this one: by Ctrl-C, by an error, and when this one is killed.

    Other interpreters must have Ratchet installed too: the child runs `python -m infra.adapters.training_child`. Where
    the settings want several processes, `accelerate launch` runs them; they end with it, and it with them.
    """

    def __init__(self, python: str | None = None) -> None:
        """python: the interpreter; none: this one."""
        self._python = python or sys.executable

    def versions(self) -> Mapping[str, str]:
        """Of the libraries there. Raises BadSetting when the interpreter lacks them."""
        if self._python == sys.executable:
            return {name: version(name) for name in LIBRARIES}
        return _versions_of(self._python, LIBRARIES)

    def fit(self, job: Job, progress: Progress | None = None) -> dict[str, float]:
        """Relays progress and errors. `stopping` ends the child after a checkpoint: TrainingInterrupted."""
        with tempfile.TemporaryFile() as log, self._child(job, log) as child:
            assert child.stdout is not None
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
    def _child(self, job: Job, log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
        if isinstance(job, TrainingJob) and job.settings.processes > 1:
            with _several(job) as arguments, self._process([self._python, *arguments], log, _end_several) as child:
                try:
                    yield child
                finally:
                    _end_several(child)
                    _read_to_the_end(child)
            return
        with self._process([self._python, "-m", CHILD], log, _end) as child:
            assert child.stdin is not None
            with suppress(BrokenPipeError):  # it ended at once: its output says why
                child.stdin.write(JOB.dump_json(job) + b"\n")
                child.stdin.flush()
            yield child

    @contextmanager
    def _process(
        self, command: Sequence[str], log: IO[bytes], end: Callable[[subprocess.Popen[bytes]], None]
    ) -> Iterator[subprocess.Popen[bytes]]:
        try:
            # In a group of its own: Ctrl-C reaches this process, which decides.
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=child_environment(self._python),
                process_group=0,
            )
        except OSError as error:
            raise BadSetting(f"{self._python} cannot be run ({error}). Check RATCHET_TRAINING_PYTHON.") from error
        over = threading.Event()
        stop = stopping.get()
        watch = threading.Thread(target=_end_when_asked, args=(child, end, stop, over), daemon=True)
        watch.start()
        try:
            yield child
        finally:
            over.set()
            watch.join()
            end(child)
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


@contextmanager
def _several(job: TrainingJob) -> Iterator[list[str]]:
    """What the interpreter is told to start this job's processes; all of them read the job from one file."""
    processes, packs = job.settings.processes, job.settings.packs_per_step
    if processes > packs:
        raise BadSetting(
            f"RATCHET_LORA__PROCESSES={processes} share the packs of a step, which are {packs}. "
            f"Set RATCHET_LORA__PACKS_PER_STEP to {processes} or more."
        )
    cores = max(1, (job.threads or os.cpu_count() or 1) // processes)
    chosen: dict[str, object] = {"num_processes": processes, "num_machines": 1, "num_cpu_threads_per_process": cores}
    # A port of its own choice, and said here so that the file of `accelerate config` decides none of it.
    chosen |= {"main_process_port": 0, "gpu_ids": "all", "mixed_precision": "no", "dynamo_backend": "no"}
    options = [word for name, value in chosen.items() for word in (f"--{name}", str(value))]
    with tempfile.TemporaryDirectory(prefix="ratchet-training-") as folder:
        shared = Path(folder) / "job.json"
        shared.write_bytes(JOB.dump_json(job))
        yield ["-m", LAUNCHER, "--multi_gpu", *options, "-m", CHILD, str(shared)]


def _end_when_asked(
    child: subprocess.Popen[bytes],
    end: Callable[[subprocess.Popen[bytes]], None],
    stop: threading.Event | None,
    over: threading.Event,
) -> None:
    while not over.wait(LOOK_SECONDS):
        if stop is not None and stop.is_set():
            end(child)
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


def _end_several(launcher: subprocess.Popen[bytes]) -> None:
    """The end of stdin, which every process hears and the launcher, who would give them 30 seconds, does not."""
    assert launcher.stdin is not None
    launcher.stdin.close()
    try:
        launcher.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        launcher.kill()  # and they end with it
        launcher.wait()


def _read_to_the_end(launcher: subprocess.Popen[bytes]) -> None:
    """Returns when none of its processes holds stdout any more: they outlive a launcher that was killed."""
    assert launcher.stdout is not None
    deadline = time.monotonic() + STOP_SECONDS
    while (left := deadline - time.monotonic()) > 0 and select.select([launcher.stdout], [], [], left)[0]:
        if not os.read(launcher.stdout.fileno(), 65536):
            return


class ChildPreferenceFitting(ChildFitting):
    """The same with what learning preferences takes: TRL, which is an extra."""

    def versions(self) -> Mapping[str, str]:
        if self._python == sys.executable:
            require_trl()
            return {name: version(name) for name in LIBRARIES_OF_PREFERENCES}
        return _versions_of(self._python, LIBRARIES_OF_PREFERENCES)


@cache
def _versions_of(python: str, libraries: tuple[str, ...]) -> Mapping[str, str]:
    try:
        told = subprocess.run([python, "-c", _ASK % (libraries,)], capture_output=True, check=True, timeout=60)
        known: dict[str, str] = json.loads(told.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise BadSetting(
            f"{python} cannot say which {', '.join(libraries)} it has ({error}). RATCHET_TRAINING_PYTHON must name an "
            "interpreter in which Ratchet is installed: ratchet[preferences] for method dpo."
        ) from error
    return known
