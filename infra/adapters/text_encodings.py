"""Bytes of a text file to text, whatever encoding it was saved in."""

from __future__ import annotations

import codecs
import re
import unicodedata

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_CHARSET = re.compile(rb"""<(?:meta[^>]{0,200}charset=|\?xml[^>]{0,100}encoding=)["']?([A-Za-z0-9_:-]+)""")
_SAMPLE_BYTES = 64 * 1024
_BEYOND_ASCII = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


def decode(data: bytes) -> str | None:
    """The text with `\\n` line ends; None when the bytes are not text in any encoding.

    UTF-8 and byte-order marks decide when they fit, then a charset the page declares. Text that is mostly UTF-8 keeps
    it, and only the bytes that do not fit, from a paste or a second editor, are read as Windows-1252. Of the rest,
    Windows-1252 (which contains Latin-1) is assumed unless the bytes look like another script: on short texts, guessers
    take Western letters for almost anything.
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
    if _is_mostly_utf8(data):
        return data.decode("utf-8", errors=_AS_WESTERN)
    return _strictly(data, _other_script(data)) or data.decode("cp1252", errors="replace")


def _is_mostly_utf8(data: bytes) -> bool:
    """Whether four in five of the bytes beyond ASCII make whole UTF-8 characters: by chance, hardly any do."""
    rest, found = _BEYOND_ASCII.subn(b"", data)
    strays = sum(map(rest.count, map(bytes, zip(range(0x80, 0x100), strict=True))))
    return found > 0 and strays <= found / 4


def _western(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", errors="replace"), error.end


_AS_WESTERN = "ratchet-western"
codecs.register_error(_AS_WESTERN, _western)


def _strictly(data: bytes, encoding: str | None) -> str | None:
    try:
        return data.decode(encoding) if encoding else None
    except (UnicodeDecodeError, LookupError):
        return None


def _utf16_without_mark(data: bytes) -> str | None:
    """Text in a Latin script has a zero in every other byte; in any script, only spaces and line ends have one."""
    sample = data[: _SAMPLE_BYTES - _SAMPLE_BYTES % 2]
    if len(sample) < 4 or len(data) % 2 or 0 not in sample:
        return None
    zeros = sample[0::2].count(0), sample[1::2].count(0)
    if min(zeros) > len(sample) * 0.01:
        return None
    encoding = "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    text = _strictly(sample, encoding)
    return encoding if text and sum(map(_is_written, text)) > 0.98 * len(text) else None


def _is_written(character: str) -> bool:
    """Whether people write it: no control character, and none that is private or not assigned."""
    return character in "\t\n\r\f" or unicodedata.category(character)[0] != "C"


def _other_script(data: bytes) -> str | None:
    """The encoding of a text that is mostly in another script than Latin, when the bytes speak for one."""
    from charset_normalizer import from_bytes

    high = sum(byte >= 0x80 for byte in data[:_SAMPLE_BYTES])
    if high < 0.3 * len(data[:_SAMPLE_BYTES]):
        return None  # letters with accents among ASCII ones: a Western text
    guess = from_bytes(data[:_SAMPLE_BYTES]).best()
    # The two differ in capitals only, and nobody has saved text as the former for twenty years.
    return {"mac_cyrillic": "cp1251"}.get(guess.encoding, guess.encoding) if guess is not None else None
