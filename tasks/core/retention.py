"""Which snapshots must stay because a release may still answer from them, and why; the others can be reclaimed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

from tasks.core.promotion import Promotion, rollback_line


@dataclass(frozen=True, slots=True)
class Pinnable:
    """A release and the snapshot it answers from."""

    release: str
    snapshot: int


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one snapshot. releases: those that pin it."""

    snapshot: int
    kept: bool
    releases: tuple[str, ...]
    reason: str  # a sentence


@dataclass(frozen=True, slots=True)
class Retention:
    """What becomes of every published snapshot, oldest first."""

    fates: tuple[Fate, ...]

    @property
    def keep(self) -> tuple[int, ...]:
        """Numbers of the snapshots that stay."""
        return tuple(fate.snapshot for fate in self.fates if fate.kept)

    @property
    def reclaim(self) -> tuple[int, ...]:
        """Numbers of the snapshots that can go."""
        return tuple(fate.snapshot for fate in self.fates if not fate.kept)

    @property
    def releases(self) -> tuple[str, ...]:
        """The releases that pin a snapshot."""
        return tuple(release for fate in self.fates for release in fate.releases)


def retain(
    snapshots: Sequence[int],
    releases: Sequence[Pinnable],
    current: str | None,
    history: Sequence[Promotion],
    *,
    keep_releases: int,
    trainings: Mapping[str, int] | None = None,
    anchor: str | None = None,
) -> Retention:
    """Keeps the newest snapshot, and those of releases that may be asked, judged, promoted or returned to.

    snapshots: published ones, ascending. releases: all, newest first. history: oldest first. trainings: training →
    snapshot it runs on. keep_releases: how many a rollback can return to, and how many candidates may wait.
    """
    pins = dict(_pins(releases, current, history, keep_releases, anchor))
    training_on = trainings or {}

    def fate(number: int) -> Fate:
        here = [one.release for one in releases if one.snapshot == number]
        pinning = tuple(release for release in here if release in pins)
        whys = [f"release {release} {pins[release]}" for release in pinning]
        whys += [f"training {name} runs on it" for name, on in training_on.items() if on == number]
        if number == snapshots[-1]:
            whys.append("it is the newest")
        if whys:
            return Fate(number, True, pinning, f"Snapshot {number} is kept: {'; '.join(whys)}.")
        return Fate(number, False, (), f"Snapshot {number} can go: {_nobody(here, keep_releases)}.")

    return Retention(tuple(fate(number) for number in snapshots))


def _nobody(releases: Sequence[str], keep_releases: int) -> str:
    if not releases:
        return "no release answers from it"
    return f"{', '.join(releases)} answered from it and is beyond the {keep_releases} that are kept"


def _pins(
    releases: Sequence[Pinnable], current: str | None, history: Sequence[Promotion], keep: int, anchor: str | None
) -> Iterator[tuple[str, str]]:
    """Release → why it stays. A later reason stands for an earlier one."""
    served = {promotion.release for promotion in history}
    # Those that lead the list: a release that was never served and is older than one that was is of the past.
    waiting = takewhile(lambda one: one.release not in served, releases)
    yield from ((one.release, "may still be judged and promoted") for one in islice(waiting, keep))
    yield from ((release, "is one that a rollback can return to") for release in rollback_targets(history, keep))
    if anchor is not None:
        yield anchor, "is the anchor"
    if current is not None:
        yield current, "is being served"


def rollback_targets(history: Sequence[Promotion], count: int) -> tuple[str, ...]:
    """The releases that a rollback can return to: first those that going back step by step meets, then by recency.

    Without what is served now, and never more than `count` (history: oldest first).
    """
    line = [promotion.release for promotion in rollback_line(history)]
    by_recency = dict.fromkeys([*reversed(line), *(promotion.release for promotion in reversed(history))])
    return tuple(release for release in by_recency if release != line[-1])[:count]


def past_adapters(used: Iterable[tuple[str, bool]], began_with: Mapping[str, str | None]) -> frozenset[str]:
    """The adapters that only releases of the past use, which nobody can ask again: their documents were reclaimed.

    used: (adapter, whether the release that uses it is of the past). began_with: adapter → the one its training began
    with, which stays as long as it does. An adapter that no release uses waits for its first, and is none of them.
    """
    is_past: dict[str, bool] = {}
    for adapter, past in used:
        is_past[adapter] = past and is_past.get(adapter, True)
    stays = [adapter for adapter in {*began_with, *is_past} if not is_past.get(adapter, False)]
    needed: set[str] = set()
    while stays:
        one = stays.pop()
        needed.add(one)
        before = began_with.get(one)
        if before is not None and before not in needed:
            stays.append(before)
    return frozenset(is_past.keys() - needed)
