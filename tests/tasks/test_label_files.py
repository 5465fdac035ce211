"""Label files as they come: huge, binary, broken, or no label files at all."""

from __future__ import annotations

import json
import tracemalloc
from io import BytesIO, RawIOBase

import pytest

from tasks import label_files
from tasks.core.errors import BadSetting
from tasks.core.label_rows import LabelRow
from tasks.core.row_shapes import RowError
from tasks.label_files import MAX_LINE_BYTES, read_rows


def line(n: int) -> bytes:
    return json.dumps({"question": f"Question {n}?", "answer": "Yes."}).encode() + b"\n"


class Endless(RawIOBase):
    """One line without an end, until so many bytes were read."""

    def __init__(self, size: int) -> None:
        self.left = size

    def readable(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> bytes:
        given = min(self.left, size or 0)
        self.left -= given
        return b"x" * given


def test_a_line_of_a_gigabyte_takes_no_more_memory_than_the_longest_line_allowed() -> None:
    tracemalloc.start()
    [error] = read_rows(Endless(2**30), "huge")  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(error, RowError)
    assert "longer than" in error.reason
    assert peak < 8 * MAX_LINE_BYTES


def test_rows_come_one_by_one() -> None:
    stream = BytesIO(b"".join(line(n) for n in range(1000)))
    first = next(read_rows(stream, "file"))
    assert isinstance(first, LabelRow)
    assert stream.tell() == len(line(0))


def test_more_rows_or_bytes_than_one_import_can_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_files, "MAX_ROWS", 3)
    assert len(list(read_rows(BytesIO(line(1) * 3), "file"))) == 3
    with pytest.raises(BadSetting, match="more than 3 labels"):
        list(read_rows(BytesIO(line(1) * 4), "file"))
    monkeypatch.setattr(label_files, "MAX_ROWS", 99)
    monkeypatch.setattr(label_files, "MAX_BYTES", 3 * len(line(1)))
    with pytest.raises(BadSetting, match="split the file"):
        list(read_rows(BytesIO(line(1) * 4), "file"))


def test_a_file_that_is_nothing_but_wrong_lines_is_given_up_early() -> None:
    with pytest.raises(BadSetting, match=r"None of the first 1,000 lines of photo\.png is a label"):
        list(read_rows(BytesIO(b"\x89PNG\n" * 2000), "photo.png"))
    assert len(list(read_rows(BytesIO(line(1) + b"{\n" * 2000), "file"))) == 1 + 2000


def test_too_many_wrong_lines_import_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_files, "MAX_ERRORS", 5)
    with pytest.raises(BadSetting, match="More than 5 lines of file are wrong"):
        list(read_rows(BytesIO(line(1) + b"{\n" * 6), "file"))
