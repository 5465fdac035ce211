"""The receiver over a catalog: what `ratchet hooks serve` runs. No Prefect in this process."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI

from infra.adapters.catalog.deliveries import CatalogDeliveries
from infra.adapters.prefect_runs import PrefectRuns, prefect_of
from infra.service.lanes import Lane
from infra.settings import Settings
from infra.webhooks.app import S3_TYPES, ReceiverDesk, ReceiverLimits, Sender, create_receiver, in_own_loop
from infra.webhooks.delivery import Delivery, Hook, usable_id
from infra.webhooks.generic_hooks import GENERIC_SETTING, read_generic
from infra.webhooks.git_pushes import GITHUB_SETTING, GITLAB_SETTING, read_github, read_gitlab
from infra.webhooks.s3_events import S3Door
from infra.webhooks.sns import Certificates, Fetch, fetch_over_https
from infra.webhooks.watching import watched
from infra.workbench import Workbench
from tasks import hosted_aftercare
from tasks.core.source_changes import concerns
from tasks.core.webhook_signatures import OPENAI_SETTING, verified
from tasks.outbox import DOCS_CHANGED, deliver

if TYPE_CHECKING:
    from infra.adapters.catalog.outbox import CatalogOutbox

_log = logging.getLogger("ratchet.webhooks")


def receiver_of(settings: Settings, *, prefect: PrefectRuns | None = None, fetch: Fetch = fetch_over_https) -> FastAPI:
    """The receiver for every assistant of the settings' catalog.

    prefect: which API is told; None: the one that PREFECT_API_URL names, and where it names none, the scheduled
    `deliver-notices` tells everything. fetch: how Amazon is asked.
    """
    bench = Workbench("default", settings)
    prefect = prefect or prefect_of()
    if prefect is None:
        _log.warning("PREFECT_API_URL is not set: changes are noted, and told by the flow deliver-notices.")
    deliveries = CatalogDeliveries(bench.engine, settings.webhook_memory_days * 86400)
    desk = ReceiverDesk(
        is_known=deliveries.is_known,
        concerns=lambda delivery: concerns(delivery.changes, watched(deliveries.sources()), DOCS_CHANGED),
        take=deliveries.take,
        waiting=bench.outbox.assistants,
    )
    limits = ReceiverLimits(
        max_body_bytes=int(settings.webhook_max_body_mib * 1024 * 1024),
        quiet_seconds=settings.webhook_debounce_seconds,
    )
    telling = Lane("tell", threads=1, waiting=1024)

    async def tell(assistant: str) -> bool:
        return prefect is None or await in_own_loop(partial(_tell, bench.outbox, assistant, prefect), telling)

    return create_receiver(senders_of(settings, bench, fetch), desk, tell, limits=limits)


def senders_of(settings: Settings, bench: Workbench, fetch: Fetch) -> dict[str, Sender]:
    """Every route, those without a secret closed."""
    secrets, memory = settings.webhook_secrets, settings.webhook_memory_days * 86400
    github, gitlab, generic = secrets.of("github"), secrets.of("gitlab"), secrets.of("generic")
    s3 = S3Door(
        topics=settings.webhook_sns_topics,
        secrets=secrets.of("eventbridge"),
        certificates=Certificates(fetch),
        confirm=fetch,
        memory_seconds=memory,
        log=_log.info,
    )
    hosted = settings.hosted_webhook_secret
    openai = tuple(hosted.get_secret_value().split()) if hosted else ()

    def opened(hook: Hook, now: float) -> Delivery:
        named = usable_id(verified(openai, hook.headers, hook.body, now), "webhook-id")
        return Delivery((f"id:{named}",), said="no job of ours")

    def nudged(hook: Hook, now: float) -> bool:
        return hosted_aftercare.nudge(bench.hosted_jobs, openai, hook.headers, hook.body, now) is not None

    found = (
        Sender("github", GITHUB_SETTING, (lambda h, now: read_github(h, github, now, memory)) if github else None),
        Sender("gitlab", GITLAB_SETTING, (lambda h, now: read_gitlab(h, gitlab, now)) if gitlab else None),
        Sender("generic", GENERIC_SETTING, (lambda h, now: read_generic(h, generic, now)) if generic else None),
        Sender("openai", OPENAI_SETTING, opened if openai else None, act=nudged),
        Sender(
            "s3",
            "RATCHET_WEBHOOK_SNS_TOPICS or RATCHET_WEBHOOK_SECRETS__EVENTBRIDGE",
            s3.read if s3.topics or s3.secrets else None,
            S3_TYPES,
        ),
    )
    return {sender.name: sender for sender in found}


async def _tell(outbox: CatalogOutbox, assistant: str, prefect: PrefectRuns) -> bool:
    told = await deliver(outbox, assistant, prefect.nudge, prefect.find)
    for notice in told:
        _log.info("%s is told: %s", notice.topic, notice.key)
    return not outbox.pending(assistant)
