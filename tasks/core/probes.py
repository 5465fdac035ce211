"""Probe questions: what a release found when it was registered, and how far that has drifted since."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.core.documents import Chunk
from tasks.core.labels import Label, golden_set

MAX_GOLDEN = 50
MAX_CHUNKS = 20
MAX_CHARACTERS = 200  # of a question made from a chunk
WORST = 3  # probes shown per release

_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s|\n")


@dataclass(frozen=True, slots=True)
class Probe:
    """A question, and the ids of the chunks that were found for it at first, best first."""

    question: str
    expected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reasked:
    """A probe that was asked again."""

    probe: Probe
    found: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """The same chunks in the same order."""
        return self.found == self.probe.expected

    @property
    def overlap(self) -> float:
        """Jaccard index of the two sets of chunks, 0 to 1; nothing found twice overlaps fully."""
        before, after = set(self.probe.expected), set(self.found)
        return len(before & after) / len(before | after) if before | after else 1.0

    @property
    def same_best(self) -> bool:
        """Whether the best chunk is still the best one."""
        return self.probe.expected[:1] == self.found[:1]


@dataclass(frozen=True, slots=True)
class ReleaseDrift:
    """What became of the probes of one release."""

    release: str
    snapshot: int
    asked: tuple[Reasked, ...]

    @property
    def identical(self) -> int:
        """How many found the same chunks in the same order."""
        return sum(one.identical for one in self.asked)

    @property
    def drifted(self) -> int:
        """How many did not."""
        return len(self.asked) - self.identical

    @property
    def mean_overlap(self) -> float:
        """Mean Jaccard index of the chunks found then and now, 0 to 1."""
        return sum(one.overlap for one in self.asked) / len(self.asked) if self.asked else 1.0

    @property
    def same_best(self) -> int:
        """How many have kept their best chunk."""
        return sum(one.same_best for one in self.asked)

    @property
    def worst(self) -> tuple[Reasked, ...]:
        """Probes that drifted, the furthest first."""
        drifted = [one for one in self.asked if not one.identical]
        return tuple(sorted(drifted, key=lambda one: (one.overlap, one.probe.question))[:WORST])


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The probes of every retained release, asked again.

    exact: whether the index promises the same answers for ever. unasked: release → why it could not be asked.
    """

    exact: bool
    releases: tuple[ReleaseDrift, ...]
    unasked: tuple[tuple[str, str], ...] = ()

    @property
    def checked(self) -> int:
        """Probes that were asked again."""
        return sum(len(one.asked) for one in self.releases)

    @property
    def identical(self) -> int:
        """Probes that found the same chunks in the same order."""
        return sum(one.identical for one in self.releases)

    @property
    def drifted(self) -> int:
        """Probes that did not."""
        return self.checked - self.identical

    @property
    def alarming(self) -> bool:
        """Whether something drifted that cannot."""
        return self.exact and self.drifted > 0

    @property
    def sentence(self) -> str:
        """What it comes to, and why it could come to that."""
        if not self.drifted:
            return f"{self.checked:,} probes of {len(self.releases):,} retained releases found what they always found."
        drifted = f"{self.drifted:,} of {self.checked:,} probes of retained releases find other chunks than at first"
        if self.exact:
            return (
                f"{drifted}, on an index where answers of a snapshot cannot change. Its storage was altered, or this "
                "version of Ratchet cuts words, embeds or ranks otherwise than the one that recorded them."
            )
        return (
            f"{drifted}: this index scores keywords by statistics of every chunk it stores, so old answers move as "
            "chunks come and go."
        )

    def as_json(self) -> dict[str, object]:
        """The part `probes` of `ratchet vacuum --json`."""
        return {
            "checked": self.checked,
            "identical": self.identical,
            "drifted": self.drifted,
            "exact": self.exact,
            "releases": [_drift_as_json(one) for one in self.releases],
            "unasked": dict(self.unasked),
        }


def _drift_as_json(one: ReleaseDrift) -> dict[str, object]:
    worst = [
        {"question": w.probe.question, "expected": list(w.probe.expected), "found": list(w.found)} for w in one.worst
    ]
    return {
        "release": one.release,
        "snapshot": one.snapshot,
        "checked": len(one.asked),
        "identical": one.identical,
        "mean_overlap": round(one.mean_overlap, 4),
        "same_best": one.same_best,
        "worst": worst,
    }


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────────


def golden_questions(labels: Sequence[Label]) -> tuple[str, ...]:
    """Up to 50 golden questions, by label id; none while there is no golden set."""
    golden = golden_set(labels)
    ids = golden.label_ids[:MAX_GOLDEN] if golden else ()
    by_id = {label.id: label.question for label in labels}
    return _distinct(by_id[one] for one in ids)


def questions_about(chunks: Iterable[Chunk]) -> tuple[str, ...]:
    """A question per chunk: its heading path, else its first sentence."""
    return _distinct((" ".join(chunk.heading_path) or _first_sentence(chunk.text))[:MAX_CHARACTERS] for chunk in chunks)


def evenly_spaced(items: Sequence[str], count: int = MAX_CHUNKS) -> tuple[str, ...]:
    """Up to `count` of the items, from the first one on, at equal distances.

    >>> evenly_spaced("abcdefgh", 4)
    ('a', 'c', 'e', 'g')
    >>> evenly_spaced("ab", 4)
    ('a', 'b')
    """
    taken = min(count, len(items))
    return tuple(items[at * len(items) // taken] for at in range(taken))


def _first_sentence(text: str) -> str:
    return _SENTENCE_END.split(text.strip(), maxsplit=1)[0]


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text.strip()))
