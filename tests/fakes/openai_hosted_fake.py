"""OpenAI's files, fine-tuning jobs, models and chat on a local port: real HTTP before `hosted_vendor.Vendor`.

Every request that arrives and every true answer is held against the API's description; what does not fit is in
`violations`. Chat answers come from a ReadingModel, and only for models that were made here.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from api_schema import wrong_answer, wrong_request
from chat_fakes import ReadingModel
from hosted_vendor import AFTER, RETRY_AFTER, Fault, Refused, Vendor
from http_fake import QuietHandler, serving
from openai_embeddings_fake import KEY

from tasks.core.hosted_jobs import MARK
from tasks.core.ports import Message

JOBS = "/fine_tuning/jobs"


@dataclass
class HostedServer:
    """silence_seconds: how long a request waits for its answer, once, per operation."""

    vendor: Vendor
    url: str = ""
    reader: ReadingModel = field(default_factory=ReadingModel)
    violations: list[str] = field(default_factory=list)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)  # (method, path, body)
    silence_seconds: dict[str, float] = field(default_factory=dict)
    page: int = 100
    usage: bool = True
    chat_refuses: frozenset[str] = frozenset()
    chat_faults: list[int] = field(default_factory=list)  # statuses
    lock: Any = field(default_factory=threading.RLock)

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a Ratchet that trains here."""
        told = {"BASE_MODEL": "tiny-base", "BASE_URL": self.url, "API_KEY": KEY, "BUDGET_USD": "1"}
        told |= {"USD_PER_MILLION_TOKENS": "3", "POLL_SECONDS": "0.05"}
        return {f"RATCHET_HOSTED_{name}": value for name, value in told.items()}

    def sent(self, method: str, path: str) -> list[Any]:
        return [body for m, p, body in self.requests if (m, p) == (method, path)]


@contextmanager
def hosted_server(vendor: Vendor | None = None) -> Iterator[HostedServer]:
    state = HostedServer(vendor or Vendor())
    with serving(_Handler, state) as address:
        state.url = f"{address}/v1"
        yield state


