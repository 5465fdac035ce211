"""The process that a promotion asks: a service that runs, and one that is started for it and surely ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from service_fakes import FakeDesk, manifest, running, wait_until
from tiny_llama import tiny_llama

from infra.adapters.answer_service import AnswerService
from infra.adapters.answering_process import STARTED, open_processes, start_service
from infra.service.app import ServiceLimits, create_app
from infra.service.handed_settings import as_line, from_line
from infra.settings import Settings
from tasks.core.errors import BadSetting, ModelUnavailable, PromotionRefused
from tasks.core.policy import Policy, Slice
from tasks.core.releases import RetrievalSettings

KEY = SecretStr("a key of eleven letters")
RELEASE = manifest(1)

# ── a service that runs ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def desk() -> FakeDesk:
    desk = FakeDesk()
    desk.promote(RELEASE)
    return desk


@pytest.fixture
def address(desk: FakeDesk) -> Iterator[str]:
    with running(create_app(desk, api_key=KEY)) as address:
        yield address


def settings(**chosen: Any) -> Settings:
    return Settings(**{"api_key": KEY} | chosen)


def test_a_running_service_is_asked_for_exactly_the_release_with_nothing_kept(desk: FakeDesk, address: str) -> None:
    newer = desk.promote(manifest(2))
    with open_processes(settings(service_url=f"{address}/v1/")) as [service]:
        said = service.ask("default", RELEASE.id, "How hot?")
    assert (said.text, said.release) == ("Snapshot 1 says so.  Twice [2].", RELEASE.id)
    assert newer != RELEASE.id
    assert 0 < said.seconds < 10
    assert (service.where, service.stays) == (address, True)
    assert desk.asked_anew == ["How hot?"]


def test_every_service_that_is_named_is_asked(address: str) -> None:
    with open_processes(settings(service_url=f" {address},{address}/v1, http://10.0.0.7:1/")) as services:
        assert [service.where for service in services] == [address, address, "http://10.0.0.7:1"]


@pytest.mark.parametrize("url", ["10.0.0.7:8321", "ftp://10.0.0.7", "http://", " , "])
def test_what_names_no_service_is_said_before_anything_is_asked(url: str) -> None:
    with pytest.raises(BadSetting, match="RATCHET_SERVICE_URL"), open_processes(settings(service_url=url)):
        pass


def test_a_service_that_does_not_know_the_release_refuses_it_in_its_own_words(address: str) -> None:
    with AnswerService(address, KEY) as service, pytest.raises(PromotionRefused, match=r"404 model_not_found.*r-none"):
        service.ask("default", "r-none", "How hot?")


def test_a_service_that_breaks_refuses_the_release(address: str) -> None:
    with AnswerService(address, KEY) as service, pytest.raises(PromotionRefused, match="500 internal_error"):
        service.ask("default", RELEASE.id, "Break")


def test_a_service_with_another_key_is_a_setting_to_mend(address: str) -> None:
    with AnswerService(address, SecretStr("other")) as service, pytest.raises(BadSetting, match="RATCHET_API_KEY"):
        service.ask("default", RELEASE.id, "How hot?")


def test_a_service_that_is_gone_or_has_no_time_may_answer_in_a_moment(desk: FakeDesk) -> None:
    full = create_app(desk, limits=ServiceLimits(answering_threads=1, answers_waiting=-1))
    with (
        running(full) as address,
        AnswerService(address, None) as service,
        pytest.raises(ModelUnavailable, match=r"503.*try again"),
    ):
        service.ask("default", RELEASE.id, "How hot?")
    with (
        AnswerService(address, None) as service,
        pytest.raises(ModelUnavailable, match=r"cannot be asked.*ratchet serve"),
    ):
        service.ask("default", RELEASE.id, "How hot?")


def test_another_server_of_the_same_protocol_is_no_answer_service() -> None:
    other = FastAPI()

    @other.post("/v1/chat/completions")
    def complete() -> dict[str, object]:
        return {"choices": [{"message": {"role": "assistant", "content": "Hello."}}]}

    with (
        running(other) as address,
        AnswerService(address, None) as service,
        pytest.raises(PromotionRefused, match="something else"),
    ):
        service.ask("default", RELEASE.id, "How hot?")


# ── a service that is started ────────────────────────────────────────────────────────────────────────────────────────

EVERYTHING = Settings(
    home=Path("some/where"),
    database_url=SecretStr("postgresql://ann:secret@db/catalog"),
    api_key=KEY,
    weaviate_api_key=SecretStr("größe"),
    retrieval=RetrievalSettings(k=3, documents=("products/*",)),
    policy=Policy(
        floors={"recall": 0.5}, slices=(Slice(name="saws", documents=("saws/*",)),), answer_schema={"a": [1]}
    ),
)


def test_settings_come_out_of_the_pipe_as_they_went_in_whatever_this_machine_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ratchet.toml").write_text("[policy.floors]\nstyle = 0.9\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RATCHET_BASE_MODEL", "another")
    monkeypatch.setenv("RATCHET_POLICY__FLOORS__CORRECT", "0.9")
    assert from_line(as_line(EVERYTHING)).model_dump() == EVERYTHING.model_dump()
    assert as_line(EVERYTHING).count(b"\n") == 1


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base model that need not be unpacked first."""
    return str(tiny_llama(tmp_path_factory.mktemp("base")))


