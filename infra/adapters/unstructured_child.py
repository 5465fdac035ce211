"""The process in which documents are parsed: one request after another on stdin, until it ends or is killed.

Run by `unstructured_parser.py` as `python -m infra.adapters.unstructured_child MEMORY_MIB SECONDS`. A request is a line
of JSON, {"kind", "size", "max_characters"}, then `size` bytes; an answer is a line of JSON, {"elements"} or {"reason"}.
Whatever libraries print goes to stderr.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import IO, Any

from infra.adapters.unstructured_formats import Refused, elements_of, load_libraries


def main(memory_mib: int, seconds: float) -> None:
    """Answers requests until stdin ends, which it does when the parent is gone."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    load_libraries()
    _limit_memory(memory_mib)
    _say(answers, {"ready": True})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        data = sys.stdin.buffer.read(request["size"])
        # The parent's clock is the limit. This one ends an orphan whose parent was killed in the middle of a document,
        # and works while a C extension holds the interpreter.
        signal.alarm(int(seconds) + 10)
        _say(answers, _answer(request, data))
        signal.alarm(0)


def _answer(request: dict[str, Any], data: bytes) -> dict[str, object]:
    try:
        elements = elements_of(data, request["kind"], request["max_characters"])
        return {"elements": [(e.kind, e.text, e.level, e.page) for e in elements]}
    except Refused as refused:
        return {"reason": str(refused)}
    except MemoryError:
        return {"reason": "parsing it takes more memory than RATCHET_PARSE_MEMORY_MIB allows"}
    except RecursionError:
        return {"reason": "it is nested too deeply to be parsed"}
    # The bytes are anybody's and half a dozen libraries read them: which errors they raise cannot be listed. This is
    # the edge of the process that exists for it, and the reason reaches the person who owns the file.
    except Exception as error:  # noqa: BLE001
        name = request["kind"].lstrip(".").upper()
        return {"reason": f"it cannot be read as {name} ({type(error).__name__}: {str(error)[:200]})"}


def _limit_memory(memory_mib: int) -> None:
    """Lets the address space grow by this much from where the imports left it. Not every system can."""
    try:
        import resource

        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
        limit = used + memory_mib * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ImportError, OSError):
        print("no memory limit on this system", file=sys.stderr)


def _say(answers: IO[str], answer: dict[str, object]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
