"""A chat request: its body within bounds, and the question in it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request
from pydantic import BaseModel, Field, JsonValue, StrictBool, StrictStr, ValidationError
from pydantic_core import from_json

from infra.service.envelope import Refused


class _TextPart(BaseModel):
    type: StrictStr
    text: StrictStr = ""


class _Turn(BaseModel):
    role: StrictStr
    content: StrictStr | list[_TextPart] | None = None


class _StreamOptions(BaseModel):
    include_usage: StrictBool | None = None


class _Format(BaseModel):
    type: StrictStr


class ChatRequest(BaseModel):
    """What the service reads of OpenAI's request. Sampling settings are accepted and ignored: the release decides."""

    model: Annotated[StrictStr, Field(min_length=1)]
    messages: Annotated[list[_Turn], Field(min_length=1)]
    stream: StrictBool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None
    logprobs: StrictBool | None = None
    tools: list[JsonValue] | None = None
    functions: list[JsonValue] | None = None
    response_format: _Format | None = None

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a chunk that counts tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body. Raises Refused with 413 when it is larger; most clients hear that only once they have sent it all."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= max_bytes:
            parts.append(part)
        elif size > 16 * max_bytes:
            break
    if size > max_bytes:
        raise Refused(f"The request is larger than {max_bytes:,} bytes.", code="request_too_large", status=413)
    return b"".join(parts)


def read_chat_request(body: bytes) -> ChatRequest:
    """The request. Raises Refused for what is malformed or asks for what no release can give."""
    try:
        found = from_json(body)
    except ValueError as error:
        raise Refused(f"The body is not JSON: {error}", code="invalid_json") from error
    try:
        asked = ChatRequest.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        raise Refused(f"{param or 'body'}: {first['msg']}", code="invalid_value", param=param) from error
    _refuse_what_no_release_gives(asked)
    return asked


def question_in(asked: ChatRequest, max_characters: int) -> str:
    """The last user turn; earlier turns are accepted and, for now, not part of the question."""
    turn = next((turn for turn in reversed(asked.messages) if turn.role == "user"), None)
    if turn is None:
        raise Refused("messages: none of them is the user's.", code="invalid_value", param="messages")
    if isinstance(turn.content, list) and any(part.type != "text" for part in turn.content):
        raise Refused("messages: only text can be answered.", code="invalid_value", param="messages")
    content = turn.content or ""
    question = (content if isinstance(content, str) else "".join(part.text for part in content)).strip()
    if not question:
        raise Refused("messages: the last question is empty.", code="invalid_value", param="messages")
    check_length(question, max_characters, "messages")
    return question


def wants_it_anew(request: Request) -> bool:
    """Whether the caller asks for an answer that was not kept from before, in HTTP's own words: `no-cache`."""
    said = ",".join(request.headers.getlist("cache-control"))
    return "no-cache" in {directive.strip().lower() for directive in said.split(",")}


def check_length(text: str, max_characters: int, param: str) -> None:
    """Raises Refused for a longer text."""
    if len(text) > max_characters:
        message = f"{param}: {len(text):,} characters are too many; the limit is {max_characters:,}."
        raise Refused(message, code="string_above_max_length", param=param)


def _refuse_what_no_release_gives(asked: ChatRequest) -> None:
    wanted = {
        "n": asked.n not in (None, 1),
        "logprobs": bool(asked.logprobs),
        "tools": bool(asked.tools),
        "functions": bool(asked.functions),
        "response_format": asked.response_format is not None and asked.response_format.type != "text",
    }
    for param, refused in wanted.items():
        if refused:
            message = f"{param} is not supported: a release answers once, in text."
            raise Refused(message, code="unsupported", param=param)
