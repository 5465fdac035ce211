"""Rows and records: CSV, TSV, spreadsheets, JSON, JSON lines, XML. Values stay as they were written (007, 42, 1.50).

Pandas, which unstructured reads tables with, makes numbers of part numbers and 42.0 of 42 when a cell below is empty.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from infra.adapters.document_refusals import Refused, check_archive, check_length, what_it_is
from tasks.core.documents import Element

# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def comma_separated(text: str) -> Iterator[Element]:
    """One table; semicolons, tabs and bars separate too."""
    yield from _tables(filter(any, csv.reader(io.StringIO(text), delimiter=_delimiter(text))))


def tab_separated(text: str) -> Iterator[Element]:
    """One table."""
    yield from _tables(filter(any, csv.reader(io.StringIO(text), delimiter="\t")))


def _delimiter(text: str) -> str:
    """The one that gives the first rows equally many cells, and most of them."""
    csv.field_size_limit(2**31 - 1)
    start = "\n".join(text.split("\n", 20)[:20])

    def evenness(delimiter: str) -> tuple[bool, int]:
        widths = [len(row) for row in csv.reader(io.StringIO(start), delimiter=delimiter) if row]
        return len(set(widths[:-1])) <= 1, min(widths, default=0)

    return max(",;\t|", key=lambda delimiter: (evenness(delimiter)[1] > 1, *evenness(delimiter)))


def workbook(data: bytes, max_characters: int) -> Iterator[Element]:
    """A heading per sheet, and a table per block of rows without an empty row between them."""
    import openpyxl  # type: ignore[import-untyped]

    check_archive(data, "XLSX", "xl/")
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # the size a sheet claims to have may be wrong, or a million rows
        yield from _sheet(sheet.title, sheet.iter_rows(values_only=True), max_characters)


def old_workbook(data: bytes, max_characters: int) -> Iterator[Element]:
    """The same of Excel 97 to 2003."""
    import xlrd  # type: ignore[import-untyped]

    if data.startswith(b"PK") or what_it_is(data) == "a web page (.html)":
        raise Refused(f"it is not an XLS file, in spite of its name: it is {what_it_is(data) or 'a ZIP archive'}")
    try:
        book = xlrd.open_workbook(file_contents=data, on_demand=True)
    except xlrd.XLRDError as error:
        raise Refused(
            "it is protected by a password" if "encrypted" in str(error) else f"it cannot be read as XLS ({error})"
        ) from error
    for sheet in book.sheets():
        rows = ([_old_value(cell, book.datemode) for cell in row] for row in sheet.get_rows())
        yield from _sheet(sheet.name, rows, max_characters)


def _old_value(cell: Any, datemode: int) -> object:
    import xlrd

    if cell.ctype == xlrd.XL_CELL_DATE:
        return xlrd.xldate_as_datetime(cell.value, datemode)
    return bool(cell.value) if cell.ctype == xlrd.XL_CELL_BOOLEAN else cell.value


def _sheet(name: str, rows: Iterable[Sequence[object]], max_characters: int) -> Iterator[Element]:
    tables = list(_tables(_limited(([_written(value) for value in row] for row in rows), max_characters)))
    if tables:
        yield Element("heading", name, 1)
        yield from tables


def _limited(rows: Iterable[list[str]], max_characters: int) -> Iterator[list[str]]:
    """The rows, until they are too many: a sheet of a million rows is not read to its end to be refused."""
    characters = 0
    for row in rows:
        characters += sum(map(len, row))
        check_length(characters, max_characters)
        yield row


def _written(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(" ", "seconds")
    return str(value)


def _tables(rows: Iterable[Sequence[str]]) -> Iterator[Element]:
    """Lines of cells, `a | b`: readable for people, models and word search."""
    lines: list[str] = []
    for row in rows:
        cells = [" ".join(cell.split()) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            lines.append(" | ".join(cells))
        elif lines:
            yield Element("table", "\n".join(lines))
            lines = []
    if lines:
        yield Element("table", "\n".join(lines))


# ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def json_records(text: str) -> Iterator[Element]:
    """A paragraph per record, with a line per value: `address.city: Bergen`."""
    if text.strip():
        yield from _records(json.loads(text))


def json_lines(text: str) -> Iterator[Element]:
    """A paragraph per line."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield from _record("", json.loads(line))
            except ValueError as error:
                raise Refused(f"its line {number} is not JSON ({error})") from error


def _records(value: object) -> Iterator[Element]:
    if not isinstance(value, dict):
        for item in value if isinstance(value, list) else [value]:
            yield from _record("", item)
        return
    yield from _record("", {key: item for key, item in value.items() if not isinstance(item, dict | list)})
    for key, item in value.items():
        if isinstance(item, list) and any(isinstance(entry, dict) for entry in item):
            for entry in item:
                yield from _record(str(key), entry)
        elif isinstance(item, dict | list):
            yield from _record(str(key), item)


def _record(name: str, value: object) -> Iterator[Element]:
    if lines := "\n".join(_lines(name, value)):
        yield Element("paragraph", lines)


def _lines(name: str, value: object) -> Iterator[str]:
    """Lines of a value. Positions in lists are left out: an entry more at the top would change all that follow."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _lines(f"{name}.{key}" if name else str(key), item)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for item in value:
            yield from _lines(name, item)
    else:
        text = ", ".join(map(_scalar, value)) if isinstance(value, list) else _scalar(value)
        if text.strip():
            yield f"{name}: {text}" if name else text


def _scalar(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def xml_records(text: str) -> Iterator[Element]:
    """A paragraph per element with text of its own, and per record: an element of differently named values."""
    from lxml import etree  # type: ignore[import-untyped]

    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)
    if text.strip():
        # Entities of the document itself are replaced, up to libxml2's limit; files and addresses are never opened.
        parser = etree.XMLParser(resolve_entities="internal", no_network=True, remove_comments=True, remove_pis=True)
        yield from _xml_blocks(etree.fromstring(text.strip(), parser))


def _xml_blocks(node: Any) -> Iterator[Element]:
    has_text = bool((node.text or "").strip()) or any((child.tail or "").strip() for child in node)
    tags = [child.tag for child in node]
    if has_text or not tags:
        lines = [_xml_line(node, is_named=bool(node.attrib))]
    elif len(set(tags)) == len(tags) and not any(len(child) for child in node):
        lines = [_attributes(node), *(_xml_line(child, is_named=True) for child in node)]
    else:
        lines = [_attributes(node)]
    if text := "\n".join(filter(None, lines)):
        yield Element("paragraph", text)
    if not has_text and lines == [_attributes(node)]:
        for child in node:
            yield from _xml_blocks(child)


def _xml_line(node: Any, *, is_named: bool) -> str:
    text = " ".join("".join(node.itertext()).split())
    attributes = _attributes(node)
    if not is_named or not (text or attributes):
        return text
    return f"{attributes}: {text}" if attributes and text else attributes or f"{_name(node.tag)}: {text}"


def _attributes(node: Any) -> str:
    values = ", ".join(f"{_name(key)} {value}" for key, value in node.attrib.items() if value.strip())
    return f"{_name(node.tag)} ({values})" if values else ""


def _name(tag: str) -> str:
    return tag.rpartition("}")[2]
