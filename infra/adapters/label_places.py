"""Where label files lie: a file, a folder of them, an object or a prefix on S3."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from infra.adapters.s3_client import PREFIX
from infra.adapters.s3_source import S3Source
from tasks.core.documents import SourceFile
from tasks.core.errors import BadSetting, SourceMissing
from tasks.label_files import MAX_BYTES, LabelFile

SUFFIX = ".jsonl"


def label_files(place: str, *, s3_endpoint_url: str | None = None, client: Any = None) -> Sequence[LabelFile]:
    """The files, by name. A folder or prefix gives those that end in `.jsonl`; a file or object may be called anything.

    Raises SourceMissing when nothing is there, BadSetting for an object that is larger than one import can hold.
    """
    if place.startswith(PREFIX):
        return _on_s3(S3Source(place, endpoint_url=s3_endpoint_url, client=client))
    path = Path(place).expanduser()
    if path.is_dir():
        return [_local(file) for file in sorted(path.rglob(f"*{SUFFIX}")) if file.is_file()]
    if not path.is_file():
        raise SourceMissing(f"There is no file {place}.", path=place)
    return [_local(path)]


def _local(path: Path) -> LabelFile:
    def opened() -> BinaryIO:
        try:
            return path.open("rb")
        except OSError as error:
            raise BadSetting(f"{path} cannot be read: {error.strerror}.", path=str(path)) from error

    return LabelFile(str(path), opened)


def _on_s3(source: S3Source) -> Sequence[LabelFile]:
    found = list(source.files())
    key = source.uri.rpartition("/")[2]
    if [file.uri for file in found] == [key]:  # the one object
        return [_object(source, found[0], source.uri)]
    named = [file for file in found if file.uri.endswith(SUFFIX)]
    if not named:
        raise SourceMissing(f"There is no {SUFFIX} file at {source.uri}.", uri=source.uri)
    return [_object(source, file, f"{source.uri}/{file.uri}") for file in named]


def _object(source: S3Source, file: SourceFile, name: str) -> LabelFile:
    def opened() -> BinaryIO:
        if file.problem or file.size_bytes > MAX_BYTES:
            why = file.problem or f"it has {file.size_bytes:,} bytes; the most of one import is {MAX_BYTES:,}. Split it"
            raise BadSetting(f"{name} cannot be read: {why}.", uri=name)
        return BytesIO(source.read(file.uri))

    return LabelFile(name, opened)
