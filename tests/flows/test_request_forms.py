"""What people see when they start a flow, and what its run is called then."""

from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.objects import CreatedBy, FlowRun
from prefect.utilities.callables import parameter_schema

from flows.deploying.deployments import flow_at
from flows.naming import cause_of
from flows.vacuum_index import VacuumRequest, vacuum_index
from infra.deploy.deployment_file import Deployment, read_deployments

DEPLOYMENTS = read_deployments(Path(__file__).parents[2] / "prefect.yaml").deployments


def form(deployment: Deployment) -> dict[str, Any]:
    schema = parameter_schema(flow_at(deployment.entrypoint)).model_dump(mode="json")
    definition: dict[str, Any] = schema["definitions"][schema["properties"]["request"]["$ref"].split("/")[-1]]
    assert definition["description"]
    fields: dict[str, Any] = definition["properties"]
    return fields


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d.full_name)
def test_every_field_of_a_form_has_a_title_and_says_what_it_is(deployment: Deployment) -> None:
    for name, field in form(deployment).items():
        assert field.get("title"), name
        assert field["title"][0].isupper(), name
        assert field.get("description"), name


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d.full_name)
def test_a_form_begins_with_the_assistant_and_ends_with_what_is_seldom_set(deployment: Deployment) -> None:
    fields = form(deployment)
    if "assistant" in fields:
        order = sorted(fields, key=lambda name: int(fields[name]["position"]))
        assert (order[0], order[-2:]) == ("assistant", ["block", "cause"])
        assert [fields[name]["position"] for name in order] == list(range(len(order)))


def test_the_cause_of_a_run_is_what_started_it() -> None:
    def run(**known: Any) -> FlowRun:
        return FlowRun.model_validate({"flow_id": "00000000-0000-0000-0000-000000000000", **known})

    assert cause_of(run()) == cause_of(None) == "manual"
    assert cause_of(run(auto_scheduled=True, idempotency_key="scheduled x")) == "schedule"
    assert cause_of(run(idempotency_key="docs.changed:handbook:1")) == "webhook"
    assert cause_of(run(idempotency_key="labels.threshold-reached:handbook:3:ab")) == "threshold"
    assert cause_of(run(created_by=CreatedBy(type="AUTOMATION"))) == "automation"


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.xdist_group("prefect")
async def test_a_run_is_called_by_its_assistant_what_it_does_and_why(home: Path) -> None:
    for asked, cause in ((None, "manual"), ("spring cleaning", "spring cleaning")):
        state = await vacuum_index(VacuumRequest(assistant="handbook", plan=True, cause=asked), return_state=True)
        async with get_client() as client:
            named = await client.read_flow_run(state.state_details.flow_run_id)
        assert named.name == f"handbook: vacuum ({cause})"
