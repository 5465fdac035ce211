"""One connection to a Weaviate server, opened at first use, whose errors are told to the person who must act."""

from __future__ import annotations

import json
import logging
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from tasks.core.errors import BadSetting, IndexUnavailable, RatchetError

if TYPE_CHECKING:
    from httpx import HTTPError
    from weaviate import WeaviateClient
    from weaviate.exceptions import WeaviateBaseError

OLDEST = (1, 32)  # the oldest server whose answers the adapter was written for
CONNECT_SECONDS = 5.0
REFUSED_HTTP = (401, 403)
REFUSED_GRPC = ("UNAUTHENTICATED", "PERMISSION_DENIED")
UNREACHED_GRPC = ("UNAVAILABLE", "DEADLINE_EXCEEDED")

# The client sleeps for up to a minute between tries when a server is away. A call that waits for the connection itself
# needs no tries: it goes out as soon as the server is there, and ends when its own time is over.
_WAIT_FOR_SERVER = json.dumps({"methodConfig": [{"name": [{}], "waitForReady": True}]})
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class WeaviateServer:
    """Where a Weaviate server is, and how long one call to it may take."""

    url: str  # http or https, host and port; gRPC is on the same host, encrypted when the URL is
    grpc_port: int = 50051
    api_key: SecretStr | None = None
    query_seconds: float = 10.0
    write_seconds: float = 60.0


class WeaviateConnection:
    """A client for all threads of this process."""

    def __init__(self, server: WeaviateServer) -> None:
        self._server = server
        self._client: WeaviateClient | None = None
        self._opening = threading.Lock()

    @property
    def url(self) -> str:
        """The server's address, for messages."""
        return self._server.url

    @contextmanager
    def client(self) -> Iterator[WeaviateClient]:
        """The client, for a block in which the library's errors become Ratchet's.

        Raises IndexUnavailable when the server is away, BadSetting when it refuses the key or is too old.
        """
        from httpx import HTTPError
        from weaviate.exceptions import WeaviateBaseError

        try:
            yield self._open()
        except (WeaviateBaseError, HTTPError) as error:  # the library lets some of its HTTP client's through
            raise self._told(error) from error

    def close(self) -> None:
        """Ends the connection; the next use opens another."""
        with self._opening:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _open(self) -> WeaviateClient:
        with self._opening:
            if self._client is None:
                client = _client(self._server)
                try:
                    client.connect()
                    _check_version(self._server.url, client.get_meta()["version"])
                except BaseException:
                    client.close()
                    raise
                weakref.finalize(self, client.close)
                self._client = client
            return self._client

    # ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _told(self, error: WeaviateBaseError | HTTPError) -> RatchetError:
        from weaviate.exceptions import AuthenticationFailedError, WeaviateStartUpError

        said = self._without_key(" ".join(str(error).split())[:300])
        status = getattr(error, "status_code", None)
        if status in REFUSED_HTTP or _grpc_code(error) in REFUSED_GRPC or isinstance(error, AuthenticationFailedError):
            return BadSetting(
                f"Weaviate at {self.url} does not accept the API key, or the lack of one: {said} "
                "Set RATCHET_WEAVIATE_API_KEY to a key that may read and write there, or unset it if there are none.",
                url=self.url,
            )
        if isinstance(error, WeaviateStartUpError) and "not supported" in said:
            return BadSetting(f"{said} Update the server at {self.url}.", url=self.url)
        if _grpc_code(error) in UNREACHED_GRPC and self._answers_http():
            return IndexUnavailable(
                f"Weaviate at {self.url} answers over HTTP, but not over gRPC at port {self._server.grpc_port} within "
                f"{self._server.query_seconds:g} s. Check RATCHET_WEAVIATE_GRPC_PORT, and that nothing blocks it.",
                url=self.url,
                grpc_port=self._server.grpc_port,
            )
        return IndexUnavailable(
            f"Weaviate at {self.url} cannot be reached or failed: {said} "
            "Start it, or set RATCHET_WEAVIATE_URL to where it is.",
            url=self.url,
        )

    def _answers_http(self) -> bool:
        from httpx import HTTPError
        from weaviate.exceptions import WeaviateBaseError

        client = self._client
        if client is None:
            return False
        try:
            return bool(client.get_meta())
        except (WeaviateBaseError, HTTPError):
            return False

    def _without_key(self, message: str) -> str:
        key = _key(self._server)
        return message.replace(key, "***") if key else message


def _client(server: WeaviateServer) -> WeaviateClient:
    from weaviate import WeaviateClient
    from weaviate.classes.init import AdditionalConfig, Auth, Timeout
    from weaviate.config import GrpcConfig
    from weaviate.connect import ConnectionParams

    logging.getLogger("weaviate-client").setLevel(logging.CRITICAL)  # it logs the contents of refused objects
    try:
        where = ConnectionParams.from_url(server.url.rstrip("/"), server.grpc_port)
    except ValueError as error:
        raise BadSetting(
            f"RATCHET_WEAVIATE_URL is {server.url!r} with gRPC port {server.grpc_port}: {_reason(error)}. "
            "It is an address such as http://127.0.0.1:8080, with gRPC on another port of the same host.",
            url=server.url,
        ) from error
    key, local = _key(server), where.http.host in _LOOPBACK
    options = [("grpc.service_config", _WAIT_FOR_SERVER), ("grpc.enable_http_proxy", 0 if local else 1)]
    return WeaviateClient(
        where,
        auth_client_secret=Auth.api_key(key) if key else None,
        additional_config=AdditionalConfig(
            timeout=Timeout(init=CONNECT_SECONDS, query=server.query_seconds, insert=server.write_seconds),
            trust_env=not local,
            grpc_config=GrpcConfig(channel_options=options),
        ),
        skip_init_checks=True,  # one of them asks the Python package index for news
    )


def _key(server: WeaviateServer) -> str:
    """The API key, without the line end that comes along from a file; "" when there is none."""
    key = server.api_key.get_secret_value().strip() if server.api_key else ""
    if not (key.isascii() and key.isprintable()):
        raise BadSetting("RATCHET_WEAVIATE_API_KEY holds characters that no API key has. Copy the key again.")
    return key


def _check_version(url: str, version: str) -> None:
    if tuple(int(part) for part in version.split("-")[0].split(".")[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise BadSetting(
            f"Weaviate at {url} is version {version}; Ratchet needs {oldest} or newer. Update the server.",
            version=version,
        )


def _reason(error: ValueError) -> str:
    return str(error).splitlines()[-1].strip() if str(error) else "not an address"


def _grpc_code(error: BaseException) -> str:
    """The name of the gRPC status under a client error, which keeps only its text; "" when there is none."""
    cause: BaseException | None = error
    while cause is not None:
        code = getattr(cause, "code", None)
        if callable(code):
            return str(code().name)
        cause = cause.__cause__ or cause.__context__
    return ""
