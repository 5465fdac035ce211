"""What the answer service needs from behind the counter. Blocking: the service calls it from its own threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.core.answers import Answer, Passage
from tasks.core.feedback import Feedback, Response, Taken
from tasks.core.releases import ReleaseManifest, RetrievalSettings


@dataclass(frozen=True, slots=True)
class Served:
    """One release, as pinned for one request."""

    manifest: ReleaseManifest
    unproven: bool  # it was never judged on a golden set
    as_of: str  # when its snapshot of the documents was published, ISO 8601 UTC


class Desk(Protocol):
    """Releases to answer from, and answers. Every call may come from another thread."""

    def assistants(self) -> Sequence[str]:
        """Names of all assistants that have a current release, sorted."""

    def current(self, assistant: str) -> Served:
        """What is served at this moment, read anew at every call. Raises NotFound, also before the first release."""

    def release(self, assistant: str, release: str) -> Served:
        """A release by id, current or not. Raises NotFound."""

    def answer(self, manifest: ReleaseManifest, question: str, *, anew: bool = False) -> Answer:
        """The answer of exactly this release, whatever is promoted meanwhile. anew: the model is asked in any case."""

    def search(self, manifest: ReleaseManifest, text: str, settings: RetrievalSettings) -> Sequence[Passage]:
        """The best passages of the release's snapshot, best first, found by these settings instead of its own."""

    def remember(self, response: Response) -> None:
        """Keeps an answer that was given, so that feedback can name it; how many are kept is bounded."""

    def take(self, feedback: Feedback) -> Taken:
        """Notes feedback once, joined to the release that answered. Raises NotFound for an answer not remembered."""
