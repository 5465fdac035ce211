"""Every further format, on a small file of it: what becomes a heading, a paragraph, a row; what is left out."""

from __future__ import annotations

import io
import subprocess
import zipfile
from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from infra.adapters.unstructured_formats import KIND_OF_SUFFIX, SAVE_AS
from infra.adapters.unstructured_parser import UnstructuredParser
from tasks.core.documents import Element
from tasks.core.ports import Parsed, Unparsable


@pytest.fixture(scope="module")
def parser() -> Iterator[UnstructuredParser]:
    with UnstructuredParser(processes=1) as made:
        yield made


def elements(parser: UnstructuredParser, uri: str, data: bytes | str) -> tuple[Element, ...]:
    (result,) = parser.parse([(uri, data if isinstance(data, bytes) else data.encode())])
    assert isinstance(result, Parsed), result
    return result.elements


def refusal(parser: UnstructuredParser, uri: str, data: bytes) -> str:
    (result,) = parser.parse([(uri, data)])
    assert isinstance(result, Unparsable), result
    assert not result.transient
    return result.reason


HANDBOOK = "# Pumps\n\n## H300\n\nIt runs at 42 bar.\n\n## H400\n\n- oil it\n- clean it\n"
ELEMENTS = (
    Element("heading", "Pumps", 1),
    Element("heading", "H300", 2),
    Element("paragraph", "It runs at 42 bar."),
    Element("heading", "H400", 2),
    Element("list-item", "oil it"),
    Element("list-item", "clean it"),
)


def from_pandoc(kind: str) -> bytes:
    import pypandoc

    command = [pypandoc.get_pandoc_path(), "--from", "markdown", "--to", kind, "--standalone", "--output", "-"]
    return subprocess.run(command, input=HANDBOOK.encode(), capture_output=True, check=True).stdout


@pytest.mark.parametrize("kind", ["epub", "odt", "rtf", "rst", "org"])
def test_headings_and_lists_of_what_pandoc_reads(parser: UnstructuredParser, kind: str) -> None:
    assert elements(parser, f"a.{kind}", from_pandoc(kind)) == ELEMENTS


@pytest.mark.parametrize("uri", ["a.epub", "a.odt"])
def test_another_zip_archive_is_named(parser: UnstructuredParser, uri: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("word/document.xml", "<x/>")
    assert "it is a Word file (.docx). Rename it" in refusal(parser, uri, file.getvalue())


def test_pandoc_reads_no_other_file(parser: UnstructuredParser, tmp_path: object) -> None:
    assert "root:" not in str(elements(parser, "a.rst", ".. include:: /etc/passwd\n\nThe end of it.\n"))


def test_mail_begins_with_who_wrote_and_counts_its_attachments(parser: UnstructuredParser) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Größe der Dichtung", "Ida <ida@halden.no>", "ole@halden.no"
    message["Date"] = "Mon, 02 Nov 2026 10:00:00 +0000"
    message.set_content("Plain.")
    message.add_alternative("<h2>Seals</h2><p>They hold 42 bar.</p>", subtype="html")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="seal.pdf")
    assert elements(parser, "a.eml", message.as_bytes()) == (
        Element(
            "paragraph",
            "Subject: Größe der Dichtung\nFrom: Ida <ida@halden.no>\nDate: Mon, 02 Nov 2026 10:00:00 +0000\n"
            "To: ole@halden.no",
        ),
        Element("heading", "Seals", 2),
        Element("paragraph", "They hold 42 bar."),
        Element("paragraph", "(1 attachment was left out: seal.pdf)"),
    )


def test_plain_mail_in_latin_1(parser: UnstructuredParser) -> None:
    mail = b"From: ida@halden.no\nContent-Type: text/plain; charset=iso-8859-1\n\nGr\xf6\xdfe: 42"
    assert elements(parser, "a.eml", mail)[1:] == (Element("paragraph", "Größe: 42"),)


def test_a_file_without_headers_is_no_message(parser: UnstructuredParser) -> None:
    assert "no headers" in refusal(parser, "a.eml", b"just text")
    assert "MSG" in refusal(parser, "a.msg", b"just text")


def test_cells_stay_as_they_were_written(parser: UnstructuredParser) -> None:
    assert elements(parser, "a.csv", 'Part;Bar;Note\n007;42;"a, b\nc"\n\n1.50;;\n') == (
        Element("table", "Part | Bar | Note\n007 | 42 | a, b c\n1.50"),
    )
    assert elements(parser, "a.tsv", "Part\tBar\n007\t1,5\n") == (Element("table", "Part | Bar\n007 | 1,5"),)


def test_a_heading_per_sheet_and_a_table_per_block(parser: UnstructuredParser) -> None:
    import datetime as dt

    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "Pumps"
    for row in (["Part", "Bar"], ["H300", 42.0], [None, None], ["Total", dt.datetime(2026, 11, 2)]):
        book.active.append(row)
    book.create_sheet("Empty")
    book.create_sheet("Seals").append(["S1", True])
    file = io.BytesIO()
    book.save(file)
    assert elements(parser, "a.xlsx", file.getvalue()) == (
        Element("heading", "Pumps", 1),
        Element("table", "Part | Bar\nH300 | 42"),
        Element("table", "Total | 2026-11-02"),
        Element("heading", "Seals", 1),
        Element("table", "S1 | True"),
    )


