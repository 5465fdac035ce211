"""Hosted training with the vendor's own SDK against a real HTTP server: faults, restarts, bills, and what is sent."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from document_fakes import new_catalog
from hosted_vendor import Vendor
from hosted_world import INTENT, PRICE, Schedule, World, play, rows
from openai_embeddings_fake import KEY
from openai_hosted_fake import HostedServer, hosted_server
from pydantic import SecretStr

from infra.adapters.catalog.hosted_jobs import CatalogHostedJobs
from infra.adapters.hosted_tokens import token_count
from infra.adapters.open_hosted import hosted_bench, hosted_key
from infra.adapters.openai_fine_tuning import OpenAiFineTuning, body_of
from infra.settings import Settings
from tasks.core.errors import BadSetting, HostedUnavailable, OutcomeUnknown, WrongKey
from tasks.core.hosted_cost import PRICES_RECORDED, Price
from tasks.core.hosted_files import TokenCount, supervised_file
from tasks.core.hosted_jobs import HostedJob, JobRequest
from tasks.core.ports import Message
from tasks.core.preference_rows import PreferenceRow
from tasks.hosted_following import tune
from tasks.hosted_trainer import HostedTrainer

HTTP_SCHEDULES = 40
REQUEST = JobRequest("tiny-base", "supervised", "file-1", "file-2", 3, 0, "default.t-1.1", "ratchet-default")


@pytest.fixture
def server() -> Iterator[HostedServer]:
    with hosted_server() as running:
        yield running
        assert running.violations == []


def port(server: HostedServer, **settings: object) -> OpenAiFineTuning:
    given = {"api_key": SecretStr(KEY), "base_url": server.url} | settings
    return OpenAiFineTuning(**given)  # type: ignore[arg-type]


def world_over(server: HostedServer, tmp_path: Path | None = None) -> World:
    """A world whose vendor is asked over HTTP, its rows in a real catalog where there is a folder for it."""
    one = port(server)  # a client costs a tenth of a second to make
    world = World(clock=server.vendor.clock, open_port=lambda _vendor: one)
    world.vendor = server.vendor
    if tmp_path is not None:
        world.jobs = CatalogHostedJobs(new_catalog(tmp_path))
    return world


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("part", range(4))
def test_no_schedule_of_faults_over_http_pays_twice_or_ends_wrongly(part: int) -> None:
    for seed in range(1_000 + part * HTTP_SCHEDULES // 4, 1_000 + (part + 1) * HTTP_SCHEDULES // 4):
        schedule = Schedule.drawn(seed)
        with hosted_server(Vendor()) as server:
            world = world_over(server)
            row = play(schedule, world)
            assert server.violations == [], schedule
        assert len(world.vendor.paid) <= 1, schedule
        assert (row.state if row else None) == schedule.should_end, schedule
        billed = sum(job.billed(world.clock()) for job in world.vendor.made)
        assert billed * PRICE / 1e6 <= world.budget_usd, schedule


def test_a_silent_server_that_accepted_the_job_is_not_asked_for_another(server: HostedServer, tmp_path: Path) -> None:
    world = world_over(server, tmp_path)
    world.open_port = lambda _vendor: port(server, timeout_seconds=0.3)
    server.silence_seconds = {"create": 1.0}
    job = tune(world.bench(), INTENT, world.training)
    assert (job.state, job.job, job.creates) == ("succeeded", "ftjob-1", 1)
    assert len(server.sent("POST", "/fine_tuning/jobs")) == 1


def test_create_is_sent_once_whatever_comes_back(server: HostedServer) -> None:
    server.vendor.upload("a.jsonl", supervised_file(rows()).content)
    server.vendor.faults = {"create": ["500-before", "lost-after", "429"]}
    for n in range(1, 4):
        with pytest.raises(HostedUnavailable):
            port(server).create(replace(REQUEST, validation_file=None))
        assert len(server.sent("POST", "/fine_tuning/jobs")) == n


def test_a_server_that_cannot_be_reached_has_created_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(HostedUnavailable, match="Check the network") as raised:
            OpenAiFineTuning(api_key=SecretStr(KEY), base_url=url, timeout_seconds=5.0).create(REQUEST)
    assert not isinstance(raised.value, OutcomeUnknown)


def test_a_restart_in_the_middle_of_polling_goes_on_from_the_catalog(server: HostedServer, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    world = world_over(server, tmp_path)

    def wait(seconds: float) -> None:
        world.clock.wait(seconds)
        row = world.jobs.job("default", INTENT)
        if row is not None and row.state == "running":
            raise Killed

    with pytest.raises(Killed):
        tune(world.bench(wait=wait), INTENT, world.training)
    world.jobs = CatalogHostedJobs(new_catalog(tmp_path))
    assert tune(world.bench(), INTENT, world.training).job == "ftjob-1"
    assert len(world.vendor.made) == 1


def test_more_jobs_than_can_be_looked_through_are_no_proof_that_ours_is_not_among_them(
    server: HostedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.adapters.openai_fine_tuning.MOST_LISTED", 50)
    file = server.vendor.upload("a.jsonl", supervised_file(rows()).content).id
    body = body_of(replace(REQUEST, training_file=file, validation_file=None, mark="other"))
    job = server.vendor.create(body)
    server.vendor.made = [replace(job, id=f"ftjob-{n}") for n in range(51)]
    with pytest.raises(HostedUnavailable, match="over 50"):
        port(server).jobs("default.t-1.1", 0.0)


# ── what is sent, and what it costs ──────────────────────────────────────────────────────────────────────────────────


def test_a_supervised_job_is_sent_as_the_api_is_described(server: HostedServer) -> None:
    for name in ("a", "b"):
        server.vendor.upload(f"{name}.jsonl", supervised_file(rows()).content)
    port(server).create(REQUEST)
    assert server.sent("POST", "/fine_tuning/jobs") == [
        {
            "model": "tiny-base",
            "training_file": "file-1",
            "validation_file": "file-2",
            "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
            "seed": 0,
            "suffix": "ratchet-default",
            "metadata": {"release_key": "default.t-1.1"},
        }
    ]


def test_a_preference_job_runs_through_over_http(server: HostedServer, tmp_path: Path) -> None:
    bench = world_over(server, tmp_path).bench()
    trainer = HostedTrainer(replace(bench, plan=replace(bench.plan, method="dpo", beta=0.2)))
    pairs = [PreferenceRow(f"l-{n}", (Message("user", f"Question {n}?"),), "yes", "no") for n in range(10)]
    assert trainer.prefer(pairs, pairs[:0], tmp_path / "work").model.kind == "hosted"
    [sent] = server.sent("POST", "/fine_tuning/jobs")
    assert sent["method"] == {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 3, "beta": 0.2}}}
    assert list(json.loads(server.vendor.files["file-1"].content.splitlines()[0])) == [
        "input",
        "preferred_output",
        "non_preferred_output",
    ]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE, as hosted models have one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    said = [message.content for row in rows() for message in row.prompt] + [row.completion for row in rows()]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(said, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False))
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return path


def test_the_estimate_is_within_two_percent_of_what_is_billed(
    server: HostedServer, tmp_path: Path, tokenizer: Path
) -> None:
    world = world_over(server, tmp_path)
    world.training = supervised_file([*rows(20, word="Größenprüfgerät"), *rows(20, word="pump")])
    exact = token_count(tokenizer)
    server.vendor.count = exact.count
    bench = world.bench()
    job = tune(replace(bench, plan=replace(bench.plan, tokens=exact)), INTENT, world.training)
    [paid] = server.vendor.paid
    billed_usd = paid.billed(world.clock()) * PRICE / 1e6
    assert abs(job.cost_usd - billed_usd) <= 0.02 * billed_usd


def test_without_the_tokenizer_the_bill_is_below_the_estimate(
    server: HostedServer, tmp_path: Path, tokenizer: Path
) -> None:
    world = world_over(server, tmp_path)
    server.vendor.count = token_count(tokenizer).count
    bench = world.bench()
    job = tune(replace(bench, plan=replace(bench.plan, tokens=TokenCount())), INTENT, world.training)
    [paid] = server.vendor.paid
    assert 0 < paid.billed(world.clock()) < job.tokens


def test_a_tokenizer_that_is_none_is_a_setting_to_mend(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    for path in (tmp_path / "tokenizer.json", tmp_path / "missing.json"):
        with pytest.raises(BadSetting, match=r"tokenizer\.json"):
            token_count(path)


# ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────────────

SET = {"hosted_base_model": "gpt-4.1-mini-2025-04-14", "hosted_budget_usd": 5.0, "openai_api_key": SecretStr(KEY)}


def opened(tmp_path: Path, **changed: object):  # type: ignore[no-untyped-def]
    settings = Settings(**{**SET, **changed})  # type: ignore[arg-type]
    return hosted_bench(settings, new_catalog(tmp_path), assistant="a", golden=lambda: (), environ={})


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"hosted_base_model": None}, "RATCHET_HOSTED_BASE_MODEL"),
        ({"hosted_budget_usd": None}, "RATCHET_HOSTED_BUDGET_USD"),
        ({"hosted_base_model": "gpt-9"}, "RATCHET_HOSTED_USD_PER_MILLION_TOKENS"),
        ({"hosted_base_url": "http://127.0.0.1:1/v1"}, "RATCHET_HOSTED_USD_PER_MILLION_TOKENS"),
        ({"openai_api_key": None}, "RATCHET_OPENAI_API_KEY"),
    ],
)
def test_what_is_not_set_is_said_before_anything_is_asked(
    tmp_path: Path, changed: dict[str, object], says: str
) -> None:
    with pytest.raises(BadSetting, match=says):
        opened(tmp_path, **changed)


def test_what_a_vendor_lacks_is_told_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadSetting) as refused:
        opened(tmp_path, hosted_base_model=None, hosted_budget_usd=None, openai_api_key=None)
    named = re.findall(r"\n  (\w+)", refused.value.message)
    hosted = [f"RATCHET_HOSTED_{name}" for name in ("BASE_MODEL", "BUDGET_USD", "USD_PER_MILLION_TOKENS")]
    assert named == [*hosted, "RATCHET_OPENAI_API_KEY"]


def test_a_listed_model_at_openai_needs_a_base_a_budget_and_a_key(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    assert (bench.plan.vendor, bench.plan.price) == ("openai", Price(5.0, PRICES_RECORDED))
    assert bench.vendor.name == "api.openai.com"


def test_a_key_for_one_server_is_shown_to_no_other() -> None:
    def key(**settings: object) -> str | None:
        found = hosted_key(Settings(**settings), {"OPENAI_API_KEY": "sk-env"})  # type: ignore[arg-type]
        return found.get_secret_value() if found else None

    own = "http://127.0.0.1:1/v1"
    assert key() == "sk-env"
    assert key(openai_api_key="sk-set") == "sk-set"
    assert key(openai_api_key="sk-embedder", openai_base_url=own) == "sk-env"
    assert key(openai_api_key="sk-set", hosted_base_url=own) is None
    assert key(openai_api_key="sk-set", hosted_base_url=own, hosted_api_key="sk-own") == "sk-own"


def test_no_message_shows_the_key(server: HostedServer) -> None:
    with pytest.raises(WrongKey) as raised:
        port(server, api_key=SecretStr("sk-very-secret")).check()
    assert "sk-very-secret" not in f"{raised.value.message} {raised.value.values}"


def test_a_row_of_the_catalog_is_one_of_the_table(tmp_path: Path) -> None:
    """What people query: the columns, not only the details."""
    from sqlalchemy import select

    from infra.adapters.catalog import tables as t

    engine = new_catalog(tmp_path)
    row = HostedJob("default", "t-1", "gpt", "dpo", 9, 0.25, begun_at=1.0, wanted=("sha",), files={"sha": "file-1"})
    CatalogHostedJobs(engine).change("default", "t-1", lambda _row, _others: row)
    with engine.begin() as connection:
        kept = connection.execute(select(t.hosted_jobs)).mappings().one()
    assert (kept["state"], kept["method"], kept["file_ids"]) == ("intended", "dpo", {"sha": "file-1"})
    assert (kept["tokens"], kept["cost_usd"]) == (9, 0.25)
