import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest
from pydantic import SecretStr
from service_fakes import FakeDesk, manifest, running, wait_until

from infra.service.app import ServiceLimits, create_app

http = httpx.Client()  # one for all: making one costs more than asking
ASK = [{"role": "user", "content": "How hot?"}]


@pytest.fixture(scope="module", autouse=True)
def _closing() -> Iterator[None]:
    yield
    http.close()


@pytest.fixture
def desk() -> FakeDesk:
    desk = FakeDesk()
    desk.promote(manifest(1))
    return desk


@pytest.fixture
def address(desk: FakeDesk) -> Iterator[str]:
    with running(create_app(desk)) as address:
        yield address


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    """One server for all tests that get no answer."""
    desk = FakeDesk()
    desk.promote(manifest(1))
    with running(create_app(desk)) as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client


def post(address: str, **body: object) -> httpx.Response:
    return http.post(f"{address}/v1/chat/completions", json={"model": "default", "messages": ASK, **body})


def error_of(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["x-request-id"]
    error: dict[str, Any] = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_plain_answer_names_its_release_and_its_sources(client: Any, desk: FakeDesk) -> None:
    release = desk.pointer["default"]
    answer = client.chat.completions.create(model="default", messages=ASK, temperature=0.3, max_tokens=9)
    [choice] = answer.choices
    assert choice.message.content == "Snapshot 1 says so.  Twice [2]."
    assert choice.finish_reason == "stop"
    assert (answer.model, answer.system_fingerprint) == (f"default@{release}", release)
    assert answer.usage.total_tokens == 100 + 7
    assert answer.ratchet == {
        "release": release,
        "snapshot": 1,
        "pattern": "rag",
        "as_of": "2026-01-02T03:04:05.000+00:00",
        "unproven": True,
        "citations": [
            {
                "marker": 2,
                "document": "page-2.md",
                "chunk": "c-1-2",
                "quote": "Snapshot 1, How hot?.",
                "score": 1 / 2,
            }
        ],
        "abstained": False,
        "abstained_because": None,
    }
    [annotation] = choice.message.annotations
    cited = annotation.url_citation
    assert choice.message.content[cited.start_index : cited.end_index] == "[2]"
    assert cited.url == "page-2.md"


def test_a_stream_says_exactly_the_plain_text_and_ends_with_its_sources(client: Any) -> None:
    plain = client.chat.completions.create(model="default", messages=ASK)
    chunks = list(client.chat.completions.create(model="default", messages=ASK, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == plain.choices[0].message.content
    assert len(chunks) == 1 + 6 + 1  # the role, six words, the end
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
    assert chunks[-1].ratchet == plain.ratchet
    assert chunks[-1].choices[0].delta.annotations[0]["type"] == "url_citation"
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_counts_its_tokens_when_asked_to(client: Any) -> None:
    options = {"include_usage": True}
    *others, last = client.chat.completions.create(model="default", messages=ASK, stream=True, stream_options=options)
    assert (last.choices, last.usage.total_tokens) == ([], 107)
    assert all(chunk.usage is None for chunk in others)


def test_a_stream_ends_with_done_and_is_not_buffered(address: str) -> None:
    response = post(address, stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    assert response.text.endswith("\n\ndata: [DONE]\n\n")
    assert all(line.startswith("data: ") for line in response.text.split("\n") if line)


def test_the_text_of_a_stream_keeps_every_space_and_line(client: Any, desk: FakeDesk) -> None:
    desk.told["How hot?"] = "\n One\n\n  two — grüße 日本\t\n"
    chunks = client.chat.completions.create(model="default", messages=ASK, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == desk.told["How hot?"]


def test_the_last_user_turn_is_the_question(client: Any, desk: FakeDesk) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "First?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": [{"type": "text", "text": " Sec"}, {"type": "text", "text": "ond? "}]},
    ]
    client.chat.completions.create(model="default", messages=turns)
    assert desk.asked == ["Second?"]


def test_an_answer_at_the_limit_of_tokens_says_so(desk: FakeDesk, client: Any) -> None:
    short = manifest(1)
    desk.promote(short.model_copy(update={"limits": short.limits.model_copy(update={"max_new_tokens": 7})}))
    assert client.chat.completions.create(model="default", messages=ASK).choices[0].finish_reason == "length"


def test_an_older_release_is_asked_by_name(client: Any, desk: FakeDesk) -> None:
    old = desk.pointer["default"]
    desk.promote(manifest(2))
    assert client.chat.completions.create(model=f"default@{old}", messages=ASK).ratchet["snapshot"] == 1
    assert client.chat.completions.create(model="default", messages=ASK).ratchet["snapshot"] == 2


def test_promotions_and_rollbacks_under_load_drop_and_mix_nothing(client: Any, desk: FakeDesk) -> None:
    one, two = manifest(1), manifest(2)
    stop = threading.Event()

    def swap() -> None:
        while not stop.wait(0.001):
            desk.promote(two if desk.pointer["default"] == one.id else one)

    def ask(n: int) -> tuple[str, int, str, str]:
        if n % 2:
            answer = client.chat.completions.create(model="default", messages=ASK)
            text, ratchet = answer.choices[0].message.content, answer.ratchet
        else:
            chunks = list(client.chat.completions.create(model="default", messages=ASK, stream=True))
            text, ratchet = "".join(c.choices[0].delta.content or "" for c in chunks), chunks[-1].ratchet
        return ratchet["release"], ratchet["snapshot"], text.split()[1], ratchet["citations"][0]["chunk"]

    swapping = threading.Thread(target=swap)
    swapping.start()
    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(ask, range(120)))
    stop.set()
    swapping.join()
    assert answers == {(one.id, 1, "1", "c-1-2"), (two.id, 2, "2", "c-2-2")}


# ── models, search, health ───────────────────────────────────────────────────────────────────────────────────────────


def test_models_are_assistants_and_their_releases(client: Any, desk: FakeDesk) -> None:
    other = desk.promote(manifest(3, "other"))
    assert [model.id for model in client.models.list()] == ["default", "other"]
    model = client.models.retrieve(f"other@{other}")
    assert (model.id, model.object, model.owned_by) == (f"other@{other}", "model", "ratchet")
    assert model.ratchet["snapshot"] == 3
    assert model.created == 1767323045  # 2026-01-02T03:04:05Z
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("nobody")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_search_is_retrieval_of_the_current_release(address: str, desk: FakeDesk) -> None:
    found = http.get(f"{address}/v1/search", params={"q": "heat & light", "k": 3}).json()
    assert (found["snapshot"], found["release"]) == (1, desk.pointer["default"])
    assert found["contexts"][2] == {
        "document": "page-3.md",
        "chunk": "c-1-3",
        "text": "Snapshot 1, heat & light.",
        "score": 1 / 3,
    }
    assert len(http.get(f"{address}/v1/search", params={"q": "heat"}).json()["contexts"]) == 2  # the release's k


def test_search_can_be_narrowed_to_documents_and_headings(address: str) -> None:
    found = http.get(f"{address}/v1/search?q=x&k=3&document=page-7*&document=page-5.md").json()["contexts"]
    assert [context["document"] for context in found] == ["page-5.md", "page-7.md", "page-70.md"]
    assert http.get(f"{address}/v1/search?q=x&heading=Pa*").json()["contexts"] != []
    assert http.get(f"{address}/v1/search?q=x&heading=pa*").json()["contexts"] == []


def test_search_asks_which_assistant_when_there_are_several(desk: FakeDesk) -> None:
    lonely = FakeDesk()
    lonely.promote(manifest(1, "a"))
    with running(create_app(lonely)) as address:
        assert http.get(f"{address}/v1/search?q=x").status_code == 200
        lonely.promote(manifest(1, "b"))
        assert error_of(http.get(f"{address}/v1/search?q=x"))["code"] == "model_required"
        assert http.get(f"{address}/v1/search?q=x&model=b").json()["snapshot"] == 1


def test_ready_once_there_is_a_release_and_healthy_before(desk: FakeDesk) -> None:
    with running(create_app(FakeDesk())) as address:
        assert http.get(f"{address}/healthz").json() == {"status": "ok"}
        response = http.get(f"{address}/readyz")
        assert response.status_code == 503
        assert error_of(response)["code"] == "not_ready"
        assert error_of(post(address))["code"] == "model_not_found"
    with running(create_app(desk)) as address:
        assert http.get(f"{address}/readyz").json() == {"status": "ready", "assistants": ["default"]}


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"model": 5}, "model", "invalid_value"),
        ({"model": "nobody"}, "model", "model_not_found"),
        ({"model": "default@r-none"}, "model", "model_not_found"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": "hello"}, "messages", "invalid_value"),
        ({"messages": [{"content": "x"}]}, "messages.0.role", "invalid_value"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "user", "content": "x" * 4001}]}, "messages", "string_above_max_length"),
        ({"n": 2}, "n", "unsupported"),
        ({"tools": [{"type": "function"}]}, "tools", "unsupported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(refusing: str, body: dict[str, Any], param: str, code: str) -> None:
    response = post(refusing, **body)
    assert response.status_code == (404 if code == "model_not_found" else 400)
    error = error_of(response)
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "unknown_url"),
        ("POST", "/v1/feedbacks", 404, "unknown_url"),
        ("GET", "/metrics", 404, "unknown_url"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("GET", "/v1/search", 400, "invalid_value"),
        ("GET", "/v1/search?q=", 400, "invalid_value"),
        ("GET", "/v1/search?q=x&k=0", 400, "invalid_value"),
        ("GET", "/v1/search?q=x&k=many", 400, "invalid_value"),
        ("GET", f"/v1/search?q={'x' * 4001}", 400, "string_above_max_length"),
        ("GET", "/v1/search?q=x&model=nobody", 404, "model_not_found"),
    ],
)
def test_every_error_is_in_the_envelope(refusing: str, method: str, path: str, status: int, code: str) -> None:
    response = http.request(method, refusing + path)
    assert (response.status_code, error_of(response)["code"]) == (status, code)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b'{"model": "\\ud800"}'])
