"""Events about releases for people's own automations and notifications. Nothing of ours waits for them."""

from __future__ import annotations

from prefect.context import FlowRunContext
from prefect.events import emit_event

from infra.deploy.catalogue import ASSISTANTS
from tasks.evaluation import Evaluation

_OF_VERDICT = {"HOLD": "release.held", "REJECT": "release.rejected"}


def announce(assistant: str, topic: str, release: str, **ids: str | int | None) -> None:
    """Emits `ratchet.<topic>` about the assistant: ids and numbers only. Outside a flow run nobody listens."""
    if FlowRunContext.get() is not None:
        emit_event(
            event=f"ratchet.{topic}",
            resource={"prefect.resource.id": f"{ASSISTANTS}{assistant}"},
            payload={"release": release, **ids},
        )


def announce_verdict(assistant: str, judged: Evaluation) -> None:
    """`ratchet.release.evaluated`, and held or rejected where it was."""
    ids = {"evaluation": judged.id, "verdict": judged.verdict, "baseline": judged.baseline}
    announce(assistant, "release.evaluated", judged.release, **ids)
    if topic := _OF_VERDICT.get(judged.verdict):
        announce(assistant, topic, judged.release, **ids)
