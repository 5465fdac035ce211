"""Steps that import, count, review and freeze labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from tasks.core.errors import BadSetting, SourceMissing
from tasks.core.label_import import Holdings, LabelChanges, accept, import_rows, reject
from tasks.core.label_rows import Row, page_uri
from tasks.core.label_splits import SplitPolicy
from tasks.core.labels import GoldenSet, Label, LabelCounts, count_labels, golden_set
from tasks.core.opinions import Opinion
from tasks.core.row_shapes import RowError
from tasks.label_files import read_rows


@dataclass(frozen=True, slots=True)
class Pages:
    """What is known of the pages labels can be about."""

    uris: frozenset[str]  # documents that are alive in the newest published snapshot
    roots: tuple[str, ...]  # where the sources lie


class LabelCatalog(Protocol):
    """Labels, the golden sets they made, and what trainings have consumed."""

    def labels(self, assistant: str) -> list[Label]:
        """All labels, in whatever state, in the order of import."""

    def opinions(self, assistant: str) -> list[Opinion]:
        """All preferences and ratings, in whatever state, in the order of import."""

    def change(
        self, assistant: str, decide: Callable[[Holdings], LabelChanges], *, threshold: int | None = None
    ) -> LabelChanges:
        """Writes what `decide` makes of everything, as one transaction that no other change can interleave.

        Where the new labels then cross the threshold (None: that of the crossing which is open), a notice of it is in
        the outbox, from the same transaction.
        """

    def note_crossing(self, assistant: str, threshold: int) -> bool:
        """The same for labels as they are, as when another threshold was set; whether they crossed."""

    def consumed(self, assistant: str) -> frozenset[str]:
        """Ids of labels that a succeeded training was made from."""

    def oldest_new(self, assistant: str) -> datetime | None:
        """When the oldest accepted training label came that no succeeded training was made from."""

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
            return import_stream(bench, stream, str(file))
    except FileNotFoundError as error:
        raise SourceMissing(f"There is no file {file}.", path=str(file)) from error
    except OSError as error:
        raise BadSetting(f"{file} cannot be read: {error.strerror}. Name one JSONL file.", path=str(file)) from error


def import_stream(bench: LabelBench, stream: BinaryIO, name: str) -> ImportReport:
    """The same from an open file; name: how to call it in messages. Raises BadSetting."""
    return take_rows(bench, list(read_rows(stream, name)))


def take_rows(bench: LabelBench, found: Sequence[Row | RowError]) -> ImportReport:
    """Imports rows that were read already."""
    pages = bench.catalog.pages(bench.assistant)
    rows = [_on_known_pages(row, pages) for row in found if not isinstance(row, RowError)]
    made = _change(bench, lambda there: import_rows(there.labels, rows, bench.policy, there.opinions))
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


def _change(bench: LabelBench, decide: Callable[[Holdings], LabelChanges]) -> LabelChanges:
    return bench.catalog.change(bench.assistant, decide, threshold=bench.threshold)


def _on_known_pages(row: Row, pages: Pages) -> Row:
    uris = {page_uri(document, pages.uris, pages.roots) for document in row.documents}
    return replace(row, documents=tuple(sorted(uris)))


def label_status(bench: LabelBench) -> LabelCounts:
    """Where the labels stand."""
    catalog, assistant = bench.catalog, bench.assistant
    labels, opinions = catalog.labels(assistant), catalog.opinions(assistant)
    return count_labels(labels, catalog.consumed(assistant), bench.threshold, opinions)


def labels_to_review(bench: LabelBench) -> list[Label]:
    """Pending labels, each with its reason, in the order of import."""
    return [label for label in bench.catalog.labels(bench.assistant) if label.state == "pending"]


def opinions_to_review(bench: LabelBench) -> list[Opinion]:
    """Pending preferences and ratings, likewise."""
    return [opinion for opinion in bench.catalog.opinions(bench.assistant) if opinion.state == "pending"]


def accept_label(bench: LabelBench, label: str) -> LabelChanges:
    """Accepts what is pending or was rejected; labels it contradicts become rejected. Raises as `accept` does."""
    made = _change(bench, lambda there: accept(there.labels, label, bench.policy, there.opinions))
    freeze_golden(bench)
    return made


def reject_label(bench: LabelBench, label: str, reason: str) -> LabelChanges:
    """Takes a label, preference or rating out. Raises NotFound."""
    made = _change(bench, lambda there: reject(there.labels, label, reason, there.opinions))
    freeze_golden(bench)
    return made


def notice_crossing(bench: LabelBench) -> bool:
    """Whether the labels cross the threshold as it is set now, and nothing has noted it yet; it is noted then."""
    return bench.catalog.note_crossing(bench.assistant, bench.threshold)


def freeze_golden(bench: LabelBench) -> GoldenSet | None:
    """The golden set of this moment, recorded; None when no accepted label is golden."""
    golden = golden_set(bench.catalog.labels(bench.assistant))
    if golden is not None:
        bench.catalog.record_golden_set(bench.assistant, golden)
    return golden
