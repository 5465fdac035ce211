"""What holds for artifacts in a bucket beyond the contract of every store, against a real S3 server in this process."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.server
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
from artifact_places import BUCKET, URI, S3ArtifactPlace, filled
from botocore.config import Config
from botocore.exceptions import ClientError
from source_places import S3Server, in_threads

from infra.adapters import artifact_bucket
from infra.adapters.artifact_bucket import ArtifactBucket
from infra.adapters.artifact_files import LIST, digest_of, list_text, listed
from infra.adapters.folder_artifacts import LOCK, FolderArtifacts
from infra.adapters.leftover_folders import LeftoverFolders
from infra.adapters.s3_artifacts import S3Artifacts
from infra.adapters.s3_leftovers import S3Leftovers
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


@pytest.fixture
def place(s3: S3Server, tmp_path: Path) -> S3ArtifactPlace:
    return S3ArtifactPlace(s3.emptied(), tmp_path / "machines")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return filled(tmp_path / "in", a_json="{}", b_json="[]", c_json="1")


class Faulty:
    """An S3 client whose `put_object` first asks `fault(calls so far, arguments)`, which may raise."""

    def __init__(self, client: Any, fault: Callable[[int, dict[str, Any]], None]) -> None:
        self._client = client
        self._fault = fault
        self.calls = 0

    def put_object(self, **arguments: Any) -> Any:
        self.calls += 1
        self._fault(self.calls, arguments)
        return self._client.put_object(**arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def refusal(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "why"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject"
    )


# ── uploads ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("uploaded", [0, 1, 2, 3])
def test_an_upload_that_was_killed_is_no_artifact_and_the_next_goes_on_from_it(
    place: S3ArtifactPlace, folder: Path, tmp_path: Path, uploaded: int
) -> None:
    class Killed(BaseException): ...

    def kill(calls: int, _: dict[str, Any]) -> None:
        if calls > uploaded:
            raise Killed

    with pytest.raises(Killed):
        place.open_at(tmp_path / "one", Faulty(place.client, kill)).put(folder)
    begun = place.versions()
    assert len(begun) == uploaded
    digest = digest_of(list_text(listed(folder)))
    assert not place.open().exists(digest)
    with pytest.raises(NotFound):
        place.open().path(digest)

    assert place.open().put(folder) == digest
    assert listed(place.open().path(digest)) == listed(folder)
    assert begun.items() <= place.versions().items()  # nothing was written twice


def test_what_lies_under_a_name_already_is_never_written_over(place: S3ArtifactPlace, folder: Path) -> None:
    digest = digest_of(list_text(listed(folder)))
    place.write(f"{digest}/b.json", b"something else")
    before = place.versions()
    with pytest.raises(IntegrityFailure, match=rf"{URI}/{digest}/b\.json does not hold what was put"):
        place.open().put(folder)
    assert before.items() <= place.versions().items()
    assert not place.open().exists(digest)


def test_a_store_that_knows_no_conditions_is_written_to_without(
    place: S3ArtifactPlace, folder: Path, tmp_path: Path
) -> None:
    def refuse(_: int, arguments: dict[str, Any]) -> None:
        if "IfNoneMatch" in arguments:
            raise refusal("NotImplemented", 501)

    digest = place.open_at(tmp_path / "one", Faulty(place.client, refuse)).put(folder)
    assert listed(place.open().path(digest)) == listed(folder)


def test_what_is_deleted_between_the_condition_and_the_look_is_put(
    place: S3ArtifactPlace, folder: Path, tmp_path: Path
) -> None:
    def refuse(_: int, arguments: dict[str, Any]) -> None:
        if "IfNoneMatch" in arguments:
            raise refusal("PreconditionFailed", 412)

    digest = place.open_at(tmp_path / "one", Faulty(place.client, refuse)).put(folder)
    assert listed(place.open().path(digest)) == listed(folder)


def test_a_writer_who_meets_another_at_the_same_object_tries_again(
    place: S3ArtifactPlace, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_bucket, "CONFLICT_SECONDS", 0.001)

    def conflict(calls: int, _: dict[str, Any]) -> None:
        if calls % 2:
            raise refusal("ConditionalRequestConflict", 409)

    digest = place.open_at(tmp_path / "one", Faulty(place.client, conflict)).put(folder)
    assert place.open().exists(digest)

    def always(_: int, __: dict[str, Any]) -> None:
        raise refusal("ConditionalRequestConflict", 409)

    with pytest.raises(StoreUnavailable, match="ConditionalRequestConflict"):
        place.open_at(tmp_path / "two", Faulty(place.client, always)).put(filled(tmp_path / "more", a_json="2"))


def test_what_a_vacuum_takes_from_an_upload_that_goes_on_is_noticed(
    place: S3ArtifactPlace, folder: Path, tmp_path: Path
) -> None:
    digest = digest_of(list_text(listed(folder)))

    def vacuum(calls: int, _: dict[str, Any]) -> None:
        if calls == 3:
            place.remove(f"{digest}/a.json")

    with pytest.raises(StoreUnavailable, match=rf"{digest}/a\.json went"):
        place.open_at(tmp_path / "one", Faulty(place.client, vacuum)).put(folder)
    assert not place.open().exists(digest)
    assert place.open().exists(place.open().put(folder))


def test_a_folder_store_copied_into_the_bucket_is_its_artifacts(
    place: S3ArtifactPlace, folder: Path, tmp_path: Path
) -> None:
    digest = FolderArtifacts(tmp_path / "old").put(folder)
    for path in (tmp_path / "old" / digest).iterdir():
        place.write(f"{digest}/{path.name}", path.read_bytes())
    assert listed(place.open().path(digest)) == listed(folder)


def test_a_place_is_of_one_catalog_and_another_may_read_it_but_neither_put_nor_vacuum(
    place: S3ArtifactPlace, folder: Path, tmp_path: Path
) -> None:
    def of(catalog: str) -> tuple[S3Artifacts, S3Leftovers]:
        bucket = ArtifactBucket(URI, client=place.client, owner=lambda: catalog)
        home = tmp_path / catalog
        here = LeftoverFolders(home, tmp_path / "none", 0, whole="copy")
        return S3Artifacts(bucket, FolderArtifacts(home)), S3Leftovers(bucket, here, 0, lambda: time.time() + 10)

    (ours, our_vacuum), (theirs, their_vacuum) = of("ours"), of("theirs")
    digest = ours.put(folder)
    before = place.versions()
    with pytest.raises(BadSetting, match=rf"{URI} keeps the artifacts of another catalog \(ours\)\. Give"):
        their_vacuum.unreferenced(frozenset(), frozenset())
    with pytest.raises(BadSetting, match="another catalog"):
        theirs.put(filled(tmp_path / "more", a_json="2"))
    assert listed(theirs.path(digest)) == listed(folder)
    assert place.versions() == before
    again, _ = of("ours")
    assert again.put(folder) == digest
    assert [one.name for one in our_vacuum.unreferenced(frozenset(), frozenset()) if one.kind == "artifact"] == [digest]


# ── copies ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_artifact_is_fetched_once_and_read_while_the_store_is_down(
    place: S3ArtifactPlace, folder: Path, tmp_path: Path
) -> None:
    digest = place.open().put(folder)
    first = place.open_at(tmp_path / "home").path(digest)
    down = S3Artifacts(ArtifactBucket(URI, client=client_of("http://127.0.0.1:1")), FolderArtifacts(tmp_path / "home"))
    assert down.path(digest) == first == tmp_path / "home" / digest
    shutil.rmtree(first)
    with pytest.raises(StoreUnavailable):
        down.path(digest)


@pytest.mark.parametrize("name", ["a.json", LIST])
@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("{")], ids=["deleted", "changed"])
def test_a_damaged_copy_is_fetched_again(
    place: S3ArtifactPlace, folder: Path, tmp_path: Path, name: str, harm: Callable[[Path], object]
) -> None:
    digest = place.open().put(folder)
    store = place.open_at(tmp_path / "home")
    harm(store.path(digest) / name)
    assert listed(store.path(digest)) == listed(folder)
    assert {path.name for path in (tmp_path / "home").iterdir()} == {digest, LOCK}


def test_a_copy_that_another_process_has_mended_meanwhile_is_not_dropped(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    digest = FolderArtifacts(home).put(folder)
    (home / digest / "a.json").write_text("damaged")
    down = S3Artifacts(ArtifactBucket(URI, client=client_of("http://127.0.0.1:1")), FolderArtifacts(home))
    other = os.open(home / LOCK, os.O_WRONLY | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)  # as the other process holds it
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(down.path, digest)
        with pytest.raises(TimeoutError):
            reading.result(0.5)
        (home / digest / "a.json").write_text("{}")
        os.close(other)
        assert listed(reading.result(30)) == listed(folder)  # and the store was not asked


def test_a_damaged_copy_is_not_what_is_uploaded(place: S3ArtifactPlace, folder: Path, tmp_path: Path) -> None:
    digest = FolderArtifacts(tmp_path / "home").put(folder)
    (tmp_path / "home" / digest / "a.json").write_text("{")
    assert place.open_at(tmp_path / "home").put(folder) == digest
    assert listed(place.open().path(digest)) == listed(folder)


def test_readers_on_one_machine_that_fetch_the_same_at_once_all_read_it(
    place: S3ArtifactPlace, folder: Path, tmp_path: Path
) -> None:
    digest = place.open().put(folder)
    (FolderArtifacts(tmp_path / "home").path(FolderArtifacts(tmp_path / "home").put(folder)) / "a.json").unlink()
    found = in_threads(8, lambda _: listed(place.open_at(tmp_path / "home").path(digest)))
    assert found == [listed(folder)] * 8
    assert {path.name for path in (tmp_path / "home").iterdir()} == {digest, LOCK}


def test_a_corrupted_object_is_named_and_nothing_of_it_is_kept(
    place: S3ArtifactPlace, folder: Path, tmp_path: Path
) -> None:
    digest = place.open().put(folder)
    place.write(f"{digest}/b.json", b"[ ")
    with pytest.raises(IntegrityFailure, match=rf"{URI}/{digest}/b\.json does not hold what was put\. Restore"):
        place.open_at(tmp_path / "home").path(digest)
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.parametrize("name", ["../out.json", "/out.json", "a/../../out.json", "run.py", "a\\b.json", LIST])
def test_a_list_that_names_what_no_artifact_holds_is_refused(place: S3ArtifactPlace, tmp_path: Path, name: str) -> None:
    text = json.dumps({name: hashlib.sha256(b"{}").hexdigest()}).encode()
    place.write(f"{digest_of(text)}/{name}", b"{}")
    place.write(f"{digest_of(text)}/{LIST}", text)
    with pytest.raises(IntegrityFailure, match="may not hold"):
        place.open_at(tmp_path / "deep" / "home").path(digest_of(text))
    assert not list(tmp_path.rglob("out.json"))


def test_a_full_disk_is_told_and_nothing_half_fetched_stays(
    place: S3ArtifactPlace, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = place.open().put(folder)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match="no room left"):
        place.open_at(tmp_path / "home").path(digest)
    assert list((tmp_path / "home").iterdir()) == []


# ── what the store says ──────────────────────────────────────────────────────────────────────────────────────────────


def client_of(url: str) -> Any:
    session = boto3.session.Session("k", "s", region_name="us-east-1")
    return session.client("s3", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}))


def asked(store: S3Artifacts, folder: Path) -> list[RatchetError]:
    """What a store answers to a put, a look and a read."""
    digest = digest_of(list_text(listed(folder)))
    errors = []
    for ask in (lambda: store.put(folder), lambda: store.exists(digest)):
        with pytest.raises(RatchetError) as failed:
            ask()
        errors.append(failed.value)
    return errors


def test_a_bucket_that_is_not_there_is_told(place: S3ArtifactPlace, folder: Path, tmp_path: Path) -> None:
    store = S3Artifacts(ArtifactBucket("s3://nowhere/x", client=place.client), FolderArtifacts(tmp_path / "home"))
    for error in asked(store, folder):
        assert type(error) is BadSetting
        assert "s3://nowhere/x is not there. Make it, or check RATCHET_ARTIFACTS_URI" in error.message


def test_a_store_that_is_down_is_worth_another_try_and_its_password_is_not_repeated(
    folder: Path, tmp_path: Path
) -> None:
    client = client_of("http://admin:hunter2@127.0.0.1:1")
    for error in asked(S3Artifacts(ArtifactBucket(URI, client=client), FolderArtifacts(tmp_path / "home")), folder):
        assert type(error) is StoreUnavailable
        assert f"{URI} cannot be reached" in error.message
        assert "hunter2" not in error.message


def test_without_credentials_the_error_says_which_to_set(
    s3: S3Server, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store = S3Artifacts(ArtifactBucket(URI, endpoint_url=s3.url), FolderArtifacts(tmp_path / "home"))
    for error in asked(store, folder):
        assert type(error) is WrongKey
        assert "Set AWS_ACCESS_KEY_ID" in error.message


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Callable[..., S3Artifacts]]:
    """A store on a server that gives one answer to everything: status, body, more headers."""
    with ExitStack() as servers:

        def store(status: int, body: bytes, **headers: str) -> S3Artifacts:
            class Answer(http.server.BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.rfile.read(int(self.headers.get("Content-Length", 0)))
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(body)), **headers}.items():
                        self.send_header(name.replace("_", "-"), value)
                    self.end_headers()
                    self.wfile.write(body)

                do_PUT = do_GET

                def log_message(self, *_: object) -> None: ...

            server = servers.enter_context(http.server.HTTPServer(("127.0.0.1", 0), Answer))
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            servers.callback(server.shutdown)
            client = client_of(f"http://127.0.0.1:{server.server_port}")
            servers.callback(client.close)
            return S3Artifacts(ArtifactBucket(URI, client=client), FolderArtifacts(tmp_path / "answered"))

        yield store


@pytest.mark.parametrize(
    ("status", "code", "kind", "says"),
    [
        (403, "AccessDenied", NotAllowed, "Allow s3:GetObject, s3:PutObject"),
        (403, "InvalidAccessKeyId", WrongKey, "refuses the credentials"),
        (403, "SignatureDoesNotMatch", WrongKey, "refuses the credentials"),
        (400, "ExpiredToken", WrongKey, "refuses the credentials"),
        (404, "XAdminUserNotFound", WrongKey, "refuses the credentials"),
        (503, "SlowDown", StoreUnavailable, "answers SlowDown"),
        (500, "InternalError", StoreUnavailable, "answers InternalError"),
        (507, "XMinioStorageFull", StorageFull, "no room left: XMinioStorageFull"),
        (400, "Odd", BadSetting, "answers Odd"),
    ],
)
def test_what_the_store_refuses_is_explained(
    answering: Callable[..., S3Artifacts], folder: Path, status: int, code: str, kind: type[RatchetError], says: str
) -> None:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>why</Message></Error>".encode()
    store = answering(status, body)
    for error in asked(store, folder):
        assert type(error) is kind
        assert says in error.message
        assert URI in error.message


def test_a_store_that_fills_up_while_it_is_written_to_is_told(
    place: S3ArtifactPlace, folder: Path, tmp_path: Path
) -> None:
    def full(calls: int, _: dict[str, Any]) -> None:
        if calls == 2:
            raise refusal("XMinioStorageFull", 507)

    with pytest.raises(StorageFull, match="no room left"):
        place.open_at(tmp_path / "one", Faulty(place.client, full)).put(folder)
    assert not place.open().exists(digest_of(list_text(listed(folder))))


def test_a_list_that_breaks_off_is_not_taken_for_a_shorter_one(answering: Callable[..., S3Artifacts]) -> None:
    store = answering(200, b"{", Content_Length="100")
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        store.path(digest_of(b"{"))


def test_bytes_that_the_store_itself_knows_are_damaged_are_named(answering: Callable[..., S3Artifacts]) -> None:
    store = answering(200, b"{}", x_amz_checksum_crc32="AAAAAA==")
    digest = digest_of(b"{}")
    with pytest.raises(IntegrityFailure, match=rf"{URI}/{digest}/{LIST} does not hold what was put"):
        store.path(digest)


def test_the_bucket_of_these_tests_is_the_one_of_the_place() -> None:
    assert ArtifactBucket(URI).uri == URI == f"s3://{BUCKET}/kept/artifacts"
