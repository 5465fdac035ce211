"""Which model a vendor goes on from where it learns people's preferences: its base, or what is served of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tasks.core.errors import BadSetting
from tasks.core.hosted_retirement import base_of
from tasks.core.releases import ModelRef


def hosted_start(served: ModelRef, base: str, made_from: Mapping[str, str]) -> str | None:
    """The tuned model to go on from; None: the base, which nobody tuned.

    made_from: what each hosted model that was made here began with. Raises BadSetting where an adapter is served, which
    no vendor has, or a hosted model of another base.

    >>> hosted_start(ModelRef(kind="hosted", base="ft:gpt-4.1-mini:acme:x:1", base_digest=""), "gpt-4.1-mini", {})
    'ft:gpt-4.1-mini:acme:x:1'
    """
    if served.kind == "lora":
        raise BadSetting(
            f"An adapter on {served.base} is served, and no vendor has that. Go on from it here: `ratchet train "
            f"--method dpo`. Or have a model of {base} served first: `ratchet train --method openai`."
        )
    if served.kind == "hosted" and not _belongs(served.base, base, made_from):
        raise BadSetting(
            f"{served.base} is served, and RATCHET_HOSTED_BASE_MODEL is {base}, which that was not tuned from. Name "
            "the base it was tuned from, or have a model of this one served first: `ratchet train --method openai`."
        )
    begins = served.base if served.kind == "hosted" else base
    return begins if begins != base or base in made_from else None


def _belongs(model: str, base: str, made_from: Mapping[str, str]) -> bool:
    line = list(_ancestors(model, made_from))
    first = _named(line[-1])
    undated = base if base.startswith("ft:") else base_of(base)
    return base in line or base in (first, base_of(first)) or first == undated


def _ancestors(model: str, made_from: Mapping[str, str]) -> Iterator[str]:
    """The model, what it was made from, and so on."""
    seen: set[str] = set()
    while model not in seen:
        yield model
        seen.add(model)
        model = made_from.get(model, model)


def _named(model: str) -> str:
    """The base that OpenAI's name of a tuned model names, as `ft:BASE:organisation:suffix:id`."""
    return model.split(":")[1] if model.startswith("ft:") else model
