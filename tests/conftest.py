"""One real Weaviate, PostgreSQL, Redis and Prefect server for the tests that need one, or why there is none."""

from __future__ import annotations

import os

# Two workers on two cores: a second thread in each would wait for the other worker, busily. Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import hypothesis
import pytest
from catalog_servers import migrated_copy, on_server, running_postgres, why_no_postgres, with_database
from redis_server import running_redis, why_no_redis
from sqlalchemy import Engine

from infra.adapters.catalog.database import engine_for
from infra.adapters.catalog.migrate import migrate
from infra.deploy.weaviate_binary import find_or_build, why_none
from infra.deploy.weaviate_server import RunningServer, find_or_run

if TYPE_CHECKING:
    from weaviate import WeaviateClient

    from infra.adapters.weaviate_index import WeaviateIndex

# How long an example takes depends on who else is at work; what it finds does not.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

# The groups that take longest, by name, or by the name of a file that names none.
LONG = (
    "prefect",
    "test_training_ranks",
    "test_training_process",
    "test_ctrl_c",
    "test_base_models",
    "up",
    "kills",
    "weaviate",
    "test_label_commands",
    "test_two_machines",
    "test_promotion_end_to_end",
    "test_lora_trainer",
    "postgres",
)


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # xdist would hand out many short tests first, and a long file last of all
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as under nohup, or behind `&` in a script
        signal.signal(signal.SIGINT, signal.default_int_handler)  # or what is started here could not be interrupted
    config.addinivalue_line("markers", "weaviate: asks a real Weaviate server")
    config.addinivalue_line("markers", "xdist_group(name): tests that run in one worker; known without xdist too")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs one server runs in one worker, and every other file too, so that nothing is made twice.

    The named groups come first, longest first: what is handed out last should be short.
    """
    for item in items:
        fixtures = {"weaviate_server", "weaviate_binary"} & set(getattr(item, "fixturenames", ()))
        if fixtures or item.get_closest_marker("weaviate"):
            item.add_marker(pytest.mark.xdist_group("weaviate"))
        params = getattr(getattr(item, "callspec", None), "params", {})
        if "postgres_server" in getattr(item, "fixturenames", ()) or "postgresql" in params.values():
            item.add_marker(pytest.mark.xdist_group("postgres"))
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    if items and items[0].config.getoption("loadgroup", False):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    groups = {mark.args[0] for mark in item.iter_markers("xdist_group")}
    return min((turn for turn, group in enumerate(LONG) if group in groups), default=len(LONG))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Groups that are not kept together would start every server twice, and nobody would notice."""
    if getattr(session.config.option, "loadgroup", False):
        loose = [one.nodeid for one in session.items if one.get_closest_marker("xdist_group") and "@" not in one.nodeid]
        if loose:
            pytest.exit(f"pytest-xdist keeps no groups together with this pytest: {loose[0]}", returncode=3)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server with a migrated catalog to copy.

    Skips where none can be had; with RATCHET_TEST_REQUIRE_POSTGRES=1 that is a failure.
    """
    reason = why_no_postgres()
    if reason and os.environ.get("RATCHET_TEST_REQUIRE_POSTGRES") == "1":
        pytest.fail(f"No PostgreSQL server: {reason}")
    if reason:
        pytest.skip(f"No PostgreSQL server: {reason}")
    with running_postgres() as url:
        on_server(url, "CREATE DATABASE migrated")
        engine = engine_for(with_database(url, "migrated"))
        migrate(engine)
        engine.dispose()
        yield url


@pytest.fixture(scope="session")
def redis_port() -> Iterator[int]:
    """Port of a Redis server. Skips where none can be had; with RATCHET_TEST_REQUIRE_REDIS=1 that is a failure."""
    reason = why_no_redis()
    if reason and os.environ.get("RATCHET_TEST_REQUIRE_REDIS") == "1":
        pytest.fail(f"No Redis server: {reason}")
    if reason:
        pytest.skip(f"No Redis server: {reason}")
    with running_redis() as port:
        yield port


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """A database of its own, with nothing in it."""
    name = f"d{uuid4().hex}"
    on_server(postgres_server, f"CREATE DATABASE {name}")
    return with_database(postgres_server, name)


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A catalog of its own on each database: migrated, and empty."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'catalog.sqlite'}"
        migrate(engine_for(url))
        return url
    return migrated_copy(request.getfixturevalue("postgres_server"))


@pytest.fixture
def catalog_engine(catalog_url: str) -> Iterator[Engine]:
    engine = engine_for(catalog_url)
    yield engine
    engine.dispose()


PREFECT_RUNS = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def prefect_server(request: pytest.FixtureRequest) -> Iterator[None]:
    """A private Prefect server, which stays for the session."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        request.config.stash[PREFECT_RUNS] = True
        yield
        request.config.stash[PREFECT_RUNS] = False


