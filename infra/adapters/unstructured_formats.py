"""Bytes of each format to elements: unstructured, and pypdf for PDFs that carry text. Runs in the parsing process.

unstructured loads a spaCy model from the network to tell sentences from titles. Here a blank pipeline takes its place:
offline, the same everywhere, and its guesses are not used, since only markup makes a heading.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from infra.adapters.text_encodings import decode
from tasks.core.documents import Element, ElementKind

KIND_OF_SUFFIX = {
    ".md": ".md",
    ".markdown": ".md",
    ".html": ".html",
    ".htm": ".html",
    ".docx": ".docx",
    ".txt": ".txt",
    ".pdf": ".pdf",
    ".csv": ".csv",
    ".pptx": ".pptx",
    ".xlsx": ".xlsx",
}
TEXT_KINDS = frozenset({".md", ".html", ".txt", ".csv"})
_CATEGORIES: dict[str, ElementKind] = {"ListItem": "list-item", "Table": "table", "CodeSnippet": "code"}
_BOILERPLATE = frozenset({"PageBreak", "Header", "Footer", "PageNumber", "Image"})


class Refused(Exception):
    """The document cannot be ingested; the message is for the person who owns it."""


def load_libraries() -> None:
    """Imports what most documents need, once, with a blank sentence splitter in the place of the downloaded model."""
    # spaCy would import torch to look for a GPU: 4 s and 400 MB in a process that has no use for it.
    sys.modules["torch"] = None  # type: ignore[assignment]
    import spacy
    from unstructured.nlp import tokenize
    from unstructured.partition import docx, html, md, text  # noqa: F401

    splitter = spacy.blank("en")
    splitter.add_pipe("sentencizer")
    splitter.max_length = 2**31
    tokenize._get_nlp = lambda: splitter


def elements_of(data: bytes, kind: str, max_characters: int) -> tuple[Element, ...]:
    """The elements in reading order. Raises Refused; any other error means that the bytes are not of that kind."""
    if kind in TEXT_KINDS:
        text = decode(data)
        if text is None:
            raise Refused(f"it is not text: {len(data):,} bytes, with control characters in them")
        _check_length(len(text), max_characters)
        elements = tuple(_TEXT_READERS[kind](text))
    else:
        elements = tuple(_BINARY_READERS[kind](data))
    _check_length(sum(len(element.text) for element in elements), max_characters)
    return elements


def _check_length(characters: int, max_characters: int) -> None:
    if characters > max_characters:
        raise Refused(
            f"it holds {characters:,} characters; the limit is {max_characters:,}. "
            "Split it, or raise RATCHET_MAX_DOCUMENT_CHARACTERS"
        )


# ── text formats ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _markdown(text: str) -> Iterator[Element]:
    from unstructured.partition.md import partition_md

    if text.strip():
        yield from _converted(partition_md(text=text, languages=[""]))


def _html(text: str) -> Iterator[Element]:
    from unstructured.partition.html import partition_html

    # lxml refuses a declared encoding in text that is decoded already.
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)
    if text.strip():
        yield from _converted(partition_html(text=text, languages=[""]))


def _plain(text: str) -> Iterator[Element]:
    from unstructured.partition.text import partition_text

    if text.strip():
        # Without markup nothing is a heading, whatever a line looks like.
        for element in _converted(partition_text(text=text, languages=[""])):
            yield Element("paragraph", element.text) if element.kind == "heading" else element


def _csv(text: str) -> Iterator[Element]:
    from unstructured.partition.csv import partition_csv

    if text.strip():
        yield from _converted(partition_csv(file=io.BytesIO(text.encode()), encoding="utf-8", languages=[""]))


# ── binary formats ───────────────────────────────────────────────────────────────────────────────────────────────────


def _docx(data: bytes) -> Iterator[Element]:
    from unstructured.partition.docx import partition_docx

    _check_zip(data, "DOCX")
    yield from _below_title(list(_converted(partition_docx(file=io.BytesIO(data), languages=[""]), paged=False)))


def _pptx(data: bytes) -> Iterator[Element]:
    from unstructured.partition.pptx import partition_pptx

    _check_zip(data, "PPTX")
    for element in _converted(partition_pptx(file=io.BytesIO(data), languages=[""])):
        # Body text of a slide comes as titles of level 2 and more.
        is_body = element.kind == "heading" and element.level > 1
        yield Element("paragraph", element.text, page=element.page) if is_body else element


def _xlsx(data: bytes) -> Iterator[Element]:
    from unstructured.partition.xlsx import partition_xlsx

    _check_zip(data, "XLSX")
    for element in _converted(partition_xlsx(file=io.BytesIO(data), languages=[""])):
        yield Element("paragraph", element.text, page=element.page) if element.kind == "heading" else element


def _pdf(data: bytes) -> Iterator[Element]:
    from pypdf import PdfReader

    if b"%PDF" not in data[:1024]:
        raise Refused("it is not a PDF file: the %PDF signature is missing")
    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise Refused("it is protected by a password")
    pages = [page.extract_text() for page in reader.pages]
    if pages and not any(text.strip() for text in pages):
        raise Refused(
            f"its {len(pages)} pages carry no text: it is probably a scan, which needs text recognition first"
        )
    for number, text in enumerate(pages, start=1):
        yield from (Element("paragraph", paragraph, page=number) for paragraph in _paragraphs(text))


def _paragraphs(page: str) -> Iterator[str]:
    """Lines of a PDF page joined to paragraphs: one ends at an empty line, or where a sentence ends on a short line."""
    lines = [line.strip() for line in page.splitlines()]
    width = max((len(line) for line in lines), default=0)
    paragraph: list[str] = []
    for line in lines:
        paragraph.append(line)
        if not line or (line.endswith((".", "!", "?", ":")) and len(line) < 0.8 * width):
            if text := " ".join(filter(None, paragraph)):
                yield text
            paragraph = []
    if text := " ".join(filter(None, paragraph)):
        yield text


def _check_zip(data: bytes, name: str) -> None:
    if not data.startswith(b"PK"):
        raise Refused(f"it is not a {name} file, in spite of its name: the ZIP signature is missing")


# ── unstructured's elements to ours ──────────────────────────────────────────────────────────────────────────────────


def _converted(found: Sequence[Any], *, paged: bool = True) -> Iterator[Element]:
    for item in found:
        page = item.metadata.page_number if paged else None
        text = _rows(item.metadata.text_as_html) if item.category == "Table" else item.text
        if item.category in _BOILERPLATE or not (text and text.strip()):
            continue
        if item.category == "Title":
            yield Element("heading", text, min(6, 1 + (item.metadata.category_depth or 0)), page)
        else:
            yield Element(_CATEGORIES.get(item.category, "paragraph"), text, page=page)


def _rows(table_html: str | None) -> str:
    """A table as lines of cells, `a | b`: readable for people, models and word search."""
    from lxml import html  # type: ignore[import-untyped]

    if not table_html:
        return ""
    rows = html.fromstring(table_html).iter("tr")
    cells = ([" ".join(cell.text_content().split()) for cell in row.iter("td", "th")] for row in rows)
    return "\n".join(" | ".join(row) for row in cells if any(row))


def _below_title(elements: list[Element]) -> list[Element]:
    """Word's *Title* and *Heading 1* both arrive as level 1: the one that opens the document is the page title."""
    tops = [index for index, e in enumerate(elements) if e.kind == "heading" and e.level == 1]
    if len(tops) < 2 or tops[0] != 0:
        return elements
    below = (Element(e.kind, e.text, min(6, e.level + 1)) if e.kind == "heading" else e for e in elements[1:])
    return [elements[0], *below]


_TEXT_READERS: dict[str, Callable[[str], Iterator[Element]]] = {
    ".md": _markdown,
    ".html": _html,
    ".txt": _plain,
    ".csv": _csv,
}
_BINARY_READERS: dict[str, Callable[[bytes], Iterator[Element]]] = {
    ".docx": _docx,
    ".pptx": _pptx,
    ".xlsx": _xlsx,
    ".pdf": _pdf,
}
