"""OpenAI's embeddings endpoint on a local port: real HTTP, strict about requests, with one fault per request if asked.

A text's vector is drawn from its hash, so the same text has the same vector, and no two texts share one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from http_fake import QuietHandler, serving

KEY = "sk-test"
MODELS = {"text-embedding-3-small": 1536, "tiny-embedding": 8}
ALLOWED = {"input", "model", "encoding_format", "dimensions", "user"}
MAX_TEXTS = 2048
MAX_TOKENS = 8192
MAX_REQUEST_TOKENS = 300_000


@dataclass(frozen=True)
class Fault:
    """What one request is answered with instead; `spoil` changes the true answer."""

    status: int = 200
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    spoil: str = ""
    seconds: float = 0.0


@dataclass
class EmbeddingsServer:
    """faults are used up in order; requests are what arrived."""

    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    floats: bool = False  # answers with lists, whatever was asked

    @property
    def texts_per_request(self) -> list[int]:
        return [len(request["input"]) for request in self.requests]


def true_vector(text: str, dimensions: int) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    vector = np.random.default_rng(seed).standard_normal(dimensions)
    return vector / np.linalg.norm(vector)


def tokens(text: str) -> int:
    """The worst a byte-level tokenizer can do."""
    return len(text.encode())


@contextmanager
def embeddings_server() -> Iterator[EmbeddingsServer]:
    state = EmbeddingsServer()
    with serving(_Handler, state) as address:
        state.url = f"{address}/v1"
        yield state


class _Handler(QuietHandler):
    state: EmbeddingsServer

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.state.requests.append(request)
        fault = self.state.faults.pop(0) if self.state.faults else Fault()
        time.sleep(fault.seconds)
        status, body = self._checked(request)
        if fault.status != 200:
            status, body = fault.status, _error(f"fault {fault.status}", fault.code)
        if status == 200:
            body = _spoilt(body, fault.spoil)
        self._send(status, json.dumps(body) if fault.spoil != "html" else "<html>proxy</html>", fault)

    def _checked(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        texts = request.get("input", [])
        if self.path != "/v1/embeddings":
            return 404, _error(f"no {self.path}")
        if self.headers["authorization"] != f"Bearer {KEY}":
            return 401, _error("Incorrect API key provided", "invalid_api_key")
        if request.get("model") not in MODELS:
            return 404, _error(f"The model {request.get('model')} does not exist", "model_not_found")
        if set(request) - ALLOWED or not 1 <= len(texts) <= MAX_TEXTS or not all(texts):
            return 400, _error("invalid request")
        if max(map(tokens, texts)) > MAX_TOKENS or sum(map(tokens, texts)) > MAX_REQUEST_TOKENS:
            return 400, _error("too many tokens")
        return 200, self._answer(request)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        dimensions = request.get("dimensions", MODELS[request["model"]])
        data = []
        for index, text in enumerate(request["input"]):
            vector = (3 * true_vector(text, dimensions)).astype("<f4")  # not of unit length
            coded = base64.b64encode(vector.tobytes()).decode()
            as_asked = (
                coded if request.get("encoding_format") == "base64" and not self.state.floats else vector.tolist()
            )
            data.append({"object": "embedding", "index": index, "embedding": as_asked})
        total = sum(map(tokens, request["input"]))
        usage = {"prompt_tokens": total, "total_tokens": total}
        return {"object": "list", "model": request["model"], "data": data, "usage": usage}

    def _send(self, status: int, body: str, fault: Fault) -> None:
        self.send_response(status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "text/html" if fault.spoil == "html" else "application/json")
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


def _error(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


def _spoilt(body: dict[str, Any], spoil: str) -> dict[str, Any]:
    data = body["data"]
    if spoil == "missing":
        data.pop()
    if spoil == "twice":
        data[-1]["index"] = 0
    if spoil == "shuffled":
        data.reverse()
    if spoil == "nan":
        data[0]["embedding"] = [float("nan")] * 8
    if spoil == "zero":
        data[0]["embedding"] = [0.0] * 8
    if spoil == "short":
        data[0]["embedding"] = [1.0] * 7
    if spoil == "garbled":
        data[0]["embedding"] = "not base64!"
    return body