def test_json_is_a_paragraph_per_record(parser: UnstructuredParser) -> None:
    data = '{"name": "H300", "parts": [{"id": "007", "at": {"bar": 42}}, {"id": "8", "tags": ["a", "b"]}]}'
    assert elements(parser, "a.json", data) == (
        Element("paragraph", "name: H300"),
        Element("paragraph", "parts.id: 007\nparts.at.bar: 42"),
        Element("paragraph", "parts.id: 8\nparts.tags: a, b"),
    )


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson"])
def test_json_lines_are_a_paragraph_each(parser: UnstructuredParser, suffix: str) -> None:
    found = elements(parser, f"a.{suffix}", '{"id": 1}\n\n{"id": 2, "on": true}\n')
    assert found == (Element("paragraph", "id: 1"), Element("paragraph", "id: 2\non: true"))


def test_a_bad_line_is_named(parser: UnstructuredParser) -> None:
    assert "line 2 is not JSON" in refusal(parser, "a.jsonl", b'{"id": 1}\n{"id"\n')


def test_xml_is_a_paragraph_per_record_and_text(parser: UnstructuredParser) -> None:
    data = (
        '<?xml version="1.0" encoding="utf-8"?><doc xmlns="urn:x"><part id="7"><name>H300</name><bar>42</bar></part>'
        '<para>It <b>runs</b> well.</para><para>Oil it.</para><size w="2"/></doc>'
    )
    assert elements(parser, "a.xml", data) == (
        Element("paragraph", "part (id 7)\nname: H300\nbar: 42"),
        Element("paragraph", "It runs well."),
        Element("paragraph", "Oil it."),
        Element("paragraph", "size (w 2)"),
    )


def test_an_entity_of_another_file_is_not_read(parser: UnstructuredParser) -> None:
    data = b'<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]><d>a &e; b</d>'
    (result,) = parser.parse([("a.xml", data)])
    assert "root:" not in str(result)


def test_asciidoc(parser: UnstructuredParser) -> None:
    text = "= Pumps\n:toc:\n\n== Care ==\nOil\nit.\n\n* one\n* two\n\n// no\n"
    data = text + "----\n== code\n----\n|===\n|A |B\n\n|1\n|2\n|===\n"
    assert elements(parser, "a.adoc", data) == (
        Element("heading", "Pumps", 1),
        Element("heading", "Care", 2),
        Element("paragraph", "Oil it."),
        Element("list-item", "one"),
        Element("list-item", "two"),
        Element("code", "== code"),
        Element("table", "A | B\n1 | 2"),
    )


def test_a_notebook_is_its_cells(parser: UnstructuredParser) -> None:
    cells = (
        '{"cells": [{"cell_type": "markdown", "source": ["# Pumps\\n", "They pump."]}, '
        '{"cell_type": "code", "source": "x = 42", "outputs": [{"text": "no"}]}], "nbformat": 4}'
    )
    assert elements(parser, "a.ipynb", cells) == (
        Element("heading", "Pumps", 1),
        Element("paragraph", "They pump."),
        Element("code", "x = 42"),
    )


def test_mdx_keeps_the_text_and_not_the_program(parser: UnstructuredParser) -> None:
    data = "import A from './a'\nexport const b = 1\n\n# Pumps\n\n{/* no */}\n\n```\nimport c from d\n```\n"
    assert elements(parser, "a.mdx", data) == (Element("heading", "Pumps", 1), Element("code", "import c from d"))


def test_a_front_matter_is_no_heading(parser: UnstructuredParser) -> None:
    assert elements(parser, "a.md", "---\ntitle: Pumps\ntags: x\n---\n# Care\n") == (
        Element("paragraph", "title: Pumps\ntags: x"),
        Element("heading", "Care", 1),
    )


def test_lines_of_a_log_stay_lines_and_wrapped_lines_do_not(parser: UnstructuredParser) -> None:
    log = "10:00 start\n10:01 the pump runs at forty-two bar\n10:02 stop"
    assert elements(parser, "a.log", log) == (Element("paragraph", log),)
    wrapped = elements(
        parser, "a.txt", "ポンプは四十二バールで\n運転し、二年ごとに\n必要です。\n\n1. one\n2. two\n- three"
    )
    assert wrapped == (
        Element("paragraph", "ポンプは四十二バールで運転し、二年ごとに必要です。"),
        Element("list-item", "1. one"),
        Element("list-item", "2. two"),
        Element("list-item", "three"),
    )


def test_every_suffix_is_read_or_refused_by_name(parser: UnstructuredParser) -> None:
    for suffix in KIND_OF_SUFFIX:
        assert parser.kind(f"A{suffix.upper()}") is not None
        assert (parser.refuses(f"a{suffix}", 10) is not None) == (suffix in SAVE_AS)
    assert parser.refuses("a.ppt", 10) == ".ppt files cannot be read; save it as .pptx"
