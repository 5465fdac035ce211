"""The anchor over the real catalog: who may become it, that it stays, and that vacuum leaves it its documents."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vacuum_fakes import World, new_world, page, vacuum

from infra.adapters.catalog.anchors import set_first_anchor
from infra.adapters.catalog.evaluations import CatalogEvaluations
from tasks.anchors import AnchorBench, set_anchor
from tasks.core.errors import AssistantBusy, NotFound, UsageError
from tasks.core.promotion import VerdictWord
from tasks.documents import holding_lease
from tasks.evaluation import Evaluation
from tasks.releases import ReleaseRow
from tasks.vacuum import reclaim_catalog, retained


@pytest.fixture
def world(tmp_path: Path) -> World:
    return new_world(tmp_path, keep_releases=1)


def bench(world: World) -> AnchorBench:
    return AnchorBench("default", world.releases, CatalogEvaluations(world.engine), world.anchors)


def grow(world: World, releases: int) -> list[ReleaseRow]:
    """A release per snapshot, each served without proof."""
    return [world.serve({"page.md": page(1, version)}) for version in range(1, releases + 1)]


def judged(world: World, release: str, verdict: VerdictWord) -> None:
    made = Evaluation(f"sha256-{release}", release, None, "g-1", verdict, 40, ())
    CatalogEvaluations(world.engine).record("default", made)


def first(world: World, release: str) -> None:
    with world.engine.begin() as connection:
        set_first_anchor(connection, "default", release, "ann", "the first proof")


def test_the_first_proven_release_becomes_the_anchor_and_the_next_does_not_take_its_place(world: World) -> None:
    assert world.anchors.anchor("default") is None
    first(world, "r-1")
    first(world, "r-2")
    [only] = world.anchors.anchorings("default")
    assert (only.release, only.who, only.reason) == ("r-1", "ann", "the first proof")
    assert world.anchors.anchor("other") is None


def test_a_first_anchor_goes_when_its_promotion_does(world: World) -> None:
    def promotion_that_fails() -> None:
        with world.engine.begin() as connection:
            set_first_anchor(connection, "default", "r-1", "ann", "why")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        promotion_that_fails()
    assert world.anchors.anchorings("default") == []


def test_a_release_that_was_judged_good_enough_can_be_made_the_anchor_and_the_old_one_stays_on_record(
    world: World,
) -> None:
    [one] = grow(world, 1)
    first(world, "r-1")
    judged(world, one.id, "PROMOTE")
    made = set_anchor(bench(world), one.id, who="ben", reason="the new handbook")
    assert world.anchors.anchor("default") == one.id
    assert [row.release for row in world.anchors.anchorings("default")] == ["r-1", one.id]
    assert (made.release, made.who, made.reason) == (one.id, "ben", "the new handbook")


def test_a_release_that_was_served_as_proven_can_be_made_the_anchor(world: World) -> None:
    [one] = grow(world, 1)
    world.releases.move_pointer(
        "default",
        one.id,
        expected=one.id,
        kind="promote",
        evaluation="sha256-1",
        unproven=False,
        who="ann",
        reason="proven",
    )
    set_anchor(bench(world), one.id, who="ben", reason="why")
    assert world.anchors.anchor("default") == one.id


@pytest.mark.parametrize(("verdict", "says"), [(None, "never judged"), ("HOLD", "judged HOLD"), ("REJECT", "REJECT")])
def test_a_release_without_proof_is_refused_by_name(world: World, verdict: VerdictWord | None, says: str) -> None:
    [one] = grow(world, 1)
    if verdict is not None:
        judged(world, one.id, verdict)
    with pytest.raises(UsageError, match=f"{one.id} cannot be the anchor: it was .*{says}"):
        set_anchor(bench(world), one.id, who="ben", reason="why")
    assert world.anchors.anchor("default") is None


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_a_new_anchor_needs_a_reason(world: World, reason: str | None) -> None:
    [one] = grow(world, 1)
    judged(world, one.id, "PROMOTE")
    with pytest.raises(UsageError, match="--reason TEXT"):
        set_anchor(bench(world), one.id, who="ben", reason=reason)
    assert world.anchors.anchor("default") is None


def test_an_unknown_release_is_refused_by_name(world: World) -> None:
    with pytest.raises(NotFound, match="r-nothing"):
        set_anchor(bench(world), "r-nothing", who="ben", reason="why")


def test_a_release_whose_documents_are_gone_is_refused_by_name(world: World) -> None:
    rows = grow(world, 3)
    judged(world, rows[0].id, "PROMOTE")
    vacuum(world)
    with pytest.raises(NotFound, match="snapshot 1 was reclaimed"):
        set_anchor(bench(world), rows[0].id, who="ben", reason="why")
    assert world.anchors.anchor("default") is None


# ── its documents ────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(st.sampled_from(["serve", "vacuum", "roll back"]), max_size=5), anchor=st.integers(0, 2))
def test_the_anchor_can_still_be_asked_after_any_promotions_rollbacks_and_vacuums(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], anchor: int
) -> None:
    world = new_world(tmp_path_factory.mktemp("world"), keep_releases=1)
    rows = grow(world, 3)
    first(world, rows[anchor].id)
    question = "Valve 1-1 opens at which bar?"
    found = world.find(rows[anchor], question)
    assert found
    for n, step in enumerate([*steps, "vacuum"], start=4):
        if step == "vacuum":
            vacuum(world)
        elif step == "serve":
            world.serve({"page.md": page(1, n)})
        else:
            world.promote(rows[-1].id, "rollback")
    assert rows[anchor].manifest.snapshot.number in retained(world.bench).keep
    assert world.find(rows[anchor], question) == found


def test_without_an_anchor_the_same_documents_would_go(world: World) -> None:
    rows = grow(world, 3)
    assert rows[0].manifest.snapshot.number in vacuum(world).retention.reclaim


def test_a_release_that_became_the_anchor_while_vacuum_decided_keeps_its_documents(world: World) -> None:
    rows = grow(world, 3)
    decided = retained(world.bench)
    first(world, rows[0].id)
    with holding_lease(world.docs) as lease, pytest.raises(AssistantBusy, match=f"{rows[0].id} became the anchor"):
        reclaim_catalog(world.bench, decided, lease)
    assert world.find(rows[0], "Valve 1-1 opens at which bar?")


def test_the_anchor_is_asked_its_probes_like_every_kept_release(world: World) -> None:
    rows = grow(world, 3)
    first(world, rows[0].id)
    report = vacuum(world)
    assert report.probes is not None
    assert rows[0].id in {one.release for one in report.probes.releases}
