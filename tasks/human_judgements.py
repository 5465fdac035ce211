"""The step that imports what people said of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from tasks.core.errors import BadSetting, SourceMissing
from tasks.core.human_judgements import HumanJudgement, read_judgement
from tasks.core.row_shapes import RowError
from tasks.label_files import MAX_LINE_BYTES

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of judgements that were given to the catalog."""

    new: int
    changed: int  # the same person thinks otherwise now
    known: int


class JudgementCatalog(Protocol):
    """What people said of answers, kept."""

    def add(self, assistant: str, judgements: Sequence[HumanJudgement]) -> Taken:
        """As one transaction. A known id with another value takes the new one."""


@dataclass(frozen=True, slots=True)
class JudgementImport:
    """What one import did."""

    taken: Taken
    errors: tuple[RowError, ...]  # by line

    def as_json(self) -> dict[str, object]:
        """Counts, and every line that was refused."""
        return {**asdict(self.taken), "errors": [asdict(error) for error in self.errors]}


def import_judgements(catalog: JudgementCatalog, assistant: str, file: Path) -> JudgementImport:
    """Imports a JSONL file; one bad line does not cost the others, and a second import changes nothing.

    Raises SourceMissing when there is no such file, BadSetting when it cannot be read or holds no judgement.
    """
    read = [_read(number, line) for number, line in enumerate(_lines(file), start=1) if line.strip()]
    if not read:
        raise BadSetting(f"{file} holds no judgement. Write one JSON object per line.", path=str(file))
    good = [row for row in read if isinstance(row, HumanJudgement)]
    return JudgementImport(catalog.add(assistant, good), tuple(row for row in read if isinstance(row, RowError)))


def _lines(file: Path) -> list[bytes]:
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise SourceMissing(f"There is no file {file}.", path=str(file)) from error
    except OSError as error:
        raise BadSetting(f"{file} cannot be read: {error.strerror}. Name one JSONL file.", path=str(file)) from error
    if data.startswith(_UTF16):
        raise BadSetting(f"{file} is UTF-16, not UTF-8. Save it as UTF-8.", path=str(file))
    return data.removeprefix(b"\xef\xbb\xbf").split(b"\n")


def _read(number: int, line: bytes) -> HumanJudgement | RowError:
    if len(line) > MAX_LINE_BYTES:
        return RowError(number, f"is longer than {MAX_LINE_BYTES:,} bytes; write one judgement per line")
    return read_judgement(number, line)
