"""POST /v1/feedback as a client sees it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from service_fakes import FakeDesk, manifest, running

from infra.adapters.catalog.database import engine_for
from infra.adapters.catalog.feedback import CatalogFeedback
from infra.adapters.catalog.migrate import migrate
from infra.service.app import create_app
from tasks.core.feedback import Feedback, Response, Taken

http = httpx.Client()


@pytest.fixture(scope="module", autouse=True)
def _closing() -> Iterator[None]:
    yield
    http.close()


class KeepingDesk(FakeDesk):
    """The fake with a real catalog for what is remembered."""

    kept: CatalogFeedback

    def remember(self, response: Response) -> None:
        self.kept.remember(response)

    def take(self, feedback: Feedback) -> Taken:
        return self.kept.take(feedback)


@pytest.fixture(params=["fake", "catalog"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> FakeDesk:
    desk = FakeDesk() if request.param == "fake" else KeepingDesk()
    if isinstance(desk, KeepingDesk):
        engine = engine_for(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
        migrate(engine)
        desk.kept = CatalogFeedback(engine)
    desk.promote(manifest(1))
    return desk


@pytest.fixture
def address(desk: FakeDesk) -> Iterator[str]:
    with running(create_app(desk)) as address:
        yield address


def answered(address: str, question: str = "How hot?", **more: object) -> httpx.Response:
    body = {"model": "default", "messages": [{"role": "user", "content": question}], **more}
    return http.post(f"{address}/v1/chat/completions", json=body)


def say(address: str, **body: object) -> httpx.Response:
    return http.post(f"{address}/v1/feedback", json=body)


def test_feedback_on_an_answer_names_what_gave_it_and_counts_once(address: str, desk: FakeDesk) -> None:
    response = answered(address).json()["id"]
    said = {"response_id": response, "kind": "boolean", "value": True, "user": "ann"}
    first, second = say(address, **said).json(), say(address, **said).json()
    assert first | {"id": "", "became": None} == {
        "object": "feedback",
        "id": "",
        "counted": True,
        "became": None,
        "response_id": response,
        "release": desk.pointer["default"],
        "snapshot": 1,
        "pattern": "rag",
    }
    assert (second["id"], second["counted"]) == (first["id"], False)


def test_feedback_can_be_given_on_a_stream(address: str) -> None:
    lines = answered(address, stream=True).text.split("\n\n")
    response = json.loads(lines[0].removeprefix("data: "))["id"]
    assert say(address, response_id=response, kind="comment", value="Good.").json()["counted"]


def test_an_unknown_response_is_404_in_the_envelope(address: str) -> None:
    refused = say(address, response_id="chatcmpl-nobody", kind="boolean", value=True)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"kind": "boolean", "value": True}, "response_id"),
        ({"response_id": "x", "kind": "stars", "value": 5}, "kind"),
        ({"response_id": "x", "kind": "boolean", "value": 1}, "value"),
        ({"response_id": "x", "kind": "float", "value": True}, "value"),
        ({"response_id": "x", "kind": "float", "value": 1.5}, "value"),
        ({"response_id": "x", "kind": "comment", "value": " "}, "value"),
        ({"response_id": "x", "kind": "demonstration", "value": "\x00a"}, "value"),
        ({"response_id": "x", "kind": "demonstration", "value": "a" * 20_001}, "value"),
        ({"response_id": "x", "kind": "boolean", "value": True, "user": 7}, "user"),
        ({"response_id": "x", "kind": "boolean", "value": True, "rating": 1}, "rating"),
    ],
)
def test_what_is_no_feedback_is_refused_by_name(address: str, body: dict[str, Any], param: str) -> None:
    refused = say(address, **body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_malformed_json_is_refused(address: str) -> None:
    refused = http.post(f"{address}/v1/feedback", content=b"{")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_json")


def test_what_cannot_be_remembered_is_answered_all_the_same() -> None:
    desk = FakeDesk()
    desk.promote(manifest(1))
    with running(create_app(desk)) as address:
        answer = answered(address, "Forget")
        assert answer.status_code == 200
        assert say(address, response_id=answer.json()["id"], kind="boolean", value=True).status_code == 404


def test_feedback_needs_the_key_too() -> None:
    desk = FakeDesk()
    desk.promote(manifest(1))
    with running(create_app(desk, api_key=SecretStr("sesame"))) as address:
        assert say(address, response_id="x", kind="boolean", value=True).status_code == 401
