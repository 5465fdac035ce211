"""A policy that cannot be meant is refused by the name of its field; one of an earlier version is still read."""

import json
from fnmatch import fnmatchcase

import pytest
from evaluation_fakes import evidence, golden_labels, perfect
from pydantic import ValidationError

from tasks.core.evidence import case_of
from tasks.core.metrics.score import METRICS
from tasks.core.policy import NEVER_OVERRIDDEN, Policy
from tasks.core.stats import Resampling, least_questions
from tasks.core.verdict import decide

SCHEMA = {"type": "object", "required": ["answer"]}
JUDGE = {"model": "gpt"}


def refused(**fields: object) -> list[tuple[str, str]]:
    """(field, what was said) of every complaint."""
    with pytest.raises(ValidationError) as caught:
        Policy.model_validate(fields)
    return [(".".join(map(str, one["loc"])), one["msg"]) for one in caught.value.errors()]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"alpha": 0}, "alpha"),
        ({"alpha": 0.3}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"minimum_questions": 1}, "minimum_questions"),
        ({"floors": {"correct": 1.1}}, "floors.correct"),
        ({"floors": {"correct": float("nan")}}, "floors.correct"),
        ({"floors": {"corect": 0.5}}, "floors.corect.[key]"),
        ({"margins": {"correct": 0}}, "margins.correct"),
        ({"margins": {"correct": 1}}, "margins.correct"),
        ({"drift_budget": {"correct": -0.1}}, "drift_budget.correct"),
        ({"beats_trivial_on": "truth"}, "beats_trivial_on"),
        ({"config_improves": []}, "config_improves"),
        ({"freshness_alpha": 0.6}, "freshness_alpha"),
        ({"minimum_slice": 1}, "minimum_slice"),
        ({"slices": [{"name": "Big Oils"}]}, "slices.0.name"),
        ({"slices": [{"name": "oils", "question": "("}]}, "slices.0.question"),
        ({"slices": [{"name": "oils", "margin": 0}]}, "slices.0.margin"),
        ({"slices": [{"name": "oils", "documnts": ["a"]}]}, "slices.0.documnts"),
        ({"pace": {"questions": 101}}, "pace.questions"),
        ({"pace": {"max_slowdown": 1}}, "pace.max_slowdown"),
        ({"pace": {"max_slowdown": float("inf")}}, "pace.max_slowdown"),
        ({"pace": {"saving": 1}}, "pace.saving"),
        ({"judge": {}}, "judge.model"),
        ({"approval": {"ask": "sometimes"}}, "approval.ask"),
        ({"approval": {"timeout_hours": 0}}, "approval.timeout_hours"),
        ({"seed": -1}, "seed"),
        ({"resamples": 999}, "resamples"),
        ({"flors": {}}, "flors"),
    ],
)
def test_a_value_out_of_range_is_refused_by_the_name_of_its_field(fields: dict[str, object], field: str) -> None:
    assert [name for name, _ in refused(**fields)] == [field]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"slices": [{"name": "oils"}, {"name": "oils"}]}, "Two slices are called oils. Give each its own name."),
        (
            {"slices": [{"name": name} for name in ("pumps", "oils", "belts", "hoses", "axles") * 2]},
            "Two slices are called axles, belts, hoses, oils, pumps.",
        ),
        ({"slices": [{"name": "page-changed"}]}, "A slice cannot be called page-changed"),
        (
            {"adapter_improves_on": "oils", "slice_by_folder": False},
            "adapter_improves_on names oils, which is no slice. There are: unanswerable.",
        ),
        ({"floors": {"format": 0.9}}, "The policy decides by format, but there is no answer_schema"),
        ({"margins": {"format": 0.1}}, "The policy decides by format"),
        ({"drift_budget": {"format": 0.1}}, "The policy decides by format"),
        ({"adapter_improves": "format"}, "The policy decides by format"),
        ({"config_improves": ["correct", "format"]}, "The policy decides by format"),
        ({"beats_trivial_on": "format"}, "The policy decides by format"),
        ({"answer_schema": {"type": "objekt"}}, "answer_schema is no JSON Schema"),
        ({"answer_schema": {"$ref": "https://example.org/schema.json"}}, "answer_schema refers to"),
        ({"floors": {"judged_relevancy": 0.5}}, "decides by judged_relevancy, but has no judge. Add [policy.judge]"),
        ({"margins": {"judged_relevancy": 0.5}}, "decides by judged_relevancy, but has no judge"),
        ({"adapter_improves": "judged_relevancy"}, "decides by judged_relevancy, but has no judge"),
        ({"config_improves": ["judged_relevancy"]}, "decides by judged_relevancy, but has no judge"),
        ({"judge": JUDGE, "drift_budget": {"judged_relevancy": 0.1}}, "cannot name judged_relevancy"),
        ({"judge": JUDGE, "beats_trivial_on": "judged_relevancy"}, "cannot name judged_relevancy"),
        ({"pace": {"questions": 1}}, "pace.questions is 1: fewer than 5 decide nothing."),
        ({"pace": {"questions": 4}}, "pace.questions is 4: fewer than 5 decide nothing. Ask more; 0 measures none."),
        (
            {"pace": {"max_p95_seconds": 9}},
            "pace.max_p95_seconds needs pace.questions of 59 at least at alpha 0.05, not 8",
        ),
        ({"alpha": 0.01, "pace": {"questions": 89, "max_p95_seconds": 9}}, "of 90 at least at alpha 0.01, not 89"),
        ({"override": {"gates": ["no-*"]}}, "override.gates: no-* covers no-leak, which nobody may override."),
        (
            {"override": {"gates": ["**"]}},
            "override.gates: ** covers intact, golden-set, no-leak, anchor, something-new",
        ),
    ],
)
def test_what_cannot_be_meant_together_is_refused_with_what_to_do(fields: dict[str, object], said: str) -> None:
    [(_, message)] = refused(**fields)
    assert said in message


