"""Which artifact store the settings open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from artifact_places import BUCKET, PREFIX, URI, filled
from source_places import S3Server, s3_server

from infra.adapters.artifact_bucket import OWNER
from infra.adapters.artifact_files import LIST
from infra.settings import Settings, load_settings
from infra.workbench import Workbench, open_workbench
from tasks.core.errors import BadSetting, UsageError


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with s3_server() as server:
        server.client.create_bucket(Bucket=BUCKET)
        yield server


def bench_at(home: Path, s3: S3Server) -> Workbench:
    return open_workbench("default", Settings(home=home, artifacts_uri=URI, s3_endpoint_url=s3.url))


def test_without_a_bucket_artifacts_are_in_the_home(tmp_path: Path) -> None:
    bench = open_workbench("default", Settings(home=tmp_path / "home"))
    digest = bench.artifacts.put(filled(tmp_path / "in", a_json="1"))
    assert bench.artifacts.path(digest) == tmp_path / "home" / "artifacts" / digest


def test_with_one_they_are_there_and_its_catalog_is_named(s3: S3Server, tmp_path: Path) -> None:
    bench = bench_at(tmp_path / "home", s3)
    digest = bench.artifacts.put(filled(tmp_path / "in", a_json="1"))
    keys = [one["Key"] for one in s3.client.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert keys == [f"{PREFIX}/{name}" for name in (OWNER, f"{digest}/a.json", f"{digest}/{LIST}")]
    named = s3.client.get_object(Bucket=BUCKET, Key=f"{PREFIX}/{OWNER}")["Body"].read().decode()
    assert named == bench.document_catalog.identity()
    with pytest.raises(BadSetting, match="another catalog"):
        bench_at(tmp_path / "other", s3).vacuum.leftovers.unreferenced(frozenset(), frozenset())


@pytest.mark.parametrize("uri", ["/srv/artifacts", "s3://", "https://store/bucket"])
def test_what_names_no_bucket_is_refused_before_anything_is_opened(uri: str) -> None:
    with pytest.raises(BadSetting, match="artifacts_uri"):
        load_settings(artifacts_uri=uri)


def test_a_bucket_that_can_be_none_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    bench = open_workbench("default", Settings(home=tmp_path, artifacts_uri="s3://No_Bucket/x"))
    with pytest.raises(UsageError, match="No_Bucket"):
        _ = bench.artifacts
