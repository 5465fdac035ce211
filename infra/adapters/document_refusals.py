"""Why a document is not parsed, found out from its first bytes or its table of contents before any library reads it."""

from __future__ import annotations

import io
import zipfile

MAX_UNPACKED_MIB = 512  # or ten times the size of the file: office files of text alone stay below
_SIGNATURES = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF file"),
    (b"{\\rtf", "an RTF file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_INSIDE_ZIP = (
    ("word/", "a Word file (.docx)"),
    ("xl/", "an Excel file (.xlsx)"),
    ("ppt/", "a PowerPoint file (.pptx)"),
    ("META-INF/container.xml", "an e-book (.epub)"),
    ("content.xml", "an OpenDocument file (.odt, .ods, .odp)"),
)


class Refused(Exception):
    """The document cannot be ingested; the message is for the person who owns it."""


def check_length(characters: int, max_characters: int) -> None:
    """Raises Refused when a document holds more text than may be ingested."""
    if characters > max_characters:
        raise Refused(
            f"it holds {characters:,} characters; the limit is {max_characters:,}. "
            "Split it, or raise RATCHET_MAX_DOCUMENT_CHARACTERS"
        )


def check_archive(data: bytes, name: str, folder: str) -> None:
    """Raises Refused unless the bytes are a ZIP archive with `folder` in it that unpacks to a sane size."""
    if not data.startswith(b"PK"):
        raise Refused(_not_an_archive(data, name))
    try:
        entries = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise Refused(f"it cannot be read as {name}: its ZIP archive is damaged ({error})") from error
    if any(entry.flag_bits & 1 for entry in entries):
        raise Refused("it is protected by a password")
    unpacked, limit = sum(entry.file_size for entry in entries), max(MAX_UNPACKED_MIB * 2**20, 10 * len(data))
    if unpacked > limit:
        raise Refused(f"it unpacks to {unpacked / 2**20:,.0f} MiB; the limit is {limit / 2**20:,.0f} MiB. Split it")
    if not any(entry.filename.startswith(folder) for entry in entries):
        names = [entry.filename for entry in entries]
        found = (what for start, what in _INSIDE_ZIP if any(inside.startswith(start) for inside in names))
        raise Refused(f"it cannot be read as {name}: it is {next(found, 'another ZIP archive')}. Rename it")


def _not_an_archive(data: bytes, name: str) -> str:
    if data.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in data:
            return "it is protected by a password"
        return (
            f"it is not a {name} file, in spite of its name, but one of Office 97 to 2003. Save it as .{name.lower()}"
        )
    what = what_it_is(data)
    return f"it is not a {name} file, in spite of its name: " + (f"it is {what}" if what else "no ZIP signature")


def what_it_is(data: bytes) -> str:
    """What the first bytes say a file is, as `a PNG image`; "" when they say nothing."""
    if data.startswith(_OLE):
        return "a file of Office 97 to 2003"
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page (.html)"
    return next((what for signature, what in _SIGNATURES if data.startswith(signature)), "")
