"""Messages of Amazon SNS: who signed them, and the answer to a subscription."""

from __future__ import annotations

import base64
import binascii
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pydantic import BaseModel, StrictStr

from infra.service.envelope import Refused
from tasks.core.errors import NotAllowed, WorthRetrying
from tasks.core.sns_messages import CONFIRMATIONS, NOTIFICATION, certificate_url, signed_text

HASHES: dict[str, type[hashes.SHA1] | type[hashes.SHA256]] = {"1": hashes.SHA1, "2": hashes.SHA256}
KEPT_CERTIFICATES = 8
FETCHES_A_MINUTE = 10
MAX_FETCHED_BYTES = 64 * 1024

Fetch = Callable[[str], bytes]
"""What lies at an address of Amazon's. Raises WorthRetrying."""


class AwsUnreachable(WorthRetrying):
    """Amazon's certificate could not be fetched, or a subscription not confirmed."""


class SnsMessage(BaseModel):
    """The envelope, as it comes over HTTP."""

    Type: StrictStr
    MessageId: StrictStr
    TopicArn: StrictStr
    Message: StrictStr
    Timestamp: StrictStr
    SignatureVersion: StrictStr
    Signature: StrictStr
    SigningCertURL: StrictStr
    Subject: StrictStr | None = None
    Token: StrictStr | None = None
    SubscribeURL: StrictStr | None = None


class Certificates:
    """Amazon's certificates by address, kept. Few are fetched a minute: the address comes from whoever sends."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, x509.Certificate] = {}
        self._fetched_at: list[float] = []

    def at(self, url: str) -> x509.Certificate:
        """The certificate. Raises NotAllowed when there is none, WorthRetrying when it cannot be fetched now."""
        with self._lock:
            if url not in self._kept:
                self._pace()
                pem = self._fetch(url)
                try:
                    certificate = x509.load_pem_x509_certificate(pem)
                except ValueError as error:
                    raise NotAllowed("There is no certificate at SigningCertURL.") from error
                while len(self._kept) >= KEPT_CERTIFICATES:
                    del self._kept[next(iter(self._kept))]
                self._kept[url] = certificate
            return self._kept[url]

    def _pace(self) -> None:
        now = self._clock()
        self._fetched_at = [at for at in self._fetched_at if now - at < 60]
        if len(self._fetched_at) >= FETCHES_A_MINUTE:
            raise AwsUnreachable(f"{FETCHES_A_MINUTE} certificates were fetched within a minute. Try again later.")
        self._fetched_at.append(now)


def require_signed(message: SnsMessage, topics: Sequence[str], certificates: Certificates, now: float) -> None:
    """Raises NotAllowed unless the message is of one of the topics, and Amazon signed it. Refused for a type unknown.

    Anybody can have a topic that Amazon signs for, so only those that are set are believed; and nothing is fetched
    for any other.
    """
    if message.Type not in (NOTIFICATION, *CONFIRMATIONS):
        raise Refused("Type is no type of an SNS message.", code="invalid_value", param="Type", status=422)
    if message.TopicArn not in topics:
        raise NotAllowed("The SNS topic is not one that is taken from. Add its ARN to RATCHET_WEBHOOK_SNS_TOPICS.")
    if message.SignatureVersion not in HASHES:
        raise NotAllowed("The SNS message has a SignatureVersion that is not known; 1 and 2 are.")
    certificate = certificates.at(certificate_url(message.SigningCertURL, message.TopicArn))
    when = datetime.fromtimestamp(now, UTC)
    if not certificate.not_valid_before_utc <= when <= certificate.not_valid_after_utc:
        raise NotAllowed("The certificate of the SNS message is not valid now.")
    key = certificate.public_key()
    try:
        if not isinstance(key, rsa.RSAPublicKey):
            raise InvalidSignature
        key.verify(
            base64.b64decode(message.Signature, validate=True),
            signed_text(message.model_dump()),
            padding.PKCS1v15(),
            HASHES[message.SignatureVersion](),
        )
    except (InvalidSignature, binascii.Error) as error:
        raise NotAllowed("The SNS message's signature is wrong: it is forged, or was changed on its way.") from error


def fetch_over_https(url: str) -> bytes:
    """What Amazon answers. No redirect is followed, and at most 64 KiB are read."""
    import httpx

    try:
        with httpx.stream("GET", url, timeout=5, follow_redirects=False) as answer:
            answer.raise_for_status()
            parts, size = [], 0
            for part in answer.iter_bytes():
                parts.append(part)
                size += len(part)
                if size > MAX_FETCHED_BYTES:
                    raise AwsUnreachable(f"Amazon's answer is larger than {MAX_FETCHED_BYTES:,} bytes.")
            return b"".join(parts)
    except httpx.HTTPError as error:
        raise AwsUnreachable(f"Amazon cannot be asked just now: {type(error).__name__}. SNS sends it again.") from error
