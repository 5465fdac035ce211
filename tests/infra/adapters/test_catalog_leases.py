"""One writer at a time, and what happens when a writer dies."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sqlalchemy import Engine

from infra.adapters.catalog.leases import CatalogLeases
from tasks.core.errors import AssistantBusy, LeaseLost


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def engine(catalog_engine: Engine) -> Engine:
    return catalog_engine


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases(engine: Engine, clock: Clock) -> CatalogLeases:
    return CatalogLeases(engine, clock)


def test_the_token_grows_with_every_holder(leases: CatalogLeases) -> None:
    tokens = []
    for _ in range(3):
        lease = leases.acquire("a", 60)
        tokens.append(lease.token)
        leases.release(lease)
    assert tokens == [1, 2, 3]


def test_a_held_lease_is_refused_until_it_expires(leases: CatalogLeases, clock: Clock) -> None:
    first = leases.acquire("a", 60)
    clock.now += 59
    with pytest.raises(AssistantBusy):
        leases.acquire("a", 60)
    clock.now += 2
    assert leases.acquire("a", 60).token == first.token + 1


def test_renewing_extends(leases: CatalogLeases, clock: Clock) -> None:
    lease = leases.acquire("a", 60)
    clock.now += 50
    leases.renew(lease, 60)
    clock.now += 50
    with pytest.raises(AssistantBusy):
        leases.acquire("a", 60)


def test_an_expired_lease_that_nobody_took_is_still_good(leases: CatalogLeases, clock: Clock) -> None:
    lease = leases.acquire("a", 60)
    clock.now += 1000
    leases.renew(lease, 60)
    with pytest.raises(AssistantBusy):
        leases.acquire("a", 60)


def test_a_lease_that_was_taken_cannot_be_renewed_or_released(leases: CatalogLeases, clock: Clock) -> None:
    old = leases.acquire("a", 60)
    clock.now += 61
    leases.acquire("a", 60)
    with pytest.raises(LeaseLost, match="took over a"):
        leases.renew(old, 60)
    leases.release(old)
    with pytest.raises(AssistantBusy):
        leases.acquire("a", 60)


def test_leases_of_different_names_do_not_meet(leases: CatalogLeases) -> None:
    leases.acquire("a", 60)
    assert leases.acquire("b", 60).token == 1


def test_a_killed_holder_on_this_machine_is_not_waited_for(leases: CatalogLeases, catalog_url: str) -> None:
    program = (
        "import os, signal, sys\n"
        "from infra.adapters.catalog.database import engine_for\n"
        "from infra.adapters.catalog.leases import CatalogLeases\n"
        "CatalogLeases(engine_for(sys.argv[1]), lambda: 1e6).acquire('a', 3600)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, catalog_url], check=False)
    assert killed.returncode == -9
    assert leases.acquire("a", 60).token == 2
