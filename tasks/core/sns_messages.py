"""What Amazon SNS signs, and which addresses may be asked for it. Pure: fetching and RSA are an adapter's.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode

from tasks.core.errors import NotAllowed

NOTIFICATION = "Notification"
CONFIRMATIONS = ("SubscriptionConfirmation", "UnsubscribeConfirmation")
_SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    **dict.fromkeys(CONFIRMATIONS, ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")),
}
_TOPIC = re.compile(
    r"arn:(?P<partition>aws|aws-cn|aws-us-gov):sns:(?P<region>[a-z0-9-]{4,32}):\d{12}:[\w-]{1,256}(\.fifo)?"
)
_CERTIFICATE = re.compile(r"https://(?P<host>[a-z0-9.-]+)/SimpleNotificationService-[0-9A-Za-z]{16,64}\.pem", re.ASCII)


def signed_text(message: Mapping[str, str | None]) -> bytes:
    """The text under the signature: names and values of what this type of message has, a line each."""
    lines = [f"{name}\n{message[name]}\n" for name in _SIGNED[str(message["Type"])] if message.get(name) is not None]
    return "".join(lines).encode("utf-8", errors="surrogatepass")


def host_of(topic: str) -> str:
    """The host of the SNS that has the topic. Raises NotAllowed for what is no topic.

    >>> host_of("arn:aws:sns:eu-central-1:123456789012:documents")
    'sns.eu-central-1.amazonaws.com'
    """
    found = _TOPIC.fullmatch(topic)
    if found is None:
        raise NotAllowed("TopicArn is not the ARN of an SNS topic.")
    return f"sns.{found['region']}.amazonaws.com{'.cn' if found['partition'] == 'aws-cn' else ''}"


def certificate_url(url: str, topic: str) -> str:
    """The address of the certificate, when it is one of the SNS that has the topic. Raises NotAllowed otherwise."""
    found = _CERTIFICATE.fullmatch(url)
    if found is None or found["host"] != host_of(topic):
        raise NotAllowed("SigningCertURL is not the address of a certificate of the SNS that has the topic.")
    return url


def confirmation_url(topic: str, token: str) -> str:
    """What confirms a subscription when it is fetched. Made here: no address out of a message is ever followed."""
    asked = urlencode({"Action": "ConfirmSubscription", "TopicArn": topic, "Token": token})
    return f"https://{host_of(topic)}/?{asked}"
