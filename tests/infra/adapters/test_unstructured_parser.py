"""The real parser on small files of every format, and on files that mean harm."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from infra.adapters.unstructured_parser import UnstructuredParser
from tasks.core.documents import Element
from tasks.core.ports import Parsed, Unparsable


@pytest.fixture(scope="module")
def parser() -> Iterator[UnstructuredParser]:
    with UnstructuredParser(timeout_seconds=60, max_characters=200_000) as made:
        yield made


def elements(parser: UnstructuredParser, uri: str, data: bytes) -> tuple[Element, ...]:
    (result,) = parser.parse([(uri, data)])
    assert isinstance(result, Parsed), result
    return result.elements


def refusal(parser: UnstructuredParser, uri: str, data: bytes) -> str:
    (result,) = parser.parse([(uri, data)])
    assert isinstance(result, Unparsable), result
    return result.reason


def docx_bytes() -> bytes:
    import docx

    document = docx.Document()
    document.add_heading("Halden handbook", 0)
    document.add_heading("Pumps", 1)
    document.add_paragraph("The H300 runs at 42 bar.")
    document.add_heading("Seals", 2)
    document.add_paragraph("Replace the seal", style="List Bullet")
    table = document.add_table(2, 2)
    for row, column, text in ((0, 0, "Part"), (0, 1, "Bar"), (1, 0, "H300"), (1, 1, "42")):
        table.cell(row, column).text = text
    return saved(document)


def saved(document: object) -> bytes:
    file = io.BytesIO()
    document.save(file)  # type: ignore[attr-defined]
    return file.getvalue()


def pdf_bytes(*pages: str) -> bytes:
    """A PDF written by hand: one line of Helvetica a page."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(count))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * n} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    body, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF"
    return f"{body}xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()


MARKDOWN = """# Pumps

The H300 runs at `42 bar`.

## Care

- oil it
- clean it

| Part | Bar |
|------|-----|
| H300 | 42  |

```
pump --start
```
"""


def test_markdown(parser: UnstructuredParser) -> None:
    assert elements(parser, "a.md", MARKDOWN.encode()) == (
        Element("heading", "Pumps", 1),
        Element("paragraph", "The H300 runs at 42 bar."),
        Element("heading", "Care", 2),
        Element("list-item", "oil it"),
        Element("list-item", "clean it"),
        Element("table", "Part | Bar\nH300 | 42"),
        Element("code", "pump --start"),
    )


def test_html(parser: UnstructuredParser) -> None:
    page = (
        '<?xml version="1.0" encoding="utf-8"?><html><head><title>t</title><script>x()</script></head><body>'
        "<nav>Home</nav><h1>Pumps</h1><p>It runs at 42&nbsp;bar.</p><h2>Care</h2><ul><li>oil it</li></ul></body></html>"
    )
    assert elements(parser, "a.HTM", page.encode()) == (
        Element("heading", "Pumps", 1),
        Element("paragraph", "It runs at 42 bar."),
        Element("heading", "Care", 2),
        Element("list-item", "oil it"),
    )


def test_docx_puts_its_headings_below_its_title(parser: UnstructuredParser) -> None:
    assert elements(parser, "a.docx", docx_bytes()) == (
        Element("heading", "Halden handbook", 1),
        Element("heading", "Pumps", 2),
        Element("paragraph", "The H300 runs at 42 bar."),
        Element("heading", "Seals", 3),
        Element("list-item", "Replace the seal"),
        Element("table", "Part | Bar\nH300 | 42"),
    )


def test_plain_text_in_latin_1_has_paragraphs_and_no_headings(parser: UnstructuredParser) -> None:
    found = elements(
        parser,
        "a.txt",
        "Gr\xf6\xdfe\n\nDie Dichtung dieser Pumpe h\xe4lt\netwa zwei volle Jahre im Betrieb.".encode("latin-1"),
    )
    assert found == (
        Element("paragraph", "Größe"),
        Element("paragraph", "Die Dichtung dieser Pumpe hält etwa zwei volle Jahre im Betrieb."),
    )


def test_pdf_keeps_its_pages(parser: UnstructuredParser) -> None:
    assert elements(parser, "a.pdf", pdf_bytes("The H300 runs at 42 bar.", "The seal lasts.")) == (
        Element("paragraph", "The H300 runs at 42 bar.", page=1),
        Element("paragraph", "The seal lasts.", page=2),
    )


