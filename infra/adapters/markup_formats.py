"""Markdown, HTML, notebooks, and what pandoc makes HTML of, through unstructured. Headings come from markup alone.

unstructured asks spaCy, with a model from the network, whether a paragraph is a sentence or a title. Nothing here uses
the answer, so spaCy is not even imported: that is half of the time a parsing process takes to start.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from infra.adapters.document_refusals import Refused, check_archive
from tasks.core.documents import Element, ElementKind

_CATEGORIES: dict[str, ElementKind] = {"ListItem": "list-item", "Table": "table", "CodeSnippet": "code"}
_BOILERPLATE = frozenset({"PageBreak", "Header", "Footer", "PageNumber", "Image"})
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_MDX_CODE = re.compile(r"^(?:import\s.+?from\s.+|import\s+['\"].+|export\s+(?:const|default|let|function)\b.*)$", re.M)
_MDX_COMMENT = re.compile(r"\{/\*.*?\*/\}", re.DOTALL)
_FENCES = re.compile(r"(^```.*?^```[ \t]*$)", re.DOTALL | re.MULTILINE)
_PANDOC_OUT_OF_MEMORY = 251


def without_spacy() -> None:
    """Lets unstructured be imported without spaCy. Once per process, before the first import."""
    if "spacy" not in sys.modules:
        sys.modules["spacy"] = types.ModuleType("spacy")
        from unstructured.nlp import tokenize

        tokenize._get_nlp = _NoLanguage


class _NoWords(tuple[()]):
    """A text in which nothing was found: neither sentences nor words."""

    sents = ()


class _NoLanguage:
    """What stands where unstructured expects a spaCy pipeline."""

    max_length = sys.maxsize

    def __call__(self, text: str) -> _NoWords:
        return _NoWords()


def markdown(text: str) -> Iterator[Element]:
    """Markdown; the lines of a front matter are a paragraph, since Markdown itself would make a heading of them."""
    from unstructured.partition.md import partition_md

    if front := _FRONT_MATTER.match(text):
        if lines := "\n".join(line.rstrip() for line in front[1].split("\n") if line.strip()):
            yield Element("paragraph", lines)
        text = text[front.end() :]
    if text.strip():
        yield from converted(partition_md(text=text, languages=[""]))


def mdx(text: str) -> Iterator[Element]:
    """Markdown with components: the text between their tags is kept, what is program is not."""
    pieces = _FENCES.split(text)
    pieces[::2] = [_MDX_COMMENT.sub("", _MDX_CODE.sub("", piece)) for piece in pieces[::2]]
    yield from markdown("".join(pieces))


def hypertext(text: str) -> Iterator[Element]:
    """HTML and XHTML."""
    from unstructured.partition.html import partition_html

    # lxml refuses a declared encoding in text that is decoded already.
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)
    if text.strip():
        yield from converted(partition_html(text=text, languages=[""]))


def notebook(text: str) -> Iterator[Element]:
    """Jupyter: the cells in their order, without what they printed."""
    if not text.strip():
        return
    cells = json.loads(text).get("cells")
    if not isinstance(cells, list):
        raise Refused("it is not a notebook of version 4 or later: it has no list of cells")
    for cell in cells:
        source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield from markdown(source)
        elif source.strip():
            yield Element("code", source.strip("\n"))


# ── through pandoc ───────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def pandoc() -> str:
    """Where pandoc is. Asks it for its version, which takes memory: call it once before memory is limited."""
    import pypandoc  # type: ignore[import-untyped]

    return str(pypandoc.get_pandoc_path())


def through_pandoc(data: bytes, kind: str) -> Iterator[Element]:
    """E-books, OpenDocument, RTF, reStructuredText, Org. pandoc reads no other file and opens no address."""
    if kind == ".epub":
        check_archive(data, "EPUB", "META-INF/container.xml")
    elif kind == ".odt":
        check_archive(data, "ODT", "content.xml")
    elif kind == ".rtf" and not data.lstrip().startswith(b"{\\rtf"):
        raise Refused("it is not an RTF file, in spite of its name")
    command = [pandoc(), "--from", kind[1:], "--to", "html", "--sandbox", "--standalone"]
    done = subprocess.run([*command, "--metadata", "pagetitle= ", "--quiet"], input=data, capture_output=True)
    if done.returncode == _PANDOC_OUT_OF_MEMORY or done.returncode < 0:  # it crashes when it cannot even be loaded
        raise MemoryError
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[:200]
        raise Refused(f"it cannot be read as {kind[1:].upper()} (pandoc: {said or f'exit status {done.returncode}'})")
    page = done.stdout.decode()
    elements = hypertext(page)
    yield from below_title(list(elements)) if '<h1 class="title">' in page else elements


# ── unstructured's elements to ours ──────────────────────────────────────────────────────────────────────────────────


def converted(found: Sequence[Any], *, paged: bool = True) -> Iterator[Element]:
    """What unstructured found, without page furniture."""
    for item in found:
        page = item.metadata.page_number if paged else None
        text = _rows(item.metadata.text_as_html) if item.category == "Table" else item.text
        if item.category in _BOILERPLATE or not (text and text.strip()):
            continue
        if item.category == "Title":
            yield Element("heading", text, min(6, 1 + (item.metadata.category_depth or 0)), page)
        else:
            yield Element(_CATEGORIES.get(item.category, "paragraph"), text, page=page)


def below_title(elements: list[Element]) -> list[Element]:
    """A document's title and its first headings both arrive as level 1: the one that opens it is the page title."""
    tops = [index for index, e in enumerate(elements) if e.kind == "heading" and e.level == 1]
    if len(tops) < 2 or tops[0] != 0:
        return elements
    below = (Element(e.kind, e.text, min(6, e.level + 1)) if e.kind == "heading" else e for e in elements[1:])
    return [elements[0], *below]


def _rows(table_html: str | None) -> str:
    """A table as lines of cells, `a | b`: readable for people, models and word search."""
    from lxml import html  # type: ignore[import-untyped]

    if not table_html:
        return ""
    rows = html.fromstring(table_html).iter("tr")
    cells = ([" ".join(cell.text_content().split()) for cell in row.iter("td", "th")] for row in rows)
    return "\n".join(" | ".join(row) for row in cells if any(row))