def test_malformed_json_is_refused(refusing: str, body: bytes) -> None:
    response = http.post(f"{refusing}/v1/chat/completions", content=body)
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("chunked", [False, True])
def test_an_oversized_request_is_refused_however_it_is_sent(desk: FakeDesk, chunked: bool) -> None:
    body = json.dumps({"model": "default", "messages": ASK, "metadata": "x" * 5000}).encode()
    pieces = iter([body[:2000], body[2000:]])
    with running(create_app(desk, limits=ServiceLimits(max_body_bytes=5000))) as address:
        response = http.post(f"{address}/v1/chat/completions", content=pieces if chunked else body)
        assert (response.status_code, error_of(response)["code"]) == (413, "request_too_large")


def test_an_unexpected_failure_tells_no_details_but_an_id(client: Any) -> None:
    with pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": "Break"}],
            extra_headers={"x-request-id": "mine-1"},
        )
    assert failed.value.request_id == "mine-1"
    assert "secret" not in failed.value.message
    assert "mine-1" in failed.value.message


def test_every_answer_has_an_id_and_a_strange_one_is_replaced(refusing: str) -> None:
    assert http.get(f"{refusing}/healthz").headers["x-request-id"].startswith("req_")
    assert http.get(f"{refusing}/healthz", headers={"x-request-id": "a" * 200}).headers["x-request-id"][:4] == "req_"


