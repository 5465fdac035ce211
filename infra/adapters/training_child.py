"""The process in which an adapter is fitted: `python -m infra.adapters.training_child`, run by `training_process.py`.

Reads one job from stdin, says how it goes on stdout (`training_messages.py`), and ends. SIGTERM, and the end of stdin,
have it write a checkpoint and end. What libraries print goes to stderr.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import IO

from infra.adapters.training_messages import JOB, Made, Progressed, Ready, Said, as_line, ended
from tasks.documents import stopping

ORPHAN_SECONDS = 60.0  # for the checkpoint of a child whose parent is gone


def main() -> int:
    """Exit status 0 when the adapter was made, 1 when an error was told."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which decides
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stopping.set(stop)
    line = sys.stdin.buffer.readline()
    threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()
    try:
        job = JOB.validate_json(line)
        from infra.adapters.lora_fitting import fit

        _say(answers, Ready())
        metrics = fit(job, lambda what, done, total: _say(answers, Progressed(what, done, total)))
    # The edge of this process: whatever it was reaches the parent, which raises it.
    except Exception as error:  # noqa: BLE001
        import traceback

        traceback.print_exc()
        _say(answers, ended(error))
        return 1
    _say(answers, Made(metrics))
    return 0


def _end_with_parent(stop: threading.Event) -> None:
    while sys.stdin.buffer.read(1):
        pass
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
    sys.exit(main())
