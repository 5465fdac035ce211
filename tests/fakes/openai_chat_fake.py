"""OpenAI's chat completions on a local port: real HTTP, strict about requests, with one fault per request if asked.

It answers with what `lexical_reply` makes of the prompt, as a model would that is given JSON Schemas.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from http_fake import QuietHandler, serving
from judge_fakes import lexical_reply
from openai_embeddings_fake import KEY
from openai_embeddings_fake import Fault as EmbeddingFault

from tasks.core.ports import Message

MODELS = ("judge-mini",)
KNOWN = {"model", "messages", "response_format", "temperature", "seed", "max_completion_tokens", "max_tokens"}
PROMPT_TOKENS, COMPLETION_TOKENS = 200, 50


@dataclass(frozen=True)
class Fault(EmbeddingFault):
    """says: its message."""

    says: str = ""


@dataclass
class ChatServer:
    """faults are used up in order; requests are what arrived. refuses: parameters, and values of them, it knows not.

    by_name: whether it says in `param` which one it refuses, as OpenAI does, or in the message alone.
    """

    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    refuses: frozenset[str] = frozenset()
    by_name: bool = True
    usage: bool = True
    key: str = KEY


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    state = ChatServer()
    with serving(_Handler, state) as address:
        state.url = f"{address}/v1"
        yield state


class _Handler(QuietHandler):
    state: ChatServer

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.state.requests.append(request)
        fault = self.state.faults.pop(0) if self.state.faults else Fault()
        time.sleep(fault.seconds)
        status, body = self._checked(request)
        if fault.status != 200:
            status, body = fault.status, _error(fault.says or f"fault {fault.status}", code=fault.code)
        if status == 200:
            _spoil(body, fault.spoil)
        if fault.spoil == "hang up":
            self.close_connection = True
            return
        instead = {"html": "<html>proxy</html>", "no object": "[]"}
        with suppress(ConnectionError):  # whoever asked may not have waited
            self._send(status, instead.get(fault.spoil) or json.dumps(body), fault)

    def _checked(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.path != "/v1/chat/completions":
            return 404, _error(f"no {self.path}")
        if self.headers["authorization"] != f"Bearer {self.state.key}":
            return 401, _error("Incorrect API key provided", code="invalid_api_key")
        if request.get("model") not in MODELS:
            return 404, _error(f"The model {request.get('model')} does not exist", code="model_not_found")
        given = {**request, request.get("response_format", {}).get("type", ""): True}
        for name in sorted(self.state.refuses):
            if name in given:
                of = "response_format" if name.startswith("json_") else name
                return 400, _error(f"Unsupported parameter: {name}", param=of if self.state.by_name else None)
        if unknown := set(request) - KNOWN:
            return 400, _error(f"Unrecognized request argument: {unknown}")
        return 200, self._answer(request)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        prompt = [Message(turn["role"], turn["content"]) for turn in request["messages"]]
        schema = request.get("response_format", {}).get("json_schema")
        name = schema["name"] if schema else _named_by_the_prompt(prompt)
        message = {"role": "assistant", "content": lexical_reply(prompt, name), "refusal": None}
        used = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": COMPLETION_TOKENS, "total_tokens": 250}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": request["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": message, "logprobs": None}],
        } | ({"usage": used} if self.state.usage else {})

    def _send(self, status: int, body: str, fault: Fault) -> None:
        self.send_response(status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "text/html" if fault.spoil == "html" else "application/json")
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


def _named_by_the_prompt(prompt: list[Message]) -> str:
    shapes = {'"supported"': "judged_faithfulness", '"grade"': "judged_relevancy", '"found"': "judged_context_recall"}
    return next((name for word, name in shapes.items() if word in prompt[0].content), "judged_context_precision")


def _error(message: str, *, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def _spoil(body: dict[str, Any], spoil: str) -> None:
    choice = body["choices"][0]
    if spoil == "malformed":
        choice["message"]["content"] = "The answer is faithful, I would say 1.0."
    if spoil == "truncated":
        choice["message"]["content"] = choice["message"]["content"][:9]
        choice["finish_reason"] = "length"
    if spoil == "refusal":
        choice["message"] |= {"content": None, "refusal": "I cannot help with that."}
    if spoil == "filtered":
        choice["message"]["content"], choice["finish_reason"] = "", "content_filter"
    if spoil == "empty":
        choice["message"]["content"] = None
    if spoil == "parts":
        choice["message"]["content"] = [{"type": "text", "text": choice["message"]["content"]}]
    if spoil == "no message":
        choice["message"] = None
    if spoil == "no choice":
        body["choices"] = []
