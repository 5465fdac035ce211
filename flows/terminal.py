"""What a person sees of a command: progress while it runs, its result, its error, its exit status."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import click

from tasks.core.errors import RatchetError, UsageError

DONE, FAILED, WRONG_USAGE, HELD, REJECTED = 0, 1, 2, 3, 4
STOPPED, TERMINATED = 128 + 2, 128 + 15  # as shells report SIGINT and SIGTERM
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line feed
STATUS_OF_VERDICT = {"PROMOTE": DONE, "HOLD": HELD, "REJECT": REJECTED}


@dataclass(frozen=True, slots=True)
class Shown:
    """A command's result: the JSON object of `--json`, the text for a person, and the exit status."""

    data: dict[str, Any]
    text: str
    status: int = field(default=DONE)


def show(run: Callable[[], Shown], *, as_json: bool) -> None:
    """Runs a command, prints its result or its error, and leaves with its exit status. SIGTERM ends it like Ctrl-C."""
    with _terminable() as told:
        try:
            shown = run()
        except RatchetError as error:
            shown = _of_error(error, as_json)
        except BaseException as end:
            by_prefect = _is_prefects(end)
            if not (by_prefect or isinstance(end, KeyboardInterrupt)):
                raise
            shown = _stopped(as_json, TERMINATED if by_prefect or told.is_set() else STOPPED)
    if as_json:
        click.echo(json.dumps(shown.data, ensure_ascii=False))
    elif shown.text:
        click.echo(harmless(shown.text))
    sys.exit(shown.status)


@contextmanager
def _terminable() -> Iterator[threading.Event]:
    """SIGTERM does what Ctrl-C does, and sets the event: what was started is stopped, and nothing is left behind.

    Not where SIGTERM has a handler already, or is ignored.
    """
    told = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        told.set()
        interrupt = signal.getsignal(signal.SIGINT)  # asyncio's own, in a flow; ignored, in the background of a script
        if not callable(interrupt):
            raise KeyboardInterrupt
        interrupt(number, frame)

    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, end)
    try:
        yield told
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _is_prefects(end: BaseException) -> bool:
    """Whether it is what Prefect makes of SIGTERM while a flow runs, where its handler is there instead of ours."""
    prefect = sys.modules.get("prefect.exceptions")
    return prefect is not None and isinstance(end, prefect.TerminationSignal)


def _stopped(as_json: bool, status: int) -> Shown:
    how = "SIGTERM" if status == TERMINATED else "Ctrl-C"
    click.echo("\nratchet: stopped. What was done is kept; the same command goes on from there.", err=True)
    return Shown({"error": {"code": "interrupted", "message": f"Stopped by {how}."}} if as_json else {}, "", status)


def _of_error(error: RatchetError, as_json: bool) -> Shown:
    status = WRONG_USAGE if isinstance(error, UsageError) else FAILED
    word = error.values.get("verdict")
    if isinstance(word, str):
        status = STATUS_OF_VERDICT.get(word, status)
    click.echo(harmless(f"ratchet: {error.message}"), err=True)
    values = {k: v for k, v in error.values.items() if isinstance(v, str | int | float | bool | None)}
    return Shown({"error": {"code": error.code, "message": error.message, **values}} if as_json else {}, "", status)


def harmless(text: str) -> str:
    """Without what a terminal would obey: anybody's question, comment or document may stand in it.

    >>> harmless("a\\tb\\n\\x1b[2J")
    'a\\tb\\n\ufffd[2J'
    """
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, widest: int = 72) -> str:
    """Left-aligned columns; a cell longer than `widest` continues on the next line under its own column."""
    cells = [[_wrapped(str(cell), widest) for cell in row] for row in rows]
    widths = [max([len(h), *(len(line) for row in cells for line in row[i])]) for i, h in enumerate(headings)]
    lines = ["  ".join(h.ljust(w) for h, w in zip(headings, widths, strict=True)).rstrip()]
    lines.append("  ".join("─" * w for w in widths))
    for row in cells:
        for depth in range(max(len(cell) for cell in row)):
            parts = [cell[depth] if depth < len(cell) else "" for cell in row]
            lines.append("  ".join(p.ljust(w) for p, w in zip(parts, widths, strict=True)).rstrip())
    return "\n".join(lines)


