"""What GitHub, GitLab, Amazon and others would send, signed as they sign; and a catalog with sources to hear of."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from sqlalchemy import Engine, func, insert, select

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import now as catalog_now
from infra.settings import Settings, WebhookSecrets
from infra.workbench import Workbench
from tasks.core.sns_messages import signed_text
from tasks.core.webhook_signatures import signature

GITHUB, GITLAB, TOKEN = (
    "github-secret-0123456789",
    "whsec_" + base64.b64encode(b"g" * 32).decode(),
    "token-0123456789ab",
)
GENERIC, EVENTBRIDGE, OPENAI = "generic-secret-0123456789", "eventbridge-0123456789", "openai-secret-0123456789"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:documents"
CERTIFICATE_URL = f"https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-{'a1' * 16}.pem"
REPOSITORY = "https://github.com/org/docs"
A, B, C = "a" * 40, "b" * 40, "c" * 40

SOURCES = (
    ("default", "docs", "git+https://github.com/org/docs@main#handbook", ["*.md"], ["drafts/"]),
    ("default", "faq", "s3://faq-bucket/pages", [], []),
    ("default", "wiki", "/srv/wiki", [], []),
    ("other", "docs", "git+ssh://git@github.com/org/docs.git", [], []),
)

Sent = tuple[dict[str, str], bytes]  # headers and body


def settings(home: Path, **more: Any) -> Settings:
    """Every sender open."""
    secrets = {"github": GITHUB, "gitlab": f"{GITLAB} {TOKEN}", "eventbridge": EVENTBRIDGE, "generic": GENERIC}
    asked = {"webhook_sns_topics": (TOPIC,), "hosted_webhook_secret": OPENAI, "webhook_debounce_seconds": 0.05} | more
    return Settings(home=home, webhook_secrets=WebhookSecrets.model_validate(asked.pop("secrets", secrets)), **asked)


def catalog_with(settings: Settings, sources: Sequence[tuple[str, str, str, list[str], list[str]]] = SOURCES) -> Engine:
    """The settings' catalog, with these sources registered."""
    engine = Workbench("default", settings).engine
    rows = [
        {"assistant": a, "name": n, "uri": u, "include": i, "exclude": e, "added_at": catalog_now()}
        for a, n, u, i, e in sources
    ]
    with engine.begin() as connection:
        connection.execute(insert(t.sources), rows)
    return engine


def counted(engine: Engine) -> tuple[int, int]:
    """Rows of the outbox, and remembered deliveries."""
    with engine.connect() as connection:
        tables = (t.outbox, t.webhook_deliveries)
        outbox, deliveries = (connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables)
    return outbox, deliveries


# ── git ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def commit(name: str, *modified: str) -> dict[str, Any]:
    return {"id": name, "added": [], "modified": list(modified), "removed": []}


def github_push(
    *modified: str, before: str = A, after: str = B, at: float | None = None, **more: Any
) -> dict[str, Any]:
    told = {
        "clone_url": f"{REPOSITORY}.git",
        "ssh_url": "git@github.com:org/docs.git",
        "html_url": REPOSITORY,
        "default_branch": "main",
        "pushed_at": int(time.time() if at is None else at),
    }
    return {
        "ref": "refs/heads/main",
        "before": before,
        "after": after,
        "created": False,
        "deleted": False,
        "forced": False,
        "commits": [commit(after, *modified)],
        "repository": told,
    } | more


def from_github(payload: object, *, event: str = "push", delivery: str | None = None, secret: str = GITHUB) -> Sent:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signed = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": delivery or str(uuid4())}
    return {**headers, "X-Hub-Signature-256": f"sha256={signed}", "Content-Type": "application/json"}, body


def gitlab_push(*modified: str, before: str = A, after: str = B, **more: Any) -> dict[str, Any]:
    project = {"git_http_url": f"{REPOSITORY}.git", "web_url": REPOSITORY, "default_branch": "main"}
    return {
        "object_kind": "push",
        "ref": "refs/heads/main",
        "ref_protected": True,
        "before": before,
        "after": after,
        "commits": [commit(after, *modified)],
        "total_commits_count": 1,
        "project": project,
    } | more


def standard(payload: object, secret: str, *, webhook: str | None = None, at: float | None = None, **more: str) -> Sent:
    """Signed as of standardwebhooks.com."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    webhook, stamp = webhook or f"msg_{uuid4().hex}", str(int(time.time() if at is None else at))
    signed = f"v1,{signature(secret, webhook, stamp, body)}"
    headers = {"webhook-id": webhook, "webhook-timestamp": stamp, "webhook-signature": signed}
    return {**headers, "Content-Type": "application/json", **more}, body


def with_token(payload: object, token: str = TOKEN, *, delivery: str | None = None) -> Sent:
    """As GitLab before 19.0."""
    headers = {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": token, "Idempotency-Key": delivery or str(uuid4())}
    return {**headers, "Content-Type": "application/json"}, json.dumps(payload).encode()


# ── Amazon ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Amazon:
    """A key, its certificate, and what was fetched: what stands at Amazon's addresses."""

    days: int = 1
    fetched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        moment = datetime.now(UTC)
        self._pem = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(moment - timedelta(days=2))
            .not_valid_after(moment + timedelta(days=self.days))
            .sign(self._key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )

    def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        return self._pem if url.endswith(".pem") else b"<ConfirmSubscriptionResponse/>"

    def message(
        self, message: object, *, version: str = "2", at: datetime | None = None, **more: Any
    ) -> dict[str, Any]:
        told: dict[str, Any] = {
            "Type": "Notification",
            "MessageId": str(uuid4()),
            "TopicArn": TOPIC,
            "Message": message if isinstance(message, str) else json.dumps(message),
            "Timestamp": (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "SignatureVersion": version,
            "SigningCertURL": CERTIFICATE_URL,
        } | more
        kind = hashes.SHA1() if version == "1" else hashes.SHA256()
        told.setdefault(
            "Signature", base64.b64encode(self._key.sign(signed_text(told), padding.PKCS1v15(), kind)).decode()
        )
        return told


def from_sns(told: Mapping[str, Any]) -> Sent:
    headers = {"x-amz-sns-message-type": str(told["Type"]), "Content-Type": "text/plain; charset=UTF-8"}
    return headers, json.dumps(told).encode()


def s3_record(key: str, *, event: str = "ObjectCreated:Put", sequencer: str | None = None) -> dict[str, Any]:
    """key: as S3 writes it into notifications."""
    thing = {"key": key, "sequencer": sequencer or uuid4().hex}
    return {
        "Records": [{"eventName": event, "eventTime": "x", "s3": {"bucket": {"name": "faq-bucket"}, "object": thing}}]
    }


def from_eventbridge(key: str, *, secret: str = EVENTBRIDGE, sequencer: str | None = None, **more: Any) -> Sent:
    detail = {"bucket": {"name": "faq-bucket"}, "object": {"key": key, "sequencer": sequencer or uuid4().hex}}
    event = {
        "id": str(uuid4()),
        "detail-type": "Object Created",
        "source": "aws.s3",
        "time": datetime.now(UTC).isoformat(),
        "detail": detail,
    } | more
    return {"X-Ratchet-Token": secret, "Content-Type": "application/json"}, json.dumps(event).encode()
