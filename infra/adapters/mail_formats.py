"""Messages: who wrote what to whom and when, then the text. Attachments are counted, not read."""

from __future__ import annotations

import email
import email.policy
import io
from collections.abc import Iterator, Sequence
from email.message import Message
from typing import Any

from infra.adapters.document_refusals import Refused, what_it_is
from infra.adapters.markup_formats import hypertext
from infra.adapters.plain_formats import plain
from infra.adapters.text_encodings import decode
from tasks.core.documents import Element


def mail(data: bytes) -> Iterator[Element]:
    """An .eml file."""
    message = email.message_from_bytes(data.lstrip(), policy=email.policy.default)
    if not message.keys():
        what = what_it_is(data)
        raise Refused("it is not a message: " + (f"it is {what}" if what else "it has no headers such as From or Date"))
    yield from _head([(name, str(message.get(name, ""))) for name in ("Subject", "From", "Date", "To")])
    body = message.get_body(("html", "plain"))
    if body is not None:
        yield from _body(_text_of(body), is_html=body.get_content_type() == "text/html")
    yield from _left_out([part.get_filename() or part.get_content_type() for part in message.iter_attachments()])


def outlook_mail(data: bytes) -> Iterator[Element]:
    """A .msg file of Outlook."""
    from oxmsg import Message as OutlookMessage

    message: Any = OutlookMessage.load(io.BytesIO(data))
    to = ", ".join(recipient.email_address or recipient.name for recipient in message.recipients)
    date = message.sent_date.isoformat(" ", "seconds") if message.sent_date else ""
    yield from _head([("Subject", message.subject), ("From", message.sender or ""), ("Date", date), ("To", to)])
    html = message.html_body
    yield from _body(html or message.body or "", is_html=bool(html))
    yield from _left_out([attachment.file_name or "no name" for attachment in message.attachments])


def _head(lines: Sequence[tuple[str, str]]) -> Iterator[Element]:
    head = [f"{name}: {' '.join(value.split())}" for name, value in lines if value.strip()]
    if head:
        yield Element("paragraph", "\n".join(head))


def _text_of(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    try:
        return payload.decode(part.get_content_charset() or "utf-8").replace("\r\n", "\n")
    except (UnicodeDecodeError, LookupError):
        return decode(payload) or ""


def _body(text: str, *, is_html: bool) -> Iterator[Element]:
    yield from hypertext(text) if is_html else plain(text.replace("\r\n", "\n"))


def _left_out(names: Sequence[str]) -> Iterator[Element]:
    if names:
        count = "1 attachment was" if len(names) == 1 else f"{len(names)} attachments were"
        yield Element("paragraph", f"({count} left out: {', '.join(names)})")
