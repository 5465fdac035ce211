"""Every error Ratchet raises on purpose, written for the person who must act.

RatchetError
├── CannotRetry                 trying again gives the same result: somebody has to change something
│   ├── UsageError              the request itself is wrong
│   │   ├── SourceMissing       the folder, bucket or repository is not there
│   │   ├── NotFound            no such assistant, release, snapshot, model or report
│   │   └── BadSetting          a setting or file does not hold what it should
│   ├── TooManyDeletions        the run would delete more than max_delete_fraction of the documents
│   ├── IndexIncomplete         the index does not hold exactly what the snapshot says
│   ├── LeaseLost               another run took over; this one must not publish
│   ├── StaleComparison         the verdict was reached against a release that is no longer current
│   ├── PromotionRefused        the release has no verdict that allows promotion
│   ├── IntegrityFailure        bytes, hashes or references do not match what was recorded
│   │   └── AdapterBroken       a LoRA adapter failed its proof (keys, shapes, finite, digest, golden logits)
│   ├── Stopped                 somebody asked the run to end
│   ├── GoldenLeak              a golden question or its page is in the training data
│   └── NotEnoughLabels         too few accepted labels for what was asked
└── WorthRetrying               the world may be different in a moment
    ├── AssistantBusy           another run holds the lease
    ├── IndexUnavailable        the vector index cannot be reached
    ├── ModelUnavailable        the chat model or embedder cannot be reached
    └── CatalogUnavailable      the catalog cannot be reached or is locked
"""

from __future__ import annotations


class RatchetError(Exception):
    """The root. `str(error)` says what happened, the limit, and what to do next; values are attributes too."""

    def __init__(self, message: str, **values: object) -> None:
        super().__init__(message)
        self.message = message
        self.values = values

    @property
    def code(self) -> str:
        """The error's name as a stable word for `--json` and HTTP: `too_many_deletions`."""
        name = type(self).__name__
        return "".join("_" + c.lower() if c.isupper() and i else c.lower() for i, c in enumerate(name))


class CannotRetry(RatchetError):
    """Trying again gives the same result."""


class UsageError(CannotRetry):
    """The request itself is wrong."""


class SourceMissing(UsageError):
    """The folder, bucket or repository is not there."""


class NotFound(UsageError):
    """No such assistant, release, snapshot, model or report."""


class BadSetting(UsageError):
    """A setting or file does not hold what it should."""


class TooManyDeletions(CannotRetry):
    """The run would delete more than `max_delete_fraction` of the documents."""


class IndexIncomplete(CannotRetry):
    """The index does not hold exactly what the snapshot says."""


class LeaseLost(CannotRetry):
    """Another run took over; this one must not publish."""


class StaleComparison(CannotRetry):
    """The verdict was reached against a release that is no longer current."""


class PromotionRefused(CannotRetry):
    """The release has no verdict that allows promotion."""


class IntegrityFailure(CannotRetry):
    """Bytes, hashes or references do not match what was recorded."""


class AdapterBroken(IntegrityFailure):
    """A LoRA adapter failed its proof; `values["check"]` names which."""


class GoldenLeak(CannotRetry):
    """A golden question, or a page it is about, is in the training data."""


class NotEnoughLabels(CannotRetry):
    """Too few accepted labels for what was asked."""


class WorthRetrying(RatchetError):
    """The world may be different in a moment."""


class AssistantBusy(WorthRetrying):
    """Another run holds the lease."""


class IndexUnavailable(WorthRetrying):
    """The vector index cannot be reached."""


class ModelUnavailable(WorthRetrying):
    """The chat model or embedder cannot be reached."""


class CatalogUnavailable(WorthRetrying):
    """The catalog cannot be reached, or stayed locked."""


class Stopped(CannotRetry):
    """Somebody asked the run to end, and it ended at the next place where nothing is lost."""
