"""Which documents a bucket holds, against a real S3 server in this process."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from source_places import BUCKET, S3Place, S3Server

from infra.adapters.open_source import open_source
from infra.adapters.s3_source import S3Source
from tasks.core.errors import NotFound, SourceMissing, WorthRetrying


@pytest.fixture
def place(s3: S3Server) -> S3Place:
    return S3Place(s3.emptied())


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No credentials but those a test sets."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def uris(source: S3Source) -> list[str]:
    return [file.uri for file in source.files()]


def test_every_page_of_a_long_listing_is_read(place: S3Place) -> None:
    names = [f"{number:03}.md" for number in range(25)]
    for name in names:
        place.write(f"docs/{name}", name.encode())
    assert uris(S3Source(f"s3://{BUCKET}/docs", client=place.client, keys_per_page=10)) == names
    assert uris(S3Source(f"s3://{BUCKET}/docs", client=place.client, keys_per_page=25)) == names


def test_a_prefix_ends_where_a_folder_would(place: S3Place) -> None:
    for key in ("docs/a.md", "docs-old/b.md", "docs.md", "docs2"):
        place.write(key, b"x")
    assert uris(place.open(below="docs")) == uris(place.open(below="docs/")) == ["a.md"]
    assert uris(place.open(below="doc")) == []


def test_an_object_beside_a_folder_of_its_name_does_not_hide_it(place: S3Place) -> None:
    place.write("docs", b"object")
    assert uris(place.open(below="docs")) == ["docs"]
    place.write("docs/a.md", b"x")
    assert uris(place.open(below="docs")) == ["a.md"]


def test_folder_markers_are_skipped(place: S3Place) -> None:
    place.write("docs/", b"")
    place.write("docs/empty/", b"")
    assert uris(place.open(below="docs")) == []
    place.write("docs/a.md", b"x")
    assert uris(place.open(below="docs")) == ["a.md"]


@pytest.mark.parametrize("key", ["/absolute.md", "a//b.md", "a/../b.md", "a/./b.md", ".."])
def test_a_key_that_is_no_path_is_refused_by_name(place: S3Place, key: str) -> None:
    raw = Config(s3={"addressing_style": "path"}, inject_host_prefix=False)
    client = boto3.session.Session("k", "s", region_name="us-east-1").client(
        "s3", endpoint_url=place.client.meta.endpoint_url, config=raw
    )
    client.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    (file,) = place.open().files()
    assert file.uri == key
    assert "which no path has" in file.problem


@pytest.mark.parametrize("archive", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_object_is_refused_by_name_and_the_rest_read(place: S3Place, archive: str) -> None:
    place.client.put_object(Bucket=BUCKET, Key="old.md", Body=b"x", StorageClass=archive)
    place.client.put_object(Bucket=BUCKET, Key="rare.md", Body=b"x", StorageClass="STANDARD_IA")
    problems = {file.uri: file.problem for file in place.open().files()}
    assert f"archived ({archive}); restore it" in problems["old.md"]
    assert problems["rare.md"] == ""
    with pytest.raises(NotFound, match=r"old\.md cannot be read: it is archived"):
        place.open().read("old.md")


def test_an_object_that_is_gone_between_listing_and_reading_is_not_found(place: S3Place) -> None:
    place.write("a.md", b"x")
    source = place.open()
    (file,) = source.files()
    place.remove("a.md")
    with pytest.raises(NotFound, match=r"a\.md cannot be read: it is no longer in the bucket"):
        source.read(file.uri)


def test_an_object_uploaded_in_parts_is_read_whole_and_has_a_hint(place: S3Place) -> None:
    part = b"x" * (5 * 2**20)
    upload = place.client.create_multipart_upload(Bucket=BUCKET, Key="big.bin")["UploadId"]
    common = {"Bucket": BUCKET, "Key": "big.bin", "UploadId": upload}
    tags = [place.client.upload_part(**common, PartNumber=n, Body=part)["ETag"] for n in (1, 2)]
    parts = [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, start=1)]
    place.client.complete_multipart_upload(**common, MultipartUpload={"Parts": parts})
    source = place.open()
    (file,) = source.files()
    assert file.size_bytes == 2 * len(part)
    assert file.hint.split("-")[1] == "2"  # the ETag of two parts: no hash of the bytes
    assert source.read("big.bin") == part + part


def test_bytes_that_were_written_again_have_another_hint(place: S3Place) -> None:
    hints = []
    for _ in range(2):
        place.write("a.md", b"x")
        hints += [file.hint for file in place.open().files()]
        time.sleep(1.05)  # the times that S3 shows are whole seconds
    assert hints[0] != hints[1]
    assert hints[0].split("-")[0] == hints[1].split("-")[0]


def test_a_bucket_that_is_not_there_is_missing_and_an_empty_prefix_is_empty(place: S3Place) -> None:
    assert uris(S3Source(f"s3://{BUCKET}/nothing-here", client=place.client)) == []
    with pytest.raises(SourceMissing, match=r"The bucket of s3://never-made/docs is not there"):
        uris(S3Source("s3://never-made/docs", client=place.client))


def test_a_bucket_deleted_after_the_listing_costs_the_source_not_the_document(place: S3Place) -> None:
    place.write("a.md", b"x")
    source = place.open()
    (file,) = source.files()
    place.take_away()
    with pytest.raises(SourceMissing, match="The bucket of"):
        source.read(file.uri)


def test_without_credentials_the_error_says_which_to_set(s3: S3Server, aws: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = open_source(f"s3://{BUCKET}", s3_endpoint_url=s3.url, cache_folder=tmp_path)
    with pytest.raises(SourceMissing, match=r"no AWS credentials.*AWS_ACCESS_KEY_ID"):
        list(source.files())


def test_credentials_come_from_the_usual_chain(
    place: S3Place, s3: S3Server, aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place.write("docs/a.md", b"text")
    aws.setenv("AWS_ACCESS_KEY_ID", "key")
    aws.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    source = open_source(f"s3://{BUCKET}/docs", s3_endpoint_url=s3.url, cache_folder=tmp_path)
    assert {file.uri: source.read(file.uri) for file in source.files()} == {"a.md": b"text"}


def test_an_endpoint_that_is_down_is_worth_another_try(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_ACCESS_KEY_ID", "key")
    aws.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    source = S3Source("s3://manuals/docs", endpoint_url="http://127.0.0.1:1")
    with pytest.raises(WorthRetrying, match="cannot be reached"):
        uris(source)
    with pytest.raises(WorthRetrying, match="cannot be reached"):
        source.read("a.md")


def test_a_password_in_the_endpoint_is_not_repeated(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_ACCESS_KEY_ID", "key")
    aws.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(WorthRetrying) as failed:
        uris(S3Source("s3://manuals/docs", endpoint_url="http://admin:hunter2@127.0.0.1:1"))
    assert "hunter2" not in failed.value.message


@pytest.fixture
def answering() -> Iterator[Callable[[int, str, bytes], S3Source]]:
    """A source on a server that gives one answer to everything: status, more headers, body."""
    with ExitStack() as servers:

        def source(status: int, header: str, body: bytes) -> S3Source:
            class Answer(http.server.BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response(status)
                    self.send_header(*header.split(": "))
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, *_: object) -> None: ...

            server = servers.enter_context(http.server.HTTPServer(("127.0.0.1", 0), Answer))
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            servers.callback(server.shutdown)
            client = boto3.session.Session("k", "s", region_name="us-east-1").client(
                "s3",
                endpoint_url=f"http://127.0.0.1:{server.server_port}",
                config=Config(retries={"total_max_attempts": 1}),
            )
            servers.callback(client.close)
            return S3Source("s3://manuals/docs", client=client)

        yield source


@pytest.mark.parametrize(
    ("status", "code", "listing", "reading"),
    [
        (403, "AccessDenied", (SourceMissing, "Allow s3:ListBucket"), (NotFound, "allow s3:GetObject")),
        (403, "InvalidAccessKeyId", (SourceMissing, "refuses the cred"), (SourceMissing, "refuses the cred")),
        (400, "ExpiredToken", (SourceMissing, "refuses the cred"), (SourceMissing, "refuses the cred")),
        (503, "SlowDown", (WorthRetrying, "answers SlowDown"), (WorthRetrying, "answers SlowDown")),
        (500, "InternalError", (WorthRetrying, "answers InternalError"), (WorthRetrying, "answers InternalError")),
        (400, "Odd", (SourceMissing, "cannot be listed: Odd, why"), (NotFound, "the store answers Odd")),
    ],
)
def test_what_the_store_refuses_is_explained(
    answering: Callable[[int, str, bytes], S3Source],
    status: int,
    code: str,
    listing: tuple[type[Exception], str],
    reading: tuple[type[Exception], str],
) -> None:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>why</Message></Error>".encode()
    source = answering(status, f"Content-Length: {len(body)}", body)
    with pytest.raises(listing[0], match=listing[1]):
        uris(source)
    with pytest.raises(reading[0], match=reading[1]):
        source.read("a.md")


def test_an_object_that_breaks_off_is_not_taken_for_a_shorter_one(
    answering: Callable[[int, str, bytes], S3Source],
) -> None:
    with pytest.raises(WorthRetrying, match="cannot be reached"):
        answering(200, "Content-Length: 100", b"only the beginning").read("a.md")
