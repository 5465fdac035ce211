"""A release: one immutable manifest, whose id is the hash of its canonical JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Pattern = Literal["rag", "tuned", "sequential", "parallel", "routed"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SnapshotRef(_Part):
    """Which documents the release answers from."""

    number: int = Field(ge=1)
    manifest_hash: str
    collection: str


class ModelRef(_Part):
    """Which model answers: a base model, alone or with a LoRA adapter, or a hosted model id."""

    kind: Literal["base", "lora", "hosted"]
    base: str = Field(description="Name of the base model, or the hosted model id")
    base_digest: str = Field(description="Fingerprint of the base model's weights and tokenizer; empty when hosted")
    adapter: str | None = Field(default=None, description="Content digest of the LoRA adapter's folder")


class Example(_Part):
    """One worked example inside a prompt: passages as shown, a question, the ideal answer."""

    passages: tuple[str, ...]
    question: str
    answer: str


class PromptSpec(_Part):
    """Everything that turns passages and a question into messages."""

    system: str
    abstention: str = Field(description="The exact sentence that means: the documents do not say")
    examples: tuple[Example, ...] = ()


class RetrievalSettings(_Part):
    """How passages are found for a question."""

    k: int = Field(default=2, ge=0, le=50, description="Passages shown to the model")
    candidates: int = Field(default=50, ge=1, description="Candidates each of BM25 and vector search contributes")
    fusion: Literal["rrf", "vector", "bm25"] = "rrf"
    rrf_k: int = Field(default=60, ge=1, description="Cormack et al. 2009")
    min_confidence: float | None = Field(
        default=None, description="Abstain when the best passage's confidence is below this; None never abstains so"
    )


class Limits(_Part):
    """Bounds of one answer."""

    max_new_tokens: int = Field(default=48, ge=1)
    max_context_tokens: int = Field(default=1200, ge=1)


class ReleaseManifest(_Part):
    """The whole bundle. Two equal manifests are the same release."""

    format: Literal[1] = 1
    assistant: str
    snapshot: SnapshotRef
    model: ModelRef
    prompt: PromptSpec
    retrieval: RetrievalSettings
    pattern: Pattern
    require_support: bool = Field(
        default=True, description="Numbers and names of an answer must occur in the cited passage, or it abstains"
    )
    limits: Limits = Limits()

    @property
    def id(self) -> str:
        """`r-` and the first 16 hex digits of the SHA-256 of the canonical JSON."""
        return "r-" + hashlib.sha256(canonical_json(self.model_dump(mode="json")).encode()).hexdigest()[:16]


def canonical_json(value: object) -> str:
    """The one spelling of a JSON value that is hashed: sorted keys, no spaces, UTF-8, no NaN.

    >>> canonical_json({"b": 1, "a": [1.5, "é"]})
    '{"a":[1.5,"é"],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
