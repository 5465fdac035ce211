"""Documents in an S3 bucket, or in anything that speaks its protocol (MinIO, Ceph, R2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cached_property
from typing import Any

from infra.adapters.s3_client import PREFIX, bucket_and_prefix, new_client
from infra.adapters.s3_errors import explained
from infra.adapters.source_globs import SourceGlobs
from infra.adapters.source_names import checked_name, is_passed_over
from tasks.core.documents import SourceFile
from tasks.core.errors import NotFound

KEYS_PER_PAGE = 1000  # the protocol's maximum
ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class S3Source:
    """Source on `s3://BUCKET/PREFIX`: the keys below `PREFIX/`, or, when there are none, the one object `PREFIX`.

    The prefix ends where a folder would: `s3://b/docs` does not mean `docs-old/`. A prefix without keys lists nothing:
    only a missing bucket is an error. Dot-directories and folder markers are skipped; archived objects, and keys that
    are no path, are refused by name. Credentials and region come from the usual AWS chain.

    endpoint_url: where the store is, when it is not AWS. client: a boto3 S3 client to use instead of a new one.
    """

    def __init__(
        self,
        uri: str,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        endpoint_url: str | None = None,
        client: Any = None,
        keys_per_page: int = KEYS_PER_PAGE,
    ) -> None:
        self._bucket, self._prefix = bucket_and_prefix(uri)
        self._globs = SourceGlobs(include, exclude)
        self._endpoint_url = endpoint_url
        self._given_client = client
        self._keys_per_page = keys_per_page

    @property
    def uri(self) -> str:
        return f"{PREFIX}{self._bucket}/{self._prefix}".rstrip("/")

    def files(self) -> Iterator[SourceFile]:
        found = (self._file(uri, listed) for uri, listed in self._found() if self._is_wanted(uri))
        yield from sorted(found, key=lambda file: file.uri)

    def read(self, uri: str) -> bytes:
        try:
            with explained(self.uri, uri):
                return self._bytes(self._below + uri)
        except NotFound:
            if self._prefix.rpartition("/")[2] != uri:
                raise
            with explained(self.uri, uri):  # the one object
                return self._bytes(self._prefix)

    @property
    def _below(self) -> str:
        return f"{self._prefix}/" if self._prefix else ""

    @cached_property
    def _client(self) -> Any:
        return self._given_client or new_client(self._endpoint_url)

    def _bytes(self, key: str) -> bytes:
        # Not `with …["Body"] as body`: that is the raw stream, which takes what broke off for the whole.
        with closing(self._client.get_object(Bucket=self._bucket, Key=key)["Body"]) as body:
            return bytes(body.read())

    def _found(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """URI and listing entry of every object of the source."""
        with explained(self.uri):
            is_empty = True
            for listed in self._listed(self._below):
                is_empty = False
                if not listed["Key"].endswith("/"):  # consoles make empty objects to show a folder
                    yield listed["Key"][len(self._below) :], listed
            if is_empty and self._prefix:
                # Of the keys that begin with the prefix, the prefix itself is the first.
                first = next(self._listed(self._prefix), None)
                if first and first["Key"] == self._prefix:
                    yield self._prefix.rpartition("/")[2], first

    def _listed(self, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, PaginationConfig={"PageSize": self._keys_per_page}
        )
        for page in pages:
            yield from page.get("Contents", ())

    def _is_wanted(self, uri: str) -> bool:
        return not (is_passed_over(uri) and _is_path(uri)) and self._globs.wants(uri)

    def _file(self, key: str, listed: dict[str, Any]) -> SourceFile:
        uri, problem = checked_name(key)
        if not _is_path(key):
            problem = (
                "its key has an empty, a . or a .. part between slashes, which no path has; copy it to another key"
            )
        if listed.get("StorageClass") in ARCHIVED:
            problem = f"it is archived ({listed['StorageClass']}); restore it and copy it to the STANDARD class"
        if problem:
            return SourceFile(uri, listed["Size"], "", problem)
        # The ETag alone would do on AWS: it changes with the bytes (without being a hash of them when the object was
        # uploaded in parts, so documents are compared by what was read). Other stores are less strict about it.
        changed = listed["LastModified"].timestamp()
        return SourceFile(uri, listed["Size"], f"{listed['ETag'].strip(chr(34))}-{listed['Size']}-{changed:.3f}")


def _is_path(key: str) -> bool:
    return not {"", ".", ".."} & set(key.split("/"))
