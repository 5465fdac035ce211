"""The answer service: OpenAI's wire format in front of a Desk. A request pins one release, and its answer names it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import SecretStr

from infra.service.chat_answer import Json, Reply, released
from infra.service.chat_request import check_length, question_in, read_body, read_chat_request, wants_it_anew
from infra.service.desk import Desk, Served
from infra.service.door import BearerKey, RequestIds
from infra.service.envelope import Refused, envelope, install
from infra.service.feedback_request import as_json, read_feedback
from infra.service.lanes import Lane, while_connected
from tasks.core.errors import IntegrityFailure, NotFound, RatchetError
from tasks.retrieval import for_one_search

_log = logging.getLogger("ratchet.service")


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """Bounds of one service process."""

    max_body_bytes: int = 1024 * 1024
    max_question_characters: int = 4000
    answering_threads: int = 1  # one answer at a time uses every core already
    answers_waiting: int = 32
    reading_threads: int = 4  # searches and look-ups do not wait behind answers
    reads_waiting: int = 64
    notes_waiting: int = 1024  # answers that are still to be remembered, and feedback


def create_app(desk: Desk, *, api_key: SecretStr | None = None, limits: ServiceLimits | None = None) -> FastAPI:
    """The service. Without a key it is open to whoever reaches the port."""
    counter = _Counter(desk, limits or ServiceLimits())
    app = FastAPI(title="Ratchet", docs_url=None, redoc_url=None, openapi_url=None, lifespan=counter.open)
    app.include_router(counter.routes())
    install(app)
    if api_key is not None:
        app.add_middleware(BearerKey, key=api_key)
    app.add_middleware(RequestIds)  # added last, so outermost: a refused key has an id too
    return app


class _Counter:
    """The routes, and the threads behind them."""

    def __init__(self, desk: Desk, limits: ServiceLimits) -> None:
        self._desk = desk
        self._limits = limits
        self._answers = Lane("answer", threads=limits.answering_threads, waiting=limits.answers_waiting)
        # One thread, so feedback on an answer comes behind the remembering of it; and a catalog that is busy being
        # written to keeps no answer waiting.
        self._notes = Lane("note", threads=1, waiting=limits.notes_waiting)
        self._noting: set[asyncio.Future[None]] = set()
        self._reads = Lane("read", threads=limits.reading_threads, waiting=limits.reads_waiting)

    @asynccontextmanager
    async def open(self, _app: FastAPI) -> AsyncIterator[None]:
        """Closes the threads at the end."""
        yield
        await asyncio.gather(*self._noting)
        self._notes.close()
        self._answers.close()
        self._reads.close()

    def routes(self) -> APIRouter:
        """Every route there is."""
        router = APIRouter()
        router.add_api_route("/v1/chat/completions", self.chat, methods=["POST"], response_model=None)
        router.add_api_route("/v1/models", self.models, methods=["GET"])
        router.add_api_route("/v1/models/{model}", self.model, methods=["GET"])
        router.add_api_route("/v1/search", self.search, methods=["GET"])
        router.add_api_route("/v1/feedback", self.feedback, methods=["POST"])
        router.add_api_route("/healthz", self.health, methods=["GET"])
        router.add_api_route("/readyz", self.ready, methods=["GET"], response_model=None)
        return router

    async def chat(self, request: Request) -> Response:
        """One answer, plain or as a stream."""
        asked = read_chat_request(await read_body(request, self._limits.max_body_bytes))
        question = question_in(asked, self._limits.max_question_characters)
        served, anew = await self._pin(asked.model), wants_it_anew(request)
        work = self._answers.run(lambda: self._desk.answer(served.manifest, question, anew=anew))
        answer = await while_connected(request, work)
        if answer.release != served.manifest.id:
            raise IntegrityFailure(f"{answer.release} answered a question that was put to {served.manifest.id}.")
        reply = Reply(f"chatcmpl-{uuid4().hex}", int(time.time()), served, answer)
        self._remember(reply)
        if not asked.stream:
            return JSONResponse(reply.completion())
        # Citations and support are checked on the whole text and may turn it into an abstention, so what is streamed
        # is the checked text, in pieces: never a word that would have to be taken back.
        return StreamingResponse(
            reply.server_sent_events(asked.include_usage),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )

    async def models(self) -> Json:
        """Every assistant that has a current release."""
        names = await self._reads.run(self._desk.assistants)
        return {"object": "list", "data": [_model(name, await self._pin(name)) for name in names]}

    async def model(self, model: str) -> Json:
        """One assistant, or one of its releases."""
        return _model(model, await self._pin(model))

    async def search(
        self,
        q: Annotated[str, Query(min_length=1)],
        k: Annotated[int | None, Query(ge=1, le=50)] = None,
        model: str | None = None,
        document: Annotated[list[str] | None, Query()] = None,
        heading: Annotated[list[str] | None, Query()] = None,
    ) -> Json:
        """Retrieval alone. k: passages wanted, by default as many as the release shows its model.

        document, heading: globs, in the place of the release's own; each may be given several times.
        """
        check_length(q, self._limits.max_question_characters, "q")
        served = await self._pin(model or await self._only_assistant())
        own = served.manifest.retrieval
        settings = for_one_search(own, k or own.k or 1, document or (), heading or ())
        found = await self._reads.run(lambda: self._desk.search(served.manifest, q, settings))
        contexts = [{"document": p.document, "chunk": p.chunk, "text": p.text, "score": p.score} for p in found]
        return {"snapshot": served.manifest.snapshot.number, "release": served.manifest.id, "contexts": contexts}

    async def feedback(self, request: Request) -> Json:
        """What somebody says of an answer."""
        said = read_feedback(await read_body(request, self._limits.max_body_bytes))
        return as_json(await self._notes.run(lambda: self._desk.take(said)))

    async def health(self) -> Json:
        """The process is there."""
        return {"status": "ok"}

    async def ready(self) -> Response:
        """Whether a question could be answered now."""
        names = await self._reads.run(self._desk.assistants)
        if not names:
            return envelope(503, "No assistant has a release yet. Run `ratchet ingest` first.", code="not_ready")
        return JSONResponse({"status": "ready", "assistants": list(names)})

    def _remember(self, reply: Reply) -> None:
        """Behind the answer's back: what cannot be remembered is answered all the same."""

        async def note() -> None:
            try:
                await self._notes.run(lambda: self._desk.remember(reply.remembered()))
            except RatchetError as error:
                _log.warning("%s cannot be given feedback on: %s", reply.id, error.message)

        noting = asyncio.ensure_future(note())
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)

    async def _pin(self, model: str) -> Served:
        """The release this request is about: read once, here, and passed on from here."""
        assistant, _, release = model.partition("@")
        try:
            if release:
                return await self._reads.run(lambda: self._desk.release(assistant, release))
            return await self._reads.run(lambda: self._desk.current(assistant))
        except NotFound as error:
            raise Refused(error.message, code="model_not_found", param="model", status=404) from error

    async def _only_assistant(self) -> str:
        names = await self._reads.run(self._desk.assistants)
        if len(names) == 1 or "default" in names:
            return names[0] if len(names) == 1 else "default"
        message = f"model: say which assistant to search: {', '.join(names) or 'none has a release yet'}."
        raise Refused(message, code="model_required", param="model")


def _model(name: str, served: Served) -> Json:
    created = int(datetime.fromisoformat(served.as_of).timestamp())
    return {"id": name, "object": "model", "created": created, "owned_by": "ratchet", "ratchet": released(served)}
