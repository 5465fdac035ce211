"""Steps that find out what there is to ingest: which sources, and which files they hold now."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from tasks.core.document_catalog import FIRST_SOURCE, Hint, Quarantined, RegisteredSource, unread
from tasks.core.documents import SourceFile
from tasks.core.errors import NotFound, UsageError
from tasks.core.fingerprints import content_hash
from tasks.core.ingestion import Scan, ScannedFile
from tasks.core.ports import Progress, Source
from tasks.documents import DocumentsBench

# ── which sources ────────────────────────────────────────────────────────────────────────────────────────────────────


def resolve_sources(
    bench: DocumentsBench,
    location: str | None = None,
    name: str | None = None,
    *,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
) -> tuple[RegisteredSource, ...]:
    """The sources to ingest; nothing is registered before something is published.

    No location: all registered ones. A location that is known: that one. An unknown one: an additional source, or,
    with the name of a registered source, the new place of that one. After a change of the pipeline always all of them.
    include, exclude: globs from now on; None leaves those that are registered.
    """
    known = bench.catalog.sources(bench.assistant)
    if location is None:
        chosen = tuple(source for source in known if name in (None, source.name))
        if not chosen:
            raise UsageError(
                f"Assistant {bench.assistant} has no source{f' named {name}' if name else ''} yet. "
                "Name one: `ratchet ingest PATH`.",
            )
    else:
        chosen = (_source_at(bench.open_source(RegisteredSource("new", location)).uri, name, known),)
    chosen = tuple(_with_globs(source, include, exclude) for source in chosen)
    before = bench.catalog.published(bench.assistant)
    if before is not None and before.pipeline != bench.pipeline:
        names = {source.name for source in chosen}
        chosen = (*chosen, *(source for source in known if source.name not in names))
    return chosen


@dataclass(frozen=True, slots=True)
class Place:
    """Where documents come from, as it is configured. None: as registered."""

    path: str
    name: str | None = None
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None


def configured_sources(bench: DocumentsBench, places: Sequence[Place]) -> tuple[RegisteredSource, ...]:
    """All registered sources with every configured place among them: by its name, by where it is, or as a new one.

    Nothing is registered before something is published. A source that is no longer configured stays registered.
    Raises UsageError when two places are the same.
    """
    sources = {source.name: source for source in bench.catalog.sources(bench.assistant)}
    seen: set[str] = set()
    for place in places:
        uri = bench.open_source(RegisteredSource("new", place.path)).uri
        same = next(
            (name for name, source in sources.items() if source.uri == uri and place.name in (None, name)), None
        )
        name = same or place.name or _free_name(uri, set(sources))
        if name in seen:
            raise UsageError(f"Two of the configured sources are {name}: {place.path} is there twice. Leave one out.")
        seen.add(name)
        known = sources.get(name)
        source = replace(known, uri=uri) if known else RegisteredSource(name, uri)
        sources[name] = _with_globs(source, place.include, place.exclude)
    return tuple(sources.values())


def _with_globs(
    source: RegisteredSource, include: Sequence[str] | None, exclude: Sequence[str] | None
) -> RegisteredSource:
    return replace(
        source,
        include=source.include if include is None else tuple(include),
        exclude=source.exclude if exclude is None else tuple(exclude),
    )


def _source_at(uri: str, name: str | None, known: Sequence[RegisteredSource]) -> RegisteredSource:
    for source in known:
        if source.uri == uri and name in (None, source.name):
            return source
    same = next((source for source in known if source.uri == uri), None)
    if same is not None:
        raise UsageError(f"{uri} is registered already, as {same.name}. Ingest it without --source, or as {same.name}.")
    for source in known:
        if source.name == name:
            return replace(source, uri=uri)
    taken = {source.name for source in known}
    if name is None:
        name = _free_name(uri, taken)
    elif not taken:
        name = FIRST_SOURCE
    return RegisteredSource(name, uri)


def _free_name(uri: str, taken: set[str]) -> str:
    if not taken:
        return FIRST_SOURCE
    slug = re.sub(r"[^a-z0-9]+", "-", PurePath(uri).name.lower()).strip("-")[:50] or "source"
    numbered = (slug if n == 1 else f"{slug}-{n}" for n in range(1, len(taken) + 2))
    return next(candidate for candidate in numbered if candidate not in taken)


# ── what is there ────────────────────────────────────────────────────────────────────────────────────────────────────


def scan(bench: DocumentsBench, sources: Sequence[RegisteredSource], progress: Progress | None = None) -> Scan:
    """Every file of the sources, hashed unless its hint says that the bytes are those of last time. Does not write."""
    started = time.monotonic()
    opened = {source.name: bench.open_source(source) for source in sources}
    files: list[ScannedFile] = []
    refused: list[Quarantined] = []
    hints: list[Hint] = []
    stale: list[Hint] = []
    skipped = 0
    for registered in sources:
        source, remembered = opened[registered.name], bench.catalog.hints(bench.assistant, registered.name)
        listed = list(source.files())
        good: set[str] = set()  # paths whose hint is as it was
        for done, file in enumerate(listed, start=1):
            kind = bench.parser.kind(file.uri)
            if kind is None and not file.problem:
                skipped += 1
                continue
            hint = remembered.get(file.uri)
            found = _hashed(bench, source, registered, file, kind, hint)
            if isinstance(found, Quarantined):
                refused.append(found)
            else:
                files.append(found)
                if hint is not None and hint.hint == file.hint:
                    good.add(file.uri)
                elif file.hint:
                    hints.append(Hint(registered.name, file.uri, file.hint, found.content_hash))
            if progress:
                progress("scan", done, len(listed))
        stale += [hint for path, hint in remembered.items() if path not in good]
    _check_distinct(files)
    return Scan(tuple(sources), opened, tuple(files), tuple(refused), tuple(hints), tuple(stale), skipped, started)


def _hashed(
    bench: DocumentsBench,
    source: Source,
    registered: RegisteredSource,
    file: SourceFile,
    kind: str | None,
    hint: Hint | None,
) -> ScannedFile | Quarantined:
    document = registered.document(file.uri)
    if file.problem or kind is None:
        return unread(document, registered.name, bench.refusal_key, file.problem)
    refusal = bench.parser.refuses(file.uri, file.size_bytes)
    if refusal:
        return Quarantined(document, registered.name, f"size-{file.size_bytes}", bench.refusal_key, refusal)
    if hint is not None and file.hint and hint.hint == file.hint:
        digest = hint.content_hash
    else:
        try:
            digest = content_hash(source.read(file.uri))
        except NotFound as error:
            return unread(document, registered.name, bench.refusal_key, error.message)
    return ScannedFile(document, registered.name, file.uri, kind, digest)


def _check_distinct(files: Sequence[ScannedFile]) -> None:
    twice = [uri for uri, count in Counter(file.document for file in files).items() if count > 1]
    if twice:
        raise UsageError(f"Two files would both be the document {twice[0]}. Rename one, or register a source anew.")
