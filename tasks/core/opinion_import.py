"""What importing preferences and ratings changes. They share the labels' clusters: none that is about a golden page or
question can be trained on, and a page that one is trained on can never become golden."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from tasks.core.label_splits import Clusters, Link
from tasks.core.labels import squeezed
from tasks.core.opinion_rows import OpinionRow
from tasks.core.opinions import Opinion, Preference, Rating
from tasks.core.row_shapes import RowError

Outcome = Literal["accepted", "pending", "duplicate"] | RowError


class OpinionIntake:
    """The opinions of one import: those that were there, and those that come."""

    def __init__(self, opinions: Sequence[Opinion], clusters: Clusters) -> None:
        self._before = {opinion.id: opinion for opinion in opinions}
        self._after: dict[str, Opinion] = {}  # everything new or changed
        self._clusters = clusters
        self._by_question: dict[int, list[str]] = {}  # ids of accepted ones

    def accepted(self) -> list[Opinion]:
        """Those that were accepted before."""
        return [opinion for opinion in self._before.values() if opinion.state == "accepted"]

    def enter(self, opinion: Opinion, question: int, links: Sequence[Link]) -> None:
        """Puts an accepted one into its cluster."""
        self._by_question.setdefault(question, []).append(opinion.id)
        self._clusters.join(opinion.id, links, opinion.split, f"{_kind(opinion)} {opinion.id}")

    def links(self, questions: Sequence[int]) -> Iterator[Link]:
        """To accepted opinions on these questions."""
        for question in questions:
            for one in self._by_question.get(question, ()):
                yield Link(one, f"the same question ({_kind(self._now(one))} {one})")

    def take(self, row: OpinionRow, question: int, same: Sequence[int], links: Sequence[Link]) -> Outcome:
        """Decides one row. The same person may change their mind on the same answer."""
        opinion = row.opinion("accepted")
        known = self._after.get(opinion.id) or self._before.get(opinion.id)
        if known is not None:
            return self._again(opinion, known)
        if refusal := self._clusters.refusal(links, None):
            return RowError(row.line, refusal)
        if against := self._contradicted(opinion, same):
            reason = f"{against} prefers the other answer; reject one of the two in `ratchet labels review`"
            self._after[opinion.id] = replace(opinion, state="pending", reason=reason)
            return "pending"
        self._after[opinion.id] = opinion
        self.enter(opinion, question, links)
        return "accepted"

    def accept(self, opinion: Opinion, question: int, links: Sequence[Link]) -> Outcome:
        """Accepts one by a person's decision; preferences that it contradicts stay, both having been looked at."""
        if refusal := self._clusters.refusal(links, None):
            return RowError(0, refusal)
        self._after[opinion.id] = replace(opinion, state="accepted", reason=None)
        self.enter(self._after[opinion.id], question, links)
        return "accepted"

    def assign_splits(self, *, decided: bool) -> None:
        """The split of its cluster. decided: what belongs to no label's cluster trains, as no golden set needs it."""
        for opinion in [self._now(one) for ids in self._by_question.values() for one in ids]:
            if opinion.split is not None:
                continue
            if decided and self._clusters.split_of(opinion.id) is None:
                self._clusters.decide({opinion.id: "train"})
            if split := self._clusters.split_of(opinion.id):
                self._after[opinion.id] = replace(opinion, split=split)

    def added(self) -> tuple[Opinion, ...]:
        """New ones."""
        return tuple(opinion for opinion in self._after.values() if opinion.id not in self._before)

    def updated(self) -> tuple[Opinion, ...]:
        """Those that were there and changed."""
        return tuple(x for x in self._after.values() if x.id in self._before and x != self._before[x.id])

    def _again(self, opinion: Opinion, known: Opinion) -> Outcome:
        if isinstance(opinion, Rating) and isinstance(known, Rating) and opinion.value != known.value:
            comment = opinion.comment or known.comment
            self._after[known.id] = replace(known, value=opinion.value, comment=comment)
        return "duplicate"

    def _contradicted(self, opinion: Opinion, same: Sequence[int]) -> str | None:
        if isinstance(opinion, Preference):
            for one in (self._now(x) for question in same for x in self._by_question.get(question, ())):
                if isinstance(one, Preference) and _opposed(one, opinion):
                    return f"preference {one.id}"
        return None

    def _now(self, one: str) -> Opinion:
        return self._after.get(one) or self._before[one]


def _kind(opinion: Opinion) -> str:
    return "preference" if isinstance(opinion, Preference) else "rating"


def _opposed(a: Preference, b: Preference) -> bool:
    def flat(text: str) -> str:
        return squeezed(text).casefold()

    return flat(a.chosen) == flat(b.rejected) and flat(a.rejected) == flat(b.chosen)
