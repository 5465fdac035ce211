"""One process at a time makes the model of an intent: whoever comes meanwhile waits, and finds what was made."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tasks.core.document_catalog import Lease, Leases
from tasks.core.errors import AssistantBusy, CatalogUnavailable, LeaseLost, Stopped
from tasks.core.ports import Progress
from tasks.documents import stopping

LEASE_SECONDS = 120.0  # of a holder on another machine whose process is gone; here it is known at once
ASK_SECONDS = 1.0


@contextmanager
def training_turn(leases: Leases, name: str, progress: Progress | None = None) -> Iterator[None]:
    """The right to make this model, renewed as long as it takes. Tells `progress` for whom it waits.

    Raises Stopped when the run is told to end while it waits.
    """
    lease = _taken(leases, name, progress)
    over = threading.Event()
    renewal = threading.Thread(target=_renew, args=(leases, lease, over), daemon=True)
    renewal.start()
    try:
        yield
    finally:
        over.set()
        renewal.join()
        with suppress(CatalogUnavailable):  # it ends by itself
            leases.release(lease)


def _taken(leases: Leases, name: str, progress: Progress | None) -> Lease:
    waited = False
    while True:
        try:
            lease = leases.acquire(name, LEASE_SECONDS)
        except AssistantBusy as busy:
            if progress:
                progress(f"waiting: {busy.values['process']} trains on the same", 0, 1)
        else:
            if progress and waited:
                progress("waiting: the other training is over", 1, 1)
            return lease
        waited = True
        if (stopping.get() or threading.Event()).wait(ASK_SECONDS):
            raise Stopped("The run was stopped while it waited for another that trains on the same, which goes on.")


def _renew(leases: Leases, lease: Lease, over: threading.Event) -> None:
    """Whoever took it over meanwhile, as from a machine that slept, makes the same model: nothing is lost by that.

    Where the catalog cannot be reached, the next renewal is in time.
    """
    while not over.wait(LEASE_SECONDS / 4):
        try:
            with suppress(CatalogUnavailable):
                leases.renew(lease, LEASE_SECONDS)
        except LeaseLost:
            return
