"""The process in which an adapter is fitted: `python -m infra.adapters.training_child`, run by `training_process.py`.

Reads one job from stdin, says how it goes on stdout (`training_messages.py`), and ends. SIGTERM, and the end of stdin,
have it write a checkpoint and end. What libraries print goes to stderr.

With the path of a job as its argument it is one of the processes that `accelerate launch` started: the first alone says
anything, and the end of the launcher ends it too. All of them hold stdout, whose end says that none is left.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO

from infra.adapters.preference_trainer import PreferenceJob
from infra.adapters.training_messages import JOB, Job, Made, Progressed, Ready, Said, as_line, ended
from infra.adapters.training_ranks import ALONE, RankLost, Ranks, join
from tasks.core.ports import Progress
from tasks.documents import stopping

ORPHAN_SECONDS = 60.0  # for the checkpoint of a child whose parent is gone
LOOK_SECONDS = 0.5


def main(shared_job: Path | None = None) -> int:
    """Exit status 0 when the adapter was made, 1 when an error was told. shared_job: of several processes."""
    answers = os.fdopen(os.dup(1), "wb", closefd=False)  # the end of the process closes it, and nothing sooner
    os.dup2(2, 1)
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which decides
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stopping.set(stop)
    talks = shared_job is None or os.environ.get("RANK") == "0"
    if shared_job:
        threading.Thread(target=_end_with_launcher, args=(stop, os.getppid()), daemon=True).start()
    line = shared_job.read_bytes() if shared_job else sys.stdin.buffer.readline()
    threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()
    try:
        job = JOB.validate_json(line)
        ranks = _joined(shared_job) if shared_job else ALONE
        if talks:
            _say(answers, Ready())
        metrics = _fit(job, (lambda *told: _say(answers, Progressed(*told))) if talks else None, ranks)
    except RankLost:  # the launcher, which ends this one too, says on stderr which process it was
        import traceback

        traceback.print_exc()
        return 1
    # The edge of this process: whatever it was reaches the parent, which raises it.
    except Exception as error:  # noqa: BLE001
        import traceback

        traceback.print_exc()
        if talks:
            _say(answers, ended(error))
        return 1
    if talks:
        _say(answers, Made(metrics))
    return 0


def _joined(shared_job: Path) -> Ranks:
    """When all are here, all have read the job: its rows lie there no longer."""
    ranks = join()
    if ranks.first:
        shared_job.unlink(missing_ok=True)
    return ranks


def _fit(job: Job, progress: Progress | None, ranks: Ranks) -> dict[str, float]:
    """Imports what only this kind of job wants."""
    if isinstance(job, PreferenceJob):
        from infra.adapters.preference_fitting import fit_preferences

        return fit_preferences(job, progress)
    from infra.adapters.lora_fitting import fit

    return fit(job, progress, ranks)


def _end_with_parent(stop: threading.Event) -> None:
    while sys.stdin.buffer.read(1):
        pass
    _end_soon(stop)


def _end_with_launcher(stop: threading.Event, launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(LOOK_SECONDS)
    _end_soon(stop)


def _end_soon(stop: threading.Event) -> None:
    stop.set()
    threading.Event().wait(ORPHAN_SECONDS)
    os._exit(1)


def _say(answers: IO[bytes], said: Said) -> None:
    """A parent that is gone hears nothing; what ends this process then is the end of stdin."""
    try:
        answers.write(as_line(said))
        answers.flush()
    except BrokenPipeError:
        pass


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
