"""A Desk that answers from memory, and a real server in front of it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event

import uvicorn
from fastapi import FastAPI

from infra.service.desk import Served
from tasks.core.answers import Answer, Citation, Passage
from tasks.core.errors import CatalogUnavailable, NotFound
from tasks.core.feedback import Feedback, Response, Taken
from tasks.core.releases import ModelRef, PromptSpec, ReleaseManifest, RetrievalSettings, SnapshotRef


def manifest(snapshot: int = 1, assistant: str = "default") -> ReleaseManifest:
    return ReleaseManifest(
        assistant=assistant,
        snapshot=SnapshotRef(number=snapshot, manifest_hash=f"{snapshot:064x}", collection="default-1"),
        model=ModelRef(kind="base", base="tiny", base_digest="sha256-0"),
        prompt=PromptSpec(system="Answer.", abstention="The documents do not say."),
        retrieval=RetrievalSettings(),
        pattern="rag",
    )


@dataclass
class FakeDesk:
    """A Desk that answers from a dictionary, and says in every answer which snapshot it was asked for."""

    releases: dict[str, ReleaseManifest] = field(default_factory=dict)
    pointer: dict[str, str] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)  # answers by question
    gate: Event = field(default_factory=Event)  # questions that start with "Wait" wait for it
    asked: list[str] = field(default_factory=list)
    asked_anew: list[str] = field(default_factory=list)
    responses: dict[str, Response] = field(default_factory=dict)
    feedback: dict[str, Feedback] = field(default_factory=dict)

    def promote(self, release: ReleaseManifest) -> str:
        self.releases[release.id] = release
        self.pointer[release.assistant] = release.id
        return release.id

    def assistants(self) -> Sequence[str]:
        return sorted(self.pointer)

    def current(self, assistant: str) -> Served:
        if assistant not in self.pointer:
            raise NotFound(f"Assistant {assistant} has no release yet. Run `ratchet ingest` first.")
        return self.release(assistant, self.pointer[assistant])

    def release(self, assistant: str, release: str) -> Served:
        if release not in self.releases or self.releases[release].assistant != assistant:
            raise NotFound(f"Assistant {assistant} has no release {release}.")
        return Served(self.releases[release], unproven=True, as_of="2026-01-02T03:04:05.000+00:00")

    def answer(self, manifest: ReleaseManifest, question: str, *, anew: bool = False) -> Answer:
        self.asked.append(question)
        if anew:
            self.asked_anew.append(question)
        if question.startswith("Wait"):
            self.gate.wait(20)
        if question == "Break":
            raise RuntimeError("a secret detail")
        passages = self.search(manifest, question, RetrievalSettings(k=2))
        text = self.told.get(question, f"Snapshot {manifest.snapshot.number} says so.  Twice [2].")
        cited = passages[1]
        return Answer(
            question=question,
            text=text,
            release=manifest.id,
            snapshot=manifest.snapshot.number,
            pattern=manifest.pattern,
            abstained=False,
            abstained_because=None,
            raw=text,
            citations=(Citation(2, cited.document, cited.chunk, cited.text, cited.score),),
            contexts=tuple(passages),
            dangling_markers=(),
            confidence=0.5,
            prompt_tokens=100,
            completion_tokens=7,
            cut_short=manifest.limits.max_new_tokens <= 7,
        )

    def search(self, manifest: ReleaseManifest, text: str, settings: RetrievalSettings) -> Sequence[Passage]:
        number = manifest.snapshot.number
        pages = [
            Passage(n, f"page-{n}.md", f"c-{number}-{n}", f"Snapshot {number}, {text}.", 1 / n, 0.5)
            for n in range(1, 100)
        ]
        return [page for page in pages if settings.admits(page.document, ("Pages",))][: settings.k]

    def remember(self, response: Response) -> None:
        if response.question == "Forget":
            raise CatalogUnavailable("The catalog cannot be used just now.")
        self.responses[response.id] = response

    def take(self, feedback: Feedback) -> Taken:
        if feedback.response not in self.responses:
            raise NotFound(f"There is no response {feedback.response}.")
        counted = feedback.id not in self.feedback
        self.feedback[feedback.id] = feedback
        return Taken(feedback.id, counted, None, self.responses[feedback.response])


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """A real server on a free port; the address to reach it."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:  # named, or asyncio leaves Nagle's algorithm on
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


def wait_until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
