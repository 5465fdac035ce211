"""A Prefect server that does not answer, or knows somebody else, as an error that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from httpx import HTTPStatusError, TransportError

from tasks.core.errors import NotAllowed, PrefectUnavailable

NOBODY_WE_KNOW = frozenset({401, 403})


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Raises PrefectUnavailable where the server cannot be reached, NotAllowed where it lets nobody in.

    Prefect raises a bare RuntimeError from what went wrong when it cannot ask a server for its version.
    """
    try:
        yield
    except (TransportError, HTTPStatusError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, RuntimeError) else error
        where = without_password(url)
        if isinstance(cause, TransportError):
            raise PrefectUnavailable(
                f"No Prefect server answers at {where} ({type(cause).__name__}). Start it, or set PREFECT_API_URL to "
                "where it is. What was done stays; run the command again.",
                url=where,
            ) from error
        if isinstance(cause, HTTPStatusError) and cause.response.status_code in NOBODY_WE_KNOW:
            raise NotAllowed(
                f"The Prefect server at {where} answers {cause.response.status_code}. Set PREFECT_API_AUTH_STRING, or "
                "PREFECT_API_KEY, to what it wants.",
                url=where,
            ) from error
        raise


def without_password(url: str) -> str:
    """The address as it may be shown.

    >>> without_password("https://me:secret@prefect.example:4200/api")
    'https://prefect.example:4200/api'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
