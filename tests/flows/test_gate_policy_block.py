"""The policy as a form in the Prefect UI and as a file: the same fields, the same defaults, the same errors."""

import os
import re
import tomllib
from operator import attrgetter
from pathlib import Path

import pytest
from prefect.blocks.core import Block
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from blocks import RatchetAssistant, RatchetGatePolicy
from infra.settings import load_settings
from tasks.core.errors import BadSetting
from tasks.core.metrics.score import MEANING, METRICS
from tasks.core.policy import Approval, HoldOverride, JudgePolicy, Pace, Policy, Slice

DOC = Path(__file__).parents[2] / "docs" / "policy.md"
PARTS: dict[str, type[BaseModel]] = {
    "policy": Policy,
    "policy.slices": Slice,
    "policy.override": HoldOverride,
    "policy.approval": Approval,
    "policy.pace": Pace,
    "policy.judge": JudgePolicy,
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_untouched_form_is_the_default_policy_and_no_field_is_missing() -> None:
    assert set(RatchetGatePolicy.model_fields) == set(Policy.model_fields)
    assert RatchetGatePolicy().policy() == Policy()


def test_every_field_of_the_form_says_what_it_is() -> None:
    schema = RatchetGatePolicy.model_json_schema()
    for name, field in schema["properties"].items():
        shown = schema["definitions"][field["$ref"].split("/")[-1]] if "$ref" in field else field
        assert shown.get("title"), name
        assert shown.get("description") or name in {"resamples"}, name
    floors = schema["properties"]["floors"]["properties"]
    assert list(floors) == list(METRICS)
    assert (floors["recall"]["minimum"], floors["recall"]["maximum"]) == (0, 1)
    assert floors["recall"]["description"] == MEANING["recall"]


def test_what_a_person_left_empty_is_not_zero() -> None:
    sent = {"floors": {"correct": 0.3, "style": None}, "adapter_improves_on": "", "judge": {"model": ""}}
    policy = RatchetGatePolicy.model_validate(sent).policy()
    assert (policy.floors, policy.adapter_improves_on, policy.judge) == ({"correct": 0.3}, None, None)


def test_a_judge_that_is_named_judges() -> None:
    policy = RatchetGatePolicy.model_validate({"judge": {"model": "gpt-5-mini", "repeats": 3}}).policy()
    assert policy.judge == JudgePolicy(model="gpt-5-mini", repeats=3)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"alpha": 0.5}, "alpha"),
        ({"floors": {"corect": 0.5}}, "floors.corect"),
        ({"margins": {"correct": 0}}, "margins.correct"),
        ({"approval": {"ask": "sometimes"}}, "approval.ask"),
        ({"slices": [{"name": "Big Oils"}]}, "slices.0.name"),
        ({"slices": [{"name": "oils"}, {"name": "oils"}]}, "Two slices are called oils"),
        ({"floors": {"judged_relevancy": 0.5}}, "decides by judged_relevancy, but has no judge"),
        ({"answer_schema": {"type": "objekt"}}, "answer_schema is no JSON Schema"),
        ({"pace": {"questions": 3}}, "pace.questions is 3: fewer than 5 decide nothing"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_by_the_name_of_its_field(
    fields: dict[str, object], names: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(names)):
        RatchetGatePolicy.model_validate(fields)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[policy]\nflors = {}", r"policy\.flors is no setting \(did you mean floors\?\)\. Check .* ratchet\.toml\."),
        ("[policy.pace]\nquestons = 9", r"policy\.pace\.questons is no setting \(did you mean questions\?\)"),
        ("[[policy.slices]]\nname = 'oils'\ndocumnts = []", r"policy\.slices\.0\.documnts is no setting .*documents"),
        ("[polcy]\nalpha = 0.1", r"polcy is no setting \(did you mean policy\?\)"),
        ("[policy]\nzzz = 1", r"policy\.zzz is no setting\. Check"),
        ("[policy.floors]\ncorect = 0.2", r"policy\.floors\.corect\.\[key\]: Input should be 'all_right', "),
        ("[policy]\nalpha = 'much'", r"policy\.alpha: Input should be a valid number"),
        ("[policy.answer_schema]\ntype = 'objekt'", r"policy: Value error, answer_schema is no JSON Schema .*'objekt'"),
        ("[policy", r"ratchet\.toml cannot be read"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_by_name_with_what_to_do(written: str, said: str) -> None:
    Path("ratchet.toml").write_text(written)
    with pytest.raises(BadSetting, match=said):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "value", "field", "read"),
    [
        ("RATCHET_POLICY__ALPHA", "0.01", "alpha", 0.01),
        ("RATCHET_POLICY__APPROVAL__ASK", "always", "approval.ask", "always"),
        ("RATCHET_POLICY__PACE__MAX_SLOWDOWN", "3", "pace.max_slowdown", 3.0),
        ("RATCHET_POLICY__FLOORS__CORRECT", "0.35", "floors", {"correct": 0.35, "style": 0.9}),
        ("RATCHET_POLICY__MARGINS", '{"correct": 0.05}', "margins", {"correct": 0.05}),
        ("RATCHET_POLICY__OVERRIDE__WHO", '["Ada", "Grace"]', "override.who", ("Ada", "Grace")),
        ("RATCHET_POLICY__SLICES", '[{"name": "oils"}]', "slices", (Slice(name="oils"),)),
        ("RATCHET_POLICY__JUDGE__MODEL", "gpt", "judge.model", "gpt"),
        ("RATCHET_POLICY__ANSWER_SCHEMA", '{"type": "object"}', "answer_schema", {"type": "object"}),
    ],
)
def test_one_field_of_the_file_is_set_by_an_environment_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str, read: object
) -> None:
    Path("ratchet.toml").write_text("[policy]\nminimum_questions = 20\n[policy.floors]\nstyle = 0.9\n")
    monkeypatch.setenv(variable, value)
    policy = load_settings().policy
    assert attrgetter(field)(policy) == read
    assert policy.minimum_questions == 20


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("RATCHET_POLICY__APROVAL__ASK", "always", "policy.aproval is no setting .did you mean approval"),
        ("RATCHET_POLICY__MARGINS__CORRECT", "2", "policy.margins.correct: Input should be less than 1"),
        ("RATCHET_POLICY__MARGINS", '{"correct": 0.05', "error parsing value for field .policy.* holds JSON"),
        ("RATCHET_POLICY_ALPHA", "0.01", "There is no setting RATCHET_POLICY_ALPHA"),
    ],
)
def test_a_variable_that_cannot_be_meant_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadSetting, match=said):
        load_settings()


