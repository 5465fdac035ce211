"""The webhook receiver: whatever changed is committed before it is answered, and told to Prefect afterwards.

Answers: 202 taken, 200 taken before, nothing of ours, or a ping. Everything else is a 4xx in the envelope of the answer
service, and a line in the log that says which sender and why, never what was sent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from infra.service.door import RequestIds
from infra.service.envelope import Refused, envelope, install
from infra.service.lanes import Lane
from infra.webhooks.debounce import Debounce
from infra.webhooks.delivery import Delivery, Hook
from tasks.core.errors import NotAllowed, RatchetError
from tasks.core.source_changes import Concern

_log = logging.getLogger("ratchet.webhooks")

JSON_TYPES = frozenset({"application/json"})
S3_TYPES = JSON_TYPES | {"text/plain"}  # SNS sends its JSON as text

DECIDING = ("x-hub-", "x-git", "webhook-", "idempotency-key", "x-amz-", "x-ratchet-", "content-")

Read = Callable[[Hook, float], Delivery]
Tell = Callable[[str], Awaitable[bool]]
"""Tells what waits for an assistant; whether nothing waits any more."""


@dataclass(frozen=True, slots=True)
class Sender:
    """One route.

    read: what the webhook is, or RatchetError; None: nothing is taken here before `setting` is set.
    act: what is done for a delivery that is about no source; whether there was anything to do.
    """

    name: str
    setting: str
    read: Read | None
    types: frozenset[str] = JSON_TYPES
    act: Callable[[Hook, float], bool] | None = None


@dataclass(frozen=True, slots=True)
class ReceiverDesk:
    """What the routes need from behind the counter. Blocking: it is called from the receiver's own threads."""

    is_known: Callable[[str, tuple[str, ...]], bool]
    concerns: Callable[[Delivery], list[Concern]]
    take: Callable[[str, tuple[str, ...], list[Concern]], list[str] | None]
    waiting: Callable[[], list[str]]  # assistants with something to tell


@dataclass(frozen=True, slots=True)
class ReceiverLimits:
    """Bounds of one receiver."""

    max_body_bytes: int = 25 * 1024 * 1024
    body_seconds: float = 30.0
    quiet_seconds: float = 0.5
    threads: int = 4
    waiting: int = 256


