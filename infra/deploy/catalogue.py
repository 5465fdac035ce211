"""What a Prefect server should hold beside the deployments: work pools and automations, as values. No Prefect here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from pydantic import JsonValue

MARK = "managed-by-ratchet"  # tag of everything that is changed and removed here; nothing without it is
RUNS = "ratchet"  # tag of the deployments, so of their runs
ONCE = "ratchet-once"  # tag of those whose interrupted runs are not begun again: done twice they would do more
NOTIFY = "ratchet-notifications"  # name of the Prefect notification block, of any type, that is told
ASSISTANTS = "ratchet.assistant."  # begins the resource id of every event about an assistant
WANTED = "ratchet.run"  # label by which an event asks for a run; what was told by Ratchet itself has its run already

HEARTBEAT_SECONDS = 180
SILENT_SECONDS = 3 * HEARTBEAT_SECONDS  # two lost heartbeats are forgiven


PoolType = Literal["process", "kubernetes"]


@dataclass(frozen=True, slots=True)
class Job:
    """What a run gets where each is a Kubernetes job; quantities as Kubernetes writes them.

    gpus: of NVIDIA, with the toleration that their nodes usually ask for. node_selector: which of those nodes.
    """

    image: str
    cpu_request: str
    memory_request: str
    memory_limit: str
    gpus: int = 0
    node_selector: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkPool:
    """Where runs are worked off. limit: runs at once over all its workers; None: any number."""

    name: str
    description: str
    job: Job
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class RunFlow:
    """Starts a deployment a little later, so that a burst of events is one run."""

    deployment: str
    parameters: dict[str, JsonValue]
    after: timedelta


@dataclass(frozen=True, slots=True)
class Crash:
    """Puts the run that the event is about into state Crashed, which frees its slot. One that is over stays over."""

    message: str


@dataclass(frozen=True, slots=True)
class Notify:
    """Tells people through the notification block."""

    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Automation:
    """If these events are seen, or none of them within a time, this is done."""

    key: str  # never changes: people may rename an automation
    name: str
    description: str
    expect: tuple[str, ...]
    match: dict[str, str | list[str]]
    action: RunFlow | Crash | Notify
    match_related: dict[str, str | list[str]] | None = None
    after: tuple[str, ...] = ()
    posture: Literal["Reactive", "Proactive"] = "Reactive"
    within: timedelta = timedelta(0)


WORK_POOLS = (
    WorkPool(
        "ratchet",
        "Light work: documents, labels, judging, promoting.",
        Job("ratchet-worker:0.1.0", cpu_request="1", memory_request="2Gi", memory_limit="8Gi"),
    ),
    WorkPool(
        "ratchet-training",
        "Training, one run at a time: give it the machine with the GPU.",
        Job(
            "ratchet-training:0.1.0",
            cpu_request="4",
            memory_request="16Gi",
            memory_limit="32Gi",
            gpus=1,
            node_selector={"ratchet/training": "true"},
        ),
        limit=1,
    ),
)

_OURS: dict[str, str | list[str]] = {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{RUNS}"}
_ASKING: dict[str, str | list[str]] = {"prefect.resource.id": f"{ASSISTANTS}*", WANTED: "wanted"}
_ASSISTANT = "{{ event.resource.id | default('" + ASSISTANTS + "default') | replace('" + ASSISTANTS + "', '') }}"


def _asked(cause: str) -> dict[str, JsonValue]:
    """Parameters of a run for the assistant of the event; nothing of its payload is used."""
    return {"request": {"assistant": {"__prefect_kind": "jinja", "template": _ASSISTANT}, "cause": cause}}


AUTOMATIONS = (
    Automation(
        key="docs-changed",
        name="Ratchet: documents changed",
        description="An event ratchet.docs.changed with the label ratchet.run=wanted refreshes the assistant it names.",
        expect=("ratchet.docs.changed",),
        match=_ASKING,
        within=timedelta(seconds=30),
        action=RunFlow("refresh-assistant/default", _asked("event"), timedelta(seconds=30)),
    ),
    Automation(
        key="labels-threshold",
        name="Ratchet: enough labels",
        description="An event ratchet.labels.threshold-reached with the label ratchet.run=wanted trains the assistant "
        "it names, if the catalog agrees that it is time.",
        expect=("ratchet.labels.threshold-reached",),
        match=_ASKING,
        within=timedelta(seconds=30),
        action=RunFlow("retrain-model/default", _asked("threshold"), timedelta(seconds=30)),
    ),
    Automation(
        key="zombie-runs",
        name="Ratchet: runs whose process died",
        description=f"A run that sent heartbeats and is silent for {SILENT_SECONDS} s is Crashed; then begun again",
        after=("prefect.flow-run.heartbeat",),
        expect=("prefect.flow-run.*",),
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related=_OURS,
        posture="Proactive",
        within=timedelta(seconds=SILENT_SECONDS),
        action=Crash(f"No sign of life for {SILENT_SECONDS} s: the process or its machine is gone."),
    ),
)

NOTICES = (
    Automation(
        key="notify-failed",
        name="Ratchet: tell of failed runs",
        description="A run of Ratchet that failed or crashed is told through the block ratchet-notifications.",
        expect=("prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"),
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related=_OURS,
        action=Notify(
            "Ratchet: {{ flow_run.name | default('a run') }} is {{ flow_run.state.name | default('Failed') }}",
            "{{ flow_run.state.message | default('No reason was given.') }}\n{{ flow_run | ui_url }}",
        ),
    ),
    Automation(
        key="notify-actions",
        name="Ratchet: tell of automations that failed",
        description="An action of an automation that could not be carried out is told.",
        expect=("prefect.automation.action.failed",),
        match={"prefect.resource.id": "prefect.automation.*"},
        action=Notify(
            "An automation's action failed",
            "{{ event.resource.name | default('An automation') }}: {{ event.payload.reason | default('no reason') }}",
        ),
    ),
    Automation(
        key="notify-verdicts",
        name="Ratchet: tell of verdicts",
        description="A release that is promoted, held, rejected or rolled back is told.",
        expect=(
            "ratchet.release.promoted",
            "ratchet.release.held",
            "ratchet.release.rejected",
            "ratchet.release.rolled-back",
        ),
        match={"prefect.resource.id": f"{ASSISTANTS}*"},
        action=Notify(
            "{{ event.event | default('ratchet.release') }}: " + _ASSISTANT,
            "Release {{ event.payload.release | default('unknown') }} of " + _ASSISTANT + ".",
        ),
    ),
    Automation(
        key="notify-retiring",
        name="Ratchet: tell of hosted models that stop",
        description="A hosted model that stops within 90, 30 or 7 days, or has stopped, is told once each.",
        expect=("ratchet.model.retiring",),
        match={"prefect.resource.id": f"{ASSISTANTS}*"},
        action=Notify(
            "A hosted model of " + _ASSISTANT + " stops",
            "{{ event.payload.model | default('It') }} answers until {{ event.payload.stops | default('soon') }}. "
            "`ratchet hosted save-answers` keeps what it says, and proposes what to train here.",
        ),
    ),
)
