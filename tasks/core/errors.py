"""Every error Ratchet raises on purpose, written for the person who must act.

RatchetError
├── CannotRetry                 trying again gives the same result: somebody has to change something
│   ├── UsageError              the request itself is wrong
│   │   ├── SourceMissing       the folder, bucket or repository is not there
│   │   ├── NotFound            no such assistant, release, snapshot, model or report
│   │   ├── BadSetting          a setting or file does not hold what it should
│   │   │   └── WrongKey        a vendor or a store does not know the key
│   │   └── InvalidTrainingFile what would be trained on breaks the vendor's rules
│   ├── TooManyDeletions        the run would delete more than max_delete_fraction of the documents
│   ├── IndexIncomplete         the index does not hold exactly what the snapshot says
│   ├── LeaseLost               another run took over; this one must not publish
│   ├── StaleComparison         the verdict was reached against a release that is no longer current
│   ├── PromotionRefused        the release has no verdict that allows promotion
│   ├── IntegrityFailure        bytes, hashes or references do not match what was recorded
│   │   └── AdapterBroken       a LoRA adapter failed its proof (keys, shapes, finite, digest, golden logits)
│   ├── StorageFull             there is no room left where something has to be written
│   ├── Stopped                 somebody asked the run to end
│   ├── GoldenLeak              a golden question or its page is in the training data
│   ├── NotEnoughLabels         too few accepted labels for what was asked
│   ├── TrainingFailed          a training here ended with an error that nobody foresaw
│   │   └── LossDiverged        the loss was no number, or grew: nothing was kept
│   ├── BudgetExceeded          a hosted training would cost more than what is left to spend
│   ├── QuotaExhausted          the vendor's account has no credit left
│   ├── NotAllowed              the vendor or the store does not let this account do that
│   ├── TrainingRetired         the vendor trains no models any more, for this account or for anybody
│   ├── HostedJobFailed         the vendor's job ended without a model
│   └── HostedJobCancelled      somebody cancelled the vendor's job
└── WorthRetrying               the world may be different in a moment
    ├── AssistantBusy           another run holds the lease
    ├── IndexUnavailable        the vector index cannot be reached
    ├── StoreUnavailable        the artifact store cannot be reached
    ├── ModelUnavailable        the chat model or embedder cannot be reached
    ├── TrainingInterrupted     a training here was ended before its end; the next run goes on from its checkpoint
    ├── HostedUnavailable       the vendor's training service cannot be reached, or answers nonsense
    │   ├── OutcomeUnknown      a job may or may not have been created; nobody may create another yet
    │   └── RateLimited         too many requests; the vendor may say how long to wait
    ├── HostedJobWaiting        the vendor's job goes on, and this run has waited as long as it may
    ├── HostedJobAhead          another run's job at the vendor has to be collected before one more is paid for
    ├── PrefectUnavailable      the Prefect server cannot be reached
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


class WrongKey(BadSetting):
    """A vendor or a store does not know the key."""


class InvalidTrainingFile(UsageError):
    """What would be trained on breaks the vendor's rules; `values["problems"]` lists all of them."""


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


class StorageFull(CannotRetry):
    """There is no room left where something has to be written. Nothing half-written is left."""


class GoldenLeak(CannotRetry):
    """A golden question, or a page it is about, is in the training data."""


class NotEnoughLabels(CannotRetry):
    """Too few accepted labels for what was asked."""


class TrainingFailed(CannotRetry):
    """A training here ended with an error that nobody foresaw; `values["error"]` names its class."""


class LossDiverged(TrainingFailed):
    """The loss was no number, or grew; `values["step"]` says when. Nothing was kept of it."""


class BudgetExceeded(CannotRetry):
    """A hosted training would cost more than what is left to spend."""


class QuotaExhausted(CannotRetry):
    """The vendor's account has no credit left."""


class NotAllowed(CannotRetry):
    """The vendor or the store does not let this account do that."""


class TrainingRetired(CannotRetry):
    """The vendor trains no models any more, for this account or for anybody."""


class HostedJobFailed(CannotRetry):
    """The vendor's job ended without a model; `values` hold its `vendor_code`, `vendor_message` and `param`."""


class HostedJobCancelled(CannotRetry):
    """Somebody cancelled the vendor's job."""


class WorthRetrying(RatchetError):
    """The world may be different in a moment."""


class AssistantBusy(WorthRetrying):
    """Another run holds the lease."""


class IndexUnavailable(WorthRetrying):
    """The vector index cannot be reached."""


class StoreUnavailable(WorthRetrying):
    """The artifact store cannot be reached, or answers that it cannot serve now."""


class ModelUnavailable(WorthRetrying):
    """The chat model or embedder cannot be reached."""


class TrainingInterrupted(WorthRetrying):
    """A training here was ended before its end. The next run goes on from its last checkpoint, to the same bits."""


class HostedUnavailable(WorthRetrying):
    """The vendor's training service cannot be reached, or answers nonsense. Nothing was created."""


class OutcomeUnknown(HostedUnavailable):
    """A job may or may not have been created; nobody may create another yet."""


class RateLimited(HostedUnavailable):
    """Too many requests; `values["wait_seconds"]` is what the vendor asks for, None when it does not say."""


class HostedJobRuns(CannotRetry):
    """A job goes on at the vendor whose model cannot be registered any more, and one more would be paid beside it."""


class HostedJobWaiting(WorthRetrying):
    """The vendor's job goes on, and this run has waited as long as it may."""


class HostedJobAhead(WorthRetrying):
    """A job on other rows comes first: its model is collected before one more is paid for. `values["intent"]`: its."""


class PrefectUnavailable(WorthRetrying):
    """The Prefect server cannot be reached."""


class CatalogUnavailable(WorthRetrying):
    """The catalog cannot be reached, or stayed locked."""


class Stopped(CannotRetry):
    """Somebody asked the run to end, and it ended at the next place where nothing is lost."""
