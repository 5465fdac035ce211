"""Promotion and rollback over the real catalog and index, with a reading model in place of a language model."""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from chat_fakes import OneModel
from document_fakes import MemorySource, ingest, new_bench, new_catalog

from infra.adapters.catalog.anchors import CatalogAnchors
from infra.adapters.catalog.releases import CatalogReleases
from infra.adapters.folder_artifacts import FolderArtifacts
from tasks.answering import AnsweringBench, answer, answer_one
from tasks.blessing import AnsweringProcess, Said
from tasks.bundles import keep
from tasks.core.candidates import reference
from tasks.core.document_catalog import DocumentCatalog
from tasks.core.errors import (
    AdapterBroken,
    IndexIncomplete,
    ModelUnavailable,
    NotFound,
    PromotionRefused,
    RatchetError,
    StaleComparison,
)
from tasks.core.evidence import Evidence, bundle, case_of, policy_id
from tasks.core.integrity import Integrity
from tasks.core.labels import Label
from tasks.core.pace import Blessing
from tasks.core.policy import HoldOverride, Policy
from tasks.core.promotion import Judgement, Promotion
from tasks.core.releases import ModelRef, PromptSpec, ReleaseManifest, RetrievalSettings
from tasks.core.verdict import Verdict
from tasks.documents import DocumentsBench
from tasks.releases import ReleaseBench, check_bundle, promote, promote_unproven, roll_back, states
from tasks.retrieval import RetrievalBench

GOLDEN = "g-1"
ASKED = tuple(
    Label(f"l-{n:016x}", question, said, (page,), False, (), "golden", "accepted")
    for n, (question, said, page) in enumerate(
        [
            ("How many litres moves the pump?", "The pump moves 90 litres.", "pump.md"),
            ("Which saw is red?", "The saw.", "saw.md"),
        ]
    )
)


@dataclass
class Verdicts:
    """Judgements in a dictionary."""

    held: dict[str, Judgement] = field(default_factory=dict)

    def judgement(self, assistant: str, release: str) -> Judgement | None:
        return self.held.get(release)


@dataclass
class Process:
    """AnsweringProcess that answers as the service does. before: what happens first, whenever it is asked."""

    releases: CatalogReleases
    answering: AnsweringBench
    before: Callable[[], None] = lambda: None
    where: str = "here"
    stays: bool = True

    def ask(self, assistant: str, release: str, question: str) -> Said:
        self.before()
        said = answer_one(question, self.releases.release(assistant, release).manifest, self.answering)
        return Said(said.text, said.release, 0.5)


@dataclass
class World:
    """One assistant with documents, whose releases differ by what their prompt says."""

    docs: DocumentsBench
    source: MemorySource
    verdicts: Verdicts
    process: Process
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

    def proven(self, release: str, baseline: str | None, *, doubts: tuple[str, ...] = ()) -> str:
        """Judged against the baseline on two golden questions, with the evidence kept. doubts: they make it a HOLD."""
        word = "HOLD" if doubts else "PROMOTE"
        judgement = Judgement(self.evidence(release), release, baseline, word, GOLDEN, doubts, doubts)
        self.verdicts.held[release] = judgement
        return release

    def evidence(self, release: str) -> str:
        manifest = self.bench.releases.release("default", release).manifest
        answers = tuple(answer([label.question for label in ASKED], manifest, self.process.answering))
        judged = Evidence(Policy(), manifest, None, ASKED, answers, (), Integrity(GOLDEN), {}, {})
        files = bundle(judged, case_of(judged), Verdict("PROMOTE", ()), {"report.md": "It passed."})
        return keep(files, self.bench.artifacts)

    def promote(self, release: str, reason: str | None = None) -> Promotion | None:
        return promote(self.bench, release, golden_set=GOLDEN, who="ann", reason=reason)

    @property
    def current(self) -> str | None:
        return self.bench.releases.standing("default").release

    @property
    def history(self) -> list[Promotion]:
        return self.bench.releases.history("default")


@pytest.fixture
def world(tmp_path: Path) -> World:
    source = MemorySource({"pump.md": b"# Pump\n\nThe pump moves 90 litres.", "saw.md": b"# Saw\n\nThe saw is red."})
    engine = new_catalog(tmp_path)
    docs = new_bench(tmp_path, source, engine=engine)
    ingest(docs)
    releases, chat = CatalogReleases(engine), OneModel()
    retrieval = RetrievalBench("default", docs.index, docs.catalog, docs.embedder, nothing)
    process, verdicts = Process(releases, AnsweringBench(retrieval, chat)), Verdicts()
    bench = ReleaseBench(
        assistant="default",
        releases=releases,
        judgements=verdicts,
        documents=docs.catalog,
        index=docs.index,
        open_chat=lambda: chat,
        policy=Policy(),
        artifacts=FolderArtifacts(tmp_path / "artifacts"),
        open_processes=lambda: opened(process),
    )
    return World(docs, source, verdicts, process, bench)


