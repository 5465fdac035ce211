"""A bucket that things are kept in, each written once: S3 as an artifact store needs it, and what its errors mean."""

from __future__ import annotations

import base64
import hashlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from infra.adapters.s3_client import PREFIX, bucket_and_prefix, new_client
from infra.adapters.s3_errors import PASSING, SIGNING, without_password
from tasks.core.errors import (
    BadSetting,
    IntegrityFailure,
    NotAllowed,
    NotFound,
    RatchetError,
    StorageFull,
    StoreUnavailable,
    WrongKey,
)

PIECE_BYTES = 1 << 20
OWNER = "catalog.txt"
CONFLICTS, CONFLICT_SECONDS = 5, 0.2  # another writer is at the same object
RIGHTS = "s3:GetObject, s3:PutObject and s3:DeleteObject on its keys, and s3:ListBucket on the bucket"
_FULL = frozenset({"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage"})
_ABSENT = frozenset({"NoSuchKey", "404"})
_THERE = frozenset({"PreconditionFailed", "412"})
_CONFLICT = frozenset({"ConditionalRequestConflict", "409"})
_UNKNOWN = frozenset({"NotImplemented", "501"})


@dataclass(frozen=True, slots=True)
class Stored:
    """One object, as a listing tells it. key: below the prefix. changed: seconds since 1970."""

    key: str
    size_bytes: int
    changed: float


