"""A webhook is believed only with the right signature, made in the last five minutes."""

from __future__ import annotations

import base64
import time

import pytest

from tasks.core.errors import BadSetting, NotAllowed
from tasks.core.webhook_signatures import signature, verified

SECRET = "whsec_" + base64.b64encode(b"a secret of the vendor").decode()
NOW = 1_795_000_000
BODY = '{"type":"fine_tuning.job.succeeded","data":{"id":"ftjob-1"},"note":"größer"}'.encode()


def headers(*, at: int = NOW, secret: str = SECRET, body: bytes = BODY, webhook: str = "wh-1") -> dict[str, str]:
    signed = f"v1,{signature(secret, webhook, str(at), body)}"
    return {"webhook-id": webhook, "webhook-timestamp": str(at), "webhook-signature": signed}


def test_a_signed_webhook_gives_its_id_whatever_the_case_of_its_headers() -> None:
    assert verified(SECRET, headers(), BODY, NOW) == "wh-1"
    assert verified(SECRET, {k.title(): v for k, v in headers().items()}, BODY, NOW) == "wh-1"


def test_the_vendors_own_library_believes_the_same_signature() -> None:
    from openai import InvalidWebhookSignatureError, OpenAI

    webhooks = OpenAI(api_key="none").webhooks
    signed = headers(at=int(time.time()))
    webhooks.verify_signature(BODY, signed, secret=SECRET)
    with pytest.raises(InvalidWebhookSignatureError):
        webhooks.verify_signature(BODY + b" ", signed, secret=SECRET)


def test_one_right_signature_among_several_is_enough() -> None:
    both = headers() | {"webhook-signature": f"v1,AAAA {headers()['webhook-signature']}"}
    assert verified(SECRET, both, BODY, NOW) == "wh-1"


def test_a_secret_without_the_prefix_is_taken_as_it_is() -> None:
    assert verified("plain", headers(secret="plain"), BODY, NOW) == "wh-1"


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_five_minutes_either_way_are_fine(age: int) -> None:
    assert verified(SECRET, headers(at=NOW - age), BODY, NOW) == "wh-1"


@pytest.mark.parametrize("age", [-301, 301, 86_400])
def test_an_old_one_sent_again_is_refused(age: int) -> None:
    with pytest.raises(NotAllowed, match="the limit is 300 s"):
        verified(SECRET, headers(at=NOW - age), BODY, NOW)


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "wh-2"},
        {"webhook-timestamp": str(NOW - 1)},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,größer"},
    ],
)
def test_a_signature_of_something_else_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(NotAllowed, match="signature is wrong"):
        verified(SECRET, headers() | changed, BODY, NOW)


def test_another_body_and_another_secret_are_refused_without_saying_what_is_right() -> None:
    right = headers()["webhook-signature"].removeprefix("v1,")
    for secret, body in ((SECRET, BODY + b" "), ("whsec_" + base64.b64encode(b"other").decode(), BODY)):
        with pytest.raises(NotAllowed) as raised:
            verified(secret, headers(), body, NOW)
        assert right not in raised.value.message


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_an_unsigned_one_is_refused(missing: str) -> None:
    with pytest.raises(NotAllowed, match="not signed"):
        verified(SECRET, {k: v for k, v in headers().items() if k != missing}, BODY, NOW)


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(NotAllowed, match="not signed"):
        verified(SECRET, headers() | {"webhook-timestamp": "now"}, BODY, NOW)


def test_a_secret_that_is_none_is_a_setting_to_mend() -> None:
    with pytest.raises(BadSetting, match="RATCHET_HOSTED_WEBHOOK_SECRET"):
        verified("whsec_!", headers(), BODY, NOW)
