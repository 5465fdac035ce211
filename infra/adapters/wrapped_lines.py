"""Lines that were broken to fit a page, put together again."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence


def joined(lines: Iterable[str]) -> str:
    """One line: with a space where lines met, but none between Chinese or Japanese characters."""
    text = ""
    for line in filter(None, (line.strip() for line in lines)):
        space = "" if not text or (_is_wide(text[-1]) and _is_wide(line[0])) else " "
        text += space + line
    return text


def look_wrapped(lines: Sequence[str]) -> bool:
    """Whether lines end where the page ended and not where their author ended them: all but the last are long."""
    widths = [len(line.strip()) for line in lines[:-1]]
    return max(widths, default=0) <= 140 and min(widths, default=0) >= 0.6 * max(widths, default=0)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
