"""The receiver over real HTTP: what is signed and ours is committed before it is answered, once; nothing else is."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_fakes import running
from sqlalchemy import Engine, text
from webhook_fakes import (
    CERTIFICATE_URL,
    EVENTBRIDGE,
    GENERIC,
    GITHUB,
    GITLAB,
    OPENAI,
    TOKEN,
    TOPIC,
    A,
    Amazon,
    B,
    C,
    Sent,
    catalog_with,
    counted,
    from_eventbridge,
    from_github,
    from_sns,
    github_push,
    gitlab_push,
    s3_record,
    settings,
    standard,
    with_token,
)

from infra.adapters.catalog.hosted_jobs import CatalogHostedJobs
from infra.webhooks.app import ReceiverDesk, ReceiverLimits, Sender, create_receiver
from infra.webhooks.delivery import PONG
from infra.webhooks.open_receiver import receiver_of
from tasks.core.hosted_jobs import HostedJob

http = httpx.Client()
MAX_MIB = 0.01
amazon = Amazon()


class Place:
    """A running receiver and its catalog."""

    def __init__(self, address: str, engine: Engine) -> None:
        self.address, self.engine = address, engine

    def post(self, sender: str, sent: Sent) -> httpx.Response:
        headers, body = {name: value.encode("latin-1") for name, value in sent[0].items()}, sent[1]
        return http.post(f"{self.address}/hooks/{sender}", headers=headers, content=body)

    def told(self) -> list[tuple[str, str]]:
        """Assistant and source of every notice."""
        with self.engine.connect() as connection:
            rows = connection.execute(text("SELECT assistant, payload FROM outbox ORDER BY seq"))
            return [(assistant, json.loads(payload)["source"]) for assistant, payload in rows]

    def forget(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(text("DELETE FROM outbox"))
            connection.execute(text("DELETE FROM webhook_deliveries"))


@pytest.fixture(scope="module")
def one_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_API_URL", raising=False)
        asked = settings(tmp_path_factory.mktemp("hooks"), webhook_max_body_mib=MAX_MIB)
        engine = catalog_with(asked)
        with running(receiver_of(asked, fetch=amazon.fetch)) as address:
            yield Place(address, engine)
        http.close()


@pytest.fixture
def place(one_place: Place) -> Place:
    one_place.forget()
    amazon.fetched.clear()
    return one_place


# ── what is taken ────────────────────────────────────────────────────────────────────────────────────────────────────

TAKEN: dict[str, tuple[str, Any, list[tuple[str, str]]]] = {
    "github": ("github", lambda: from_github(github_push("handbook/a.md")), [("default", "docs"), ("other", "docs")]),
    "github, another path": ("github", lambda: from_github(github_push("src/x.py")), [("other", "docs")]),
    "gitlab signed": ("gitlab", lambda: standard(gitlab_push("handbook/a.md"), GITLAB), [("default", "docs")]),
    "gitlab token": ("gitlab", lambda: with_token(gitlab_push("handbook/a.md")), [("default", "docs")]),
    "sns 1": ("s3", lambda: from_sns(amazon.message(s3_record("pages/a+b.md"), version="1")), [("default", "faq")]),
    "sns 2": ("s3", lambda: from_sns(amazon.message(s3_record("pages/a.md"))), [("default", "faq")]),
    "sns deleted": (
        "s3",
        lambda: from_sns(amazon.message(s3_record("pages/%C3%BC.md", event="ObjectRemoved:Delete"), Subject="S3")),
        [("default", "faq")],
    ),
    "eventbridge": ("s3", lambda: from_eventbridge("pages/a b.md"), [("default", "faq")]),
    "generic by name": (
        "generic",
        lambda: standard({"assistant": "default", "source": "wiki"}, GENERIC),
        [("default", "wiki")],
    ),
    "generic by uri": ("generic", lambda: standard({"uri": "/srv/wiki/übung/a.md"}, GENERIC), [("default", "wiki")]),
}


@pytest.mark.parametrize(("sender", "make", "sources"), TAKEN.values(), ids=TAKEN)
def test_a_signed_change_of_ours_is_committed_once(
    place: Place, sender: str, make: Any, sources: list[tuple[str, str]]
) -> None:
    sent: Sent = make()
    answer = place.post(sender, sent)
    assert answer.status_code == 202, answer.text
    if "gitlab" in sender:  # the other assistant has the whole repository at its default branch, on the same host
        sources = [*sources, ("other", "docs")]
    assert place.told() == sources
    again = place.post(sender, sent)
    assert (again.status_code, again.json()) == (200, {"status": "already"})
    assert place.told() == sources


def test_the_second_of_two_secrets_is_as_good_while_one_is_exchanged(place: Place, tmp_path: Path) -> None:
    asked = settings(tmp_path, secrets={"github": f"{GITHUB}-old {GITHUB}-new"})
    catalog_with(asked)
    with running(receiver_of(asked)) as address:
        other = Place(address, place.engine)
        for secret, status in ((f"{GITHUB}-new", 202), (f"{GITHUB}-old", 200), (GITHUB, 403)):
            push = github_push("handbook/a.md", at=1.7e9 if status == 403 else None)
            assert other.post("github", from_github(push, secret=secret)).status_code in (status, 202)


def test_one_push_told_by_two_hooks_is_one_change(place: Place) -> None:
    push = github_push("handbook/a.md")
    assert place.post("github", from_github(push)).status_code == 202
    assert place.post("github", from_github(push | {"organization": {"id": 1}})).status_code == 202
    assert len(place.told()) == 2  # one per assistant


def test_pushing_back_and_forth_is_a_change_every_time(place: Place) -> None:
    moment = int(time.time())
    for turn, (before, after) in enumerate([(A, B), (B, A), (A, B)]):
        push = github_push("handbook/a.md", before=before, after=after, forced=True, at=moment - 30 + turn)
        assert place.post("github", from_github(push)).status_code == 202
    assert place.told().count(("default", "docs")) == 3


def test_an_object_told_by_sns_and_by_eventbridge_is_one_change(place: Place) -> None:
    place.post("s3", from_sns(amazon.message(s3_record("pages/a.md", sequencer="0A1"))))
    place.post("s3", from_eventbridge("pages/a.md", sequencer="0A1"))
    assert place.told() == [("default", "faq")]


def test_a_subscription_is_confirmed_at_an_address_made_here(place: Place) -> None:
    evil = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=another&Token=x"
    told = amazon.message("You have chosen", Type="SubscriptionConfirmation", Token="t0ken", SubscribeURL=evil)
    assert place.post("s3", from_sns(told)).status_code == 200
    [confirmed] = [url for url in amazon.fetched if not url.endswith(".pem")]
    assert httpx.URL(confirmed).host == "sns.eu-central-1.amazonaws.com"
    assert dict(httpx.URL(confirmed).params) == {
        "Action": "ConfirmSubscription",
        "TopicArn": TOPIC,
        "Token": "t0ken",
    }
    assert counted(place.engine) == (0, 0)


def test_a_webhook_about_a_job_of_ours_brings_the_next_look_at_it_forward_once(place: Place) -> None:
    jobs = CatalogHostedJobs(place.engine)
    row = HostedJob("default", "intent", "gpt", "supervised", 1, 0.0, 0.0, ("sha",), state="running", job="ftjob-ours")
    jobs.change("default", "intent", lambda _known, _others: row)
    sent = standard({"type": "fine_tuning.job.succeeded", "data": {"id": "ftjob-ours"}}, OPENAI, webhook="wh-1")
    assert (place.post("openai", sent).status_code, place.post("openai", sent).json()) == (202, {"status": "already"})
    found = jobs.job("default", "intent")
    assert found
    assert (found.webhooks, found.state, place.told()) == (("wh-1",), "running", [])
    assert found.nudged_at > time.time() - 60


# ── what is answered and means nothing ───────────────────────────────────────────────────────────────────────────────

NOTHING: dict[str, tuple[str, Any]] = {
    "github ping": ("github", lambda: from_github({"zen": "Keep it."}, event="ping")),
    "github issue": ("github", lambda: from_github({"action": "opened"}, event="issues")),
    "another repository": (
        "github",
        lambda: from_github(github_push("a.md") | {"repository": {"clone_url": "https://github.com/org/else"}}),
    ),
    "another branch": ("github", lambda: from_github(github_push("handbook/a.md", ref="refs/heads/next"))),
    "gitlab merge request": ("gitlab", lambda: standard({"object_kind": "merge_request"}, GITLAB)),
    "another bucket's key": ("s3", lambda: from_sns(amazon.message(s3_record("pages-old/a.md")))),
    "tags of an object": ("s3", lambda: from_sns(amazon.message(s3_record("pages/a.md", event="ObjectTagging:Put")))),
    "s3 test": ("s3", lambda: from_sns(amazon.message({"Service": "Amazon S3", "Event": "s3:TestEvent"}))),
    "eventbridge of others": ("s3", lambda: from_eventbridge("pages/a.md", source="aws.ec2")),
    "a source nobody has": ("generic", lambda: standard({"source": "nope"}, GENERIC)),
    "paths nobody wants": (
        "generic",
        lambda: standard({"assistant": "default", "source": "docs", "paths": ["a.pdf"]}, GENERIC),
    ),
    "a job of others": (
        "openai",
        lambda: standard({"type": "fine_tuning.job.succeeded", "data": {"id": "ftjob-x"}}, OPENAI),
    ),
}


@pytest.mark.parametrize(("sender", "make"), NOTHING.values(), ids=NOTHING)
def test_what_is_believed_and_not_ours_is_answered_and_leaves_no_row(place: Place, sender: str, make: Any) -> None:
    answer = place.post(sender, make())
    assert (answer.status_code, answer.json()["status"]) == (200, "nothing"), answer.text
    assert counted(place.engine) == (0, 0)


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


def changed(sent: Sent, **headers: str | None) -> Sent:
    """With other headers, by their names with underscores."""
    asked = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    kept = {name: value for name, value in sent[0].items() if name.lower() not in asked}
    return kept | {name: value for name, value in asked.items() if value is not None}, sent[1]


def other_body(sent: Sent) -> Sent:
    return sent[0], sent[1].replace(b"}", b" }", 1)


OLD = datetime.now(UTC) - timedelta(days=8)
PUSH = github_push("handbook/a.md")
LARGE = b'{"source": "docs", "x": "' + b"x" * int(MAX_MIB * 1024 * 1024) + b'"}'

REFUSED: dict[str, tuple[str, int, Any]] = {
    "github unsigned": ("github", 401, lambda: changed(from_github(PUSH), x_hub_signature_256=None)),
    "github forged": ("github", 403, lambda: from_github(PUSH, secret="x" * 20)),
    "github, sha1 only": ("github", 401, lambda: changed(from_github(PUSH), X_Hub_Signature_256="")),
    "github, signature of nothing": ("github", 403, lambda: changed(from_github(PUSH), X_Hub_Signature_256="sha256=")),
    "github, body changed": ("github", 403, lambda: other_body(from_github(PUSH))),
    "github, old": ("github", 403, lambda: from_github(github_push("handbook/a.md", at=OLD.timestamp()))),
    "github, of tomorrow": ("github", 403, lambda: from_github(github_push("handbook/a.md", at=time.time() + 86400))),
    "github, a form": (
        "github",
        415,
        lambda: changed(from_github(PUSH), content_type="application/x-www-form-urlencoded"),
    ),
    "github, no type": ("github", 415, lambda: changed(from_github(PUSH), content_type=None)),
    "github, id too long": ("github", 400, lambda: changed(from_github(PUSH), X_GitHub_Delivery="x" * 121)),
    "github, id of another kind": ("github", 400, lambda: changed(from_github(PUSH), X_GitHub_Delivery="a b")),
    "github, empty": ("github", 400, lambda: from_github(b"")),
    "github, not JSON": ("github", 400, lambda: from_github(b"payload=%7B%7D")),
    "github, not UTF-8": ("github", 400, lambda: from_github(b'{"ref": "\xff\xfe"}')),
    "github, deep": ("github", 400, lambda: from_github(b"[" * 5000)),
    "github, a list": ("github", 422, lambda: from_github([])),
    "github, no repository": ("github", 422, lambda: from_github({"ref": "refs/heads/main"})),
    "github, a commit that is none": ("github", 422, lambda: from_github(github_push("a.md", after="main; rm"))),
    "github, too large": ("github", 413, lambda: from_github(LARGE)),
    "gitlab unsigned": ("gitlab", 401, lambda: changed(with_token(gitlab_push()), x_gitlab_token=None)),
    "gitlab, wrong token": ("gitlab", 403, lambda: with_token(gitlab_push(), token="x" * 16)),
    "gitlab, token with non-ASCII": ("gitlab", 403, lambda: with_token(gitlab_push(), token="\xe9\xff")),
    "gitlab, signing token shown": ("gitlab", 403, lambda: with_token(gitlab_push(), token=GITLAB)),
    "gitlab, wrong signature and right token": (
        "gitlab",
        403,
        lambda: changed(standard(gitlab_push(), "y" * 20), X_Gitlab_Token=TOKEN),
    ),
    "gitlab, signed long ago": ("gitlab", 403, lambda: standard(gitlab_push(), GITLAB, at=time.time() - 400)),
    "generic forged": ("generic", 403, lambda: standard({"source": "docs"}, "z" * 20)),
    "generic unsigned": ("generic", 401, lambda: ({"Content-Type": "application/json"}, b'{"source": "docs"}')),
    "generic, signed long ago": ("generic", 403, lambda: standard({"source": "docs"}, GENERIC, at=time.time() - 400)),
    "generic, no time": ("generic", 401, lambda: changed(standard({}, GENERIC), webhook_timestamp="now")),
    "generic, another id": ("generic", 403, lambda: changed(standard({"source": "docs"}, GENERIC), webhook_id="m2")),
    "generic says nothing": ("generic", 422, lambda: standard({}, GENERIC)),
    "generic, unknown field": ("generic", 422, lambda: standard({"source": "docs", "sauce": 1}, GENERIC)),
    "generic, a number": ("generic", 422, lambda: standard({"source": 7}, GENERIC)),
    "sns forged": ("s3", 403, lambda: from_sns(Amazon().message(s3_record("pages/a.md")))),
    "sns unsigned": ("s3", 403, lambda: from_sns(amazon.message(s3_record("pages/a.md"), Signature=""))),
    "sns, changed": (
        "s3",
        403,
        lambda: from_sns(amazon.message(s3_record("pages/a.md")) | {"Message": json.dumps(s3_record("pages/b.md"))}),
    ),
    "sns, sha256 called sha1": (
        "s3",
        403,
        lambda: from_sns(amazon.message(s3_record("pages/a.md")) | {"SignatureVersion": "1"}),
    ),
    "sns, version 3": ("s3", 403, lambda: from_sns(amazon.message(s3_record("pages/a.md"), SignatureVersion="3"))),
    "sns, somebody's topic": (
        "s3",
        403,
        lambda: from_sns(
            amazon.message(s3_record("pages/a.md"), TopicArn="arn:aws:sns:eu-central-1:999999999999:documents")
        ),
    ),
    "sns, old": ("s3", 403, lambda: from_sns(amazon.message(s3_record("pages/a.md"), at=OLD))),
    "sns, a type of its own": ("s3", 422, lambda: from_sns({**amazon.message("x"), "Type": "Confirm"})),
    "sns, not an envelope": ("s3", 422, lambda: from_sns({"Type": "Notification"})),
    "sns, a message that is no JSON": ("s3", 400, lambda: from_sns(amazon.message("hello"))),
    "sns, raw": (
        "s3",
        403,
        lambda: changed(from_sns(amazon.message(s3_record("pages/a.md"))), x_amz_sns_rawdelivery="true"),
    ),
    "eventbridge, wrong secret": ("s3", 403, lambda: from_eventbridge("pages/a.md", secret="wrong")),
    "eventbridge, none": ("s3", 401, lambda: changed(from_eventbridge("pages/a.md"), x_ratchet_token=None)),
    "eventbridge, old": ("s3", 403, lambda: from_eventbridge("pages/a.md", time=OLD.isoformat())),
    "eventbridge, no time": ("s3", 422, lambda: from_eventbridge("pages/a.md", time="yesterday")),
    "openai forged": ("openai", 403, lambda: standard({"type": "x", "data": {"id": "y"}}, "w" * 20)),
    "openai, another shape": ("openai", 400, lambda: standard([], OPENAI)),
    "nobody": ("bitbucket", 404, lambda: from_github(PUSH)),
    "nobody, unicode": ("%E2%98%83%0Ainjected", 404, lambda: from_github(PUSH)),
}


@pytest.mark.parametrize(("sender", "status", "make"), REFUSED.values(), ids=REFUSED)
def test_what_is_forged_old_oversized_or_malformed_is_refused_and_leaves_no_row(
    place: Place, sender: str, status: int, make: Any
) -> None:
    answer = place.post(sender, make())
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]
    assert counted(place.engine) == (0, 0)


@pytest.mark.parametrize(
    "url",
    [
        CERTIFICATE_URL.replace("https", "http"),
        CERTIFICATE_URL.replace("amazonaws.com", "amazonaws.com.evil.example"),
        CERTIFICATE_URL.replace("sns.eu-central-1", "bucket.s3"),
        CERTIFICATE_URL.replace("eu-central-1", "us-east-1"),
        CERTIFICATE_URL.replace("https://", "https://evil.example@"),
        CERTIFICATE_URL.replace("amazonaws.com/", "amazonaws.com:8443/"),
        CERTIFICATE_URL.replace(".com/", ".com/../"),
        CERTIFICATE_URL + "?x",
        CERTIFICATE_URL + "\n",
        "file:///etc/passwd",
    ],
)
def test_a_certificate_is_fetched_from_the_topics_own_sns_and_nowhere_else(place: Place, url: str) -> None:
    told = amazon.message(s3_record("pages/a.md"), SigningCertURL=url)
    assert place.post("s3", from_sns(told)).status_code == 403
    assert (amazon.fetched, counted(place.engine)) == ([], (0, 0))


def test_a_body_that_does_not_say_its_length_is_cut_off_while_it_comes(place: Place) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 200 * 1024 * 1024:
            sent += 64 * 1024
            yield b"x" * (64 * 1024)

    kind = {"content-type": "application/json"}
    with suppress(httpx.TransportError):  # or hung up on in the middle
        assert http.post(f"{place.address}/hooks/github", content=endless(), headers=kind).status_code == 413
    assert sent < 50 * 1024 * 1024
    assert counted(place.engine) == (0, 0)


def test_other_methods_paths_and_doubled_headers_are_refused(place: Place) -> None:
    headers, body = from_github(PUSH)
    for method, path, status in (
        ("GET", "/hooks/github", 405),
        ("PUT", "/hooks/github", 405),
        ("DELETE", "/hooks/generic", 405),
        ("POST", "/hooks/github/", 404),
        ("POST", "/hooks", 404),
        ("POST", "/hooks/github/x", 404),
        ("POST", "/", 404),
        ("POST", "/healthz", 405),
    ):
        answer = http.request(method, place.address + path, headers=headers, content=body)
        assert (method, path, answer.status_code) == (method, path, status)
        assert answer.json()["error"]["code"]
    twice = [*headers.items(), ("X-Hub-Signature-256", "sha256=00")]
    assert http.post(f"{place.address}/hooks/github", headers=twice, content=body).status_code == 400
    huge = {**headers, "X-Hub-Signature-256": "sha256=" + "0" * 200_000}
    with suppress(httpx.TransportError):  # or hung up on
        assert http.post(f"{place.address}/hooks/github", headers=huge, content=body).status_code in (400, 403, 431)
    assert counted(place.engine) == (0, 0)


def test_a_sender_without_a_secret_is_closed_and_the_log_says_which_to_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = settings(tmp_path, secrets={}, webhook_sns_topics=(), hosted_webhook_secret=None)
    engine = catalog_with(asked)
    with caplog.at_level(logging.WARNING, "ratchet.webhooks"), running(receiver_of(asked)) as address:
        shut = Place(address, engine)
        sents = {"github": from_github(PUSH), "gitlab": with_token(gitlab_push()), "s3": from_eventbridge("pages/a")}
        sents |= {"generic": standard({"source": "docs"}, ""), "openai": standard({}, "")}
        for sender, sent in sents.items():
            answer = shut.post(sender, sent)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_configured")
        assert http.get(f"{address}/readyz").json()["senders"] == []
    assert counted(engine) == (0, 0)
    for name in ("GITHUB", "GITLAB", "EVENTBRIDGE", "GENERIC", "HOSTED_WEBHOOK_SECRET"):
        assert name in caplog.text


def test_neither_secrets_nor_contents_are_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "ratchet"):
        place.post("github", from_github(github_push("handbook/top-secret-plan.md")))
        place.post("github", from_github(github_push("handbook/top-secret-plan.md"), secret="wrong-but-mine-123"))
        place.post("generic", standard({"source": "docs", "top-secret-plan\ninjected": 1}, GENERIC))
        place.post("gitlab", with_token(gitlab_push("top-secret-plan.md")))
        place.post("s3", from_eventbridge("pages/top-secret-plan.md"))
        place.post("top-secret-plan", standard({}, GENERIC))
    assert caplog.text.count("refused") == 3
    for hidden in ("top-secret-plan", "injected", GITHUB, TOKEN, EVENTBRIDGE, GENERIC, "wrong-but-mine"):
        assert hidden not in caplog.text


def test_health_and_readiness_say_what_is_open_and_what_waits(place: Place) -> None:
    assert http.get(f"{place.address}/healthz").json() == {"status": "ok"}
    place.post("github", from_github(github_push("handbook/a.md", after=C, commits=[])))
    ready = http.get(f"{place.address}/readyz").json()
    assert ready == {
        "status": "ready",
        "senders": ["generic", "github", "gitlab", "openai", "s3"],
        "waiting": ["default", "other"],
    }


def test_the_receiver_starts_without_prefect_torch_or_boto3() -> None:
    code = (
        "import sys, flows.receiving; print([m for m in ('prefect', 'torch', 'boto3', 'openai') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_example_in_the_docs_is_taken_as_it_stands(place: Place) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()
    [script] = [part.split("```")[0] for part in guide.split("```bash\n")[1:]]
    if not (shutil.which("curl") and shutil.which("openssl")):
        pytest.skip("curl and openssl are not there")
    environment = {**os.environ, "SECRET": GENERIC, "URL": place.address}
    answer = subprocess.run(["bash", "-ec", script], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == {"status": "taken", "changes": 1}
    assert place.told() == [("default", "docs")]


def test_a_body_that_does_not_end_is_not_waited_for() -> None:
    desk = ReceiverDesk(lambda *_: False, lambda _: [], lambda *_: [], list)

    async def tell(_assistant: str) -> bool:
        return True

    senders = {"slow": Sender("slow", "X", lambda _hook, _now: PONG)}
    app = create_receiver(senders, desk, tell, limits=ReceiverLimits(body_seconds=0.2))
    with running(app) as address, socket.create_connection(("127.0.0.1", httpx.URL(address).port or 0)) as client:
        head = "POST /hooks/slow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        client.sendall(head.encode())
        client.settimeout(5)
        answer = b""
        while part := client.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")
