"""Which passage a sentence of an answer comes from, where its marker names another one.

A small model that copies a sentence right still names the wrong passage, one time in four. What it wrote can be checked
against all that it was shown, so its marker is moved to the passage that holds the sentence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tasks.core.answers import Passage
from tasks.core.citations import json_object
from tasks.core.metrics.entailment import ENTAILED, entailment

_RUN = re.compile(r"(\s*)(?:\[\d{1,3}(?:\s*,\s*\d{1,3})*\]\s*)+(?<!\s)")
_NUMBER = re.compile(r"\d+")


def with_mended_citations(text: str, passages: Sequence[Passage]) -> str:
    """The text, where a marker whose passage does not hold the words before it names the one shown that does.

    Markers written together are taken together. They stay where their passages support those words, where no passage
    does, and where one of them was not shown. A JSON object stays as it is: nobody knows what a marker in it is about.
    """
    if json_object(text) is not None:
        return text
    shown = {passage.marker: passage.text for passage in passages}
    parts, at = [], 0
    for found in _RUN.finditer(text):
        claim = text[at : found.start()]
        parts += [claim, _mended(found, claim.strip(), shown)]
        at = found.end()
    return "".join([*parts, text[at:]])


def _mended(found: re.Match[str], claim: str, shown: Mapping[int, str]) -> str:
    named = [int(number) for number in _NUMBER.findall(found[0])]
    if (
        not claim
        or not shown.keys() >= set(named)
        or entailment([shown[number] for number in named], claim) >= ENTAILED
    ):
        return found[0]
    held = {number: entailment([text], claim) for number, text in shown.items()}
    best = max(held, key=lambda number: held[number])
    return f"{found[1]}[{best}]" if held[best] >= ENTAILED else found[0]