@contextmanager
def opened(*processes: AnsweringProcess) -> Iterator[Sequence[AnsweringProcess]]:
    yield processes


def nothing(*_: object) -> Any:
    raise AssertionError("nobody may ask for this")


def test_a_rollback_does_not_undo_a_promotion_that_it_has_not_seen(world: World) -> None:
    first, second, third = world.release("1"), world.release("2"), world.release("3")
    for release, baseline in ((first, None), (second, first)):
        world.promote(world.proven(release, baseline))
    world.proven(third, second)

    class Overtaken(CatalogReleases):
        """Somebody promotes the third just after the history was read."""

        def history(self, assistant: str) -> list[Promotion]:
            seen = super().history(assistant)
            world.promote(third)
            return seen

    overtaken = replace(world.bench, releases=Overtaken(world.bench.releases._engine))  # type: ignore[attr-defined]
    with pytest.raises(StaleComparison, match="at the same moment"):
        roll_back(overtaken, to=None, who="ann", reason="bad answers")
    assert world.current == third


def test_a_policy_that_was_tightened_after_the_verdict_asks_for_a_new_one(world: World) -> None:
    release = world.proven(world.release(), None)
    lenient = replace(world.verdicts.held[release], policy=policy_id(Policy(floors={})))
    world.verdicts.held[release] = lenient
    with pytest.raises(StaleComparison, match="evaluate"):
        world.promote(release)
    assert world.current is None
    world.verdicts.held[release] = replace(lenient, policy=policy_id(world.bench.policy))
    world.promote(release)
    assert world.current == release


def test_a_proven_release_becomes_current_once(world: World) -> None:
    first = world.proven(world.release(), None)
    made = world.promote(first)
    assert made is not None
    assert (made.release, made.previous, made.unproven, made.who) == (first, None, False, "ann")
    assert world.promote(first) is None
    assert world.history == [made]


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


def test_an_unproven_release_whose_model_cannot_be_opened_is_refused_and_nothing_moves(world: World) -> None:
    bench = replace(world.bench, open_chat=BrokenModels)
    with pytest.raises(AdapterBroken):
        promote_unproven(bench, world.release(), allowed=True, who="ann")
    assert world.current is None


# ── the process that serves ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_release_becomes_current_after_it_answered_where_it_is_served_and_the_history_says_so(world: World) -> None:
    made = world.promote(world.proven(world.release(), None))
    assert made is not None
    assert made.rehearsal == Blessing("here", len(ASKED), len(ASKED), len(ASKED) * 0.5, warmed=True)
    assert world.history == [made]


@pytest.mark.parametrize("error", [ModelUnavailable("nobody listens"), PromotionRefused("it cannot answer")])
def test_a_release_that_cannot_answer_there_leaves_everything_as_it_was(world: World, error: RatchetError) -> None:
    first, second = (world.release(text) for text in ("one", "two"))
    before = world.promote(world.proven(first, None))

    def fail() -> None:
        raise error

    world.process.before = fail
    with pytest.raises(type(error)):
        world.promote(world.proven(second, first))
    assert (world.current, world.history) == (first, [before])


def test_a_release_that_answers_otherwise_there_is_refused(world: World) -> None:
    first = world.proven(world.release(), None)
    open_model = world.process.answering.chat.open(world.process.answering.chat.base())
    open_model.told = dict.fromkeys((label.question for label in ASKED), "The mast is tall. [1]")  # type: ignore[attr-defined]
    with pytest.raises(PromotionRefused, match="0 of 2 answers"):
        world.promote(first)
    assert (world.current, world.history) == (None, [])


class DyingCatalog(CatalogReleases):
    """The process ends when it is about to write."""

    def move_pointer(self, *_: object, **__: object) -> Promotion | None:
        raise KeyboardInterrupt


def test_an_end_between_the_blessing_and_the_pointer_loses_nothing(world: World, tmp_path: Path) -> None:
    first = world.proven(world.release(), None)
    with pytest.raises(KeyboardInterrupt):
        promote(replace(world.bench, releases=DyingCatalog(new_catalog(tmp_path))), first, golden_set=GOLDEN, who="ann")
    assert (world.current, world.history) == (None, [])
    assert world.promote(first) is not None
    assert world.current == first


def test_an_unproven_release_is_opened_here_and_starts_no_process(world: World) -> None:
    bench = replace(world.bench, open_processes=nothing)
    made = promote_unproven(bench, world.release(), allowed=True, who="ann")
    assert made is not None
    assert made.rehearsal is None


