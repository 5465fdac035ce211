"""The anchor: the release that every later one is measured against, so that small losses cannot add up unseen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tasks.core.errors import NotFound, UsageError
from tasks.core.promotion import Judgement
from tasks.releases import Judgements, ReleaseCatalog


@dataclass(frozen=True, slots=True)
class Anchoring:
    """One row of the anchor's history: which release became the anchor, why and by whom."""

    release: str
    who: str
    reason: str
    at: str  # ISO 8601 UTC


class Anchors(Protocol):
    """The anchors an assistant has had. Nothing is ever taken away."""

    def anchor(self, assistant: str) -> str | None:
        """The release of the newest row; None before the first proven promotion."""

    def anchorings(self, assistant: str) -> list[Anchoring]:
        """Every row, oldest first."""

    def set_anchor(self, assistant: str, release: str, *, who: str, reason: str) -> Anchoring | None:
        """A new row; None when the release's documents were reclaimed, seen in the same transaction."""


@dataclass(frozen=True, slots=True)
class AnchorBench:
    """What setting an anchor needs."""

    assistant: str
    releases: ReleaseCatalog
    judgements: Judgements
    anchors: Anchors


def set_anchor(bench: AnchorBench, release: str, *, who: str, reason: str | None) -> Anchoring:
    """Makes a release the anchor: one that was served, or was judged PROMOTE.

    Raises UsageError without a reason or for a release that never proved itself, and NotFound for one that is unknown
    or whose documents were reclaimed.
    """
    row = bench.releases.release(bench.assistant, release)
    if not (reason and reason.strip()):
        raise UsageError(
            f"A new anchor moves what every later release is measured against. Say why {row.id} is to be it: "
            "--reason TEXT.",
            release=row.id,
        )
    served = any(one.release == row.id and not one.unproven for one in bench.releases.history(bench.assistant))
    judged = bench.judgements.judgement(bench.assistant, row.id)
    if not served and (judged is None or judged.verdict != "PROMOTE"):
        raise UsageError(
            f"Release {row.id} cannot be the anchor: {_why_not(judged)} Only a release that was served as proven, or "
            f"was judged PROMOTE, can be it. Run `ratchet evaluate {row.id}`.",
            release=row.id,
        )
    made = bench.anchors.set_anchor(bench.assistant, row.id, who=who, reason=reason)
    if made is None:
        raise NotFound(
            f"Release {row.id} cannot be the anchor: its snapshot {row.manifest.snapshot.number} was reclaimed by "
            "vacuum, so it cannot be asked any more. See `ratchet releases`.",
            release=row.id,
        )
    return made


def _why_not(judged: Judgement | None) -> str:
    return "it was never judged." if judged is None else f"it was judged {judged.verdict}."
