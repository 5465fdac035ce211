"""PDF files that carry text, page by page, with pypdf: unstructured's own way needs gigabytes of models."""

from __future__ import annotations

import io
from collections.abc import Iterator

from infra.adapters.document_refusals import Refused, check_length, what_it_is
from infra.adapters.wrapped_lines import joined
from tasks.core.documents import Element


def pdf(data: bytes, max_characters: int) -> Iterator[Element]:
    """Paragraphs with their page; a PDF has no headings that can be relied on."""
    from pypdf import PdfReader

    if b"%PDF" not in data[:1024]:
        what = what_it_is(data)
        raise Refused("it is not a PDF file: " + (f"it is {what}" if what else "the %PDF signature is missing"))
    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise Refused("it is protected by a password")
    characters = pages = 0
    for pages, page in enumerate(reader.pages, start=1):
        text = page.extract_text()
        characters += len(text.strip())
        check_length(characters, max_characters)
        yield from (Element("paragraph", paragraph, page=pages) for paragraph in _paragraphs(text))
    if pages and not characters:
        raise Refused(f"its {pages:,} pages have no text layer: it is probably a scan, which needs OCR first")


def _paragraphs(page: str) -> Iterator[str]:
    """Lines of a page joined to paragraphs: one ends at an empty line, or where a sentence ends on a short line."""
    lines = [line.strip() for line in page.splitlines()]
    width = max((len(line) for line in lines), default=0)
    paragraph: list[str] = []
    for line in lines:
        paragraph.append(line)
        if not line or (line.endswith((".", "!", "?", ":", "。", "！", "？")) and len(line) < 0.8 * width):
            if text := joined(paragraph):
                yield text
            paragraph = []
    if text := joined(paragraph):
        yield text