@pytest.fixture(autouse=True, scope="module")
def _prefect_for_modules_that_ask(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a module makes once finds no Prefect server where no test of it asks for one."""
    asks = any("prefect_server" in item.fixturenames for item in _functions(request) if item.path == request.path)
    with _prefect_hidden(request.config, but_for=asks):
        yield


@pytest.fixture(autouse=True)
def _prefect_for_tests_that_ask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whoever does not ask for the Prefect server finds none, whichever tests ran before in this worker."""
    with _prefect_hidden(request.config, but_for="prefect_server" in request.fixturenames):
        yield


def _functions(request: pytest.FixtureRequest) -> Iterator[pytest.Function]:
    return (item for item in request.session.items if isinstance(item, pytest.Function))


@contextmanager
def _prefect_hidden(config: pytest.Config, *, but_for: bool) -> Iterator[None]:
    if but_for or not config.stash.get(PREFECT_RUNS, False):
        yield
        return
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


@pytest.fixture(scope="session")
def weaviate_binary() -> Path:
    """Skips where no server can be had; with RATCHET_TEST_REQUIRE_WEAVIATE=1 that is a failure."""
    reason = why_none()
    if reason and os.environ.get("RATCHET_TEST_REQUIRE_WEAVIATE") == "1":
        pytest.fail(f"No Weaviate server: {reason}")
    if reason:
        pytest.skip(f"No Weaviate server: {reason}")
    return find_or_build()


@pytest.fixture(scope="session")
def weaviate_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """The server that RATCHET_WEAVIATE_URL names, or one for this session."""
    if not os.environ.get("RATCHET_WEAVIATE_URL"):
        request.getfixturevalue("weaviate_binary")
    with find_or_run(tmp_path_factory.mktemp("weaviate")) as server:
        yield server


@pytest.fixture(scope="session")
def weaviate_client(weaviate_server: RunningServer) -> Iterator[WeaviateClient]:
    """The library's own client, for doing to the server what other people might."""
    from weaviate import WeaviateClient
    from weaviate.connect import ConnectionParams

    client = WeaviateClient(
        ConnectionParams.from_url(weaviate_server.url, weaviate_server.grpc_port), skip_init_checks=True
    )
    with client:
        yield client


@pytest.fixture
def installation() -> str:
    """A catalog's id that nobody else has."""
    return uuid4().hex


@pytest.fixture
def weaviate_index(
    weaviate_server: RunningServer, weaviate_client: WeaviateClient, installation: str
) -> Iterator[WeaviateIndex]:
    """That installation's index; what it made is deleted afterwards."""
    from infra.adapters.weaviate_connection import WeaviateServer
    from infra.adapters.weaviate_index import WeaviateIndex

    index = WeaviateIndex(WeaviateServer(weaviate_server.url, weaviate_server.grpc_port), installation)
    yield index
    index.close()
    ours = [name for name in weaviate_client.collections.list_all() if name.endswith(installation[:8])]
    weaviate_client.collections.delete(ours)
