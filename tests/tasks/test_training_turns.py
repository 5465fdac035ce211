"""The right to make a model outlasts a catalog that is away for a moment, and a holder on another machine that died."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, update

import tasks.training_turns
from infra.adapters.catalog import tables as t
from infra.adapters.catalog.leases import CatalogLeases
from tasks.core.document_catalog import Lease
from tasks.core.errors import AssistantBusy, CatalogUnavailable, Stopped
from tasks.documents import stopping
from tasks.training_turns import training_turn


class ShakyLeases(CatalogLeases):
    """Cannot renew the first time, nor release."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.renewals = 0
        self.renewed = threading.Event()

    def renew(self, lease: Lease, seconds: float) -> None:
        self.renewals += 1
        if self.renewals == 1:
            raise CatalogUnavailable("The catalog cannot be used just now.")
        super().renew(lease, seconds)
        self.renewed.set()

    def release(self, lease: Lease) -> None:
        raise CatalogUnavailable("The catalog cannot be used just now.")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.training_turns, "LEASE_SECONDS", 2.0)
    monkeypatch.setattr(tasks.training_turns, "ASK_SECONDS", 0.05)


def test_a_catalog_that_is_away_for_a_moment_ends_neither_the_turn_nor_the_training(catalog_engine: Engine) -> None:
    leases = ShakyLeases(catalog_engine)
    with training_turn(leases, "training/t-1"):
        assert leases.renewed.wait(20)
        with pytest.raises(AssistantBusy):
            leases.acquire("training/t-1", 60)


def elsewhere(engine: Engine, expires_at: Callable[[float], float]) -> None:
    """As if the holder were a process of another machine."""
    CatalogLeases(engine).acquire("training/t-1", 1.0)
    with engine.begin() as connection:
        row = connection.execute(t.leases.select()).one()
        away = {"holder": "far/0/pid:[1] pid 7 t1 abc", "expires_at": expires_at(row.expires_at)}
        connection.execute(update(t.leases).values(**away))


def test_a_turn_of_a_process_that_died_on_another_machine_comes_free_when_its_lease_ends(
    catalog_engine: Engine,
) -> None:
    elsewhere(catalog_engine, lambda at: at)
    said: list[str] = []
    with training_turn(CatalogLeases(catalog_engine), "training/t-1", lambda what, *_: said.append(what)):
        assert said[0] == "waiting: process 7 on far trains on the same"
        assert said[-1] == "waiting: the other training is over"


def test_who_waits_for_another_machine_is_told_to_end(catalog_engine: Engine) -> None:
    elsewhere(catalog_engine, lambda at: at + 3600)
    told = threading.Event()
    token = stopping.set(told)
    try:
        with (
            pytest.raises(Stopped, match="which goes on"),
            training_turn(CatalogLeases(catalog_engine), "training/t-1", lambda *_: told.set()),
        ):
            pass
    finally:
        stopping.reset(token)