def _wrapped(text: str, widest: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, widest) or [""]


def minute(at: str) -> str:
    """A moment of the catalog, for people.

    >>> minute("2026-03-01T09:30:12.345+00:00")
    '2026-03-01 09:30 UTC'
    """
    return f"{at[:16].replace('T', ' ')} UTC"


def paced(done: int, total: int, seconds: float) -> str:
    """How fast it goes and how long it will take; nothing before anything is done.

    >>> paced(640, 3000, 20.0)
    '32/s, 1 min 14 s left'
    >>> paced(3, 10, 60.0)
    '3/min, 2 min 20 s left'
    >>> paced(3000, 3000, 94.0)
    '32/s, 1 min 34 s'
    """
    if done <= 0 or seconds <= 0:
        return ""
    rate = f"{done / seconds:,.0f}/s" if done >= seconds else f"{60 * done / seconds:,.0f}/min"
    left = round((total - done) * seconds / done)
    return f"{rate}, {_duration(left)} left" if done < total else f"{rate}, {_duration(round(seconds))}"


def progress_line(what: str, done: int, total: int, seconds: float) -> str:
    """How far it is, with one estimate: what work says itself goes first, which knows where a resumed one began.

    >>> progress_line("embedding", 640, 3000, 20.0)
    'embedding 640/3,000  (32/s, 1 min 14 s left)'
    >>> progress_line("training: loss 2.50, 80 tokens/s, 120 s left", 12, 60, 20.0)
    'training: loss 2.50, 80 tokens/s, 120 s left 12/60'
    """
    pace = "" if what.endswith(" left") else paced(done, total, seconds)
    return f"{what} {done:,}/{total:,}" + (f"  ({pace})" if pace else "")


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextmanager
def waiting(*, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Says what a person waits for, as one line on stderr that is gone at the end. Without a terminal, nothing.

    quiet: nothing anywhere, as under `--json`.
    """
    width = 0

    def say(what: str) -> None:
        nonlocal width
        if not quiet and sys.stderr.isatty():
            sys.stderr.write("\r" + what.ljust(width))
            sys.stderr.flush()
            width = len(what)

    try:
        yield say
    finally:
        if width:
            sys.stderr.write("\r" + " " * width + "\r")
            sys.stderr.flush()


class ProgressLines:
    """Progress as one moving line on a terminal, as a line now and then when piped. Always on stderr.

    What is over within `patience_seconds` is not worth a line.
    """

    def __init__(self, *, every_seconds: float = 10.0, patience_seconds: float = 2.0) -> None:
        self._live = sys.stderr.isatty()
        self._every = 0.1 if self._live else every_seconds
        self._patience = patience_seconds
        self._begun: dict[str, float] = {}
        self._shown: dict[str, float] = {}
        self._width = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Shows `what done/total`; called as often as one likes, from any thread."""
        moment, finished = time.monotonic(), done >= total
        kind = what.partition(":")[0]  # "training: loss 0.3" is the same work as "training: loss 0.2"
        begun = self._begun.setdefault(kind, moment)
        shown = self._shown.get(kind)
        if finished:
            del self._begun[kind]
            self._shown.pop(kind, None)
        if moment - begun < self._patience or not (finished or shown is None or moment - shown >= self._every):
            return
        if not finished:
            self._shown[kind] = moment
        self._write(f"  {progress_line(what, done, total, moment - begun)}", finished)

    def _write(self, line: str, finished: bool) -> None:
        if self._live:
            sys.stderr.write("\r" + line.ljust(self._width) + ("\n" if finished else ""))
            self._width = 0 if finished else len(line)
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()
