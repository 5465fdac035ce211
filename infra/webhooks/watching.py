"""Registered sources as a webhook is held against them: where they lie, and which paths in them are documents."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from infra.adapters.git_uri import PREFIX as GIT
from infra.adapters.git_uri import GitUri
from infra.adapters.s3_client import PREFIX as S3
from infra.adapters.source_globs import SourceGlobs
from infra.adapters.source_names import is_passed_over
from tasks.core.document_catalog import RegisteredSource
from tasks.core.errors import UsageError
from tasks.core.source_changes import InBucket, InFolder, InRepository, Watched

_log = logging.getLogger("ratchet.webhooks")


def watched(sources: Iterable[tuple[str, RegisteredSource]]) -> list[Watched]:
    """Each source as a place with its globs. One that cannot be understood any more is left out, and said."""
    found = []
    for assistant, source in sources:
        try:
            found.append(_watched(assistant, source))
        except UsageError as error:
            _log.error("Source %s of %s is not watched: %s", source.name, assistant, error.message)
    return found


def _watched(assistant: str, source: RegisteredSource) -> Watched:
    globs = SourceGlobs(source.include, source.exclude)
    return Watched(
        assistant,
        source.name,
        source.uri,
        _place(source.uri),
        lambda path: not is_passed_over(path) and globs.wants(path),
    )


def _place(uri: str) -> InRepository | InBucket | InFolder:
    if uri.startswith(GIT):
        git = GitUri.parse(uri)
        return InRepository(git.repository, git.ref, git.subfolder)
    if uri.startswith(S3):
        bucket, _, prefix = uri.removeprefix(S3).partition("/")
        return InBucket(bucket, prefix.rstrip("/"))
    return InFolder(uri)
