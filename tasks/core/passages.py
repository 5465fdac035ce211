"""Passages as a model reads them: hits between their neighbours in the document, within a budget of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Literal

from tasks.core.answers import Passage
from tasks.core.documents import Chunk, Hit
from tasks.core.prompts import shown

Side = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where neighbours are found. reach: how many chunks on each side; 0 joins nothing."""

    reach: int = 0
    order: Mapping[str, Sequence[str]] = field(default_factory=dict)  # document URI → chunk ids in reading order
    chunks: Mapping[str, Chunk] = field(default_factory=dict)  # by id, of the neighbours


def around(chunk: Chunk, order: Mapping[str, Sequence[str]], reach: int) -> tuple[Sequence[str], Sequence[str]]:
    """Ids of up to `reach` chunks before a chunk in its document, and of as many after it, in reading order."""
    ids = order.get(chunk.document, ())
    if chunk.id not in ids:
        return (), ()
    at = ids.index(chunk.id)
    return ids[max(0, at - reach) : at], ids[at + 1 : at + 1 + reach]


def joined(hits: Sequence[Hit], where: Surroundings) -> list[Hit]:
    """The hits with their neighbours. No chunk stands in two passages.

    A chunk that is itself a hit stays where it ranks, and a neighbour of two hits goes to the one that ranks higher;
    the other ends there, so that a passage never skips what stands between its parts.
    """
    taken = {hit.chunk.id for hit in hits}
    return [_between_neighbours(hit, where, taken) for hit in hits]


def _between_neighbours(hit: Hit, where: Surroundings, taken: set[str]) -> Hit:
    before, after = around(hit.chunk, where.order, where.reach)
    above = _free(tuple(reversed(before)), where, taken)[::-1]
    return replace(hit, before=above, after=_free(after, where, taken))


def _free(ids: Sequence[str], where: Surroundings, taken: set[str]) -> tuple[Chunk, ...]:
    """The chunks from the nearest on, up to one that is in another passage; they are taken now."""
    chosen = list(takewhile(lambda one: one in where.chunks and one not in taken, ids))
    taken.update(chosen)
    return tuple(where.chunks[one] for one in chosen)


def text_of(hit: Hit) -> str:
    """A hit as a passage's text: neighbours and chunk in reading order, a heading path wherever it changes."""
    parts: list[str] = []
    above: tuple[str, ...] | None = None
    for chunk in (*hit.before, hit.chunk, *hit.after):
        parts.append(chunk.text if chunk.heading_path == above else shown(chunk))
        above = chunk.heading_path
    return "\n\n".join(parts)


def as_passage(marker: int, hit: Hit, text: str) -> Passage:
    """A hit under a marker. Whatever its text joins, it is its own chunk that is cited."""
    return Passage(marker, hit.chunk.document, hit.chunk.id, text, hit.score, hit.similarity)


# ── within a budget ──────────────────────────────────────────────────────────────────────────────────────────────────


def packed(hits: Sequence[Hit], max_tokens: int, count: Callable[[str], int]) -> tuple[Passage, ...]:
    """The best hits whose texts fit together, numbered from 1, with as many of their neighbours as still fit.

    count: tokens of a text. The hits' own texts come first; only the first of them is ever cut, and then it stands
    alone. Of neighbours the nearest come first.
    """
    texts = _own_texts(hits, max_tokens, count)
    if texts and texts[0] == shown(hits[0].chunk):
        texts = _with_neighbours(hits[: len(texts)], texts, max_tokens, count)
    return tuple(as_passage(n, hit, text) for n, (hit, text) in enumerate(zip(hits, texts, strict=False), start=1))


def _own_texts(hits: Sequence[Hit], max_tokens: int, count: Callable[[str], int]) -> list[str]:
    texts: list[str] = []
    left = max_tokens
    for hit in hits:
        text = shown(hit.chunk) if texts else _cut(shown(hit.chunk), max_tokens, count)
        left -= count(text)
        if left < 0:
            break
        texts.append(text)
    return texts


def _cut(text: str, max_tokens: int, count: Callable[[str], int]) -> str:
    while len(text) > 1 and (tokens := count(text)) > max_tokens:
        text = text[: min(len(text) - 1, len(text) * max_tokens // tokens)]
    return text


def _with_neighbours(
    hits: Sequence[Hit], texts: Sequence[str], max_tokens: int, count: Callable[[str], int]
) -> list[str]:
    grown = [(replace(hit, before=(), after=()), text) for hit, text in zip(hits, texts, strict=True)]
    left = max_tokens - sum(count(text) for text in texts)
    for at, side, distance in _nearest_first(hits):
        wider = _widened(grown[at][0], hits[at], side, distance)
        more = count(text_of(wider)) - count(grown[at][1])
        if more <= left:
            grown[at] = (wider, text_of(wider))
            left -= more
    return [text for _, text in grown]


def _nearest_first(hits: Sequence[Hit]) -> Iterator[tuple[int, Side, int]]:
    """(which hit, which side, how far away) of every neighbour; of those as near as each other the best hit's first."""
    farthest = max((len(side) for hit in hits for side in (hit.before, hit.after)), default=0)
    for distance in range(1, farthest + 1):
        for at, hit in enumerate(hits):
            if distance <= len(hit.before):
                yield at, "before", distance
            if distance <= len(hit.after):
                yield at, "after", distance


def _widened(hit: Hit, whole: Hit, side: Side, distance: int) -> Hit:
    """With all neighbours of a side up to a distance: where one of them does not fit, none beyond it does."""
    if side == "before":
        return replace(hit, before=whole.before[-distance:])
    return replace(hit, after=whole.after[:distance])
