"""Steps that import, count, review and freeze labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

from tasks.core.errors import BadSetting, SourceMissing
from tasks.core.label_import import LabelChanges, accept, import_rows, reject
from tasks.core.label_rows import LabelRow, RowError, page_uri, read_row
from tasks.core.label_splits import SplitPolicy
from tasks.core.labels import GoldenSet, Label, LabelCounts, count_labels, golden_set

MAX_LINE_BYTES = 1024 * 1024
_OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


@dataclass(frozen=True, slots=True)
class Pages:
    """What is known of the pages labels can be about."""

    uris: frozenset[str]  # documents that are alive in the newest published snapshot
    roots: tuple[str, ...]  # where the sources lie


class LabelCatalog(Protocol):
    """Labels, the golden sets they made, and what trainings have consumed."""

    def labels(self, assistant: str) -> list[Label]:
        """All labels, in whatever state, in the order of import."""

    def change(self, assistant: str, decide: Callable[[Sequence[Label]], LabelChanges]) -> LabelChanges:
        """Writes what `decide` makes of all labels, as one transaction that no other change can interleave."""

    def consumed(self, assistant: str) -> frozenset[str]:
        """Ids of labels that a succeeded training was made from."""

    def record_golden_set(self, assistant: str, golden: GoldenSet) -> None:
        """Keeps the set for ever; recording it again changes nothing."""

    def pages(self, assistant: str) -> Pages:
        """The pages there are."""


@dataclass(frozen=True, slots=True)
class LabelBench:
    """What the label steps need."""

    assistant: str
    catalog: LabelCatalog
    policy: SplitPolicy
    threshold: int  # new accepted training labels that start a training


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What one import did, and where the labels stand after it."""

    accepted: int
    pending: int
    duplicates: int
    errors: tuple[RowError, ...]  # by line
    unknown_pages: tuple[str, ...]  # pages the rows name that no snapshot holds: right only if they come later
    golden_set: GoldenSet | None
    counts: LabelCounts

    def as_json(self) -> dict[str, object]:
        """`accepted` to `errors` are about this file; the rest counts all labels of the assistant."""
        return {
            "accepted": self.accepted,
            "pending": self.pending,
            "duplicates": self.duplicates,
            "errors": [asdict(error) for error in self.errors],
            "unknown_pages": list(self.unknown_pages),
            "golden_set": self.golden_set.id if self.golden_set else None,
            "golden": self.counts.golden,
            "validation": self.counts.validation,
            "train": self.counts.train,
            "unassigned": self.counts.unassigned,
            "new": self.counts.new,
            "threshold": self.counts.threshold,
        }


def import_labels(bench: LabelBench, file: Path) -> ImportReport:
    """Imports a JSONL file; one bad line does not cost the others.

    Raises SourceMissing when there is no such file, BadSetting when it cannot be read as a label file at all.
    """
    try:
        with file.open("rb") as stream:
            found = list(read_rows(stream, str(file)))
    except FileNotFoundError as error:
        raise SourceMissing(f"There is no file {file}.", path=str(file)) from error
    except OSError as error:
        raise BadSetting(f"{file} cannot be read: {error.strerror}. Name one JSONL file.", path=str(file)) from error
    return take_rows(bench, found)


def take_rows(bench: LabelBench, found: Sequence[LabelRow | RowError]) -> ImportReport:
    """Imports rows that were read already."""
    pages = bench.catalog.pages(bench.assistant)
    rows = [_on_known_pages(row, pages) for row in found if isinstance(row, LabelRow)]
    made = bench.catalog.change(bench.assistant, lambda labels: import_rows(labels, rows, bench.policy))
    unreadable = [row for row in found if isinstance(row, RowError)]
    named = {document for row in rows for document in row.documents}
    return ImportReport(
        accepted=made.accepted,
        pending=made.pending,
        duplicates=made.duplicates,
        errors=tuple(sorted((*unreadable, *made.errors), key=lambda error: error.line)),
        unknown_pages=tuple(sorted(named - pages.uris)),
        golden_set=freeze_golden(bench),
        counts=label_status(bench),
    )


def read_rows(stream: BinaryIO, name: str) -> Iterator[LabelRow | RowError]:
    """One result per line that is not blank. Raises BadSetting for a file that is empty or not UTF-8 from the start."""
    empty = True
    for line, raw in enumerate(_lines(stream), start=1):
        if line == 1:
            _refuse_other_encodings(raw, name)
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if raw is not _TOO_LONG and not raw.strip():
            continue
        empty = False
        if raw is _TOO_LONG:
            yield RowError(line, f"is longer than {MAX_LINE_BYTES:,} bytes; write one label per line")
        else:
            yield read_row(line, raw)
    if empty:
        raise BadSetting(f"{name} holds no label. Write one JSON object per line.", path=name)


_TOO_LONG = b"(too long)"


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


def _on_known_pages(row: LabelRow, pages: Pages) -> LabelRow:
    uris = {page_uri(document, pages.uris, pages.roots) for document in row.documents}
    return replace(row, documents=tuple(sorted(uris)))


def label_status(bench: LabelBench) -> LabelCounts:
    """Where the labels stand."""
    catalog, assistant = bench.catalog, bench.assistant
    return count_labels(catalog.labels(assistant), catalog.consumed(assistant), bench.threshold)


def labels_to_review(bench: LabelBench) -> list[Label]:
    """Pending labels, each with its reason, in the order of import."""
    return [label for label in bench.catalog.labels(bench.assistant) if label.state == "pending"]


def accept_label(bench: LabelBench, label: str) -> LabelChanges:
    """Accepts a pending or rejected label; what it contradicts becomes rejected. Raises as `label_import.accept`."""
    made = bench.catalog.change(bench.assistant, lambda labels: accept(labels, label, bench.policy))
    freeze_golden(bench)
    return made


def reject_label(bench: LabelBench, label: str, reason: str) -> LabelChanges:
    """Takes a label out. Raises NotFound."""
    made = bench.catalog.change(bench.assistant, lambda labels: reject(labels, label, reason))
    freeze_golden(bench)
    return made


def freeze_golden(bench: LabelBench) -> GoldenSet | None:
    """The golden set of this moment, recorded; None when no accepted label is golden."""
    golden = golden_set(bench.catalog.labels(bench.assistant))
    if golden is not None:
        bench.catalog.record_golden_set(bench.assistant, golden)
    return golden
