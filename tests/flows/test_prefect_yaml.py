"""prefect.yaml, held to a stricter reading than Prefect's own: it ignores keys it does not know, without a word."""

import importlib
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import yaml
from prefect import Flow
from prefect.server.events.schemas.events import ReceivedEvent
from prefect.server.utilities.user_templates import render_user_template_sync
from prefect.types._datetime import now
from prefect.utilities.schema_tools.hydration import HydrationContext, hydrate

from infra.deploy.catalogue import AUTOMATIONS, NOTICES, ONCE, RUNS, Automation, Notify, RunFlow

ROOT = Path(__file__).parents[2]
FILE = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS: list[dict[str, Any]] = FILE["deployments"]
FLOWS = {
    *("reingest-docs", "refresh-assistant", "retrain-model", "evaluate-release", "promote-release", "roll-back"),
    *("vacuum-index", "collect-labels", "deliver-notices", "tend-runs"),
}

KEYS = {
    "file": {"name", "pull", "definitions", "deployments"},
    "deployment": {
        *("name", "entrypoint", "description", "tags", "parameters", "work_pool"),
        *("concurrency_limit", "schedules"),
    },
    "schedule": {"slug", "cron", "interval", "anchor_date", "timezone", "parameters", "active"},
    "work_pool": {"name"},
    "concurrency_limit": {"limit", "collision_strategy", "grace_period_seconds"},
}


def unknown(mapping: dict[str, Any], kind: str) -> set[str]:
    return set(mapping) - KEYS[kind]


def flow_of(deployment: dict[str, Any]) -> Flow[..., Any]:
    module, _, name = deployment["entrypoint"].rpartition(".")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


def test_the_file_has_no_key_that_prefect_would_ignore() -> None:
    assert not unknown(FILE, "file")
    for deployment in DEPLOYMENTS:
        assert not unknown(deployment, "deployment")
        assert not unknown(deployment["work_pool"], "work_pool")
        assert not unknown(deployment.get("concurrency_limit", {}), "concurrency_limit")
        for schedule in deployment.get("schedules", []):
            assert not unknown(schedule, "schedule")


def test_only_a_rollback_is_not_begun_again_by_itself() -> None:
    assert all(RUNS in deployment["tags"] for deployment in DEPLOYMENTS)
    assert [flow_of(one).name for one in DEPLOYMENTS if ONCE in one["tags"]] == ["roll-back"]


def test_every_flow_has_a_deployment() -> None:
    assert {flow_of(deployment).name for deployment in DEPLOYMENTS} == FLOWS


def test_nothing_is_pulled_because_the_package_is_installed() -> None:
    assert FILE["pull"] == []


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["entrypoint"])
def test_the_flow_accepts_the_parameters_of_its_deployment(deployment: dict[str, Any]) -> None:
    flow = flow_of(deployment)
    assert flow.isasync
    if deployment.get("parameters"):
        flow.validate_parameters(deployment["parameters"])
    with pytest.raises(Exception, match="no_such_field"):
        flow.validate_parameters({"request": {"assistant": "default", "no_such_field": 1}})


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["entrypoint"])
def test_every_schedule_can_be_told_apart_and_has_a_time_zone(deployment: dict[str, Any]) -> None:
    slugs = [schedule["slug"] for schedule in deployment.get("schedules", [])]
    assert len(slugs) == len(set(slugs))
    for schedule in deployment.get("schedules", []):
        assert ZoneInfo(schedule["timezone"])


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["entrypoint"])
def test_every_schedule_is_switched_by_a_variable_of_its_own_and_an_interval_has_an_anchor(
    deployment: dict[str, Any],
) -> None:
    flow = deployment["entrypoint"].rpartition(".")[2]
    for schedule in deployment.get("schedules", []):
        variable = f"ratchet_{flow}_{schedule['slug'].replace('-', '_')}_active"
        assert schedule["active"] == "{{ prefect.variables." + variable + " }}"
        assert ("interval" in schedule) == ("anchor_date" in schedule)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["entrypoint"])
def test_a_full_slot_queues_the_next_run_instead_of_dropping_it(deployment: dict[str, Any]) -> None:
    if limit := deployment.get("concurrency_limit"):
        assert limit["collision_strategy"] == "ENQUEUE"
        assert limit["grace_period_seconds"] == 60


EMPTY = ReceivedEvent(
    event="x",
    resource={"prefect.resource.id": "ratchet.assistant.handbook"},
    payload={},
    id=uuid4(),
    occurred=now("UTC"),
)


@pytest.mark.parametrize("one", AUTOMATIONS + NOTICES, ids=lambda one: one.key)
@pytest.mark.parametrize("payload", [{}, {"release": "r-1", "reason": "no"}], ids=["empty", "sample"])
def test_every_template_of_an_automation_renders_with_a_sample_and_with_an_empty_payload(
    one: Automation, payload: dict[str, str]
) -> None:
    event = EMPTY.model_copy(update={"payload": payload})
    known = {"event": event, "flow_run": {}}
    match one.action:
        case RunFlow(deployment, parameters, _):
            rendered = hydrate(parameters, HydrationContext(render_jinja=True, jinja_context=known))
            flow = next(d for d in DEPLOYMENTS if f"{flow_of(d).name}/{d['name']}" == deployment)
            assert flow_of(flow).validate_parameters(rendered)["request"].assistant == "handbook"
        case Notify(subject, body):
            for template in (subject, body.replace(" | ui_url", "")):
                assert render_user_template_sync(template, known).strip()
                assert "{{" not in render_user_template_sync(template, known)
