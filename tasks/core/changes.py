"""What changed between the documents that are live and the files a scan found, and whether that is believable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.core.errors import TooManyDeletions


@dataclass(frozen=True, slots=True)
class Changes:
    """URIs of documents, sorted."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether every document is as it was."""
        return not (self.added or self.changed or self.deleted)


@dataclass(frozen=True, slots=True)
class Turnover:
    """Chunk ids to be born and to die, sorted."""

    births: tuple[str, ...]
    deaths: tuple[str, ...]


def what_changed(live: Mapping[str, str], found: Mapping[str, str]) -> Changes:
    """Compares URI → content hash.

    >>> what_changed({"a.md": "1", "b.md": "2", "c.md": "3"}, {"b.md": "2", "c.md": "4", "d.md": "5"})
    Changes(added=('d.md',), changed=('c.md',), deleted=('a.md',), unchanged=('b.md',))
    """
    both = live.keys() & found.keys()
    return Changes(
        added=tuple(sorted(found.keys() - live.keys())),
        changed=tuple(sorted(uri for uri in both if live[uri] != found[uri])),
        deleted=tuple(sorted(live.keys() - found.keys())),
        unchanged=tuple(sorted(uri for uri in both if live[uri] == found[uri])),
    )


def vanished(live: Mapping[str, str], found: Mapping[str, str], changes: Changes) -> tuple[str, ...]:
    """The deleted documents whose contents did not turn up under a new name: a rename is not a loss.

    Contents are counted, so one added copy accounts for one deleted document, not for all that were equal to it.
    """
    moved = Counter(found[uri] for uri in changes.added)
    lost = []
    for uri in changes.deleted:
        if moved[live[uri]] > 0:
            moved[live[uri]] -= 1
        else:
            lost.append(uri)
    return tuple(lost)


def check_deletions(lost: int, live: int, max_delete_fraction: float) -> None:
    """Raises TooManyDeletions when more than `max_delete_fraction` (0 to 1) of the live documents are gone."""
    if lost <= max_delete_fraction * live:
        return
    raise TooManyDeletions(
        f"Re-ingesting would delete {lost:,} of {live:,} indexed documents ({lost / live:.0%}); "
        f"the limit is {max_delete_fraction:.0%}. Check that the source is mounted, or pass a higher "
        "max_delete_fraction (RATCHET_MAX_DELETE_FRACTION).",
        deleted=lost,
        documents=live,
        max_delete_fraction=max_delete_fraction,
    )
