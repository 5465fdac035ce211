"""Every refusal as OpenAI's clients expect it: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from tasks.core.errors import NotFound, RatchetError, UsageError, WorthRetrying

_log = logging.getLogger("ratchet.service")


class Refused(UsageError):
    """The request cannot be served as it is. `param` names the part, `code` is a stable word."""

    def __init__(self, message: str, *, code: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.word = code
        self.param = param
        self.status = status


def envelope(
    status: int,
    message: str,
    *,
    code: str,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The refusal as a response."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": param, "code": code}
    return JSONResponse({"error": error}, status, headers)


def install(app: FastAPI) -> None:
    """Makes the application answer every error in the envelope."""
    app.add_exception_handler(RatchetError, _ratchet_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _wrong_query)
    app.add_exception_handler(ClientDisconnect, _nobody_listens)
    app.add_exception_handler(Exception, _unexpected)


def _ratchet_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RatchetError)
    if isinstance(error, Refused):
        return envelope(error.status, error.message, code=error.word, param=error.param)
    if isinstance(error, WorthRetrying):
        return envelope(503, error.message, code=error.code, headers={"Retry-After": "1"})
    status = 404 if isinstance(error, NotFound) else 400 if isinstance(error, UsageError) else 500
    if status == 500:
        _log.error("%s %s: %s", request.state.request_id, error.code, error.message)
    return envelope(status, error.message, code=error.code)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        return envelope(404, f"There is nothing at {what}.", code="unknown_url")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        message = f"{what} is not possible; this is asked with {allowed}."
        return envelope(405, message, code="method_not_allowed", headers=error.headers)
    return envelope(error.status_code, str(error.detail), code="http_error", headers=error.headers)


def _wrong_query(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:])
    return envelope(400, f"{param}: {first['msg']}", code="invalid_value", param=param)


def _nobody_listens(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)


def _unexpected(request: Request, _error: Exception) -> Response:
    """The server logs the error itself; this response bypasses the door, so it carries the id on its own."""
    marked = str(request.state.request_id)
    message = f"Something went wrong that should not have. The server's log says what, under {marked}."
    return envelope(500, message, code="internal_error", headers={"x-request-id": marked})
