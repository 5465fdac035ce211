"""Changes: what a candidate's manifest says differently from another one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from pydantic import JsonValue

from tasks.core.releases import ReleaseManifest

Part = Literal["model", "documents", "prompt", "settings"]
Kept = Literal["same", "gone", "new"]
Piece = tuple[Kept, str]

SHOWN_AROUND = 24  # words, and the spaces between them, of unchanged text next to a change
_PART: Mapping[str, Part] = {"model": "model", "snapshot": "documents", "prompt": "prompt"}


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that differs. A setting one side does not have is None there."""

    part: Part
    name: str  # "retrieval.k"
    before: str | None
    after: str | None

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The text as one, with what is gone and what is new; long unchanged stretches shortened."""
        return tuple(_pieces(self.before or "", self.after or ""))

    @property
    def is_text(self) -> bool:
        """Whether it reads better as one text with marks than as two values."""
        return all(text and len(text.split()) > 3 for text in (self.before, self.after))

    @property
    def is_hash(self) -> bool:
        """Whether nobody reads it word by word."""
        return all(text is None or re.fullmatch(r"(sha256-)?[0-9a-f]{20,}", text) for text in (self.before, self.after))


def changes_between(before: ReleaseManifest, after: ReleaseManifest) -> tuple[Change, ...]:
    """Every setting that differs, model first."""
    old, new = (dict(_flat(m.model_dump(mode="json"))) for m in (before, after))
    names = dict.fromkeys([*old, *new])
    found = [_change(n, old.get(n), new.get(n)) for n in names if old.get(n) != new.get(n)]
    return tuple(sorted(found, key=lambda change: ("model", "documents", "prompt", "settings").index(change.part)))


def _change(name: str, before: str | None, after: str | None) -> Change:
    return Change(_PART.get(name.split(".")[0], "settings"), name, before, after)


def _flat(value: JsonValue, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value, start=1):
            yield from _flat(inner, f"{name}.{number}")
    else:
        yield name, "none" if value is None else str(value)


def _pieces(before: str, after: str) -> Iterator[Piece]:
    old, new = (re.findall(r"\S+|\s+", text) for text in (before, after))
    for tag, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            yield "same", _shortened(old[i:j], first=i == 0, last=j == len(old))
            continue
        if i < j:
            yield "gone", "".join(old[i:j])
        if k < m:
            yield "new", "".join(new[k:m])


def _shortened(words: Sequence[str], *, first: bool, last: bool) -> str:
    lead, tail = (0 if first else SHOWN_AROUND), (0 if last else SHOWN_AROUND)
    if len(words) <= lead + tail + 1 or (first and last):
        return "".join(words)
    return "".join(words[:lead]) + " … " + "".join(words[len(words) - tail :])