def test_what_happened_while_a_release_was_asked_is_noticed(world: World) -> None:
    """It was promoted and rolled back meanwhile: the pointer is where it was, and yet it may not become current."""
    first, second = (world.release(text) for text in ("one", "two"))
    world.promote(world.proven(first, None))
    world.proven(second, first)

    def overtaken() -> None:
        world.process.before = lambda: None
        world.promote(second)
        roll_back(world.bench, to=None, who="bob", reason="bad answers")

    world.process.before = overtaken
    with pytest.raises(StaleComparison, match="rollback"):
        world.promote(second)
    assert world.current == first
    assert [p.kind for p in world.history] == ["promote", "promote", "rollback"]


def race(world: World, releases: Sequence[str]) -> Counter[str]:
    """How twenty promotions of these releases end that begin at the same moment."""
    together = Barrier(20)

    def run(n: int) -> str:
        together.wait()
        try:
            return "won" if world.promote(releases[n % len(releases)]) else "current already"
        except StaleComparison:
            return "stale"

    with ThreadPoolExecutor(20) as pool:
        return Counter(pool.map(run, range(20)))


def test_of_twenty_promotions_at_once_exactly_one_wins_against_each_baseline(world: World) -> None:
    baseline, one, two = (world.release(text) for text in ("base", "one", "two"))
    world.promote(world.proven(baseline, None))
    for n in range(1, 4):
        ends = race(world, [world.proven(release, baseline) for release in (one, two)])
        assert (ends["won"], sum(ends.values()), len(world.history)) == (1, 20, 1 + n)
        assert world.current in (one, two)
        baseline, (one, two) = world.current, {baseline, one, two} - {world.current}
    rows = world.history
    assert [row.previous for row in rows] == [None, *(row.release for row in rows[:-1])]
    assert rows[-1].release == world.current


def test_of_twenty_proofs_at_once_of_what_is_served_unproven_one_is_written(world: World) -> None:
    first = world.release()
    promote_unproven(world.bench, first, allowed=True, who="ann")
    assert race(world, [world.proven(first, None)])["won"] == 1
    assert [row.unproven for row in world.history] == [True, False]


# ── who decided ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_doubt_that_somebody_accepts_and_who_approved_stand_in_the_history(world: World) -> None:
    first = world.proven(world.release(), None, doubts=("no-harm-correct",))
    allowed = HoldOverride(gates=("no-harm-*",), who=("ann",))
    bench = replace(world.bench, policy=Policy(override=allowed))
    given = {"golden_set": GOLDEN, "who": "ann", "reason": "the pages are new", "approved_by": "eve"}
    with pytest.raises(PromotionRefused, match="HOLD"):
        promote(bench, first, **given)  # type: ignore[arg-type]
    promote(bench, first, override=True, **given)  # type: ignore[arg-type]
    [row] = world.history
    assert (row.overridden, row.approved_by, row.who) == (("no-harm-correct",), "eve", "ann")


def test_the_first_proven_promotion_sets_the_anchor_and_later_ones_do_not(world: World) -> None:
    anchors = CatalogAnchors(world.docs.catalog._engine)  # type: ignore[attr-defined]
    unproven, first, second = (world.release(text) for text in ("zero", "one", "two"))
    promote_unproven(world.bench, unproven, allowed=True, who="ann")
    assert anchors.anchor("default") is None
    world.promote(world.proven(first, None))
    world.promote(world.proven(second, first))
    [only] = anchors.anchorings("default")
    assert (only.release, only.who) == (first, "ann")


# ── rolling back ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rollback_opens_no_model_and_needs_nothing_of_the_release_it_leaves(world: World) -> None:
    first, second = (world.release(text) for text in ("one", "two"))
    world.promote(world.proven(first, None))
    world.promote(world.proven(second, first))
    bench = replace(world.bench, open_chat=nothing, open_processes=nothing)
    back = roll_back(bench, to=None, who="ann", reason="bad answers")
    assert (back.release, back.previous, back.kind, back.reason) == (first, second, "rollback", "bad answers")
    with pytest.raises(PromotionRefused, match="rolled back before"):
        world.promote(second)
    assert world.promote(second, reason="the answers were right after all") is not None
    assert world.current == second


def test_a_rollback_takes_less_than_a_second_when_every_file_of_the_bad_release_is_gone(
    world: World, tmp_path: Path
) -> None:
    first, second = (world.release(text) for text in ("one", "two"))
    world.promote(world.proven(first, None))
    world.promote(world.proven(second, first))
    shutil.rmtree(tmp_path / "artifacts")  # adapters and evidence, of all releases
    begun = time.perf_counter()
    back = roll_back(
        replace(world.bench, open_chat=nothing, open_processes=nothing), to=None, who="ann", reason="bad answers"
    )
    assert time.perf_counter() - begun < 1
    assert (world.current, back.previous) == (first, second)


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
