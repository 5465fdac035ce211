"""What the reconciler knows of a kind of thing: what should be there, what is, and how a change is made."""

from __future__ import annotations

from typing import Protocol

from infra.deploy.differences import Change, Found, Thing


class Shelf(Protocol):
    """Things of one kind on one Prefect server."""

    async def wanted(self) -> list[Thing]:
        """What should be there; changes nothing."""

    async def found(self) -> list[Found]:
        """What is there under the names that are wanted, and whatever else is ours; changes nothing."""

    async def make(self, change: Change) -> None:
        """Carries one change out. Made twice, it is the same."""
