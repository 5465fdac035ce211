"""Which formats are read, and which reader reads them. Runs in the parsing process, save for the tables of names.

The readers stand beside: `plain_formats`, `markup_formats`, `data_formats`, `office_formats`, `mail_formats`,
`pdf_format`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

from infra.adapters import data_formats, mail_formats, markup_formats, office_formats, pdf_format, plain_formats
from infra.adapters.document_refusals import Refused, check_length, what_it_is
from infra.adapters.text_encodings import decode
from tasks.core.documents import Element

_TEXT_READERS: dict[str, Callable[[str], Iterator[Element]]] = {
    ".txt": plain_formats.plain,
    ".adoc": plain_formats.asciidoc,
    ".md": markup_formats.markdown,
    ".mdx": markup_formats.mdx,
    ".html": markup_formats.hypertext,
    ".ipynb": markup_formats.notebook,
    ".csv": data_formats.comma_separated,
    ".tsv": data_formats.tab_separated,
    ".json": data_formats.json_records,
    ".jsonl": data_formats.json_lines,
    ".xml": data_formats.xml_records,
}
_BINARY_READERS: dict[str, Callable[[bytes], Iterator[Element]]] = {
    ".docx": office_formats.word,
    ".pptx": office_formats.powerpoint,
    ".eml": mail_formats.mail,
    ".msg": mail_formats.outlook_mail,
}
_LIMITED_READERS: dict[str, Callable[[bytes, int], Iterator[Element]]] = {
    ".xlsx": data_formats.workbook,
    ".xls": data_formats.old_workbook,
    ".pdf": pdf_format.pdf,
}
_PANDOC_TEXT = frozenset({".rst", ".org"})
_PANDOC = _PANDOC_TEXT | {".epub", ".odt", ".rtf"}
_OTHER_NAMES = {
    ".markdown": ".md",
    ".htm": ".html",
    ".xhtml": ".html",
    ".text": ".txt",
    ".log": ".txt",
    ".asciidoc": ".adoc",
    ".ndjson": ".jsonl",
    ".xlsm": ".xlsx",
}
SAVE_AS = {
    ".doc": ".docx",
    ".docm": ".docx",
    ".dot": ".docx",
    ".pages": ".docx",
    ".wpd": ".docx",
    ".ppt": ".pptx",
    ".pptm": ".pptx",
    ".pps": ".pptx",
    ".ppsx": ".pptx",
    ".odp": ".pptx",
    ".ods": ".xlsx",
    ".xlsb": ".xlsx",
    ".numbers": ".xlsx",
}
"""Formats that nothing here reads although they are documents: they are refused by name, never passed over."""

KIND_OF_SUFFIX = {
    **{kind: kind for kind in (*_TEXT_READERS, *_BINARY_READERS, *_LIMITED_READERS, *_PANDOC, *SAVE_AS)},
    **_OTHER_NAMES,
}
READABLE = tuple(sorted(set(KIND_OF_SUFFIX) - set(SAVE_AS)))
_LIBRARIES = {
    ".md": ("unstructured.partition.md",),
    ".mdx": ("unstructured.partition.md",),
    ".ipynb": ("unstructured.partition.md",),
    ".html": ("unstructured.partition.html",),
    ".txt": (),
    ".docx": ("unstructured.partition.docx",),
    ".pptx": ("unstructured.partition.pptx",),
    ".eml": ("unstructured.partition.html",),
    ".msg": ("unstructured.partition.html", "oxmsg"),
    ".xlsx": ("openpyxl",),
    ".xls": ("xlrd",),
    ".xml": ("lxml.etree",),
    ".pdf": ("pypdf",),
} | dict.fromkeys(_PANDOC, ("unstructured.partition.html",))


def load_libraries(kind: str) -> None:
    """Imports what the reader of `kind` needs. The first kind that unstructured reads takes about two seconds."""
    libraries = _LIBRARIES.get(kind, ())
    if any(name.startswith("unstructured") for name in libraries):
        markup_formats.without_spacy()
    for name in libraries:
        importlib.import_module(name)
    if kind in _PANDOC:
        markup_formats.pandoc()


def elements_of(data: bytes, kind: str, max_characters: int) -> tuple[Element, ...]:
    """The elements in reading order. Raises Refused; any other error means that the bytes are not of that kind."""
    elements, characters = [], 0
    for element in _found(data, kind, max_characters):
        characters += len(element.text)
        check_length(characters, max_characters)
        elements.append(element)
    return tuple(elements)


def _found(data: bytes, kind: str, max_characters: int) -> Iterator[Element]:
    if kind in _BINARY_READERS:
        return _BINARY_READERS[kind](data)
    if kind in _LIMITED_READERS:
        return _LIMITED_READERS[kind](data, max_characters)
    if kind in _PANDOC - _PANDOC_TEXT:
        return markup_formats.through_pandoc(data, kind)
    text = decode(data)
    if text is None:
        what = what_it_is(data)
        raise Refused(
            "it is not text: " + (f"it is {what}" if what else f"{len(data):,} bytes, with control characters")
        )
    check_length(len(text), max_characters)
    if kind in _PANDOC:
        return markup_formats.through_pandoc(text.encode(), kind)
    if kind == ".txt" and what_it_is(data).startswith("a web page"):
        load_libraries(".html")
        return markup_formats.hypertext(text)
    return _TEXT_READERS[kind](text)
