"""Text is read right in the encodings people save it in, and binary files are not taken for text."""

from __future__ import annotations

import pytest

from infra.adapters.text_encodings import decode

GERMAN = "Größe: 42 °C – die Dichtung hält 2½ Jahre."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_german_in_every_common_encoding(encoding: str) -> None:
    assert decode(GERMAN.encode(encoding)) == GERMAN


@pytest.mark.parametrize("text", ["caf\xe9", "El a\xf1o pasado", "\xa9 2024", "na\xefve fa\xe7ade " * 50])
def test_latin_1(text: str) -> None:
    assert decode(text.encode("latin-1")) == text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Насос работает при давлении сорок два бара и требует нового уплотнения каждые два года. "),
        ("shift_jis", "ポンプは四十二バールで運転し、二年ごとに新しいシールが必要です。圧力計を確認してください。"),
        ("gb18030", "该泵在四十二巴的压力下运行,每两年需要更换一次新的密封件。请检查压力表。"),
    ],
)
def test_other_scripts(encoding: str, text: str) -> None:
    assert decode((text * 5).encode(encoding)) == text * 5


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("shift_jis", "ポンプは四十二バールで運転し、二年ごとに新しいシールが必要です。"),
        ("gb18030", "该泵在四十二巴的压力下运行，每两年需要更换一次新的密封件。"),
        ("cp1251", "Насос работает при давлении сорок два бара."),
        ("utf-16-le", "ポンプは四十二バールで運転し、二年ごとに新しいシールが必要です。\n"),
        ("utf-16-be", "该泵在四十二巴的压力下运行，每两年需要更换一次新的密封件。\n"),
    ],
)
def test_one_sentence_is_enough(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_one_paste_in_another_encoding_does_not_spoil_the_rest() -> None:
    assert decode(GERMAN.encode() + "Grün".encode("cp1252") + GERMAN.encode()) == f"{GERMAN}Grün{GERMAN}"


def test_an_xml_declaration_says_its_encoding() -> None:
    page = '<?xml version="1.0" encoding="iso-8859-2"?><p>Pompa działa przy 42 barach</p>'
    assert decode(page.encode("iso-8859-2")) == page


def test_a_page_says_its_charset() -> None:
    page = '<html><head><meta charset="iso-8859-2"></head><body>Pompa działa przy 42 barach</body></html>'
    assert decode(page.encode("iso-8859-2")) == page


def test_line_ends_are_made_equal() -> None:
    assert decode(b"a\r\nb\rc\n") == "a\nb\nc\n"


@pytest.mark.parametrize("data", [b"\x7fELF" + bytes(range(32)) * 40, b"\x89PNG\r\n\x1a\n" + bytes(2000)])
def test_binary_is_not_text(data: bytes) -> None:
    assert decode(data) is None


def test_nothing_is_text() -> None:
    assert decode(b"") == ""