def create_receiver(
    senders: Mapping[str, Sender],
    desk: ReceiverDesk,
    tell: Tell,
    *,
    limits: ReceiverLimits | None = None,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """The receiver. tell: tells Prefect what waits for an assistant; called in the background, for bursts once."""
    counter = _Counter(senders, desk, tell, limits or ReceiverLimits(), clock)
    app = FastAPI(title="Ratchet webhooks", docs_url=None, redoc_url=None, openapi_url=None, lifespan=counter.open)
    app.router.redirect_slashes = False
    app.add_api_route("/hooks/{sender}", counter.hook, methods=["POST"], response_model=None)
    app.add_api_route("/healthz", counter.health, methods=["GET"])
    app.add_api_route("/readyz", counter.ready, methods=["GET"])
    install(app)
    app.add_middleware(RequestIds)
    return app


class _Counter:
    """The routes, and the threads behind them."""

    def __init__(
        self,
        senders: Mapping[str, Sender],
        desk: ReceiverDesk,
        tell: Tell,
        limits: ReceiverLimits,
        clock: Callable[[], float],
    ) -> None:
        self._senders = senders
        self._desk = desk
        self._limits = limits
        self._clock = clock
        self._lane = Lane("hook", threads=limits.threads, waiting=limits.waiting)
        self._tell = Debounce(tell, limits.quiet_seconds)

    @asynccontextmanager
    async def open(self, _app: FastAPI) -> AsyncIterator[None]:
        """Tells what a receiver before this one left untold."""
        for assistant in await self._lane.run(self._desk.waiting):
            self._tell.call(assistant)
        yield
        await self._tell.close()
        self._lane.close()

    async def hook(self, request: Request, sender: str) -> Response:
        """One webhook."""
        try:
            return await self._taken(request, sender)
        except RatchetError as error:
            known = sender if sender in self._senders else "an unknown sender"
            _log.warning("%s from %s is refused: %s", request.state.request_id, known, _said(error))
            if isinstance(error, Refused) and error.status in (408, 413):  # the rest of the body is not waited for
                return envelope(error.status, error.message, code=error.word, headers={"Connection": "close"})
            raise

    async def health(self) -> dict[str, str]:
        """The process is there."""
        return {"status": "ok"}

    async def ready(self) -> dict[str, object]:
        """The catalog can be read; which senders are taken from."""
        waiting = await self._lane.run(self._desk.waiting)
        taken = sorted(name for name, sender in self._senders.items() if sender.read is not None)
        return {"status": "ready", "senders": taken, "waiting": waiting}

    async def _taken(self, request: Request, name: str) -> Response:
        sender = self._senders.get(name)
        if sender is None:
            raise Refused("There is no such sender.", code="unknown_url", status=404)
        if sender.read is None:
            message = f"Nothing is taken from {sender.name}: no {sender.setting} is set."
            raise Refused(message, code="not_configured", status=404)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in sender.types:
            message = f"The content type has to be {' or '.join(sorted(sender.types))}."
            raise Refused(message, code="unsupported_content_type", status=415)
        hook = Hook(_headers(request), await self._body(request))
        status, answer, assistants = await self._lane.run(lambda: self._take(sender, hook))
        for assistant in assistants:
            self._tell.call(assistant)
        return JSONResponse(answer, status)

    async def _body(self, request: Request) -> bytes:
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await _body(request, self._limits.max_body_bytes)
        except TimeoutError:
            message = f"The body took longer than {self._limits.body_seconds:g} s."
            raise Refused(message, code="too_slow", status=408) from None

    def _take(self, sender: Sender, hook: Hook) -> tuple[int, dict[str, object], list[str]]:
        """Status, answer, and the assistants to be told about; committed by the time it returns."""
        assert sender.read is not None
        now = self._clock()
        try:
            delivery = sender.read(hook, now)
        except NotAllowed as error:
            unsigned = bool(error.values.get("unsigned"))
            code, status = ("not_signed", 401) if unsigned else ("not_believed", 403)
            raise Refused(error.message, code=code, status=status) from error
        if self._desk.is_known(sender.name, delivery.marks):
            return 200, {"status": "already"}, []
        concerns = self._desk.concerns(delivery)
        acted = not concerns and sender.act is not None and sender.act(hook, now)
        if not concerns and not acted:
            said = delivery.said or "nothing of ours changed: no source is there, or no path of one is meant"
            return 200, {"status": "nothing", "reason": said}, []
        new = self._desk.take(sender.name, delivery.marks, concerns)
        if new is None:
            return 200, {"status": "already"}, []
        _log.info("%s: %d of %d changes are new", sender.name, len(new), len(concerns))
        return 202, {"status": "taken", "changes": len(concerns)}, sorted({one.assistant for one in concerns})


def _said(error: RatchetError) -> str:
    """Why, in words of ours: what names a field was sent by somebody."""
    word = error.word if isinstance(error, Refused) else error.code
    return word if word == "invalid_value" else f"{word}: {error.message}"


def _headers(request: Request) -> dict[str, str]:
    """Raises Refused where one that decides comes twice: a proxy may have looked at the other."""
    counts = Counter(name.lower() for name, _ in request.headers.items())
    if any(count > 1 and name.startswith(DECIDING) for name, count in counts.items()):
        raise Refused("A header that decides is there twice.", code="ambiguous_header")
    return dict(request.headers.items())


async def _body(request: Request, max_bytes: int) -> bytes:
    """The body as it came. Raises Refused: 413 as soon as it is too large, 400 when it is empty or breaks off."""
    length = request.headers.get("content-length", "")
    too_large = Refused(f"A webhook has at most {max_bytes:,} bytes.", code="too_large", status=413)
    if length.isdecimal() and int(length[:20]) > max_bytes:
        raise too_large
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > max_bytes:
            raise too_large
        parts.append(part)
    if not size:
        raise Refused("The body is empty.", code="empty_body")
    return b"".join(parts)


def in_own_loop(work: Callable[[], Awaitable[bool]], lane: Lane) -> Awaitable[bool]:
    """Runs asynchronous work that also blocks, on a thread of the lane with a loop of its own."""

    async def alone() -> bool:
        return await work()

    return lane.run(lambda: asyncio.run(alone()))
