"""Word and PowerPoint, through unstructured."""

from __future__ import annotations

import io
from collections.abc import Iterator

from infra.adapters.document_refusals import check_archive
from infra.adapters.markup_formats import below_title, converted
from tasks.core.documents import Element


def word(data: bytes) -> Iterator[Element]:
    """Headings come from Word's styles. Word keeps no pages: they depend on the printer."""
    from unstructured.partition.docx import partition_docx

    check_archive(data, "DOCX", "word/")
    yield from below_title(list(converted(partition_docx(file=io.BytesIO(data), languages=[""]), paged=False)))


def powerpoint(data: bytes) -> Iterator[Element]:
    """A heading per slide that has a title; the page is the slide."""
    from unstructured.partition.pptx import partition_pptx

    check_archive(data, "PPTX", "ppt/")
    for element in converted(partition_pptx(file=io.BytesIO(data), languages=[""])):
        # Body text of a slide comes as titles of level 2 and more.
        is_body = element.kind == "heading" and element.level > 1
        yield Element("paragraph", element.text, page=element.page) if is_body else element
