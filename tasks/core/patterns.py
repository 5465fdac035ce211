"""The ways in which a release combines passages and training: who is asked, whether with passages, and who is heard."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.core.answers import Passage
from tasks.core.errors import UsageError
from tasks.core.releases import ModelRef, Pattern, ReleaseManifest
from tasks.core.replies import Reply, is_supported


def models_asked(pattern: Pattern, model: ModelRef) -> tuple[ModelRef, ...]:
    """The release's model, and in `parallel` its base too.

    Raises UsageError for `parallel` over anything but an adapter: only that has a base that answers beside it.
    """
    if pattern != "parallel":
        return (model,)
    if model.kind != "lora":
        raise UsageError(
            f"The pattern parallel asks an adapter and its base, and {model.base} is no adapter. Choose rag for a base "
            "model, sequential or routed for a hosted one."
        )
    return (model, ModelRef(kind="base", base=model.base, base_digest=model.base_digest))


def require_learned(pattern: Pattern, model: ModelRef) -> None:
    """Raises UsageError where a base model is to answer alone: it has learned nothing here."""
    if pattern in ("tuned", "routed") and model.kind == "base":
        raise UsageError(
            f"The pattern {pattern} asks what a model has learned, and {model.base} was not tuned. Train one: `ratchet "
            "train`."
        )


def with_pattern(manifest: ReleaseManifest, wished: Pattern | None) -> ReleaseManifest:
    """A release of a tuned model, answering as is wished. One whose model cannot, or without a wish, stays as it is.

    The wish is one for all assistants and for every model that is trained later: a hosted one that is served, or paid
    for, is not given up for it.
    """
    kind = manifest.model.kind
    if wished is None or kind == "base" or (wished == "parallel" and kind != "lora"):
        return manifest
    return manifest.model_copy(update={"pattern": wished})


def asks_without_passages(pattern: Pattern, *, found: bool, confidence: float, least: float | None) -> bool:
    """Whether a question is asked as it is: by `tuned` always, by `routed` where retrieval is too unsure.

    least: the confidence below which the other patterns abstain; without one `routed` always shows what was found.
    """
    if pattern == "tuned":
        return True
    return pattern == "routed" and not (found and (least is None or confidence >= least))


def better_supported(replies: Sequence[Reply], passages: Sequence[Passage]) -> int:
    """Position of the reply that is given: the first of those that the passages hold best.

    Best is a supported answer with a citation, then one without, then an abstention, which claims nothing.
    """
    return max(range(len(replies)), key=lambda at: (_standing(replies[at], passages), -at))


def _standing(reply: Reply, passages: Sequence[Passage]) -> int:
    if reply.because is not None:
        return 1
    if not is_supported(reply, passages):
        return 0
    return 3 if reply.citations else 2
