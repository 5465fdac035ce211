"""Readers that ask for everything while snapshots are published, rolled back and vacuumed: does one ever see a mix?

    .venv/bin/python benchmarks/readers.py --reads 10000
    RATCHET_WEAVIATE_URL=http://127.0.0.1:8080 .venv/bin/python benchmarks/readers.py --reads 10000

Forty pages carry a revision number each. A reader takes the release that is current, asks for fifty passages, which is
all there are, and compares every page's revision with what that release's snapshot was made of. Any difference, and any
page that is missing or there twice, is a mix.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "documents"))

from counting import CountingEmbedder
from ratchet_bench import PlainMarkdown, ingest

from flows.vacuum_index import VacuumRequest, clean
from infra.settings import load_settings
from infra.workbench import Workbench
from tasks.core.candidates import reference
from tasks.core.documents import Hit
from tasks.core.releases import ModelRef, PromptSpec, ReleaseManifest, RetrievalSettings
from tasks.retrieval import retrieve

PAGES = 40
EVERYTHING = RetrievalSettings(k=50)

Revisions = dict[str, int]  # page → its revision


class Story:
    """One assistant whose pages are rewritten, published, promoted, rolled back and vacuumed, over and over."""

    def __init__(self, folder: Path) -> None:
        self.docs = folder / "docs"
        self.docs.mkdir()
        self.bench = Workbench("default", load_settings(home=folder / "home", keep_releases=3))
        self.bench.__dict__["embedder"] = CountingEmbedder(folder / "embedded.log")
        self.bench.__dict__["parser"] = PlainMarkdown()
        self.made_of: dict[int, Revisions] = {}  # snapshot → what it was made of
        self.now: Revisions = {}
        self.done: Counter[str] = Counter()

    def publish(self, revision: int) -> None:
        """A fifth of the pages rewritten (all, the first time), a snapshot, a release on it, promoted."""
        for page in range(PAGES):
            if revision == 1 or (page + revision) % 5 == 0:
                self.now[f"page-{page}.md"] = revision
                text = f"# Page {page}\n\nPage {page} is at revision {revision}."
                (self.docs / f"page-{page}.md").write_text(text)
        self.made_of[max(self.made_of, default=0) + 1] = dict(self.now)
        report = ingest(self.bench.documents, self.docs)
        assert report.snapshot == max(self.made_of), report
        self._move_to(self._release(), "promote")
        self.done["published"] += 1

    def roll_back_and_forward(self) -> None:
        """To the release before, and back again."""
        history = self.bench.releases.history("default")
        if len(history) > 1 and history[-1].previous:
            current = history[-1].release
            self._move_to(history[-1].previous, "rollback")
            time.sleep(0.02)
            self._move_to(current, "rollback")
            self.done["rolled back"] += 1

    def vacuum(self) -> None:
        """Reclaims what no kept release reads."""
        report = asyncio.run(clean(self.bench, VacuumRequest()))
        self.done["vacuums"] += 1
        self.done["lives reclaimed"] += report.index_chunks or 0

    def _release(self) -> str:
        snapshot = self.bench.document_catalog.published("default")
        assert snapshot is not None
        manifest = ReleaseManifest(
            assistant="default",
            snapshot=reference(snapshot),
            model=ModelRef(kind="hosted", base="none", base_digest=""),
            prompt=PromptSpec(system="Answer.", abstention="No."),
            retrieval=EVERYTHING,
            pattern="rag",
        )
        return self.bench.releases.register(manifest, "benchmark").id

    def _move_to(self, release: str, kind: str) -> None:
        before = self.bench.releases.standing("default").release
        moved = self.bench.releases.move_pointer(
            "default", release, expected=before, kind=kind, evaluation=None, unproven=True, who="-", reason="benchmark"
        )
        assert moved is not None

    def read(self) -> str | None:
        """One read of the current release; what was wrong with it, if anything was."""
        current = self.bench.releases.standing("default").release
        assert current is not None
        manifest = self.bench.releases.release("default", current).manifest
        [hits] = retrieve(self.bench.retrieval, manifest.snapshot, ["Which revision?"], manifest.retrieval)
        wanted = self.made_of[manifest.snapshot.number]
        return None if _revisions(hits) == wanted and len(hits) == PAGES else f"{manifest.snapshot}: {_revisions(hits)}"


def _revisions(hits: Sequence[Hit]) -> Revisions:
    return {hit.chunk.document: int(hit.chunk.text.rstrip(".").rsplit(" ", 1)[1]) for hit in hits}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reads", type=int, default=2_000)
    parser.add_argument("--readers", type=int, default=4)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder))
        story.publish(1)
        mixed = tell(story, asked.reads, asked.readers)
    print(f"{asked.reads:,} reads by {asked.readers} readers through {dict(story.done)}: {len(mixed)} mixed")
    for one in mixed[:5]:
        print(f"  {one}")
    sys.exit(1 if mixed else 0)


def tell(story: Story, reads: int, readers: int) -> list[str]:
    """Publishes, rolls back and vacuums until the readers have read enough; what they saw that was wrong."""
    left = threading.Semaphore(reads)
    mixed: list[str] = []

    def read() -> None:
        while left.acquire(blocking=False):
            wrong = story.read()
            if wrong is not None:
                mixed.append(wrong)

    threads = [threading.Thread(target=read) for _ in range(readers)]
    for thread in threads:
        thread.start()
    revision = 1
    while any(thread.is_alive() for thread in threads):
        revision += 1
        story.publish(revision)
        if revision % 2 == 0:
            story.roll_back_and_forward()
        if revision % 5 == 0:
            story.vacuum()
    for thread in threads:
        thread.join()
    return mixed


if __name__ == "__main__":
    main()
