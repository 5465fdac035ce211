"""Portions of a run that other workers may take: files to parse, texts to embed.

A portion writes nothing but the caches of parsed elements and vectors, which are known by content. So a snapshot never
depends on who took which portion, one that is lost costs time alone, and the run itself does what nobody did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from tasks import documents, snapshots
from tasks.core.document_catalog import Quarantined, RegisteredSource
from tasks.core.errors import BadSetting
from tasks.core.ingestion import Plan, ScannedFile
from tasks.documents import DocumentsBench


@dataclass(frozen=True, slots=True)
class FilePortion:
    """Files of one source that are to be parsed, by this parser."""

    source: RegisteredSource
    files: tuple[ScannedFile, ...]
    parser: str


@dataclass(frozen=True, slots=True)
class TextPortion:
    """Texts that have no vector yet, by vector key, for this embedder."""

    texts: Mapping[str, str]
    embedder: str


Portion = FilePortion | TextPortion


def file_portions(bench: DocumentsBench, plan: Plan, size: int) -> list[FilePortion]:
    """The files of a plan, at most `size` to a portion; none when one portion would hold them all."""
    if len(plan.to_read) <= size:
        return []
    portions = []
    for source in plan.scan.sources:
        its = iter([file for file in plan.to_read if file.source == source.name])
        while files := tuple(islice(its, size)):
            portions.append(FilePortion(source, files, bench.parser.fingerprint))
    return portions


def text_portions(bench: DocumentsBench, missing: Mapping[str, str], size: int) -> list[TextPortion]:
    """The texts without a vector, alike in length within a portion; none when one portion would hold them all."""
    if len(missing) <= size:
        return []
    keys = iter(snapshots.by_length(missing))
    return [
        TextPortion({key: missing[key] for key in part}, bench.embedder.fingerprint)
        for part in iter(lambda: list(islice(keys, size)), [])
    ]


def take(bench: DocumentsBench, portion: Portion) -> int:
    """Does a portion; how many files could be read, or texts were embedded. Done again, it finds all of it done.

    Raises BadSetting where this worker would parse or embed in another way than the run that cut the portion.
    """
    if isinstance(portion, FilePortion):
        _require_same("parser", portion.parser, bench.parser.fingerprint)
        return sum(not isinstance(result, Quarantined) for result in _read(bench, portion))
    _require_same("embedder", portion.embedder, bench.embedder.fingerprint)
    return snapshots.embed_texts(bench, portion.texts)


def _read(bench: DocumentsBench, portion: FilePortion) -> Iterator[object]:
    opened = {portion.source.name: bench.open_source(portion.source)}
    return documents.results(bench, opened, portion.files)


def _require_same(what: str, wanted: str, have: str) -> None:
    if wanted != have:
        raise BadSetting(
            f"This worker's {what} is {have}, that of the run is {wanted}. Give all workers the same installation and "
            "the same RATCHET_* settings; the run does this portion itself."
        )


def names(portions: Sequence[Portion]) -> list[str]:
    """How each is called where a person sees it: `parse 1-200 of 1,000`."""
    sizes = [len(one.files) if isinstance(one, FilePortion) else len(one.texts) for one in portions]
    ends = [sum(sizes[: at + 1]) for at in range(len(sizes))]
    return [
        f"{'parse' if isinstance(one, FilePortion) else 'embed'} {end - size + 1:,}-{end:,} of {ends[-1]:,}"
        for one, size, end in zip(portions, sizes, ends, strict=True)
    ]
