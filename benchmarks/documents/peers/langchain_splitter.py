"""Reads folders from standard input, one a line; writes each one's chunks as a JSON line of [file, text hash] pairs."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from langchain_text_splitters import Language, RecursiveCharacterTextSplitter

SPLITTER = RecursiveCharacterTextSplitter.from_language(Language.MARKDOWN, chunk_size=1000, chunk_overlap=0)


def chunks(folder: Path) -> list[tuple[str, str]]:
    """Every chunk of every Markdown file."""
    return [
        (path.relative_to(folder).as_posix(), hashlib.sha256(text.encode()).hexdigest())
        for path in sorted(folder.rglob("*.md"))
        for text in SPLITTER.split_text(path.read_text(encoding="utf-8", errors="replace"))
    ]


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(chunks(Path(line.rstrip("\n")))), flush=True)
