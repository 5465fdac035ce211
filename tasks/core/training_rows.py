"""Training rows: each label in the contexts it would meet when served, and in contexts that do not answer it.

A context is what retrieval shows for one question: its passages, in a drawn order. All labels that this context
answers become rows of it, each with the marker of its own passage; labels that retrieval brings near it, but whose
answer it does not hold, become rows that abstain. So one context teaches which passage answers which question, and
when none does, and a trainer that packs rows by their common beginning reads it once.

Where closed-book rows are asked for, answered labels are asked once more without any passage, and answered without a
marker: that teaches what the documents say, for releases that answer from what the model learned.

Every choice is drawn from a hash of (seed, what is chosen): the same labels and hits give the same rows, in any order.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice

from tasks.core.answers import Passage
from tasks.core.documents import Chunk, Hit
from tasks.core.labels import Label
from tasks.core.passages import Surroundings, as_passage, joined, text_of
from tasks.core.ports import TrainingRow
from tasks.core.prompts import render
from tasks.core.releases import PromptSpec
from tasks.core.retrieval import words

NEAR = 4
"""How far down its hits a question still counts as near a passage: what retrieval could plausibly show for it."""


@dataclass(frozen=True, slots=True)
class RowSettings:
    """How labels become rows."""

    passages: int = 2  # per context: the release's k
    contexts: int = 2  # each label is answered in this many contexts
    abstain_fraction: float = 0.04  # 0 to 1, of all rows: enough for the form; retrieval knows better when
    seed: int = 0
    closed_book_fraction: float = 0.0  # 0 to below 1, of all rows: asked without passages


@dataclass(frozen=True, slots=True)
class _Context:
    passages: tuple[Passage, ...]
    answered: tuple[tuple[Label, int], ...]  # and the 1-based marker of the passage that answers
    near: tuple[Label, ...] = field(default=())  # would be shown these passages, and must abstain

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(passage.chunk for passage in self.passages)


def answering_chunk(label: Label, hits: Sequence[Hit]) -> Chunk | None:
    """The best-ranked chunk of the label's own documents that holds its answer; None when no hit does.

    A chunk holds the answer when it contains every fact; without facts, when it contains two thirds of the answer's
    words that the question does not bring along.
    """
    if label.unanswerable:
        return None
    own = (hit for hit in hits if hit.chunk.document in label.documents)
    return next((hit.chunk for hit in own if _holds(label, text_of(hit))), None)


def training_rows(
    labels: Iterable[Label],
    hits: Mapping[str, Sequence[Hit]],
    prompt: PromptSpec,
    settings: RowSettings,
    where: Surroundings | None = None,
) -> tuple[TrainingRow, ...]:
    """Rows for these labels, context by context; then those without passages.

    hits: per label id, best first, deeper than `settings.passages`, without neighbours. where: the neighbours to join.
    A label whose answer none of its hits holds is never answered; it may still be one of those that abstain.
    """
    known = [label for label in labels if hits.get(label.id)]
    answers = {label.id: answering_chunk(label, hits[label.id]) for label in known}
    contexts = list(_contexts(known, hits, answers, settings, where or Surroundings()))
    wanted = round(settings.abstain_fraction / (1 - settings.abstain_fraction) * sum(len(c.answered) for c in contexts))
    contexts = _with_abstentions(contexts, known, hits, wanted, settings)
    rows = [row for context in contexts for row in _rows(context, prompt)]
    return (*rows, *_closed_book([label for label in known if answers[label.id]], len(rows), prompt, settings))


def _contexts(
    labels: Sequence[Label],
    hits: Mapping[str, Sequence[Hit]],
    answers: Mapping[str, Chunk | None],
    settings: RowSettings,
    where: Surroundings,
) -> Iterator[_Context]:
    """Round by round, a context for every answerable label that no earlier context of the round answered.

    An unanswerable label needs no context of its own: it abstains in those that retrieval brings near it, which are
    those of its own page. Reading contexts is half of what training costs.
    """
    for round_ in range(settings.contexts):
        served: set[str] = set()
        for label in sorted(labels, key=lambda one: _draw(settings.seed, "order", round_, one.id)):
            if label.id in served or answers[label.id] is None:
                continue
            chunks = _shown_for(label, hits[label.id], answers[label.id], round_, settings)
            place = {chunk.id: marker for marker, chunk in enumerate(chunks, start=1)}
            answered = tuple(
                (one, place[chunk.id])
                for one in labels
                if one.id not in served and (chunk := answers[one.id]) is not None and chunk.id in place
            )
            served |= {label.id} | {one.id for one, _ in answered}
            yield _Context(_passages(chunks, where), answered)


def _shown_for(
    label: Label, hits: Sequence[Hit], answer: Chunk | None, round_: int, settings: RowSettings
) -> tuple[Chunk, ...]:
    """In round 0 what retrieval would show; later, other near passages in its place. Always the one that answers."""
    others = [hit.chunk for hit in hits if answer is None or hit.chunk.id != answer.id]
    if round_:
        others = sorted(others[:NEAR], key=lambda chunk: _draw(settings.seed, "distractor", round_, label.id, chunk.id))
    chosen = ([answer] if answer else []) + others
    chosen = chosen[: settings.passages]
    return tuple(sorted(chosen, key=lambda chunk: _draw(settings.seed, "place", round_, label.id, chunk.id)))


def _passages(chunks: Sequence[Chunk], where: Surroundings) -> tuple[Passage, ...]:
    hits = joined([Hit(chunk, 0.0, 0.0) for chunk in chunks], where)
    return tuple(as_passage(marker, hit, text_of(hit)) for marker, hit in enumerate(hits, start=1))


def _with_abstentions(
    contexts: Sequence[_Context],
    labels: Sequence[Label],
    hits: Mapping[str, Sequence[Hit]],
    wanted: int,
    settings: RowSettings,
) -> list[_Context]:
    """The contexts with `wanted` labels in all that abstain: every label once before any twice, nearest first."""
    offers = sorted(_offers(contexts, labels, hits, settings), key=lambda offer: offer[:2])
    chosen: list[list[Label]] = [list(context.near) for context in contexts]
    used = Counter(label.id for near in chosen for label in near)
    missing = wanted - used.total()
    for times in range(1, settings.contexts + 1):
        for _, _, number, label in offers:
            if missing > 0 and used[label.id] < times and label not in chosen[number]:
                chosen[number].append(label)
                used[label.id] += 1
                missing -= 1
    return [replace(context, near=tuple(near)) for context, near in zip(contexts, chosen, strict=True)]


def _offers(
    contexts: Sequence[_Context], labels: Sequence[Label], hits: Mapping[str, Sequence[Hit]], settings: RowSettings
) -> Iterator[tuple[int, str, int, Label]]:
    """(rank, draw, context, label) for labels that are near a context which does not hold their answer."""
    for number, context in enumerate(contexts):
        for label in labels:
            rank = _nearness(hits[label.id], context)
            if rank is not None and not any(_holds(label, one.text) for one in context.passages):
                yield rank, _draw(settings.seed, "near", number, label.id), number, label


def _nearness(hits: Sequence[Hit], context: _Context) -> int | None:
    """The rank at which retrieval brings the question to this context; None when it would not."""
    ids = context.ids
    return next((rank for rank, hit in enumerate(hits[:NEAR]) if hit.chunk.id in ids), None)


def _rows(context: _Context, prompt: PromptSpec) -> Iterator[TrainingRow]:
    for label, marker in context.answered:
        yield TrainingRow(label.id, render(prompt, context.passages, label.question), f"{label.answer} [{marker}]")
    for label in context.near:
        yield TrainingRow(label.id, render(prompt, context.passages, label.question), prompt.abstention)


def _closed_book(
    answered: Sequence[Label], open_book: int, prompt: PromptSpec, settings: RowSettings
) -> Iterator[TrainingRow]:
    """Rows of labels that the documents answer, in a drawn order, every label once before any twice."""
    wanted = round(settings.closed_book_fraction / (1 - settings.closed_book_fraction) * open_book)
    drawn = sorted(answered, key=lambda label: _draw(settings.seed, "closed book", label.id))
    for label in islice(cycle(drawn), wanted):
        yield TrainingRow(label.id, render(prompt, (), label.question), label.answer)


def _holds(label: Label, text: str) -> bool:
    if label.unanswerable:
        return False
    if label.facts:
        return all(_flat(fact) in _flat(text) for fact in label.facts)
    new = set(words(label.answer)) - set(words(label.question)) or set(words(label.answer))
    return len(new & set(words(text))) >= 2 / 3 * len(new)


def _flat(text: str) -> str:
    return " ".join(text.casefold().split())


def _draw(seed: int, *what: object) -> str:
    return hashlib.sha256("\n".join(map(str, (seed, *what))).encode()).hexdigest()
