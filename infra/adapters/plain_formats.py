"""Text with little markup or none: .txt, .log, AsciiDoc. Read here, since only markup may make a heading."""

from __future__ import annotations

import re
from collections.abc import Iterator

from infra.adapters.wrapped_lines import joined, look_wrapped
from tasks.core.documents import Element

_BULLET = re.compile(r"\s*(?:[-*•‣◦▪·–]|\d{1,3}[.)])\s+(?=\S)")
_ADOC_HEADING = re.compile(r"(={1,6})\s+(\S.*?)(?:\s+=+)?")
_ADOC_ITEM = re.compile(r"\s*(?:\*{1,5}|\.{1,5}|-)\s+(?=\S)")
_ADOC_FENCE = re.compile(r"-{4,}|\.{4,}|={4,}|\*{4,}|_{4,}|\+{4,}|/{4,}|--|```.*|[|,:!]===")
_ADOC_UNSEEN = re.compile(r":[\w!-]+:.*|\[[^\]]*\]|//(?!/).*|include::.*|image::.*|<<<|'''")


def plain(text: str) -> Iterator[Element]:
    """Paragraphs between empty lines, and list items; no headings, whatever a line looks like."""
    for block in re.split(r"\n[ \t]*\n", text):
        lines = [line for line in block.split("\n") if line.strip()]
        run: list[str] = []
        is_item = False
        for line in lines:
            if bullet := _BULLET.match(line):
                yield from _block(run, is_item)
                run, is_item = [line[bullet.end() :] if not line.strip()[0].isdigit() else line], True
            else:
                run.append(line)
        yield from _block(run, is_item)


def _block(lines: list[str], is_item: bool) -> Iterator[Element]:
    if not lines:
        return
    if is_item:
        yield Element("list-item", joined(lines))
    else:
        yield Element("paragraph", joined(lines) if look_wrapped(lines) else "\n".join(line.rstrip() for line in lines))


def asciidoc(text: str) -> Iterator[Element]:
    """Headings by their `=`, list items, paragraphs, and the blocks between fences as they stand."""
    run: list[str] = []
    lines = iter(text.split("\n"))
    for line in lines:
        line = line.rstrip()
        heading, item = _ADOC_HEADING.fullmatch(line), _ADOC_ITEM.match(line)
        is_fence = _ADOC_FENCE.fullmatch(line) is not None
        if not line or heading or item or is_fence or _ADOC_UNSEEN.fullmatch(line):
            yield from _run(run)
            run = []
        if is_fence:
            yield from _fenced(line, lines)
        elif heading:
            yield Element("heading", heading[2], len(heading[1]))
        elif line and not _ADOC_UNSEEN.fullmatch(line):
            run.append(line)
    yield from _run(run)


def _run(lines: list[str]) -> Iterator[Element]:
    if lines and (item := _ADOC_ITEM.match(lines[0])):
        yield Element("list-item", joined([lines[0][item.end() :], *lines[1:]]))
    elif lines:
        yield Element("paragraph", joined(lines))


def _fenced(fence: str, lines: Iterator[str]) -> Iterator[Element]:
    closing = "```" if fence.startswith("```") else fence
    inside = []
    for line in lines:
        if line.rstrip() == closing:
            break
        inside.append(line.rstrip())
    if fence.startswith("////"):  # a comment
        return
    if fence[0] in "=*_":  # an example, a sidebar, a quotation: text like any other
        yield from asciidoc("\n".join(line for line in inside if not _ADOC_HEADING.fullmatch(line)))
    elif fence == "|===":
        yield from _adoc_table(inside)
    elif body := "\n".join(inside).strip("\n"):
        yield Element("code", body)


def _adoc_table(lines: list[str]) -> Iterator[Element]:
    """Rows written on one line stay rows; cells written one to a line are joined up to the next empty line."""
    rows: list[list[str]] = []
    is_open = False
    for line in lines:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:]]
        if is_open and len(cells) == 1:
            rows[-1] += cells
        elif cells:
            rows.append(cells)
        is_open = bool(line) and len(cells) == 1
    if rows:
        yield Element("table", "\n".join(" | ".join(row) for row in rows))
