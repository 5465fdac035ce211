"""Which sources of which assistants a change concerns. In doubt it concerns them: a refresh too many finds nothing new.

A change comes from a webhook and is believed about one thing only: where something happened. What there is now, the
refresh reads from the source itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from tasks.core.repository_names import repository_name

_COMMIT_DIGITS = (40, 64)


# ── where documents lie ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class InRepository:
    """A git repository at a ref. ref "": its default branch. subfolder "": all of it."""

    repository: str  # as registered
    ref: str
    subfolder: str


@dataclass(frozen=True, slots=True)
class InBucket:
    """The keys below `prefix/`, or the one object `prefix`. "": the whole bucket."""

    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class InFolder:
    """A folder or file of some machine, by its absolute path."""

    path: str


@dataclass(frozen=True, slots=True)
class Watched:
    """A registered source. wants: whether a path inside it would be a document, as its globs say."""

    assistant: str
    name: str
    uri: str
    place: InRepository | InBucket | InFolder
    wants: Callable[[str], bool]


# ── what happened ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push. paths: every file that may have changed, from the repository's root; None: that is not known."""

    repositories: frozenset[str]  # addresses it goes by
    ref: str  # such as refs/heads/main
    default_branch: str  # "": not known
    commit: str
    paths: frozenset[str] | None
    identity: str  # the same push has the same, and no other push has


@dataclass(frozen=True, slots=True)
class ObjectChanged:
    """One object of a bucket was written or deleted."""

    bucket: str
    key: str
    identity: str


@dataclass(frozen=True, slots=True)
class Named:
    """Somebody says which source changed: by its name, or by a URI at, in or above it. None: any."""

    assistant: str | None
    source: str | None
    uri: str | None
    paths: frozenset[str] | None  # inside the source
    identity: str


Change = Pushed | ObjectChanged | Named


@dataclass(frozen=True, slots=True)
class Concern:
    """A source has to be read again because of a change. key: the same change of the same source has the same."""

    assistant: str
    source: str
    key: str
    payload: dict[str, JsonValue]  # ids only


def concerns(changes: Iterable[Change], watched: Sequence[Watched], topic: str) -> list[Concern]:
    """A concern per change and source it is about, in order, each once."""
    found: dict[str, Concern] = {}
    for change in changes:
        for source in watched:
            if touches(change, source):
                concern = _concern(change, source, topic)
                found.setdefault(concern.key, concern)
    return list(found.values())


def touches(change: Change, source: Watched) -> bool:
    """Whether the change is about documents of the source.

    >>> place = InRepository("https://h/o/r", ref="", subfolder="docs")
    >>> docs = Watched("default", "docs", "git+https://h/o/r#docs", place, lambda path: True)
    >>> push = Pushed(frozenset({"git@h:o/r.git"}), "refs/heads/main", "main", "c0ffee", frozenset({"src/a.py"}), "1")
    >>> touches(push, docs)
    False
    """
    match change, source.place:
        case Pushed(), InRepository() as place:
            return _is_same_repository(change, place) and _moves(change, place) and _is_below(change, source, place)
        case ObjectChanged(), InBucket() as place:
            return change.bucket == place.bucket and _holds(place, change.key, source)
        case Named(), _:
            return _is_named(change, source)
        case _:
            return False


# ── pushes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _is_same_repository(push: Pushed, place: InRepository) -> bool:
    name = repository_name(place.repository)
    return bool(name) and name in {repository_name(address) for address in push.repositories}


def _moves(push: Pushed, place: InRepository) -> bool:
    """Whether the source's ref is the one that was pushed, by git's own rules for short names."""
    if place.ref in ("", "HEAD"):
        return push.default_branch == "" or push.ref == f"refs/heads/{push.default_branch}"
    if len(place.ref) in _COMMIT_DIGITS and all(digit in "0123456789abcdef" for digit in place.ref):
        return False  # a commit is what it is for ever
    return push.ref in (place.ref, *(f"refs/{kind}{place.ref}" for kind in ("", "tags/", "heads/")))


def _is_below(push: Pushed, source: Watched, place: InRepository) -> bool:
    if push.paths is None:
        return True
    return any(source.wants(inside) for path in push.paths if (inside := _inside(path, place.subfolder)) is not None)


def _inside(path: str, folder: str) -> str | None:
    """The path seen from the folder; None when it is not in there. The "folder" may be one file."""
    if folder == "" or path.startswith(f"{folder}/"):
        return path[len(folder) :].lstrip("/") if folder else path
    return path.rpartition("/")[2] if path == folder else None


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _holds(place: InBucket, key: str, source: Watched) -> bool:
    inside = _inside(key, place.prefix)
    return inside is not None and not key.endswith("/") and source.wants(inside)


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _is_named(named: Named, source: Watched) -> bool:
    if named.assistant not in (None, source.assistant) or named.source not in (None, source.name):
        return False
    if named.uri is not None and not _overlap(named.uri.rstrip("/"), source):
        return False
    return named.paths is None or any(map(source.wants, named.paths))


def _overlap(uri: str, source: Watched) -> bool:
    """Whether the URI is the source's own, above it, or names a document in it."""
    own = source.uri.rstrip("/")
    if own == uri or own.startswith((f"{uri}/", f"{uri}@", f"{uri}#")):
        return True
    return uri.startswith(f"{own}/") and source.wants(uri[len(own) + 1 :])


def _concern(change: Change, source: Watched, topic: str) -> Concern:
    """Its key holds the source's URI too: a source that was pointed elsewhere is another one."""
    what = "\n".join((source.name, source.uri, type(change).__name__, change.identity))
    digest = hashlib.sha256(what.encode("utf-8", errors="surrogatepass")).hexdigest()[:32]
    payload: dict[str, JsonValue] = {"source": source.name}
    if isinstance(change, Pushed):
        payload["commit"] = change.commit
    return Concern(source.assistant, source.name, f"{topic}:{source.assistant}:{digest}", payload)