def test_everything_that_is_wrong_is_said_at_once() -> None:
    [(_, message)] = refused(floors={"format": 0.9}, pace={"questions": 3}, override={"gates": ["intact"]})
    assert [word in message for word in ("decides by format", "pace.questions is 3", "override.gates")] == [True] * 3


@pytest.mark.parametrize(
    "fields",
    [
        {"slice_by_folder": False},
        {"pace": {"questions": 0}},
        {"pace": {"questions": 5}},
        {"pace": {"questions": 59, "max_p95_seconds": 9}},
        {"floors": {"format": 0.9}, "answer_schema": SCHEMA},
        {"floors": {"judged_relevancy": 0.5}, "judge": JUDGE},
        {"adapter_improves_on": "oils"},
        {"adapter_improves_on": "unanswerable", "slice_by_folder": False},
        {"adapter_improves_on": "oils", "slice_by_folder": False, "slices": [{"name": "oils"}]},
        {"override": {"gates": ["*"], "who": ["*"]}},
        {"override": {"gates": ["no-harm-*", "slice-*", "pace*"]}},
        {"floors": {}, "margins": {}, "drift_budget": {}},
    ],
)
def test_what_can_be_meant_is_read(fields: dict[str, object]) -> None:
    assert Policy.model_validate(fields)


def test_a_policy_never_moves() -> None:
    policy = Policy()
    with pytest.raises(ValidationError, match="frozen"):
        policy.alpha = 0.1  # type: ignore[misc]


def test_a_policy_is_read_back_as_it_was_written() -> None:
    policy = Policy.model_validate({"slices": [{"name": "oils"}], "judge": JUDGE, "answer_schema": SCHEMA})
    assert Policy.model_validate(json.loads(policy.model_dump_json())) == policy


OLD = [
    {},
    {  # as 0.1.0 wrote it
        "alpha": 0.05,
        "minimum_questions": 10,
        "floors": {"recall": 0.7, "style": 0.6, "correct": 0.2},
        "beats_trivial_on": "correct",
        "margins": {"correct": 0.1, "citation": 0.1, "style": 0.1, "recall": 0.1, "abstains": 0.2, "answers": 0.25},
        "adapter_improves": "all_right",
        "config_improves": ["all_right", "correct", "citation", "recall"],
        "freshness_alpha": 0.05,
        "seed": 20260101,
        "resamples": 10000,
    },
    {"alpha": 0.01, "floors": {"ndcg": 0.5}, "margins": {"right": 0.05}},
]


@pytest.mark.parametrize("old", OLD)
def test_a_policy_of_an_earlier_version_is_read_and_keeps_its_numbers(old: dict[str, object]) -> None:
    policy = Policy.model_validate(old)
    assert {name: value for name, value in policy.model_dump(mode="json").items() if name in old} == old


def test_the_defaults_can_be_met_with_about_thirty_pages() -> None:
    policy = Policy()
    assert max(least_questions(margin, alpha=policy.alpha) for margin in policy.margins.values()) == 29
    given = evidence(golden_labels(80, 28), perfect, perfect)
    assert decide(case_of(given)).verdict == "PROMOTE"


def test_the_defaults_ask_for_no_judge_no_schema_and_nobodys_approval_and_let_nobody_override() -> None:
    policy = Policy()
    assert (policy.judge, policy.answer_schema, policy.approval.ask) == (None, None, "never")
    assert (policy.override.gates, policy.override.who) == ((), ())
    named = {*policy.floors, *policy.margins, *policy.drift_budget, *policy.config_improves, policy.adapter_improves}
    assert named <= set(METRICS)


def test_the_seed_and_the_number_of_draws_are_the_policys() -> None:
    assert Policy(seed=7, resamples=2_000).resampling == Resampling(7, 2_000)


def test_a_star_alone_covers_all_that_may_be_overridden_and_names_nothing_that_may_not() -> None:
    policy = Policy.model_validate({"override": {"gates": ["*"]}})
    assert policy.override.gates == ("*",)
    assert all(fnmatchcase(gate, "*") for gate in NEVER_OVERRIDDEN)


@pytest.mark.parametrize("wild", [{"resamples": 10**11}, {"approval": {"timeout_hours": 1e300}}])
def test_a_number_that_only_fails_in_the_middle_of_a_run_is_refused_with_the_policy(wild: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="less than or equal to"):
        Policy.model_validate(wild)
