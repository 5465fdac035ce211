"""What becomes of the text a model wrote: cleaned, cited, checked, or withdrawn in favour of an abstention."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.core.answers import AbstainedBecause, Citation, Passage
from tasks.core.attribution import with_mended_citations
from tasks.core.citations import Cited, cite, json_object, sentences, without_markers
from tasks.core.support import supported

_NEXT_BEGINS = re.compile(r"(?<=[.!?\]\"'”’)])\s+[^\s\[]")
_SENTENCE_END = re.compile(r"[.!?][\"'”’)]*(?:\s*\[[\d\s,]+\])*(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said. because: why it is the abstention, if it is."""

    text: str
    because: AbstainedBecause | None
    citations: tuple[Citation, ...] = ()
    dangling: tuple[int, ...] = ()


def settle(
    raw: str,
    passages: Sequence[Passage],
    *,
    abstention: str,
    require_support: bool,
    mend_citations: bool = False,
    cut_short: bool = False,
) -> Reply:
    """Decides on a model's text. cut_short: it ran into its token limit, so a sentence begun at the end is dropped.

    mend_citations: a marker whose passage does not hold its sentence moves to the one that does, before it is checked.
    """
    text = _once((whole_sentences(raw) or raw) if cut_short else raw)
    if not text.strip() or says(abstention, text):
        return Reply(abstention, "model", dangling=cite(text, passages).dangling)
    cited = cite(with_mended_citations(text, passages) if mend_citations else text, passages)
    if require_support and not is_supported(cited, passages):
        return Reply(abstention, "support", dangling=cited.dangling)
    return Reply(cited.text, None, cited.citations, cited.dangling)


def is_supported(said: Cited | Reply, passages: Sequence[Passage]) -> bool:
    """By the cited passages together; a text that cites nothing, by any one passage of those shown."""
    used = {citation.marker for citation in said.citations}
    if used:
        return supported(said.text, "\n".join(one.text for one in passages if one.marker in used)).supported
    return any(supported(said.text, one.text).supported for one in passages)


def says(abstention: str, text: str) -> bool:
    """Whether a text is the abstention, give or take markers, case and punctuation at the end."""
    return _bare(text) == _bare(abstention)


def whole_sentences(text: str) -> str:
    """The text up to its last finished sentence and that one's markers.

    >>> whole_sentences("It runs at 42 bar. [2] The water in")
    'It runs at 42 bar. [2]'
    """
    ends = [found.end() for found in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]].strip() if ends else ""


def followed_sentences(text: str) -> str:
    """The text up to its last sentence behind which the next has begun: no marker can come to it any more.

    >>> followed_sentences("It runs at 42 bar. [2]"), followed_sentences("It runs at 42 bar. [2] The")
    ('', 'It runs at 42 bar. [2]')
    """
    begun = [found.start() for found in _NEXT_BEGINS.finditer(text)]
    return whole_sentences(text[: begun[-1]]) if begun else ""


def _once(text: str) -> str:
    """The text up to the first sentence it repeats: small models that miss their end of turn go round in circles.

    A JSON object is one whole, in which lines may well repeat.
    """
    if json_object(text) is not None:
        return text
    seen: set[str] = set()
    kept = []
    for sentence in sentences(text):
        if (plain := _bare(sentence)) in seen:
            break
        seen.add(plain)
        kept.append(sentence)
    return " ".join(kept)


def _bare(text: str) -> str:
    return " ".join(without_markers(text).lower().split()).rstrip(".!")
