"""Bytes of a text file to text, whatever encoding it was saved in."""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset=["']?([A-Za-z0-9_:-]+)""")
_SAMPLE_BYTES = 64 * 1024


def decode(data: bytes) -> str | None:
    """The text with `\\n` line ends; None when the bytes are not text in any encoding.

    UTF-8 and byte-order marks decide when they fit, then a charset the page declares. Of the rest, Windows-1252 (which
    contains Latin-1) is assumed unless the bytes look like another script: on short texts, guessers take Western
    letters for almost anything.
    """
    text = _decoded(data)
    if text is None or len(_CONTROL.findall(text[:_SAMPLE_BYTES])) > len(text[:_SAMPLE_BYTES]) // 500:
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


def _decoded(data: bytes) -> str | None:
    for mark, marked in _MARKS:
        if data.startswith(mark):
            return _strictly(data, marked)
    wide = _utf16_without_mark(data)
    declared = _CHARSET.search(data[:2048])
    candidates = (wide, None if wide else "utf-8", declared.group(1).decode() if declared else None)
    for encoding in candidates:
        text = _strictly(data, encoding) if encoding else None
        if text is not None:
            return text
    return _strictly(data, _other_script(data)) or data.decode("cp1252", errors="replace")


def _strictly(data: bytes, encoding: str | None) -> str | None:
    try:
        return data.decode(encoding) if encoding else None
    except (UnicodeDecodeError, LookupError):
        return None


def _utf16_without_mark(data: bytes) -> str | None:
    """Text in a Latin script has a zero in every other byte."""
    sample = data[:_SAMPLE_BYTES]
    if len(sample) < 4:
        return None
    zeros = sample[0::2].count(0), sample[1::2].count(0)
    if zeros[1] > len(sample) * 0.4 and zeros[0] < len(sample) * 0.01:
        return "utf-16-le"
    if zeros[0] > len(sample) * 0.4 and zeros[1] < len(sample) * 0.01:
        return "utf-16-be"
    return None


def _other_script(data: bytes) -> str | None:
    """The encoding of a text that is mostly in another script than Latin, when the bytes speak for one."""
    from charset_normalizer import from_bytes

    high = sum(byte >= 0x80 for byte in data[:_SAMPLE_BYTES])
    if high < 0.3 * len(data[:_SAMPLE_BYTES]):
        return None  # letters with accents among ASCII ones: a Western text
    guess = from_bytes(data[:_SAMPLE_BYTES]).best()
    return guess.encoding if guess is not None else None
