"""The step that imports labels from wherever they are brought together, one place at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tasks.core.errors import CannotRetry, RatchetError, WorthRetrying
from tasks.core.labels import LabelCounts
from tasks.label_files import LabelFile
from tasks.labels import LabelBench, import_stream, label_status
from tasks.outbox import Notice


@dataclass(frozen=True, slots=True)
class FileReport:
    """What one file gave. failed: why it could not be read; the others were."""

    name: str
    accepted: int = 0
    pending: int = 0
    duplicates: int = 0
    errors: int = 0
    failed: RatchetError | None = None


@dataclass(frozen=True, slots=True)
class CollectReport:
    """What one round gave, and where the labels stand after it. told: notices of the outbox that somebody heard."""

    files: tuple[FileReport, ...]
    counts: LabelCounts
    told: tuple[Notice, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The object of `ratchet labels collect --json`."""
        return {
            "files": [
                {
                    "name": file.name,
                    "accepted": file.accepted,
                    "pending": file.pending,
                    "duplicates": file.duplicates,
                    "errors": file.errors,
                    "failed": file.failed.message if file.failed else None,
                }
                for file in self.files
            ],
            "new": self.counts.new,
            "threshold": self.counts.threshold,
            "told": [notice.key for notice in self.told],
        }


def import_places(
    bench: LabelBench, places: Sequence[str], files_at: Callable[[str], Sequence[LabelFile]]
) -> CollectReport:
    """Imports every file of every place. One that cannot be read costs only itself, and is reported."""
    reports = [report for place in places for report in _place(bench, place, files_at)]
    return CollectReport(tuple(reports), label_status(bench))


def require_all_read(report: CollectReport) -> None:
    """Raises what kept a file from being read, once everything else was done: worth retrying if one of them is."""
    failed = [file.failed for file in report.files if file.failed]
    if not failed:
        return
    again = any(isinstance(error, WorthRetrying) for error in failed)
    said = "; ".join(error.message for error in failed)
    raise (WorthRetrying if again else CannotRetry)(f"{len(failed)} label files were not read: {said}")


def _place(bench: LabelBench, place: str, files_at: Callable[[str], Sequence[LabelFile]]) -> Iterator[FileReport]:
    try:
        files = files_at(place)
    except RatchetError as error:
        yield FileReport(place, failed=error)
        return
    for file in files:
        yield _file(bench, file)


def _file(bench: LabelBench, file: LabelFile) -> FileReport:
    try:
        with file.open() as stream:
            made = import_stream(bench, stream, file.name)
    except RatchetError as error:
        return FileReport(file.name, failed=error)
    return FileReport(file.name, made.accepted, made.pending, made.duplicates, len(made.errors))