def test_tables_slides_and_sheets(parser: UnstructuredParser) -> None:
    import openpyxl
    from pptx import Presentation

    assert elements(parser, "a.csv", b"Part,Bar\nH300,42\n") == (Element("table", "Part | Bar\nH300 | 42"),)
    book = openpyxl.Workbook()
    book.active.append(["Part", "Bar"])
    book.active.append(["H300", 42])
    assert elements(parser, "a.xlsx", saved(book)) == (
        Element("heading", "Sheet", 1),
        Element("table", "Part | Bar\nH300 | 42"),
    )
    slides = Presentation()
    slide = slides.slides.add_slide(slides.slide_layouts[1])
    slide.shapes.title.text = "Pumps"
    slide.placeholders[1].text = "They pump."
    assert elements(parser, "a.pptx", saved(slides)) == (
        Element("heading", "Pumps", 1, 1),
        Element("paragraph", "They pump.", page=1),
    )


def test_an_encrypted_pdf_says_so(parser: UnstructuredParser) -> None:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(PdfReader(io.BytesIO(pdf_bytes("Secret."))))
    writer.encrypt("secret", algorithm="AES-256")
    file = io.BytesIO()
    writer.write(file)
    assert "password" in refusal(parser, "a.pdf", file.getvalue())


def test_a_page_named_txt_is_read_as_a_page(parser: UnstructuredParser) -> None:
    assert elements(parser, "a.txt", b"<!DOCTYPE html><html><h1>Pumps</h1></html>") == (Element("heading", "Pumps", 1),)


def test_the_same_bytes_give_the_same_elements(parser: UnstructuredParser) -> None:
    data = docx_bytes()
    assert elements(parser, "a.docx", data) == elements(parser, "elsewhere/b.docx", data)


@pytest.mark.parametrize("uri", ["a.md", "a.docx", "a.pdf", "a.html", "a.csv", "a.xlsx"])
def test_an_empty_file_is_a_document_without_elements(parser: UnstructuredParser, uri: str) -> None:
    assert elements(parser, uri, b"") == ()


def test_spaces_are_a_document_without_elements(parser: UnstructuredParser) -> None:
    for uri in ("a.md", "a.txt", "a.html", "a.csv"):
        assert elements(parser, uri, b" \n\n ") == ()


@pytest.mark.parametrize(
    ("uri", "data", "reason"),
    [
        ("a.docx", b"\x00\x01\x02" * 500, "not a DOCX file, in spite of its name"),
        ("a.docx", b"PK\x03\x04" + b"\x00" * 500, "cannot be read as DOCX"),
        ("a.docx", b"\x89PNG\r\n\x1a\n" + bytes(500), "it is a PNG image"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "Office 97 to 2003. Save it as .docx"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "password"),
        ("a.pdf", b"<html><p>x</p></html>", "it is a web page"),
        ("a.txt", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, "it is a PNG image"),
        ("a.doc", b"\xd0\xcf\x11\xe0", ".doc files cannot be read; save it as .docx"),
        ("a.pdf", b"\x00\x01\x02" * 500, "not a PDF file"),
        ("a.pdf", b"%PDF-1.4\n" + b"\xff" * 500, "cannot be read as PDF"),
        ("a.pdf", pdf_bytes("", ""), "its 2 pages have no text layer"),
        ("a.md", b"\x7fELF" + bytes(range(32)) * 40, "not text"),
        ("a.txt", b"word " * 50_000, "characters; the limit is 200,000"),
        ("a.xlsx", docx_bytes(), "cannot be read as XLSX"),
    ],
    ids=lambda value: None if isinstance(value, str) else "",  # bytes hold the time, and workers must agree
)
def test_a_bad_file_is_refused_with_its_reason(parser: UnstructuredParser, uri: str, data: bytes, reason: str) -> None:
    assert reason in refusal(parser, uri, data)


def test_a_huge_file_is_refused_from_its_size_alone() -> None:
    refused = UnstructuredParser(max_document_mib=32).refuses("a.txt", 50 * 2**20)
    assert refused is not None
    assert "50.0 MiB; the limit is 32 MiB" in refused


def test_characters_that_no_database_takes_are_replaced(parser: UnstructuredParser) -> None:
    (parsed,) = parser.parse([("a.json", b'{"a": "one\\u0000two", "b": "\\ud800 x"}')])
    assert isinstance(parsed, Parsed)
    assert [element.text for element in parsed.elements] == ["a: one\ufffdtwo\nb: \ufffd x"]
