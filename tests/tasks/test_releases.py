"""Promotion and rollback over the real catalog and index, with a reading model in place of a language model."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from chat_fakes import OneModel
from document_fakes import MemorySource, ingest, new_bench, new_catalog

from infra.adapters.catalog.releases import CatalogReleases
from tasks.core.candidates import reference
from tasks.core.document_catalog import DocumentCatalog
from tasks.core.errors import AdapterBroken, IndexIncomplete, NotFound, PromotionRefused, StaleComparison
from tasks.core.ports import ChatModels
from tasks.core.promotion import Judgement, Promotion
from tasks.core.releases import ModelRef, PromptSpec, ReleaseManifest, RetrievalSettings
from tasks.documents import DocumentsBench
from tasks.releases import ReleaseBench, check_bundle, promote, promote_unproven, roll_back, states

GOLDEN = "g-1"


@dataclass
class Verdicts:
    """Judgements in a dictionary."""

    held: dict[str, Judgement] = field(default_factory=dict)

    def judgement(self, assistant: str, release: str) -> Judgement | None:
        return self.held.get(release)


@dataclass
class World:
    """One assistant with documents, whose releases differ by what their prompt says."""

    docs: DocumentsBench
    source: MemorySource
    verdicts: Verdicts
    bench: ReleaseBench

    def release(self, system: str = "Answer.") -> str:
        snapshot = self.docs.catalog.published("default")
        assert snapshot is not None
        manifest = ReleaseManifest(
            assistant="default",
            snapshot=reference(snapshot),
            model=self.bench.open_chat().base(),
            prompt=PromptSpec(system=system, abstention="No."),
            retrieval=RetrievalSettings(),
            pattern="rag",
        )
        return self.bench.releases.register(manifest, system).id

    def proven(self, release: str, baseline: str | None) -> str:
        self.verdicts.held[release] = Judgement(f"e-{release}", release, baseline, "PROMOTE", GOLDEN, ())
        return release

    def promote(self, release: str, reason: str | None = None) -> Promotion | None:
        return promote(self.bench, release, golden_set=GOLDEN, who="ann", reason=reason)

    @property
    def current(self) -> str | None:
        return self.bench.releases.standing("default").release


@pytest.fixture
def world(tmp_path: Path) -> World:
    source = MemorySource({"pump.md": b"# Pump\n\nThe pump moves 90 litres.", "saw.md": b"# Saw\n\nThe saw is red."})
    engine = new_catalog(tmp_path)
    docs = new_bench(tmp_path, source, engine=engine)
    ingest(docs)
    verdicts, catalog = Verdicts(), docs.catalog
    chat = OneModel()
    bench = ReleaseBench("default", CatalogReleases(engine), verdicts, catalog, docs.index, lambda: chat)
    return World(docs, source, verdicts, bench)


def test_a_proven_release_becomes_current_once(world: World) -> None:
    first = world.proven(world.release(), None)
    made = world.promote(first)
    assert made is not None
    assert (made.release, made.previous, made.unproven, made.who) == (first, None, False, "ann")
    assert world.promote(first) is None
    assert len(world.bench.releases.history("default")) == 1


def test_a_release_judged_against_another_baseline_is_stale(world: World) -> None:
    first, second, third = (world.release(text) for text in ("one", "two", "three"))
    world.promote(world.proven(first, None))
    world.promote(world.proven(second, first))
    with pytest.raises(StaleComparison):
        world.promote(world.proven(third, first))
    assert world.current == second


def test_a_release_whose_chunks_the_index_lost_is_refused(world: World) -> None:
    first = world.proven(world.release(), None)
    snapshot = world.docs.catalog.published("default")
    assert snapshot is not None
    world.docs.index.undo(snapshot.collection, snapshot.number, token=99)
    with pytest.raises(IndexIncomplete, match="missing"):
        world.promote(first)
    assert world.current is None


def test_a_release_on_a_snapshot_that_never_was_published_is_refused(world: World) -> None:
    row = world.bench.releases.release("default", world.release())
    gone = row.manifest.model_copy(update={"snapshot": row.manifest.snapshot.model_copy(update={"number": 7})})
    with pytest.raises(IndexIncomplete, match="not published"):
        check_bundle(world.bench, gone)


def test_a_snapshot_with_other_contents_than_recorded_is_refused(world: World) -> None:
    row = world.bench.releases.release("default", world.release())
    pinned = row.manifest.snapshot.model_copy(update={"manifest_hash": "00" * 32})
    with pytest.raises(IndexIncomplete, match="manifest hash"):
        check_bundle(world.bench, row.manifest.model_copy(update={"snapshot": pinned}))


class BrokenModels(OneModel):
    """The adapter fails its proof."""

    def open(self, model: ModelRef) -> None:  # type: ignore[override]
        raise AdapterBroken("half its tensors are missing", check="missing keys")


def test_a_release_whose_model_cannot_be_opened_is_refused_and_nothing_moves(world: World) -> None:
    first = world.proven(world.release(), None)
    world.bench = replace(world.bench, open_chat=BrokenModels)
    with pytest.raises(AdapterBroken):
        world.promote(first)
    assert world.current is None


def test_a_rollback_opens_no_model_and_needs_nothing_of_the_release_it_leaves(world: World) -> None:
    first, second = (world.release(text) for text in ("one", "two"))
    world.promote(world.proven(first, None))
    world.promote(world.proven(second, first))

    def no_models() -> ChatModels:
        raise AssertionError("a rollback must not open models")

    back = roll_back(replace(world.bench, open_chat=no_models), to=None, who="ann", reason="bad answers")
    assert (back.release, back.previous, back.kind, back.reason) == (first, second, "rollback", "bad answers")
    with pytest.raises(PromotionRefused, match="rolled back before"):
        world.promote(second)
    assert world.promote(second, reason="the answers were right after all") is not None
    assert world.current == second


def test_there_is_nothing_to_roll_back_to_at_first(world: World) -> None:
    world.promote(world.proven(world.release(), None))
    with pytest.raises(NotFound, match="no earlier release"):
        roll_back(world.bench, to=None, who="ann", reason="why not")


def test_rolling_back_to_what_is_served_is_refused(world: World) -> None:
    first = world.proven(world.release(), None)
    world.promote(first)
    with pytest.raises(NotFound, match="already being served"):
        roll_back(world.bench, to=first, who="ann", reason="why not")


def test_an_unproven_release_goes_live_only_where_that_is_allowed(world: World) -> None:
    first = world.release()
    with pytest.raises(PromotionRefused, match="allow_unproven"):
        promote_unproven(world.bench, first, allowed=False, who="ann")
    made = promote_unproven(world.bench, first, allowed=True, who="ann")
    assert made is not None
    assert made.unproven
    assert promote_unproven(world.bench, first, allowed=True, who="ann") is None


def test_an_unproven_release_never_replaces_a_proven_one(world: World) -> None:
    world.promote(world.proven(world.release("one"), None))
    with pytest.raises(PromotionRefused, match="proven"):
        promote_unproven(world.bench, world.release("two"), allowed=True, who="ann")


def test_proof_ends_the_unproven_time_of_the_very_release_that_is_served(world: World) -> None:
    first = world.release()
    promote_unproven(world.bench, first, allowed=True, who="ann")
    world.promote(world.proven(first, None))
    assert not world.bench.releases.standing("default").unproven


def test_every_release_has_one_word_for_its_state(world: World) -> None:
    first, second, third, fourth = (world.release(text) for text in ("one", "two", "three", "four"))
    world.promote(world.proven(first, None))
    world.promote(world.proven(second, first))
    world.promote(world.proven(third, second))
    roll_back(world.bench, to=None, who="ann", reason="bad answers")
    catalog = world.bench.releases
    words = states(catalog.releases("default"), catalog.standing("default"), catalog.history("default"))
    assert words == {first: "retired", second: "current", third: "rolled-back", fourth: "candidate"}


def test_the_catalog_protocol_is_what_the_documents_catalog_is(world: World) -> None:
    catalog: DocumentCatalog = world.bench.documents
    assert catalog.published("default") is not None
