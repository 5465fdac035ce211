"""What a person is told when the server is away, refuses, is too old, or dies in the middle of a write."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr

from infra.adapters.weaviate_connection import WeaviateServer
from infra.adapters.weaviate_index import WeaviateIndex
from infra.deploy.weaviate_server import RunningServer, free_ports, run
from tasks.core.documents import Chunk, IndexedLife
from tasks.core.errors import BadSetting, IndexUnavailable

C = "default-0123abcd"
STAMP = "0" * 32


def unused_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def opened(server: WeaviateServer) -> Iterator[WeaviateIndex]:
    index = WeaviateIndex(server, STAMP)
    yield index
    index.close()


def lives(count: int) -> list[IndexedLife]:
    vectors = np.random.default_rng(1).standard_normal((count, 8)).astype("<f4")
    return [
        IndexedLife(Chunk(f"{n:05}", "d.md", (), "text"), (one / np.linalg.norm(one)).tobytes(), 1)
        for n, one in enumerate(vectors)
    ]


def test_a_server_that_is_down_is_said_to_be_so() -> None:
    port = unused_port()
    with (
        opened(WeaviateServer(f"http://127.0.0.1:{port}", unused_port())) as index,
        pytest.raises(IndexUnavailable, match=rf"http://127.0.0.1:{port} cannot be reached.*RATCHET_WEAVIATE_URL"),
    ):
        index.stamp(C)


@pytest.mark.parametrize("url", ["weaviate:8080", "", "ftp://host:1", "http://"])
def test_what_is_no_address_is_a_bad_setting(url: str) -> None:
    with opened(WeaviateServer(url)) as index, pytest.raises(BadSetting, match="RATCHET_WEAVIATE_URL"):
        index.stamp(C)


def test_a_wrong_grpc_port_is_named(weaviate_server: RunningServer) -> None:
    wrong = unused_port()
    with opened(WeaviateServer(weaviate_server.url, wrong, query_seconds=0.5)) as index:
        index.claim(C, STAMP, 1)
        try:
            with pytest.raises(IndexUnavailable, match=rf"port {wrong} .*RATCHET_WEAVIATE_GRPC_PORT"):
                index.count(C, 1)
        finally:
            index.drop(C, 1)


def test_a_wrong_key_is_refused_by_the_settings_name_and_never_shown(tmp_path: Path, weaviate_binary: Path) -> None:
    with run(tmp_path, weaviate_binary, api_key="the-right-key") as server:
        for key in (SecretStr("a-wrong-key"), None):
            with (
                opened(WeaviateServer(server.url, server.grpc_port, key)) as index,
                pytest.raises(BadSetting, match="RATCHET_WEAVIATE_API_KEY") as refused,
            ):
                index.stamp(C)
            assert "a-wrong-key" not in str(refused.value) + repr(refused.value.values)
        with opened(WeaviateServer(server.url, server.grpc_port, SecretStr("the-right-key\n"))) as index:
            index.claim(C, STAMP, 1)
            assert not index.put(C, lives(1), 1)
            assert index.count(C, 1) == 1


@contextmanager
def answering(status: int, said: Callable[[BaseHTTPRequestHandler], object]) -> Iterator[str]:
    """The address of something that is no Weaviate of ours."""

    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(said(self)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_old_server_is_refused_by_its_version() -> None:
    with (
        answering(200, lambda _: {"version": "1.31.9", "hostname": "http://old", "modules": {}}) as url,
        opened(WeaviateServer(url)) as index,
        pytest.raises(BadSetting, match=r"1\.31\.9.*1\.32"),
    ):
        index.stamp(C)


def test_a_key_that_something_in_between_repeats_is_not_shown() -> None:
    with (
        answering(401, lambda request: f"who is {request.headers['authorization']}?") as url,
        opened(WeaviateServer(url, api_key=SecretStr("the-secret"))) as index,
        pytest.raises(BadSetting, match=r"who is Bearer \*\*\*\?"),
    ):
        index.stamp(C)


def test_a_key_that_cannot_be_one_is_refused_without_showing_it() -> None:
    with (
        opened(WeaviateServer("http://127.0.0.1:1", api_key=SecretStr("two\nlines"))) as index,
        pytest.raises(BadSetting, match=r"RATCHET_WEAVIATE_API_KEY holds characters that no API key has"),
    ):
        index.stamp(C)


def test_a_server_killed_in_the_middle_of_a_write_loses_nothing_that_was_confirmed(
    tmp_path: Path, weaviate_binary: Path
) -> None:
    ports, wanted = free_ports(), lives(1_500)
    confirmed: list[IndexedLife] = []
    at = WeaviateServer(f"http://127.0.0.1:{ports.http}", ports.grpc, query_seconds=2, write_seconds=2)

    def put_all(index: WeaviateIndex, pid: int) -> None:
        for start in range(0, len(wanted), 100):
            if start == 500:
                threading.Timer(0.01, os.kill, (pid, signal.SIGKILL)).start()
            assert not index.put(C, wanted[start : start + 100], 1)
            confirmed.extend(wanted[start : start + 100])

    with run(tmp_path, weaviate_binary, ports=ports) as server, opened(at) as index:
        index.claim(C, STAMP, 1)
        with pytest.raises(IndexUnavailable, match="cannot be reached or failed"):
            put_all(index, server.pid)
    assert 0 < len(confirmed) < len(wanted)
    with run(tmp_path, weaviate_binary, ports=ports), opened(at) as index:
        assert index.chunk_ids(C, 1) >= {life.chunk.id for life in confirmed}
        assert not index.put(C, wanted, 1)
        assert index.count(C, 1) == len(wanted)