def children() -> dict[int, psutil.Process]:
    return {child.pid: child for child in psutil.Process().children(recursive=True)}


def test_a_started_service_keeps_its_keys_to_itself_and_ends_with_the_block(tmp_path: Path, tiny: str) -> None:
    before = children()
    mine = settings(home=tmp_path, base_model=tiny, weaviate_api_key=SecretStr("the key of weaviate"))
    with start_service(mine) as service:
        assert (service.where, service.stays) == (STARTED, False)
        [child] = [one for pid, one in children().items() if pid not in before]
        shown = " ".join([*child.cmdline(), *child.environ().values()])
        assert "service_child" in shown
        for secret in (KEY.get_secret_value(), "the key of weaviate"):
            assert secret not in shown
        with AnswerService(service.url, KEY) as stranger, pytest.raises(BadSetting):
            stranger.ask("default", "r-1", "Who may ask?")
        with pytest.raises(PromotionRefused, match="no release r-1"):
            service.ask("default", "r-1", "How hot?")
    assert not child.is_running()


STARTER = """
import sys, time
from pathlib import Path
from infra.adapters.answering_process import start_service
from infra.settings import Settings

with start_service(Settings(home=Path(sys.argv[1]), base_model=sys.argv[2])):
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_started_service_ends_when_whoever_started_it_is_killed(tmp_path: Path, tiny: str) -> None:
    with subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path), tiny], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"ready\n"
        [child] = psutil.Process(starter.pid).children()
        os.kill(starter.pid, signal.SIGKILL)
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, seconds=5)


def test_a_service_that_does_not_start_says_why_and_leaves_nothing_behind(tmp_path: Path) -> None:
    before = children()
    (tmp_path / "home").write_text("not a folder")
    with (
        pytest.raises(ModelUnavailable, match=r"(?s)ended with exit status 1.*RATCHET_HOME"),
        start_service(settings(home=tmp_path / "home")),
    ):
        pass
    assert children().keys() == before.keys()


def test_a_service_that_takes_too_long_to_start_is_ended(tmp_path: Path) -> None:
    before, begun = children(), time.monotonic()
    with (
        pytest.raises(ModelUnavailable, match=r"0\.05 s"),
        start_service(settings(home=tmp_path), within_seconds=0.05),
    ):
        pass
    assert time.monotonic() - begun < 5
    assert children().keys() == before.keys()
