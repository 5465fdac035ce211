"""The process in which documents are parsed: one request after another on stdin, until it ends or is killed.

Run by `parsing_process.py` as `python -m infra.adapters.unstructured_child MEMORY_MIB SECONDS [LIFELINE]`. A request is
a line of JSON, {"kind", "size", "max_characters"}; once the libraries for that kind are there, {"ready"} is said,
`size` bytes are read, and the answer is a line of JSON, {"elements"} or {"reason"}. Prints of libraries go to stderr.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import sys
from typing import IO, Any

from infra.adapters.document_refusals import Refused
from infra.adapters.unstructured_formats import elements_of, load_libraries

_OUT_OF_MEMORY: dict[str, object] = {
    "reason": "parsing it takes more memory than RATCHET_PARSE_MEMORY_MIB allows",
    "transient": True,
}
_MAX_FILE_BYTES = 2**30  # nothing here writes files; should a library do so, the disk stays whole


def main(memory_mib: int, seconds: float, lifeline: int | None = None) -> None:
    """Answers requests until stdin ends, which it does when the parent is gone."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if lifeline is not None:
        _end_with(lifeline)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE_BYTES, _MAX_FILE_BYTES))
    for line in sys.stdin.buffer:
        request = json.loads(line)
        load_libraries(request["kind"])
        limit_memory(memory_mib)
        _say(answers, {"ready": True})
        data = sys.stdin.buffer.read(request["size"])
        if len(data) < request["size"]:
            return
        # The parent's clock is the limit. This one is for systems on which a child does not end with its parent.
        signal.alarm(int(seconds) + 10)
        answer = _answer(request, data)
        signal.alarm(0)
        _lift_memory_limit()
        _say(answers, answer)


def _end_with(lifeline: int) -> None:
    """Has the kernel end this whole process group when the parent's end of a silent pipe closes, also by a SIGKILL.

    Where it cannot (pipes on macOS), the end of stdin is seen between two documents, and the alarm ends one that hangs.
    """
    try:
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:
        print("this process may outlive its parent by one document", file=sys.stderr)


def _answer(request: dict[str, Any], data: bytes) -> dict[str, object]:
    try:
        elements = elements_of(data, request["kind"], request["max_characters"])
        return {"elements": [(e.kind, e.text, e.level, e.page) for e in elements]}
    except Refused as refused:
        return {"reason": str(refused)}
    except MemoryError:
        return _OUT_OF_MEMORY
    except RecursionError:
        return {"reason": "it is nested too deeply to be parsed"}
    # The bytes are anybody's and half a dozen libraries read them: which errors they raise cannot be listed. This is
    # the edge of the process that exists for it, and the reason reaches the person who owns the file.
    except Exception as error:  # noqa: BLE001
        if _is_out_of_memory():  # lxml, for one, calls it an unknown error
            return _OUT_OF_MEMORY
        name = request["kind"].lstrip(".").upper()
        return {"reason": f"it cannot be read as {name} ({type(error).__name__}: {str(error)[:200]})"}


def _is_out_of_memory() -> bool:
    """Whether the address space came near its limit. A failed request for one large block is not seen here."""
    try:
        with open("/proc/self/status") as status:
            peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmPeak"))
    except (OSError, StopIteration):
        return False
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return limit != resource.RLIM_INFINITY and peak_kib * 1024 > 0.95 * limit


def limit_memory(memory_mib: int) -> None:
    """Lets the address space grow by this much from where it is. pandoc inherits the limit. Not every system can."""
    try:
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory_mib * 2**20, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        print("no memory limit on this system", file=sys.stderr)


def _lift_memory_limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _say(answers: IO[str], answer: dict[str, object]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), *map(int, sys.argv[3:]))