@pytest.mark.parametrize("variable", ["RATCHET_BASE_MODEL", "RATCHET_POLICY__ALPHA", "RATCHET_HOSTED_BUDGET_USD"])
def test_a_variable_that_a_compose_file_leaves_empty_sets_nothing(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    Path("ratchet.toml").write_text("[policy]\nalpha = 0.01\n")
    unset = load_settings()
    monkeypatch.setenv(variable, "")
    assert load_settings() == unset
    assert unset.policy.alpha == 0.01


def test_the_policy_of_a_block_is_the_whole_policy_whatever_the_workers_file_says() -> None:
    Path("ratchet.toml").write_text("[policy]\nalpha = 0.01\n[policy.floors]\nstyle = 0.9\n")
    block = RatchetAssistant(policy=RatchetGatePolicy.model_validate({"floors": {"correct": 0.3}}))
    assert (block.settings().policy.floors, block.settings().policy.alpha) == ({"correct": 0.3}, Policy().alpha)
    assert RatchetAssistant().settings().policy.floors == {"style": 0.9}


def test_a_form_in_which_no_block_was_chosen_follows_the_worker() -> None:
    Path("ratchet.toml").write_text("[policy]\nalpha = 0.01\n")
    block = RatchetAssistant.model_validate({"weaviate": {}, "policy": {}})
    assert (block.weaviate, block.policy) == (None, None)
    assert block.settings().policy.alpha == 0.01


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.xdist_group("prefect")
async def test_a_policy_that_was_saved_is_the_one_that_judges(home: Path) -> None:
    """As the form of the UI saves it: what was not touched is left out."""
    policy = RatchetGatePolicy.model_validate({"approval": {"ask": "new-model"}, "floors": {"correct": 0.3}})
    await policy.save("careful", overwrite=True)
    saved = await RatchetGatePolicy.aload("careful")
    await RatchetAssistant(assistant="handbook", home=str(home), policy=saved).save("with-policy", overwrite=True)
    loaded: RatchetAssistant = await RatchetAssistant.aload("with-policy")
    assert loaded.settings().policy == Policy(approval=Approval(ask="new-model"), floors={"correct": 0.3})


OLD_DOCUMENTS: list[tuple[type[Block], dict[str, object]]] = [
    (RatchetGatePolicy, {"floors": {"correct": 0.2}, "judge": {}, "override": {}, "slice_by_folder": True}),
]


@pytest.mark.parametrize(("kind", "document"), OLD_DOCUMENTS)
def test_what_was_saved_by_an_earlier_version_still_loads(kind: type[Block], document: dict[str, object]) -> None:
    block = kind.model_validate(document)
    assert {name: value for name, value in block.model_dump().items() if name == "floors"} == {
        name: value for name, value in document.items() if name == "floors"
    }


def test_the_example_file_in_the_docs_is_read_and_sets_every_field() -> None:
    example = DOC.read_text().split("```toml")[1].split("```")[0]
    Path("ratchet.toml").write_text(example)
    read, written = load_settings().policy, tomllib.loads(example)["policy"]
    assert set(written) == set(Policy.model_fields)
    assert Policy.model_validate(written) == read
    for name, part in PARTS.items():
        inside = written if name == "policy" else written[name.partition(".")[2]]
        assert set(inside[0] if isinstance(inside, list) else inside) == set(part.model_fields), name


def test_the_tables_in_the_docs_are_those_of_the_model() -> None:
    """RATCHET_TEST_WRITE_DOCS=1 writes them anew."""
    head, written, tail = re.split(r"(?<=<!-- fields -->\n)(.*)(?=<!-- end -->)", DOC.read_text(), flags=re.DOTALL)
    if os.environ.get("RATCHET_TEST_WRITE_DOCS") == "1":
        DOC.write_text(head + (written := tables()) + tail)
    assert written == tables()


def tables() -> str:
    lines: list[str] = []
    for name, part in PARTS.items():
        lines += [f"\n### `[{name}]`\n", "| field | default | allowed | what it says |", "|---|---|---|---|"]
        for field in part.model_fields:
            lines.append(f"| `{field}` | {default(part, field)} | {allowed(part, field)} | {said(part, field)} |")
    lines += ["\n### Metrics\n", "| metric | what it measures |", "|---|---|"]
    lines += [f"| `{metric}` | {MEANING[metric]} |" for metric in METRICS]
    return "\n".join([*lines, "", ""])


def default(part: type[BaseModel], field: str) -> str:
    value = part.model_fields[field].default
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, dict):
        return ", ".join(f"{key} {number:g}" for key, number in value.items())
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, bool | None):
        return "none" if value is None else str(value).lower()
    return "see below" if isinstance(value, BaseModel) else f"{value}"


def said(part: type[BaseModel], field: str) -> str:
    info = part.model_fields[field]
    of_part = info.default.__doc__ if isinstance(info.default, BaseModel) else ""
    return info.description or of_part or ""


def allowed(part: type[BaseModel], field: str) -> str:
    schema = part.model_json_schema()["properties"][field]
    shown = next((one for one in schema.get("anyOf", []) if one.get("type") != "null"), schema)
    shown = shown.get("additionalProperties") if isinstance(shown.get("additionalProperties"), dict) else shown
    if (choices := shown.get("enum")) and len(choices) < len(METRICS):
        return ", ".join(choices)
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{word} {shown[key]:g}" for key, word in words.items() if key in shown]
    return " and ".join(limits) or ("a metric" if choices else "")