class ArtifactBucket:
    """Objects below `s3://BUCKET/PREFIX/`. Safe to use from several threads. Nothing is asked before the first call.

    Every call raises StoreUnavailable when the store cannot be asked now; BadSetting, WrongKey, NotAllowed or
    StorageFull when somebody must change something.

    endpoint_url: where the store is, when it is not AWS. client: a boto3 S3 client to use instead of a new one.
    owner: names the catalog that knows what lies here.
    """

    def __init__(
        self,
        uri: str,
        *,
        endpoint_url: str | None = None,
        client: Any = None,
        owner: Callable[[], str] | None = None,
    ) -> None:
        self._bucket, prefix = bucket_and_prefix(uri)
        self._below = f"{prefix}/" if prefix else ""
        self._endpoint_url = endpoint_url
        self._given_client = client
        self._owner = owner
        self._is_claimed = owner is None

    @property
    def uri(self) -> str:
        """How it is named."""
        return f"{PREFIX}{self._bucket}/{self._below}".rstrip("/")

    def claim(self) -> None:
        """Makes this the place of the owner's artifacts. Raises BadSetting when it is another catalog's.

        A vacuum deletes what its own catalog does not name, which would be everything of the other one.
        """
        if self._is_claimed or self._owner is None:
            return
        name = self._owner().encode()
        try:
            found = self.read(OWNER)
        except NotFound:
            self.put_once(OWNER, lambda: io.BytesIO(name), hashlib.sha256(name).hexdigest())
            found = name
        if found != name:
            raise BadSetting(
                f"{self.uri} keeps the artifacts of another catalog ({found.decode(errors='replace')[:40]}). Give "
                f"every catalog a prefix of its own, or delete {self.uri}/{OWNER} if that catalog is gone.",
                uri=self.uri,
            )
        self._is_claimed = True

    def put_once(self, key: str, open_body: Callable[[], BinaryIO], sha256: str) -> None:
        """Stores an object of at most 5 GiB, unless it is there. The store checks what it got against `sha256` (hex).

        Raises IntegrityFailure when it is there and is something else: nothing is ever written over.
        """
        with self._explained(key):
            if self._put(key, open_body, sha256, {"IfNoneMatch": "*"}):
                return
            there = self._sha256(key)
            if there is None:  # deleted since, as by a vacuum that took it for an upload nobody finished
                self._put(key, open_body, sha256, {})
            elif there != sha256:
                raise self._differs(key, "Delete it there, and run again.")

    def read(self, key: str) -> bytes:
        """The bytes of a small object. Raises NotFound."""
        with self._explained(key):
            return b"".join(self._pieces(key))

    def download(self, key: str, path: Path, sha256: str) -> None:
        """Writes an object to a new file. Raises NotFound, and IntegrityFailure when its bytes do not have `sha256`."""
        found = hashlib.sha256()
        with self._explained(key), path.open("xb") as file:
            for piece in self._pieces(key):
                found.update(piece)
                file.write(piece)
        if found.hexdigest() != sha256:
            raise self._differs(key, "Restore it from a backup, or from a machine that has used it.")

    def listed(self, below: str = "") -> Iterator[Stored]:
        """The objects whose key begins so."""
        with self._explained(below):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._below + below
            )
            for page in pages:
                for one in page.get("Contents", ()):
                    key = one["Key"][len(self._below) :]
                    yield Stored(key, one["Size"], one["LastModified"].timestamp())

    def delete(self, key: str) -> None:
        """Deletes an object. One that is not there is no error."""
        with self._explained(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._below + key)

    @cached_property
    def _client(self) -> Any:
        return self._given_client or new_client(self._endpoint_url)

    def _put(self, key: str, open_body: Callable[[], BinaryIO], sha256: str, once: dict[str, str]) -> bool:
        """Whether it was stored now; False: an object of that name was there. once: the condition for it."""
        from botocore.exceptions import ClientError  # type: ignore[import-untyped]

        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        for attempt in range(1, CONFLICTS + 1):
            try:
                with open_body() as body:
                    self._client.put_object(
                        Bucket=self._bucket, Key=self._below + key, Body=body, ChecksumSHA256=checksum, **once
                    )
                return True
            except ClientError as error:
                code = _code(error)
                if code in _THERE:
                    return False
                if code in _UNKNOWN and once:  # a store without conditions: two who write the same write the same
                    once = {}
                elif code not in _CONFLICT or attempt == CONFLICTS:
                    raise
                else:
                    time.sleep(CONFLICT_SECONDS * attempt)
        raise AssertionError("the last attempt returns or raises")

    def _sha256(self, key: str) -> str | None:
        """Of the object that is there, in hex; None when there is none."""
        from botocore.exceptions import ClientError

        found = hashlib.sha256()
        try:
            for piece in self._pieces(key):
                found.update(piece)
        except ClientError as error:
            if _code(error) in _ABSENT:
                return None
            raise
        return found.hexdigest()

    def _pieces(self, key: str) -> Iterator[bytes]:
        body = self._client.get_object(Bucket=self._bucket, Key=self._below + key)["Body"]
        with closing(body):
            yield from body.iter_chunks(PIECE_BYTES)

    def _differs(self, key: str, what_to_do: str) -> IntegrityFailure:
        return IntegrityFailure(f"{self.uri}/{key} does not hold what was put. {what_to_do}", uri=f"{self.uri}/{key}")

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            raise self._refused(key, error) from error
        except BotoCoreError as error:
            raise self._unsent(key, error) from error

    def _refused(self, key: str, error: Exception) -> RatchetError:
        """For an answer of the store that is an error."""
        response = getattr(error, "response", {})
        said, status = response.get("Error", {}), response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code, store, uri = _code(error), f"The artifact store {self.uri}", f"{self.uri}/{key}"
        if code == "NoSuchBucket":
            return BadSetting(
                f"The bucket of the artifact store {self.uri} is not there. Make it, or check RATCHET_ARTIFACTS_URI "
                "and RATCHET_S3_ENDPOINT_URL.",
                uri=self.uri,
            )
        if code in _FULL or status == 507:
            return StorageFull(f"{store} has no room left: {code}. Make room there and run again.", uri=self.uri)
        if code in PASSING | _CONFLICT or status == 429 or status >= 500:
            return StoreUnavailable(f"{store} cannot serve now: it answers {code}. Try again later.", uri=self.uri)
        if code in SIGNING:
            return WrongKey(
                f"{store} refuses the credentials: {code}. Renew what AWS_ACCESS_KEY_ID, AWS_PROFILE or the "
                "machine's role gives.",
                uri=self.uri,
            )
        if code in ("AccessDenied", "403"):
            return NotAllowed(f"{store} denies access to {uri}. Allow {RIGHTS}.", uri=uri)
        if code in _ABSENT:
            return NotFound(f"There is no {uri}.", uri=uri)
        return BadSetting(f"{store} answers {code} for {uri}: {said.get('Message', 'no reason given')}.", uri=uri)

    def _unsent(self, key: str, error: Exception) -> RatchetError:
        """For a request that got no whole answer, or was never sent."""
        from botocore import exceptions  # type: ignore[import-untyped]

        if isinstance(error, exceptions.FlexibleChecksumError):
            return self._differs(key, "Its bytes do not have the checksum that the store itself has of them.")
        if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
            return WrongKey(
                f"There are no AWS credentials for the artifact store {self.uri}. Set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role.",
                uri=self.uri,
            )
        said = without_password(error)
        if isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError | exceptions.IncompleteReadError):
            return StoreUnavailable(
                f"The artifact store {self.uri} cannot be reached: {said}. Check RATCHET_S3_ENDPOINT_URL and the "
                "network, and try again.",
                uri=self.uri,
            )
        return BadSetting(f"The artifact store {self.uri} cannot be used: {said}. Check the AWS configuration.")


def _code(error: Exception) -> str:
    response = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code") or response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
