"""Every model there is to answer with: what it is, which releases use it, and so what state it is in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.core.releases import ModelRef

ModelState = Literal["current", "anchor", "candidate", "retired", "rolled-back", "reclaimed", "unused", "missing"]
_FIRST: tuple[ModelState, ...] = ("current", "anchor", "candidate", "retired", "rolled-back", "reclaimed")


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """One model. releases: those that use it, newest first, with their states."""

    id: str
    ref: ModelRef
    state: ModelState
    releases: Mapping[str, str]


def registry(
    trained: Sequence[ModelRef],
    used: Sequence[tuple[str, ModelRef]],
    states: Mapping[str, str],
    present: Collection[str],
    anchor: str | None = None,
) -> tuple[RegistryEntry, ...]:
    """Every model that was trained or that a release uses.

    trained: newest first. used: (release, its model), newest first. states: by release. present: digests of adapters
    whose files are there. An adapter whose files are not is `missing`, unless vacuum took them with the last release.
    """
    refs = {model_id(ref): ref for ref in (*trained, *(ref for _, ref in used))}

    def entry(model: str, ref: ModelRef) -> RegistryEntry:
        releases = {release: states[release] for release, one in used if model_id(one) == model}
        words = {*releases.values(), *(["anchor"] if anchor in releases else [])}
        state: ModelState = next((word for word in _FIRST if word in words), "unused")
        gone = ref.adapter is not None and ref.adapter not in present
        return RegistryEntry(model, ref, "missing" if gone and state != "reclaimed" else state, releases)

    return tuple(entry(model, ref) for model, ref in refs.items())


def model_id(ref: ModelRef) -> str:
    """What identifies a model: its adapter's digest, its base's, or a vendor's id."""
    return ref.adapter or ref.base_digest or ref.base
