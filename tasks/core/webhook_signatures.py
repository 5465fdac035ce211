"""Whether a webhook is from who it says: HMAC-SHA256 as of standardwebhooks.com, which OpenAI signs with."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from tasks.core.errors import BadSetting, NotAllowed

TOLERANCE_SECONDS = 300
PREFIX = "whsec_"


def signature(secret: str, webhook: str, timestamp: str, body: bytes) -> str:
    """The base64 signature of one webhook. Raises BadSetting for a secret that is none."""
    return base64.b64encode(
        hmac.new(_key(secret), f"{webhook}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    ).decode()


def verified(
    secret: str, headers: Mapping[str, str], body: bytes, now: float, tolerance_seconds: int = TOLERANCE_SECONDS
) -> str:
    """The webhook's id, when it was signed with the secret within the tolerance of `now`, either way.

    headers: names in any case. Raises NotAllowed, which never says what the right signature is.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        webhook, timestamp, signed = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
        sent = int(timestamp)
    except (KeyError, ValueError):
        raise NotAllowed(
            "The webhook is not signed: webhook-id, -timestamp or -signature is missing or no such thing."
        ) from None
    if abs(now - sent) > tolerance_seconds:
        raise NotAllowed(
            f"The webhook was signed {now - sent:.0f} s ago; the limit is {tolerance_seconds} s either way. Check the "
            "clock, or it is an old one sent again.",
            age_seconds=now - sent,
        )
    right = signature(secret, webhook, timestamp, body).encode()
    offered = [part.removeprefix("v1,").encode() for part in signed.split()]
    if not any(hmac.compare_digest(right, one) for one in offered):
        raise NotAllowed("The webhook's signature is wrong. Check RATCHET_HOSTED_WEBHOOK_SECRET, or it is forged.")
    return webhook


def _key(secret: str) -> bytes:
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise BadSetting(f"RATCHET_HOSTED_WEBHOOK_SECRET begins with {PREFIX} and is no base64 after it.") from error
