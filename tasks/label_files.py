"""A label file line by line, in bounded memory: what is none is refused early, a bad line costs only itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tasks.core.errors import BadSetting
from tasks.core.label_rows import Row, read_row
from tasks.core.row_shapes import RowError

MAX_LINE_BYTES = 1024 * 1024
MAX_ROWS = 200_000
MAX_BYTES = 256 * 1024 * 1024  # of lines that are rows
MAX_ERRORS = 10_000
_GIVE_UP_AFTER = 1_000  # lines, none of which is a row
_OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A label file somewhere. open: raises what makes it unreadable."""

    name: str
    open: Callable[[], BinaryIO]


def read_rows(stream: BinaryIO, name: str) -> Iterator[Row | RowError]:
    """One result per line that is not blank.

    Raises BadSetting for a file that is empty, not UTF-8 from the start, no label file at all, or more than one import
    can hold: `MAX_ROWS` rows, `MAX_BYTES` of them, `MAX_ERRORS` wrong lines.
    """
    rows, errors, size = 0, 0, 0
    for line, raw in _numbered(stream, name):
        read = read_row(line, raw) if raw is not _TOO_LONG else RowError(line, _LONG)
        if isinstance(read, RowError):
            errors += 1
        else:
            rows, size = rows + 1, size + len(raw)
        _refuse_too_much(name, rows, errors, size)
        yield read
    if not rows + errors:
        raise BadSetting(f"{name} holds no label. Write one JSON object per line.", path=name)


_TOO_LONG = b"(too long)"
_LONG = f"is longer than {MAX_LINE_BYTES:,} bytes; write one label per line"


def _refuse_too_much(name: str, rows: int, errors: int, size: int) -> None:
    if not rows and errors >= _GIVE_UP_AFTER:
        raise BadSetting(f"None of the first {errors:,} lines of {name} is a label. Is it a label file?", path=name)
    if errors > MAX_ERRORS:
        raise BadSetting(f"More than {MAX_ERRORS:,} lines of {name} are wrong. Nothing was imported.", path=name)
    if rows > MAX_ROWS or size > MAX_BYTES:
        raise BadSetting(
            f"{name} holds more than {MAX_ROWS:,} labels, or {MAX_BYTES // 2**20:,} MiB of them, which is the most of "
            "one import. Nothing was imported; split the file, for instance with `split -l`.",
            path=name,
        )


def _numbered(stream: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    for line, raw in enumerate(_lines(stream), start=1):
        if line == 1:
            _refuse_other_encodings(raw, name)
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if raw is _TOO_LONG or raw.strip():
            yield line, raw


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        if len(raw) <= MAX_LINE_BYTES or raw.endswith(b"\n"):
            yield raw
            continue
        while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
            pass
        yield _TOO_LONG


def _refuse_other_encodings(raw: bytes, name: str) -> None:
    if found := _OTHER_ENCODINGS.get(raw[:2]):
        raise BadSetting(f"{name} is {found}, not UTF-8. Save it as UTF-8.", path=name)
