"""The judge a policy names: which key it is shown, and what it decides, over real HTTP with a real catalog."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from document_fakes import new_catalog
from evaluation_fakes import (
    QUICK,
    Behaviour,
    MemoryLabels,
    MemoryLog,
    MemoryTexts,
    MemoryTraining,
    Releases,
    golden_labels,
    manifest,
    perfect,
    read_folder,
    wrong,
)
from openai_chat_fake import COMPLETION_TOKENS, PROMPT_TOKENS, ChatServer, Fault, chat_server
from openai_embeddings_fake import KEY
from pydantic import SecretStr
from sqlalchemy import Engine

from infra.adapters.catalog.judgements import CatalogHumanJudgements
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.open_judge import judge_bench, open_judge
from infra.settings import Settings
from tasks.bundles import recheck
from tasks.core.errors import BadSetting
from tasks.core.evidence import read_bundle
from tasks.core.gate import Gate
from tasks.core.judge_prompts import question_for
from tasks.core.judging import Exhibit, JudgeRecord
from tasks.core.metrics.score import Undefined
from tasks.core.policy import JudgePolicy, Pace, Policy
from tasks.evaluation import Evaluation, EvaluationBench, evaluate
from tasks.human_judgements import import_judgements
from tasks.judging import known_agreement

PRICED = {"usd_per_million_prompt_tokens": 1.0, "usd_per_million_completion_tokens": 4.0}
QUESTION = question_for("judged_relevancy", Exhibit("How hot?", "Red.", ()))


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return new_catalog(tmp_path)


def policy(**judge: object) -> Policy:
    rules = JudgePolicy.model_validate({"model": "judge-mini"} | judge)
    changes = {"judge": rules, "floors": {"judged_faithfulness": 0.5}, "margins": {"correct": 0.1}}
    return QUICK.model_copy(update=changes | {"pace": Pace(questions=0)})


# ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_policy_without_a_judge_opens_none(engine: Engine) -> None:
    assert open_judge(Settings(), Policy(), engine, assistant="a") is None


def test_openai_without_a_price_is_refused_because_the_budget_would_stop_nothing(engine: Engine) -> None:
    for prices in ({}, {"usd_per_million_prompt_tokens": 1.0}):
        with pytest.raises(BadSetting, match="budget_usd"):
            open_judge(Settings(judge_api_key=SecretStr(KEY)), policy(**prices), engine, assistant="a")


def test_openai_without_a_key_is_refused_before_anything_is_asked(engine: Engine) -> None:
    with pytest.raises(BadSetting, match="RATCHET_JUDGE_API_KEY or OPENAI_API_KEY"):
        open_judge(Settings(), policy(**PRICED), engine, assistant="a", environ={"OPENAI_API_KEY": ""})


def test_another_server_needs_neither_key_nor_price(engine: Engine) -> None:
    assert open_judge(Settings(), policy(base_url="http://127.0.0.1:9/v1"), engine, assistant="a", environ={})


def test_what_was_said_before_can_be_told_without_key_or_price(engine: Engine) -> None:
    rules = policy().judge
    assert rules is not None
    assert known_agreement(judge_bench(Settings(), rules, engine, assistant="a", environ={}), policy()) == {}


HERE, ELSEWHERE = "here", "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("settings", "environ", "shown"),
    [
        ({"judge_api_key": KEY}, {}, True),
        ({"judge_api_key": KEY, "openai_api_key": "another", "openai_base_url": HERE}, {}, True),
        ({"openai_api_key": KEY, "openai_base_url": HERE}, {}, True),
        ({"openai_api_key": KEY, "openai_base_url": ELSEWHERE}, {}, False),
        ({"openai_api_key": KEY}, {}, False),
        ({}, {"OPENAI_API_KEY": KEY}, False),
    ],
    ids=[
        "its own",
        "its own first",
        "of the same server",
        "of another server",
        "of OpenAI",
        "of OpenAI, by environment",
    ],
)
def test_a_key_is_shown_to_no_server_that_it_is_not_for(
    server: ChatServer, engine: Engine, settings: dict[str, str], environ: dict[str, str], shown: bool
) -> None:
    given = {name: server.url if value == HERE else value for name, value in settings.items()}
    rules = policy(base_url=server.url).judge
    assert rules is not None
    bench = judge_bench(Settings.model_validate(given), rules, engine, assistant="a", environ=environ)
    if shown:
        assert bench.judge.ask(QUESTION).ending == "whole"
    else:
        with pytest.raises(BadSetting, match="refused the API key"):
            bench.judge.ask(QUESTION)


def test_a_key_of_another_server_is_none_for_openai(engine: Engine) -> None:
    settings = Settings(openai_api_key=SecretStr(KEY), openai_base_url=ELSEWHERE)
    with pytest.raises(BadSetting, match="needs an API key"):
        open_judge(settings, policy(**PRICED), engine, assistant="a", environ={})
    assert open_judge(Settings(openai_api_key=SecretStr(KEY)), policy(**PRICED), engine, assistant="a", environ={})
    assert open_judge(settings, policy(**PRICED), engine, assistant="a", environ={"OPENAI_API_KEY": KEY})


# ── deciding ─────────────────────────────────────────────────────────────────────────────────────────────────────────

LABELS = golden_labels(24)
CURRENT, TUNED = manifest(), manifest(adapter="sha256-1")


def evaluated(folder: Path, engine: Engine, rules: Policy, behaviour: Behaviour = perfect) -> tuple[Evaluation, Path]:
    """An evaluation with everything real but the releases, and where its evidence lies."""
    artifacts = FolderArtifacts(folder / "artifacts")
    settings = Settings(judge_api_key=SecretStr(KEY))
    bench = EvaluationBench(
        assistant="default",
        policy=rules,
        ask=Releases({TUNED.id: behaviour, CURRENT.id: wrong}, LABELS),
        check=lambda manifest: None,
        labels=MemoryLabels(list(LABELS)),
        training=MemoryTraining(),
        documents=MemoryTexts(),
        artifacts=artifacts,
        log=MemoryLog(),
        anchor=lambda: None,
        judge=open_judge(settings, rules, engine, assistant="default"),
    )
    made = evaluate(bench, TUNED, CURRENT)
    return made, artifacts.path(made.id)


def say(engine: Engine, folder: Path, count: int, *, wrongly: int = 0) -> None:
    """People judge as many answers, half of them true, and are mistaken about the first `wrongly`."""
    rows = [
        {
            "metric": "faithfulness",
            "question": f"Question {n}?",
            "answer": f"Pump {n} is red.",
            "contexts": [f"Pump {n} is red." if n % 2 else "Use grade 46 oil."],
            "value": (n % 2 == 1) != (n < wrongly),
            "who": "Ann",
        }
        for n in range(count)
    ]
    file = folder / "judged.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert import_judgements(CatalogHumanJudgements(engine), "default", file).errors == ()


def floor_of(made: Evaluation) -> Gate:
    return next(gate for gate in made.gates if gate.name == "floor-judged-faithfulness")


def record_of(folder: Path) -> JudgeRecord:
    found = read_bundle(read_folder(folder)).judged
    assert found is not None
    return found


def test_a_judge_is_reported_until_enough_people_agree_with_it_and_then_decides(
    server: ChatServer, engine: Engine, tmp_path: Path
) -> None:
    rules = policy(base_url=server.url)
    made, _ = evaluated(tmp_path, engine, rules)
    assert floor_of(made).outcome == "reported"
    say(engine, tmp_path, 29)
    made, _ = evaluated(tmp_path, engine, rules)
    assert (floor_of(made).outcome, "it takes 1 more" in floor_of(made).reason) == ("reported", True)
    say(engine, tmp_path, 40)
    made, folder = evaluated(tmp_path, engine, rules)
    assert (made.verdict, floor_of(made).outcome, floor_of(made).value) == ("PROMOTE", "pass", 1.0)
    agreement = record_of(folder).agreement["judged_faithfulness"]
    assert (agreement.kappa, agreement.n, agreement.unheard) == (1.0, 40, 0)
    bad, _ = evaluated(tmp_path, engine, rules, wrong)
    assert (bad.verdict, floor_of(bad).outcome) == ("REJECT", "fail")


def test_a_judge_that_people_disagree_with_decides_nothing_however_many_they_are(
    server: ChatServer, engine: Engine, tmp_path: Path
) -> None:
    say(engine, tmp_path, 40, wrongly=16)
    made, folder = evaluated(tmp_path, engine, policy(base_url=server.url), wrong)
    assert (floor_of(made).outcome, floor_of(made).value) == ("reported", round(1 / 24, 6))
    # 16 of 40 differ, 8 each way
    assert record_of(folder).agreement["judged_faithfulness"].kappa == pytest.approx((24 / 40 - 1 / 2) / (1 - 1 / 2))
    assert "it may decide from 0.60 on" in floor_of(made).reason


def test_an_evaluation_is_paid_for_once_and_rechecked_without_the_server(
    server: ChatServer, engine: Engine, tmp_path: Path
) -> None:
    say(engine, tmp_path, 40)
    rules = policy(base_url=server.url, **PRICED)
    made, folder = evaluated(tmp_path, engine, rules)
    paid = len(server.requests)
    again, _ = evaluated(tmp_path, engine, rules)
    found = recheck(folder)
    assert (again.id, len(server.requests)) == (made.id, paid)
    assert (found.identical, found.verdict.gates) == (True, made.gates)
    record = record_of(folder)
    assert record.calls == paid
    assert record.cost_usd == pytest.approx(paid * (PROMPT_TOKENS * 1.0 + COMPLETION_TOKENS * 4.0) / 1_000_000)


def test_a_budget_ends_one_evaluation_and_the_next_goes_on(server: ChatServer, engine: Engine, tmp_path: Path) -> None:
    rules = policy(base_url=server.url, budget_usd=0.1, **PRICED)
    a_call = (PROMPT_TOKENS * 1.0 + COMPLETION_TOKENS * 4.0) / 1_000_000
    seen = 0
    for _ in range(20):
        _, folder = evaluated(tmp_path, engine, rules)
        assert (len(server.requests) - seen) * a_call <= 0.1
        seen = len(server.requests)
        if record_of(folder).unfinished is None:
            break
        assert "policy.judge.budget_usd" in str(record_of(folder).unfinished)
    assert record_of(folder).unfinished is None
    assert record_of(folder).calls == seen


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(429, headers={"retry-after": "9999"}), "cannot be used now"),
        (Fault(401), "refused the API key"),
        (Fault(404), "is not there"),
        (Fault(429, code="insufficient_quota"), "quota is used up"),
        (Fault(spoil="html"), "did not answer in OpenAI's format"),
    ],
    ids=["busy", "wrong key", "wrong model", "no quota", "no judge"],
)
def test_a_judge_that_cannot_be_asked_costs_an_evaluation_its_scores_alone(
    server: ChatServer, engine: Engine, tmp_path: Path, fault: Fault, why: str
) -> None:
    server.faults = [Fault()] * 8 + [fault] * 200
    made, folder = evaluated(tmp_path, engine, policy(base_url=server.url))
    record = record_of(folder)
    assert made.verdict == "PROMOTE"  # nobody had judged anything, so the judge's scores decide nothing
    assert why in str(record.unfinished)
    assert record.calls == 8
    lost = [
        s["judged_faithfulness"] for s in record.candidate.values() if isinstance(s["judged_faithfulness"], Undefined)
    ]
    assert any(why in score.reason for score in lost)
    assert recheck(folder).identical


def test_a_trusted_judge_that_is_down_holds_the_release(server: ChatServer, engine: Engine, tmp_path: Path) -> None:
    say(engine, tmp_path, 40)
    rules = policy(base_url=server.url)
    evaluated(tmp_path, engine, rules, wrong)  # which hears what the judge says of what people judged
    server.faults = [Fault(429, headers={"retry-after": "9999"})] * 200
    made, _ = evaluated(tmp_path, engine, rules)
    assert (made.verdict, floor_of(made).outcome) == ("HOLD", "undecided")
    assert [gate.name for gate in made.gates if gate.outcome == "undecided"] == ["floor-judged-faithfulness"]
    server.faults = []
    made, _ = evaluated(tmp_path, engine, rules)
    assert (made.verdict, floor_of(made).outcome) == ("PROMOTE", "pass")


def test_answers_that_people_judged_from_the_evidence_are_not_paid_again(
    server: ChatServer, engine: Engine, tmp_path: Path
) -> None:
    _, folder = evaluated(tmp_path, engine, policy(base_url=server.url))
    lines = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    rows = [
        {
            "metric": "faithfulness",
            "question": line["label"]["question"],
            "answer": line["candidate"]["answer"]["text"],
            "contexts": [passage["text"] for passage in line["candidate"]["answer"]["contexts"]],
            "value": True,
        }
        for line in lines
    ]
    file = tmp_path / "judged.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert import_judgements(CatalogHumanJudgements(engine), "default", file).taken.new == len(LABELS)
    before = len(server.requests)
    _, folder = evaluated(tmp_path, engine, policy(base_url=server.url))
    assert len(server.requests) == before
    assert record_of(folder).agreement["judged_faithfulness"].n == len(LABELS)


def test_no_key_is_in_the_evidence(server: ChatServer, engine: Engine, tmp_path: Path) -> None:
    server.faults = [Fault(401, says=f"Incorrect key {KEY}")] * 9
    _, folder = evaluated(tmp_path, engine, policy(base_url=server.url))
    assert "Incorrect key" in (folder / "evidence.json").read_text()
    assert not any(KEY.encode() in file.read_bytes() for file in folder.iterdir())
