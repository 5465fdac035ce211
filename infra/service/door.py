"""What every request passes first: it gets an id, and shows its key. Plain ASGI, so that streams are not buffered."""

from __future__ import annotations

import hmac
import re
from uuid import uuid4

from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.service.envelope import envelope

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_USABLE_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class RequestIds:
    """Answers carry `x-request-id`: the caller's own where it is usable, otherwise a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = Headers(scope=scope).get("x-request-id", "")
        marked = given if _USABLE_ID.fullmatch(given) else f"req_{uuid4().hex}"
        scope.setdefault("state", {})["request_id"] = marked

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = marked
            await send(message)

        return await self._app(scope, receive, send_with_id)


class BearerKey:
    """Lets nobody in without the key, except to the health checks."""

    def __init__(self, app: ASGIApp, key: SecretStr) -> None:
        self._app = app
        self._expected = f"Bearer {key.get_secret_value()}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._shown(scope):
            return await self._app(scope, receive, send)
        message = "The API key is missing or wrong. Send it as `Authorization: Bearer KEY`."
        refusal = envelope(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        return await refusal(scope, receive, send)

    def _shown(self, scope: Scope) -> bool:
        given = Headers(scope=scope).get("authorization", "")
        return hmac.compare_digest(given.encode("latin-1"), self._expected)
