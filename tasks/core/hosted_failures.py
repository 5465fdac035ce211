"""A vendor's refusal as one of our errors, each saying what to do next."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.core.errors import (
    HostedUnavailable,
    InvalidTrainingFile,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    QuotaExhausted,
    RatchetError,
    RateLimited,
    TrainingRetired,
    UsageError,
    WrongKey,
)

RETIRED_CODES = frozenset({"training_not_available", "fine_tuning_not_available", "fine_tuning_disabled"})
NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "exceeded_quota", "billing_not_active"})
LOCAL = "train here: `ratchet train --method lora`, or `--method dpo` on preferences"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer that is no success. wait_seconds: what the vendor asks for, if it does."""

    status: int
    message: str
    code: str = ""
    param: str | None = None
    wait_seconds: float | None = None


def failure_of(refusal: Refusal, what: str, *, creating: bool = False) -> RatchetError:
    """The error of a refusal. what: whom was asked for what, as the beginning of a sentence.

    creating: whether a job was to be created, so that a server's own failure leaves open if one was.
    """
    status, said = refusal.status, refusal.message
    told = {"status": status, "vendor_code": refusal.code, "vendor_message": said, "param": refusal.param}
    if refusal.code in NO_CREDIT:
        return QuotaExhausted(f"{what}: the account has no credit left. Add some, or {LOCAL}. It says: {said}", **told)
    if status == 429:
        wait = refusal.wait_seconds
        again = f"It asks to wait {wait:g} s" if wait is not None else "Run again later"
        return RateLimited(f"{what}: too many requests (429). {again}. It says: {said}", wait_seconds=wait, **told)
    if status in (408, 409) or status >= 500:
        return _their_fault(status, said, what, told, creating=creating)
    return _our_fault(refusal, what, told)


def _their_fault(status: int, said: str, what: str, told: dict[str, object], *, creating: bool) -> RatchetError:
    if creating:
        return OutcomeUnknown(f"{what}: the server failed ({status}), and a job may have been created: {said}", **told)
    return HostedUnavailable(
        f"{what}: the server failed ({status}): {said} Run again later; what was reached is kept.", **told
    )


def _our_fault(refusal: Refusal, what: str, told: dict[str, object]) -> RatchetError:
    status, said = refusal.status, refusal.message
    if refusal.code in RETIRED_CODES:
        return TrainingRetired(
            f"{what}: this account cannot train models any more. Now {LOCAL}. It says: {said}", **told
        )
    if status == 401:
        return WrongKey(f"{what}: the API key is not known (401). Set RATCHET_OPENAI_API_KEY. It says: {said}", **told)
    if status == 403:
        return NotAllowed(
            f"{what}: not allowed (403). Give the key's project the right to fine-tune, or {LOCAL}. It says: {said}",
            **told,
        )
    if status == 404 or refusal.code == "model_not_found":
        return NotFound(
            f"{what}: not there ({status}). Check RATCHET_HOSTED_BASE_MODEL and the base URL. It says: {said}",
            **told,
        )
    if refusal.param in ("training_file", "validation_file", "file") or "training_file" in refusal.code:
        return InvalidTrainingFile(
            f"{what}: the {refusal.param or 'training file'} was refused ({status}): {said} Mend the labels it names.",
            problems=(said,),
            **told,
        )
    return UsageError(f"{what}: the request was refused ({status}): {said} Check the hosted_* settings.", **told)
