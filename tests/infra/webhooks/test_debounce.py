"""Calls close to each other are acted on once, and none is lost."""

from __future__ import annotations

import asyncio

from infra.webhooks.debounce import Debounce
from tasks.core.errors import CatalogUnavailable


async def test_a_burst_is_acted_on_once_per_name() -> None:
    acted: list[str] = []

    async def act(name: str) -> bool:
        acted.append(name)
        return True

    debounce = Debounce(act, 0.05)
    for _ in range(10):
        debounce.call("a")
        debounce.call("b")
        await asyncio.sleep(0.005)
    assert acted == []
    await asyncio.sleep(0.3)
    assert sorted(acted) == ["a", "b"]


async def test_calls_that_never_stop_are_acted_on_all_the_same() -> None:
    acted = 0

    async def act(_name: str) -> bool:
        nonlocal acted
        acted += 1
        return True

    debounce = Debounce(act, 0.02)
    for _ in range(40):
        debounce.call("a")
        await asyncio.sleep(0.01)
    assert acted >= 1
    await debounce.close()


async def test_what_is_called_while_it_acts_is_acted_on_afterwards_and_a_failure_stops_nothing() -> None:
    acting, go_on, acted = asyncio.Event(), asyncio.Event(), 0

    async def act(_name: str) -> bool:
        nonlocal acted
        acted += 1
        acting.set()
        await go_on.wait()
        raise CatalogUnavailable("locked")

    debounce = Debounce(act, 0.0)
    debounce.call("a")
    await acting.wait()
    debounce.call("a")
    go_on.set()
    await asyncio.sleep(0.1)
    assert acted == 2
    debounce.call("a")
    await asyncio.sleep(0.1)
    assert acted == 3
    await debounce.close()


async def test_what_could_not_be_done_is_tried_again_later_until_it_is() -> None:
    acted = 0

    async def act(_name: str) -> bool:
        nonlocal acted
        acted += 1
        if acted == 1:
            raise CatalogUnavailable("locked")
        return acted == 3

    debounce = Debounce(act, 0.0, again_seconds=0.02)
    debounce.call("a")
    await asyncio.sleep(0.3)
    assert acted == 3
    await debounce.close()