class _Handler(QuietHandler):
    state: HostedServer
    wbufsize = 1 << 16  # an answer in one packet: in two, the second waits 40 ms for the client's acknowledgement

    def do_GET(self) -> None:
        self._serve(None)

    def do_DELETE(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        self._serve(self.rfile.read(size) if size else None)

    # ── one request ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _serve(self, raw: bytes | None) -> None:
        split = urlsplit(self.path)
        path, query = split.path.removeprefix("/v1"), {k: v[-1] for k, v in parse_qs(split.query).items()}
        kind = (self.headers.get("content-type") or "").split(";")[0]
        body = _read(raw, kind, self.headers.get("content-type") or "")
        chat = path == "/chat/completions"
        operation = _operation(self.command, path)
        with self.state.lock:
            self.state.requests.append((self.command, path, body))
            self.state.vendor.calls.append(operation)
            if not chat:
                self._note("request", wrong_request(self.command, path, query, body, kind))
            fault = self.state.vendor.fault(operation)
            done = fault is None or fault in AFTER
            status, answer = self._done(operation, path, query, body) if done else (500, _error("fault"))
            if not chat and done:
                self._note("answer", wrong_answer(self.command, path, status, answer))
        time.sleep(self.state.silence_seconds.pop(operation, 0.0))
        if chat and status == 200 and body.get("stream"):
            self._stream(answer)
        else:
            self._send(status, json.dumps(answer), fault if status == 200 or not done else None)

    def _note(self, what: str, wrong: list[str]) -> None:
        self.state.violations += [f"{what} {self.command} {self.path}: {one}" for one in wrong]

    def _done(self, operation: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if self.headers.get("authorization") != f"Bearer {KEY}":
            return 401, _error("Incorrect API key provided", "invalid_api_key")
        try:
            waiting = self.state.vendor.refusals.get(operation, [])
            if waiting:
                raise waiting.pop(0)
            return 200, self._answer(operation, path.split("/"), query, body)
        except Refused as refusal:
            return refusal.status, _error(refusal.message, refusal.code, refusal.param)

    def _answer(self, operation: str, parts: list[str], query: dict[str, str], body: Any) -> Any:
        vendor = self.state.vendor
        match operation:
            case "upload":
                return _file(vendor.upload(body["filename"], body["content"]))
            case "files":
                listed = [one for one in vendor.listed_files() if query.get("purpose", "fine-tune") == "fine-tune"]
                page = self._page([_file(one) for one in listed], query)
                return page | {"first_id": _edge(page, 0), "last_id": _edge(page, -1)}
            case "file":
                return _file(vendor.file(parts[2]))
            case "delete":
                vendor.files.pop(vendor.file(parts[2]).id)
                return {"id": parts[2], "object": "file", "deleted": True}
            case "create":
                return vendor.told(vendor.create(body))
            case "jobs":
                return self._page([vendor.told(one) for one in vendor.listed(query.get(f"metadata[{MARK}]"))], query)
            case "job":
                return vendor.told(vendor.job(parts[3]))
            case "cancel":
                return vendor.told(vendor.cancel(parts[3]))
            case "events":
                return self._page(vendor.events(vendor.job(parts[3])), query)
            case "checkpoints":
                page = self._page(vendor.checkpoints(vendor.job(parts[3])), query)
                return page | {"first_id": _edge(page, 0), "last_id": _edge(page, -1)}
            case "models":
                return {"object": "list", "data": [_model(name) for name in self._models()]}
            case "model":
                if "/".join(parts[2:]) not in self._models():
                    raise Refused(404, f"The model '{parts[2]}' does not exist", "model_not_found", "model")
                return _model(parts[2])
            case "chat":
                return self._chat(body)
        raise Refused(404, f"Unknown request URL: {operation}")

    def _page(self, whole: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        ids = [one["id"] for one in whole]
        start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
        size = min(int(query.get("limit", 20)), self.state.page)
        return {"object": "list", "data": whole[start : start + size], "has_more": start + size < len(whole)}

    # ── chat ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _models(self) -> list[str]:
        return self.state.vendor.models()

    def _chat(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.state.chat_faults:
            raise Refused(self.state.chat_faults.pop(0), "a passing fault")
        if body["model"] not in self._models():
            raise Refused(404, f"The model `{body['model']}` does not exist", "model_not_found", "model")
        for name in sorted(self.state.chat_refuses & body.keys()):
            raise Refused(400, f"Unsupported parameter: '{name}'", "unsupported_parameter", name)
        prompt = [Message(one["role"], one["content"]) for one in body["messages"]]
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or 1000
        [said] = self.state.reader.complete([prompt], max_new_tokens=limit)
        choice = {
            "index": 0,
            "finish_reason": "length" if said.completion_tokens >= limit else "stop",
            "message": {"role": "assistant", "content": said.text, "refusal": None},
            "logprobs": None,
        }
        total = said.prompt_tokens + said.completion_tokens
        used = {"prompt_tokens": said.prompt_tokens, "completion_tokens": said.completion_tokens, "total_tokens": total}
        answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"]}
        return answer | {"choices": [choice]} | ({"usage": used} if self.state.usage else {})

    def _stream(self, answer: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        head = {key: answer[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
        for piece in re.findall(r".{1,3}", answer["choices"][0]["message"]["content"], re.DOTALL):
            chunk = head | {"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    # ── sending ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _send(self, status: int, text: str, fault: Fault | None) -> None:
        headers: dict[str, str] = {}
        kind = "application/json"
        match fault:
            case "lost-before" | "lost-after":
                self.close_connection = True
                return
            case "500-before" | "500-after":
                status, text = 500, json.dumps(_error("The server had an error", None, kind="server_error"))
            case "409":
                status, text = 409, json.dumps(_error("Another request is being processed"))
            case "429" | "429-wait":
                status, text = 429, json.dumps(_error("Rate limit reached", "rate_limit_exceeded"))
                headers = {"retry-after": f"{RETRY_AFTER:g}"} if fault == "429-wait" else {}
            case "malformed":
                text = text[: len(text) // 2]
            case "html":
                text, kind = "<html>proxy</html>", "text/html"
        self.send_response(status)
        for name, value in (headers | {"content-type": kind, "content-length": str(len(text.encode()))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())


def _operation(method: str, path: str) -> str:
    match (method, *path.strip("/").split("/")):
        case ("POST", "files"):
            return "upload"
        case ("GET", "files"):
            return "files"
        case ("GET", "files", _):
            return "file"
        case ("DELETE", "files", _):
            return "delete"
        case ("POST", "fine_tuning", "jobs"):
            return "create"
        case ("GET", "fine_tuning", "jobs"):
            return "jobs"
        case ("GET", "fine_tuning", "jobs", _):
            return "job"
        case (_, "fine_tuning", "jobs", _, what):
            return what
        case ("GET", "models"):
            return "models"
        case ("GET", "models", *_):
            return "model"
        case ("POST", "chat", "completions"):
            return "chat"
    return f"{method} {path}"


def _read(raw: bytes | None, kind: str, header: str) -> Any:
    if raw is None:
        return None
    if kind == "application/json":
        return json.loads(raw)
    boundary = header.partition("boundary=")[2].strip('"').encode()
    fields: dict[str, Any] = {}
    for part in raw.split(b"--" + boundary)[1:-1]:
        head, _, content = part.strip(b"\r\n").partition(b"\r\n\r\n")
        [name] = re.findall(rb'name="([^"]*)"', head)[:1]
        fields[name.decode()] = content.decode()
        if found := re.findall(rb'filename="([^"]*)"', head):
            fields |= {"filename": found[0].decode(), "content": part.partition(b"\r\n\r\n")[2][:-2]}
    return _Upload(fields)


class _Upload(dict[str, Any]):
    """The parts of a form; the file's name and bytes beside them, and out of sight of the schema."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._beside = {key: fields.pop(key) for key in ("filename", "content") if key in fields}
        super().__init__(fields)

    def __missing__(self, key: str) -> Any:
        return self._beside[key]


def _file(file: Any) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.content),
        "created_at": int(file.at),
        "filename": file.name,
        "purpose": "fine-tune",
        "status": "processed",
    }


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1, "owned_by": "acme"}


def _edge(page: dict[str, Any], at: int) -> str:
    return page["data"][at]["id"] if page["data"] else ""


def _error(message: str, code: str | None = None, param: str | None = None, *, kind: str = "") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind or "invalid_request_error", "param": param, "code": code}}
