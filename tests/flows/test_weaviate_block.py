"""An assistant whose block names a Weaviate server keeps its index there, from ingest to answer."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from blocks import RatchetAssistant, RatchetWeaviate
from flows.reingest_docs import ReingestRequest, reingest
from infra.deploy.weaviate_server import RunningServer
from infra.workbench import Workbench, open_workbench
from tasks.candidates import newest_snapshot, propose
from tasks.core.candidates import reference
from tasks.core.releases import RetrievalSettings
from tasks.retrieval import retrieve


@pytest.fixture
def bench(home: Path, weaviate_server: RunningServer) -> Workbench:
    server = RatchetWeaviate(url=weaviate_server.url, grpc_port=weaviate_server.grpc_port)
    return open_workbench("handbook", RatchetAssistant(assistant="handbook", weaviate=server).settings())


async def test_documents_go_to_the_server_and_are_found_there(bench: Workbench, home: Path, docs: Path) -> None:
    first = await reingest(bench, ReingestRequest(assistant="handbook", path=str(docs)))
    assert (first.snapshot, first.documents["added"]) == (1, 3)
    assert not (home / "index.sqlite").exists()
    at = reference(newest_snapshot(bench.candidates))
    [[hit]] = retrieve(bench.retrieval, at, ["How tall is the light mast?"], RetrievalSettings(k=1))
    assert hit.chunk.document == "mast.md"
    proposed = propose(bench.candidates)
    assert proposed is not None
    assert proposed.snapshot == at

    bench.index.drop(at.collection, token=10**6)
    again = await reingest(bench, ReingestRequest(assistant="handbook"))
    assert (again.is_new, again.embeds) == (False, 0)
    assert bench.index.count(at.collection, 1) == first.chunks["live"]
    bench.index.drop(at.collection, token=10**6)
    bench.close()


def test_the_key_of_a_server_stays_secret() -> None:
    block = RatchetAssistant(weaviate=RatchetWeaviate(url="http://localhost:8080", api_key=SecretStr("weaviate-key")))
    assert "weaviate-key" not in repr(block)
    assert "weaviate-key" not in repr(block.settings())
    assert block.settings().weaviate_api_key == SecretStr("weaviate-key")
