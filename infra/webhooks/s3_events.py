"""Changes of objects in S3, as SNS brings them or EventBridge does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import unquote_plus

from pydantic import BaseModel, Field, StrictStr

from infra.service.envelope import Refused
from infra.webhooks.delivery import PONG, Delivery, Hook, read_as, require_recent, seconds_of, usable_id
from infra.webhooks.sns import Certificates, Fetch, SnsMessage, require_signed
from tasks.core.errors import NotAllowed
from tasks.core.sns_messages import NOTIFICATION, confirmation_url
from tasks.core.source_changes import Change, ObjectChanged
from tasks.core.webhook_signatures import token_shown

TOKEN_HEADER = "x-ratchet-token"
EVENTBRIDGE_SETTING = "RATCHET_WEBHOOK_SECRETS__EVENTBRIDGE"
ABOUT_NO_CONTENT = ("ObjectTagging:", "ObjectAcl:", "Replication:", "Object Tags", "Object ACL")


class _Bucket(BaseModel):
    name: Annotated[StrictStr, Field(min_length=1, max_length=255)]


class _Object(BaseModel):
    key: Annotated[StrictStr, Field(min_length=1)]
    sequencer: StrictStr | None = None


class _S3(BaseModel):
    bucket: _Bucket
    object: _Object


class _Record(BaseModel):
    event: StrictStr = Field(alias="eventName")
    at: StrictStr = Field(default="", alias="eventTime")
    s3: _S3


class _Detail(BaseModel):
    bucket: _Bucket
    object: _Object


class _Event(BaseModel):
    """An event of EventBridge's."""

    id: StrictStr
    kind: StrictStr = Field(alias="detail-type")
    source: StrictStr
    time: StrictStr
    detail: _Detail


class _Message(BaseModel):
    """What S3 puts into an SNS message: records, a test, or an event that EventBridge passed on."""

    records: list[_Record] | None = Field(default=None, alias="Records")
    test: StrictStr | None = Field(default=None, alias="Event")
    event: StrictStr | None = Field(default=None, alias="detail-type")


@dataclass(frozen=True, slots=True)
class S3Door:
    """What is needed to believe S3's notifications."""

    topics: Sequence[str]
    secrets: Sequence[str]
    certificates: Certificates
    confirm: Fetch
    memory_seconds: float
    log: Callable[[str], None]

    def read(self, hook: Hook, now: float) -> Delivery:
        """The objects that changed. Raises NotAllowed for what is not believed, and Refused for what cannot be read.

        A subscription of a topic that is taken from is confirmed.
        """
        if "x-amz-sns-message-type" in hook.headers:
            return self._from_sns(hook, now)
        token_shown(self.secrets, hook.headers.get(TOKEN_HEADER), "X-Ratchet-Token", EVENTBRIDGE_SETTING)
        event = read_as(_Event, hook.body)
        require_recent(seconds_of(event.time, "time"), now, self.memory_seconds)
        return Delivery((f"id:{usable_id(event.id, 'id')}",), _of_event(event))

    def _from_sns(self, hook: Hook, now: float) -> Delivery:
        if hook.headers.get("x-amz-sns-rawdelivery") == "true":
            raise NotAllowed("SNS signs nothing with raw message delivery. Turn it off for this subscription.")
        message = read_as(SnsMessage, hook.body)
        require_signed(message, self.topics, self.certificates, now)
        require_recent(seconds_of(message.Timestamp, "Timestamp"), now, self.memory_seconds)
        if message.Type != NOTIFICATION:
            return self._confirmed(message)
        marks = (f"id:{usable_id(message.MessageId, 'MessageId')}",)
        found = read_as(_Message, message.Message)
        if found.event is not None:
            return Delivery(marks, _of_event(read_as(_Event, message.Message)))
        if found.records is None:
            return PONG if found.test == "s3:TestEvent" else Delivery(said="the message is not S3's")
        return Delivery(marks, _of_records(found.records, message.MessageId))

    def _confirmed(self, message: SnsMessage) -> Delivery:
        if message.Type == "UnsubscribeConfirmation":
            self.log(f"SNS topic {message.TopicArn} sends no more: its subscription was deleted.")
            return Delivery(said="the subscription was deleted")
        if not message.Token:
            raise Refused("Token is missing.", code="invalid_value", param="Token", status=422)
        self.confirm(confirmation_url(message.TopicArn, message.Token))
        self.log(f"SNS topic {message.TopicArn} is subscribed to.")
        return Delivery(said="the subscription is confirmed")


def _of_records(records: Sequence[_Record], message: str) -> tuple[Change, ...]:
    """S3 writes the keys in its notifications as in a URL's query."""
    return tuple(
        _changed(one.s3.bucket.name, unquote_plus(one.s3.object.key), one.s3.object, f"{one.event} {one.at} {message}")
        for one in records
        if not one.event.removeprefix("s3:").startswith(ABOUT_NO_CONTENT)
    )


def _of_event(event: _Event) -> tuple[Change, ...]:
    """EventBridge writes keys as they are."""
    if event.source != "aws.s3" or event.kind.startswith(ABOUT_NO_CONTENT):
        return ()
    found = event.detail
    return (_changed(found.bucket.name, found.object.key, found.object, event.id),)


def _changed(bucket: str, key: str, told: _Object, otherwise: str) -> ObjectChanged:
    """The sequencer is the write's own; where there is none, the notification stands for it."""
    return ObjectChanged(bucket, key, f"{bucket}\n{key}\n{told.sequencer or otherwise}")