def test_without_the_key_only_health_is_told(desk: FakeDesk) -> None:
    with running(create_app(desk, api_key=SecretStr("sesame"))) as address:
        for key in ({}, {"authorization": "Bearer wrong"}, {"authorization": "sesame"}):
            response = http.get(f"{address}/v1/models", headers=key)
            assert (response.status_code, error_of(response)["code"]) == (401, "invalid_api_key")
        assert http.get(f"{address}/v1/nothing").status_code == 401
        assert http.get(f"{address}/healthz").status_code == 200
        assert http.get(f"{address}/readyz").status_code == 200
        with openai.OpenAI(base_url=f"{address}/v1", api_key="sesame", max_retries=0) as client:
            assert client.models.list().data[0].id == "default"


def waiting(desk: FakeDesk, address: str, pool: ThreadPoolExecutor, question: str) -> Future[httpx.Response]:
    return pool.submit(post, address, messages=[{"role": "user", "content": question}])


def test_more_questions_than_there_is_room_for_are_turned_away(desk: FakeDesk) -> None:
    limits = ServiceLimits(answering_threads=1, answers_waiting=1)
    with running(create_app(desk, limits=limits)) as address, ThreadPoolExecutor(3) as pool:
        asked = [waiting(desk, address, pool, f"Wait {n}") for n in range(3)]
        wait_until(lambda: any(one.done() for one in asked))
        assert http.get(f"{address}/v1/search?q=x").status_code == 200  # reading does not wait behind answers
        desk.gate.set()
        responses = [one.result() for one in asked]
    assert sorted(response.status_code for response in responses) == [200, 200, 503]
    [refused] = [response for response in responses if response.status_code == 503]
    assert (error_of(refused)["code"], refused.headers["retry-after"]) == ("too_busy", "1")


def test_a_caller_who_hangs_up_while_waiting_is_not_answered(desk: FakeDesk) -> None:
    app = create_app(desk, limits=ServiceLimits(answering_threads=1, answers_waiting=1))
    with running(app) as address, ThreadPoolExecutor(2) as pool:
        first = waiting(desk, address, pool, "Wait")
        wait_until(lambda: desk.asked == ["Wait"])
        hang_up(address, "Nobody hears this")

        def admitted() -> bool:  # there is room in the line again: whoever is admitted waits for the gate
            last.append(waiting(desk, address, pool, "Last"))
            with suppress(TimeoutError):
                return bool(last[-1].result(0.5).status_code != 503)
            return True

        last: list[Future[httpx.Response]] = []
        wait_until(admitted)
        desk.gate.set()
        assert first.result().status_code == last[-1].result().status_code == 200
    assert desk.asked == ["Wait", "Last"]


def hang_up(address: str, question: str) -> None:
    server = urlsplit(address)
    leaving = HTTPConnection(server.hostname or "", server.port)
    messages = [{"role": "user", "content": question}]
    leaving.request("POST", "/v1/chat/completions", json.dumps({"model": "default", "messages": messages}))
    threading.Event().wait(0.2)  # so that it stands in line
    assert leaving.sock is not None
    leaving.sock.shutdown(socket.SHUT_RDWR)
    leaving.close()
