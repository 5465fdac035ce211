"""What the choice of a method is made from: past trainings, past answers, the budget that is left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hosted_world import INTENT, World, rows

from tasks.core.pace import Blessing
from tasks.core.releases import ModelRef, SnapshotRef
from tasks.core.training_method import MethodLimits
from tasks.hosted_following import tune
from tasks.training import Lineage, RegisteredModel
from tasks.training_choice import ChoiceBench, choose_where

SNAPSHOT = SnapshotRef(number=1, manifest_hash="m", collection="c")
ROWS = rows(100)


def model(seconds: float, kind: str = "lora") -> RegisteredModel:
    ref = ModelRef(kind=kind, base="tiny", base_digest="", adapter=None)  # type: ignore[arg-type]
    lineage = Lineage("t", "trainer", SNAPSHOT, (), 50, {"rows": 50.0, "seconds": seconds})
    return RegisteredModel("m", ref, lineage, "2026-11-01")


def blessing(seconds: float) -> Blessing:
    return Blessing(where="here", questions=4, agreed=4, seconds=seconds, warmed=False)


def bench(
    world: World | None,
    *models: RegisteredModel,
    answered: Iterable[tuple[str, Blessing]] = (),
    answer_seconds: float | None = None,
) -> ChoiceBench:
    return ChoiceBench(
        open_hosted=lambda: world.bench() if world else None,
        models=lambda: models,
        answered=lambda: answered,
        limits=MethodLimits(lora_seconds=1_000.0, answer_seconds=answer_seconds, least_useful_days=30),
        now=(world or World()).clock,
    )


def test_the_pace_is_that_of_the_newest_training_here() -> None:
    slow, fast = model(50 * 11.0), model(50 * 9.0)  # 100 rows take 1,100 s, or 900 s
    hosted = model(50 * 99.0, "hosted")
    assert choose_where(bench(World(), hosted, slow, fast), "auto", ROWS).method == "openai"
    assert choose_where(bench(World(), hosted, fast, slow), "auto", ROWS).method == "lora"


def test_without_a_vendor_it_is_trained_here() -> None:
    assert choose_where(bench(None, model(50 * 11.0)), "auto", ROWS).method == "lora"


def test_what_is_asked_for_needs_no_vendor_to_be_opened() -> None:
    def broken() -> None:
        raise AssertionError

    asked = replace(bench(None), open_hosted=broken)
    assert choose_where(asked, "lora", ROWS).method == "lora"


def test_the_vendors_end_is_told_with_the_choice() -> None:
    choice = choose_where(bench(World()), "openai", ROWS)
    assert choice.reason.startswith("Hosted: asked for. A new job costs ")
    assert "at $3.00 per million, as RATCHET_HOSTED_USD_PER_MILLION_TOKENS says. Nobody can create" in choice.reason


def test_what_was_spent_is_no_longer_left() -> None:
    world = World()
    cost = tune(world.bench(), INTENT, world.training).cost_usd
    slow = bench(world, model(50 * 11.0))
    world.budget_usd = cost + 1.0
    assert choose_where(slow, "auto", ROWS).method == "openai"
    world.budget_usd = cost + 0.0001
    choice = choose_where(slow, "auto", ROWS)
    assert choice.method == "lora"
    assert "$0.00 of the budget is left" in choice.reason


def test_answers_are_as_fast_as_the_newest_release_of_each_kind_was() -> None:
    newest_first = [("lora", blessing(4 * 3.0)), ("hosted", blessing(4 * 1.0)), ("lora", blessing(4 * 0.1))]
    slow = bench(World(), model(1.0), answered=newest_first, answer_seconds=2.0)
    assert choose_where(slow, "auto", ROWS).method == "openai"
    fast = bench(World(), model(1.0), answered=newest_first[1:], answer_seconds=2.0)
    assert choose_where(fast, "auto", ROWS).method == "lora"
