"""Real places that documents come from, to be written to by tests: a folder, a git repository, an S3 bucket."""

from __future__ import annotations

import os
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import boto3

from infra.adapters.folder_source import FolderSource
from infra.adapters.git_source import GitSource
from infra.adapters.s3_source import S3Source
from tasks.core.ports import Source

BUCKET = "manuals"
OF_TESTS = "ratchet-tests-"  # how the names of buckets begin that tests may empty on a server of somebody's own
OWN_SETTINGS = (  # whatever the machine's are
    *("-c", "user.name=Test"),
    *("-c", "user.email=test@example.org"),
    *("-c", "commit.gpgsign=false"),
    *("-c", "core.autocrlf=false"),
    *("-c", "core.hooksPath=/dev/null"),
)


class SourcePlace(Protocol):
    """What a contract test does to a place, and the source that reads it."""

    def write(self, name: str, data: bytes) -> None: ...

    def remove(self, name: str) -> None: ...

    def open(self, *, below: str = "", include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Source: ...

    def take_away(self) -> None:
        """Makes the whole place disappear."""


class FolderPlace:
    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def remove(self, name: str) -> None:
        (self.root / name).unlink()

    def open(self, *, below: str = "", include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Source:
        return FolderSource(self.root / below, include=include, exclude=exclude)

    def take_away(self) -> None:
        self.root.rename(f"{self.root}-elsewhere")


class GitPlace:
    """A repository that commits at every write."""

    def __init__(self, root: Path, cache_folder: Path) -> None:
        self.root = root
        self.cache_folder = cache_folder
        subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(root)], check=True)

    def git(self, *arguments: str, given: bytes = b"") -> str:
        command = ["git", "-C", str(self.root), *OWN_SETTINGS, *arguments]
        done = subprocess.run(command, check=True, input=given, capture_output=True)
        return done.stdout.decode(errors="surrogateescape").strip()

    def write(self, name: str, data: bytes) -> None:
        self.write_all({name: data})

    def write_all(self, files: dict[str, bytes]) -> str:
        for name, data in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return self.commit()

    def remove(self, name: str) -> None:
        (self.root / name).unlink()
        self.commit()

    def commit(self, message: str = "change") -> str:
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def open(self, *, below: str = "", include: Sequence[str] = (), exclude: Sequence[str] = ()) -> GitSource:
        return self.source(f"#{below}" if below else "", include=include, exclude=exclude)

    def source(self, rest: str = "", *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> GitSource:
        return GitSource(f"git+{self.root}{rest}", self.cache_folder, include=include, exclude=exclude)

    def take_away(self) -> None:
        self.root.rename(f"{self.root}-elsewhere")


class S3Place:
    def __init__(self, client: Any) -> None:
        self.client = client
        client.create_bucket(Bucket=BUCKET)

    def write(self, name: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=name, Body=data)

    def remove(self, name: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=name)

    def open(self, *, below: str = "", include: Sequence[str] = (), exclude: Sequence[str] = ()) -> S3Source:
        return S3Source(f"s3://{BUCKET}/{below}", include=include, exclude=exclude, client=self.client)

    def take_away(self) -> None:
        for listed in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
            self.client.delete_object(Bucket=BUCKET, Key=listed["Key"])
        self.client.delete_bucket(Bucket=BUCKET)


def remove_bucket(client: Any, bucket: str) -> None:
    """Removes a bucket with every version of everything in it."""
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            client.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
    client.delete_bucket(Bucket=bucket)


@dataclass(frozen=True)
class S3Server:
    url: str
    client: Any
    is_own: bool = False

    def emptied(self) -> Any:
        """A client, after every bucket was removed; those of tests, where the server is somebody's own."""
        if self.is_own:
            for bucket in self.client.list_buckets()["Buckets"]:
                if bucket["Name"].startswith(OF_TESTS):
                    remove_bucket(self.client, bucket["Name"])
            return self.client
        request = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")
        urllib.request.urlopen(request).close()
        return self.client


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """An S3 server in this process, on a free port; or the one at RATCHET_TEST_S3_URL, with the usual credentials."""
    if url := os.environ.get("RATCHET_TEST_S3_URL"):
        client = boto3.session.Session(region_name="us-east-1").client("s3", endpoint_url=url)
        yield S3Server(url, client, is_own=True)
        client.close()
        return
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        session = boto3.session.Session("test-key", "test-secret", region_name="us-east-1")
        client = session.client("s3", endpoint_url=url)
        yield S3Server(url, client)
        client.close()
    finally:
        server.stop()


def in_threads(count: int, work: Any) -> list[Any]:
    """What `work(number)` returned in each of `count` threads at once; its error where it raised."""
    results: list[Any] = [None] * count

    def run(number: int) -> None:
        try:
            results[number] = work(number)
        except Exception as error:  # noqa: BLE001 - handed to the test
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
