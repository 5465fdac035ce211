"""Whether a webhook is from who it says. Every comparison takes the same time wherever the difference is.

- `verified`: HMAC-SHA256 as of standardwebhooks.com, which OpenAI and GitLab (since 19.0) sign with.
- `body_signed`: HMAC-SHA256 of the body in hex, as GitHub, Gitea and Forgejo send it.
- `token_shown`: the secret itself in a header, as GitLab always and EventBridge's API destinations send it.

Several secrets at once are for the time in which one is exchanged for another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from tasks.core.errors import BadSetting, NotAllowed

TOLERANCE_SECONDS = 300
PREFIX = "whsec_"
OPENAI_SETTING = "RATCHET_HOSTED_WEBHOOK_SECRET"


def signature(secret: str, webhook: str, timestamp: str, body: bytes, setting: str = OPENAI_SETTING) -> str:
    """The base64 signature of one webhook. Raises BadSetting for a secret that is none."""
    signed = f"{webhook}.{timestamp}.".encode("utf-8", errors="surrogateescape") + body
    return base64.b64encode(hmac.new(_key(secret, setting), signed, hashlib.sha256).digest()).decode()


def verified(
    secret: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    now: float,
    tolerance_seconds: int = TOLERANCE_SECONDS,
    setting: str = OPENAI_SETTING,
) -> str:
    """The webhook's id, when it was signed with one of the secrets within the tolerance of `now`, either way.

    headers: names in any case. Raises NotAllowed, which never says what the right signature is; its `unsigned` says
    that there was none at all.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        webhook, timestamp, signed = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
        sent = int(timestamp)
    except (KeyError, ValueError):
        raise NotAllowed(
            "The webhook is not signed: webhook-id, -timestamp or -signature is missing or no such thing.",
            unsigned=True,
        ) from None
    if abs(now - sent) > tolerance_seconds:
        raise NotAllowed(
            f"The webhook was signed {now - sent:.0f} s ago; the limit is {tolerance_seconds} s either way. Check the "
            "clock, or it is an old one sent again.",
            age_seconds=now - sent,
        )
    secrets = (secret,) if isinstance(secret, str) else secret
    offered = [part.removeprefix("v1,").encode("utf-8", errors="surrogateescape") for part in signed.split()]
    rights = [signature(one, webhook, timestamp, body, setting).encode() for one in secrets]
    if not _any_equal(rights, offered):
        raise NotAllowed(f"The webhook's signature is wrong. Check {setting}, or it is forged.")
    return webhook


def body_signed(secrets: Sequence[str], given: str | None, body: bytes, setting: str) -> None:
    """Raises NotAllowed unless `given` is `sha256=` and the HMAC of the body, in hex, by one of the secrets."""
    if not given:
        raise NotAllowed("The webhook is not signed: X-Hub-Signature-256 is missing.", unsigned=True)
    rights = [b"sha256=" + hmac.new(one.encode(), body, hashlib.sha256).hexdigest().encode() for one in secrets]
    if not _any_equal(rights, [given.encode("utf-8", errors="surrogateescape")]):
        raise NotAllowed(f"The webhook's signature is wrong. Check {setting}, or it is forged.")


def token_shown(secrets: Sequence[str], given: str | None, header: str, setting: str) -> None:
    """Raises NotAllowed unless `given` is one of the secrets."""
    if not given:
        raise NotAllowed(f"The webhook shows no secret: {header} is missing.", unsigned=True)
    shown = given.encode("latin-1", errors="replace")  # a header's bytes
    if not _any_equal([one.encode() for one in secrets], [shown]):
        raise NotAllowed(f"The secret in {header} is wrong. Check {setting}, or it is forged.")


def _any_equal(rights: Sequence[bytes], offered: Sequence[bytes]) -> bool:
    """By their hashes, so that not even the length of a secret shows in the time it takes."""
    hashes = [hashlib.sha256(one).digest() for one in offered]
    matches = [hmac.compare_digest(hashlib.sha256(right).digest(), one) for right in rights for one in hashes]
    return any(matches)


def _key(secret: str, setting: str) -> bytes:
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise BadSetting(f"{setting} begins with {PREFIX} and is no base64 after it.") from error
