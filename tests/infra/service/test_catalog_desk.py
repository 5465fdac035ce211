"""The service over a real catalog and index; only the model and the embedder are small stand-ins."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from chat_fakes import MemoryCompletions
from document_fakes import MemorySource, ingest, new_bench, new_catalog
from retrieval_fakes import over
from service_fakes import running, wait_until
from sqlalchemy import Engine

from infra.adapters.catalog.documents import CatalogDocuments
from infra.adapters.catalog.labels import CatalogLabels
from infra.adapters.catalog.releases import CatalogReleases
from infra.service.app import create_app
from infra.service.catalog_desk import CatalogDesk
from tasks.answering import AnsweringBench
from tasks.core.errors import NotFound
from tasks.core.ports import ChatModel, Completion, Message, Progress
from tasks.core.prompts import default_prompt
from tasks.core.releases import ModelRef, ReleaseManifest, RetrievalSettings, SnapshotRef

PAGE = "# Halden\n\nThe Halden runs at {} bar when it is warm."
http = httpx.Client()  # one for all: making one costs more than asking
MODEL = ModelRef(kind="base", base="first-sentence", base_digest="sha256-0")


@dataclass
class FirstSentence:
    """A model that repeats the last line of the first passage, and counts how often it was asked."""

    fingerprint: str = "first-sentence"
    asked: int = 0

    def complete(
        self, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, progress: Progress | None = None
    ) -> list[Completion]:
        self.asked += len(prompts)
        return [Completion(self._says(prompt), self.count_tokens(prompt), max_new_tokens - 1) for prompt in prompts]

    def stream(self, prompt: Sequence[Message], *, max_new_tokens: int) -> Iterator[str]:
        yield self._says(prompt)

    def count_tokens(self, prompt: Sequence[Message]) -> int:
        return sum(len(message.content.split()) for message in prompt)

    def _says(self, prompt: Sequence[Message]) -> str:
        return prompt[-1].content.split("\n\n")[0].splitlines()[-1] + " [1]"


@dataclass
class OneModel:
    model: FirstSentence = field(default_factory=FirstSentence)

    def base(self) -> ModelRef:
        return MODEL

    def open(self, model: ModelRef) -> ChatModel:
        return self.model


@pytest.fixture(scope="module", autouse=True)
def _closing() -> Iterator[None]:
    yield
    http.close()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return new_catalog(tmp_path)


@pytest.fixture
def desk(engine: Engine, tmp_path: Path) -> CatalogDesk:
    return CatalogDesk(engine, AnsweringBench(over(new_bench(tmp_path, engine=engine)), OneModel()))


@pytest.fixture
def two_releases(engine: Engine, tmp_path: Path) -> tuple[str, str]:
    """Snapshot 1 says 42 bar, snapshot 2 says 48."""
    source = MemorySource({})
    bench = new_bench(tmp_path, source, engine=engine)
    made = []
    for bar in (42, 48):
        source.write("halden.md", PAGE.format(bar))
        ingest(bench)
        made.append(CatalogReleases(engine).register(newest(engine), "a test").id)
    return made[0], made[1]


def newest(engine: Engine) -> ReleaseManifest:
    snapshot = CatalogDocuments(engine).published("default")
    assert snapshot is not None
    return ReleaseManifest(
        assistant="default",
        snapshot=SnapshotRef(
            number=snapshot.number, manifest_hash=snapshot.manifest_hash, collection=snapshot.collection
        ),
        model=MODEL,
        prompt=default_prompt(),
        retrieval=RetrievalSettings(k=1),
        pattern="rag",
    )


def move(engine: Engine, release: str, expected: str | None, *, unproven: bool = False) -> None:
    moved = CatalogReleases(engine).move_pointer(
        "default", release, expected=expected, kind="promote", evaluation=None, unproven=unproven, who="ann", reason="-"
    )
    assert moved is not None


def ask(address: str, model: str = "default", **headers: str) -> tuple[str, str, int]:
    body = {"model": model, "messages": [{"role": "user", "content": "At how many bar does the Halden run?"}]}
    answer = http.post(f"{address}/v1/chat/completions", json=body, headers=headers).json()
    ratchet = answer["ratchet"]
    assert [c["document"] for c in ratchet["citations"]] == ["halden.md"]
    return answer["choices"][0]["message"]["content"], ratchet["release"], ratchet["snapshot"]


def test_who_asks_for_an_assistant_that_is_not_there_is_told_which_are(
    desk: CatalogDesk, engine: Engine, two_releases: tuple[str, str]
) -> None:
    move(engine, two_releases[0], None)
    with pytest.raises(NotFound, match=r"no assistant wrong with a release; `model` names one of .*: default"):
        desk.current("wrong")


def test_before_the_first_promotion_there_is_nothing_to_answer_from(
    desk: CatalogDesk, two_releases: tuple[str, str]
) -> None:
    assert desk.assistants() == []
    with pytest.raises(NotFound, match="no release yet"):
        desk.current("default")
    with pytest.raises(NotFound, match="no release r-none"):
        desk.release("default", "r-none")
    assert desk.release("default", two_releases[0]).unproven


def test_what_is_served_says_whether_it_is_proven_and_how_old_its_documents_are(
    desk: CatalogDesk, engine: Engine, two_releases: tuple[str, str]
) -> None:
    first, second = two_releases
    move(engine, first, None, unproven=True)
    assert (desk.current("default").manifest.id, desk.current("default").unproven) == (first, True)
    move(engine, second, first)
    served = desk.current("default")
    assert (served.manifest.id, served.unproven) == (second, False)
    assert desk.release("default", first).as_of < served.as_of
    assert desk.release("default", first).unproven
    assert desk.assistants() == ["default"]


def test_a_running_service_follows_a_promotion_and_a_rollback_within_a_second(
    desk: CatalogDesk, engine: Engine, two_releases: tuple[str, str]
) -> None:
    first, second = two_releases
    old = ("The Halden runs at 42 bar when it is warm. [1]", first, 1)
    new = ("The Halden runs at 48 bar when it is warm. [1]", second, 2)
    move(engine, first, None)
    with running(create_app(desk)) as address:
        assert ask(address) == old
        move(engine, second, first)
        wait_until(lambda: ask(address) == new, seconds=1)
        assert ask(address, f"default@{first}") == old
        move(engine, first, second)
        wait_until(lambda: ask(address) == old, seconds=1)


def test_answers_while_the_pointer_moves_come_each_from_one_release(
    desk: CatalogDesk, engine: Engine, two_releases: tuple[str, str]
) -> None:
    first, second = two_releases
    move(engine, first, None)
    stop = threading.Event()

    def swap() -> None:
        now, then = first, second
        while not stop.wait(0.005):
            move(engine, then, now)
            now, then = then, now

    swapping = threading.Thread(target=swap)
    swapping.start()
    with running(create_app(desk)) as address, ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(lambda _: ask(address), range(40)))
    stop.set()
    swapping.join()
    assert answers <= {
        ("The Halden runs at 42 bar when it is warm. [1]", first, 1),
        ("The Halden runs at 48 bar when it is warm. [1]", second, 2),
    }
    assert len(answers) == 2


@pytest.mark.parametrize("said", ["no-cache", "max-age=0, No-Cache"])
def test_no_cache_asks_the_model_anew_and_keeps_nothing(
    engine: Engine, tmp_path: Path, two_releases: tuple[str, str], said: str
) -> None:
    chat, completions = OneModel(), MemoryCompletions()
    desk = CatalogDesk(engine, AnsweringBench(over(new_bench(tmp_path, engine=engine)), chat, completions))
    release = f"default@{two_releases[0]}"
    with running(create_app(desk)) as address:
        answer = ask(address, release, **{"Cache-Control": said})
        assert (chat.model.asked, completions.held) == (1, {})
        assert ask(address, release) == ask(address, release) == answer
        assert chat.model.asked == 1 + 1
        assert ask(address, release, **{"Cache-Control": said}) == answer
        assert chat.model.asked == 1 + 1 + 1


def test_search_reads_the_releases_own_snapshot(desk: CatalogDesk, two_releases: tuple[str, str]) -> None:
    for release, bar in zip(two_releases, ("42", "48"), strict=True):
        [passage] = desk.search(desk.release("default", release).manifest, "Halden bar", RetrievalSettings(k=5))
        assert (passage.marker, passage.document) == (1, "halden.md")
        assert bar in passage.text


def test_feedback_on_an_answer_is_joined_to_what_gave_it_and_waits_for_review(
    desk: CatalogDesk, engine: Engine, two_releases: tuple[str, str]
) -> None:
    first, _ = two_releases
    body = {"messages": [{"role": "user", "content": "At how many bar does the Halden run?"}]}
    with running(create_app(desk)) as address:
        answer = http.post(f"{address}/v1/chat/completions", json={"model": f"default@{first}", **body}).json()
        said = {"response_id": answer["id"], "kind": "demonstration", "value": "At 42 bar.", "user": "ann"}
        taken = http.post(f"{address}/v1/feedback", json=said).json()
    assert (taken["release"], taken["snapshot"], taken["pattern"]) == (first, 1, "rag")
    [label] = CatalogLabels(engine).labels("default")
    assert (label.id, label.state, label.documents) == (taken["became"], "pending", ("halden.md",))
    assert label.question == "At how many bar does the Halden run?"
