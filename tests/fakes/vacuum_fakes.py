"""An assistant with documents that change, releases on them, and a vacuum: real catalog, real embedded index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from document_fakes import MemorySource, ingest, new_bench, new_catalog
from evaluation_fakes import MemoryLabels
from sqlalchemy import Engine

from infra.adapters.catalog.anchors import CatalogAnchors
from infra.adapters.catalog.probes import CatalogProbes
from infra.adapters.catalog.releases import CatalogReleases
from infra.adapters.catalog.retention import CatalogRetention
from infra.adapters.leftover_folders import LeftoverFolders
from tasks.core.candidates import reference
from tasks.core.documents import Hit
from tasks.core.ports import Reranker
from tasks.core.releases import ModelRef, PromptSpec, ReleaseManifest, RetrievalSettings
from tasks.documents import DocumentsBench, holding_lease
from tasks.probes import ProbeBench, recheck_probes, record_missing_probes, record_probes
from tasks.releases import ReleaseRow
from tasks.retrieval import RetrievalBench, retrieve
from tasks.vacuum import (
    VacuumBench,
    VacuumReport,
    drop_collections,
    drop_unused_vectors,
    predict,
    reclaim_catalog,
    reclaim_index,
    remove_leftovers,
    retained,
)

HOUR = 3600.0


def page(number: int, version: int) -> str:
    return "\n\n".join(
        f"## Part {number}-{part}\n\nValve {number}-{part} of model {version} opens at {number * part + version} bar."
        for part in range(4)
    )


def no_reranker(name: str) -> Reranker:
    raise AssertionError(f"nobody asked for {name}")


@dataclass
class World:
    """One assistant. Its releases differ by what their prompt says."""

    folder: Path
    engine: Engine
    source: MemorySource
    docs: DocumentsBench
    probing: ProbeBench
    bench: VacuumBench

    @property
    def releases(self) -> CatalogReleases:
        return CatalogReleases(self.engine)

    @property
    def anchors(self) -> CatalogAnchors:
        return CatalogAnchors(self.engine)

    def publish(self, changes: Mapping[str, str] | None = None) -> int:
        """The number of the snapshot that holds these pages too."""
        for name, text in (changes or {}).items():
            self.source.write(name, text)
        return ingest(self.docs).snapshot

    def register(self, system: str = "Answer.", **settings: Any) -> ReleaseRow:
        """A release on the newest snapshot, with its probes."""
        snapshot = self.docs.catalog.published("default")
        assert snapshot is not None
        manifest = ReleaseManifest(
            assistant="default",
            snapshot=reference(snapshot),
            model=ModelRef(kind="base", base="tiny", base_digest="sha256-0"),
            prompt=PromptSpec(system=system, abstention="No."),
            retrieval=RetrievalSettings(k=5, **settings),
            pattern="rag",
        )
        row = self.releases.register(manifest, system)
        record_probes(self.probing, row)
        return row

    def promote(self, release: str, kind: str = "promote") -> bool:
        moved = self.releases.move_pointer(
            "default",
            release,
            expected=self.releases.standing("default").release,
            kind=kind,
            evaluation=None,
            unproven=True,  # a proven one would be the anchor, and stay
            who="ann",
            reason="test",
        )
        return moved is not None

    def serve(self, changes: Mapping[str, str], system: str = "Answer.") -> ReleaseRow:
        """New documents, a release on them, promoted."""
        self.publish(changes)
        row = self.register(system)
        assert self.promote(row.id)
        return row

    def find(self, row: ReleaseRow, question: str) -> list[Hit]:
        (hits,) = retrieve(self.probing.retrieval, row.manifest.snapshot, [question], row.manifest.retrieval)
        return hits


def new_world(folder: Path, *, keep_releases: int = 5, clock: Callable[[], float] | None = None) -> World:
    folder.mkdir(exist_ok=True)
    engine, source = new_catalog(folder), MemorySource({})
    docs = new_bench(folder, source, engine=engine)
    return world_of(folder, engine, source, docs, keep_releases=keep_releases, clock=clock)


def world_of(
    folder: Path,
    engine: Engine,
    source: MemorySource,
    docs: DocumentsBench,
    *,
    keep_releases: int = 5,
    clock: Callable[[], float] | None = None,
) -> World:
    releases = CatalogReleases(engine)
    retrieval = RetrievalBench("default", docs.index, docs.catalog, docs.embedder, no_reranker)
    anchors = CatalogAnchors(engine)
    probing = ProbeBench(
        "default", releases, docs.catalog, MemoryLabels([]), CatalogProbes(engine), retrieval, anchors, keep_releases
    )
    folders = (folder / "artifacts", folder / "trainings", 24 * HOUR)
    leftovers = LeftoverFolders(*folders, clock) if clock else LeftoverFolders(*folders)
    bench = VacuumBench(docs, releases, CatalogRetention(engine), leftovers, anchors, keep_releases)
    return World(folder, engine, source, docs, probing, bench)


def foresee_vacuum(world: World, *, drop_vectors: bool = False) -> VacuumReport:
    return predict(world.bench, retained(world.bench), drop_unused_vectors=drop_vectors)


def vacuum(world: World, *, drop_vectors: bool = False) -> VacuumReport:
    """All steps in the order of the flow `vacuum-index`."""
    shop = world.bench
    record_missing_probes(world.probing)
    with holding_lease(shop.documents) as lease:
        retention = retained(shop)
        report = VacuumReport(
            retention=retention,
            lives=reclaim_catalog(shop, retention, lease),
            index_chunks=reclaim_index(shop, retention, lease),
            collections=drop_collections(shop, retention, lease),
            vectors=drop_unused_vectors(shop, lease) if drop_vectors else None,
            leftovers=remove_leftovers(shop),
            probes=None,
            is_plan=False,
        )
    return replace(report, probes=recheck_probes(world.probing))
