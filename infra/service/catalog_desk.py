"""The Desk over a catalog: the pointer is read anew for every request, so a promotion is followed at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Engine, RowMapping, Select, and_, select

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import reading
from infra.adapters.catalog.feedback import KEPT_RESPONSES, CatalogFeedback
from infra.adapters.catalog.releases import CatalogReleases
from infra.service.desk import Served
from tasks.answering import AnsweringBench, answer_one
from tasks.core.answers import Answer, Passage
from tasks.core.errors import NotFound
from tasks.core.feedback import Feedback, Response, Taken
from tasks.core.passages import as_passage, text_of
from tasks.core.releases import ReleaseManifest, RetrievalSettings
from tasks.releases import refuse_reclaimed
from tasks.retrieval import retrieve


class CatalogDesk:
    """Desk. Models and the embedder are opened by the first question that needs them."""

    def __init__(self, engine: Engine, bench: AnsweringBench, *, remembered: int = KEPT_RESPONSES) -> None:
        self._engine = reading(engine)
        self._releases = CatalogReleases(engine)
        self._bench = bench
        self._feedback = CatalogFeedback(engine, keep=remembered)
        self._keeping_nothing = replace(bench, completions=None)

    def assistants(self) -> Sequence[str]:
        query = select(t.assistants.c.name).where(t.assistants.c.current_release.is_not(None))
        with self._engine.begin() as connection:
            return sorted(connection.scalars(query))

    def current(self, assistant: str) -> Served:
        pointed_at = and_(
            t.assistants.c.name == t.releases.c.assistant, t.assistants.c.current_release == t.releases.c.id
        )
        query = select(t.releases).join(t.assistants, pointed_at).where(t.assistants.c.name == assistant)
        return self._served(query, lambda: self._none_of(assistant))

    def release(self, assistant: str, release: str) -> Served:
        query = select(t.releases).where(t.releases.c.assistant == assistant, t.releases.c.id == release)
        return self._served(query, lambda: f"Assistant {assistant} has no release {release}. See `ratchet releases`.")

    def answer(self, manifest: ReleaseManifest, question: str, *, anew: bool = False) -> Answer:
        return answer_one(question, manifest, self._keeping_nothing if anew else self._bench)

    def search(self, manifest: ReleaseManifest, text: str, settings: RetrievalSettings) -> Sequence[Passage]:
        (hits,) = retrieve(self._bench.retrieval.of(manifest.assistant), manifest.snapshot, [text], settings)
        return [as_passage(marker, hit, text_of(hit)) for marker, hit in enumerate(hits, start=1)]

    def remember(self, response: Response) -> None:
        self._feedback.remember(response)

    def take(self, feedback: Feedback) -> Taken:
        return self._feedback.take(feedback)

    def _served(self, query: Select[tuple[object, ...]], missing: Callable[[], str]) -> Served:
        with self._engine.begin() as connection:
            row = connection.execute(query).mappings().first()
            if row is not None:
                manifest = ReleaseManifest.model_validate(row["manifest"])
                served = Served(manifest, _unproven(connection, row), _as_of(connection, manifest) or row["created_at"])
        if row is None:
            raise NotFound(missing())  # which asks the catalog itself
        refuse_reclaimed(self._releases, self._bench.retrieval.catalog, manifest)
        return served

    def _none_of(self, assistant: str) -> str:
        there = ", ".join(self.assistants())
        if not there:
            return f"Assistant {assistant} has no release yet. Run `ratchet ingest` first."
        return f"There is no assistant {assistant} with a release; `model` names one of those there are: {there}."


def _unproven(connection: Connection, row: RowMapping) -> bool:
    """As its newest promotion says; a release that never was current has proved nothing here."""
    promotions = t.promotions.c
    newest = (
        select(promotions.unproven)
        .where(promotions.assistant == row["assistant"], promotions.release == row["id"])
        .order_by(promotions.seq.desc())
        .limit(1)
    )
    found = connection.scalar(newest)
    return True if found is None else bool(found)


def _as_of(connection: Connection, manifest: ReleaseManifest) -> str | None:
    published = select(t.snapshots.c.published_at).where(
        t.snapshots.c.assistant == manifest.assistant, t.snapshots.c.number == manifest.snapshot.number
    )
    return connection.scalar(published)
