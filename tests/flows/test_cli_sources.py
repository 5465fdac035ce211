"""Git repositories and S3 prefixes on the command line, from the first ingest to the plan of the next."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from command_line import Run
from source_places import BUCKET, GitPlace, S3Place, S3Server, s3_server

pytestmark = pytest.mark.usefixtures("home")

PAGES = {
    "guide/pump.md": b"# Bilge pump\n\nThe bilge pump moves 90 litres of water per minute.",
    "guide/saw.md": b"# Band saw\n\nThe blade of the band saw is 27 millimetres wide.",
    "drafts/idea.md": b"# Idea\n\nNobody has decided on this.",
}


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


def read(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_a_repository_at_a_ref_is_ingested_planned_and_followed(run: Run, tmp_path: Path) -> None:
    place = GitPlace(tmp_path / "repository", tmp_path / "unused")
    place.write_all(PAGES)
    first = read(run("ingest", f"git+{place.root}@main", "--exclude", "drafts/", "--json"))
    assert (first["documents"]["added"], first["embeds"]) == (2, 2)
    (source,) = read(run("status", "--json"))["sources"]
    assert source == {"name": "docs", "uri": f"git+{place.root}@main", "include": [], "exclude": ["drafts/"]}

    place.write_all({"guide/saw.md": PAGES["guide/saw.md"].replace(b"27", b"31"), "drafts/more.md": b"# More"})
    planned = read(run("ingest", "--plan", "--json"))
    done = read(run("ingest", "--json"))
    for name in ("documents", "chunks", "embeds", "tokens", "tokens_exact", "cost_usd", "manifest_hash"):
        assert planned[name] == done[name], name
    assert (done["documents"]["changed"], done["embeds"]) == (1, 1)
    assert done["tokens"] > 0


def test_a_prefix_of_a_compatible_store_is_ingested(run: Run, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    place = S3Place(s3.emptied())
    for name, data in PAGES.items():
        place.write(f"handbook/{name}", data)
    monkeypatch.setenv("RATCHET_S3_ENDPOINT_URL", place.client.meta.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    first = read(run("ingest", f"s3://{BUCKET}/handbook", "--include", "guide/", "--json"))
    assert (first["documents"]["added"], first["embeds"]) == (2, 2)
    found = read(run("search", "How wide is the blade of the band saw?", "--json"))
    assert found["contexts"][0]["document"] == "guide/saw.md"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("git+/nowhere/at/all", "/nowhere/at/all"),
        ("ftp://example.org/docs", "not a kind of source"),
        ("git+https://ann:secret@example.org/docs", "credential helper"),
    ],
)
def test_a_source_that_cannot_be_is_refused_in_one_line(run: Run, source: str, says: str) -> None:
    result = run("ingest", source)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "secret" not in result.stderr
    assert "Traceback" not in result.stderr
