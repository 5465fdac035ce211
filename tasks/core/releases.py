"""A release: one immutable manifest, whose id is the hash of its canonical JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SerializerFunctionWrapHandler, model_serializer
from pydantic.fields import FieldInfo

Pattern = Literal["rag", "tuned", "sequential", "parallel", "routed"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


LATER: dict[str, JsonValue] = {"came": "later"}
Later = partial(Field, json_schema_extra=LATER)  # a field whose default is how older releases behave; never change it
ONLY_IF_USED: dict[str, JsonValue] = LATER | {"written": "only if used"}
OnlyIfUsed = partial(Field, json_schema_extra=ONLY_IF_USED)  # the same, and not written where it has its default:
# evidence bundles of before hold manifests without it, and are written again byte for byte when they are rechecked


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
    fusion: Literal["rrf", "blend", "vector", "bm25"] = "rrf"
    rrf_k: int = Field(default=60, ge=1, description="Cormack et al. 2009")
    min_confidence: float | None = Field(
        default=None, description="Abstain when the best passage's confidence is below this; None never abstains so"
    )
    blend_alpha: float = Later(
        default=0.7, ge=0, le=1, description="Weight of the vector score in a blend; BM25 has the rest"
    )
    reranker: str | None = Later(default=None, description="A sentence-transformers CrossEncoder, by name or folder")
    reranker_fingerprint: str | None = Later(
        default=None, description="What the reranker was when the release was made; filled in then"
    )
    rerank_candidates: int = Later(default=20, ge=1, le=200, description="Passages the reranker reads per question")
    neighbours: int = Later(default=0, ge=0, le=5, description="Chunks joined on each side of a passage when read")
    confidence: Literal["passage", "sentence"] = OnlyIfUsed(
        default="passage", description="What min_confidence is held against: the best passage, or its best sentence"
    )
    documents: tuple[str, ...] = Later(
        default=(), description="Globs of document URIs, such as `products/*`; only these are searched; none: all"
    )
    headings: tuple[str, ...] = Later(
        default=(), description="Globs of headings; only chunks under one that matches are searched; none: all"
    )

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        return _without_unused(self, write(self), ONLY_IF_USED)

    @property
    def wanted(self) -> int:
        """How many chunks the index is asked for."""
        return max(self.k, self.rerank_candidates) if self.reranker else self.k

    def admits(self, document: str, heading_path: Sequence[str]) -> bool:
        """Whether a chunk may be found. Globs see case, and `*` also crosses `/`."""
        in_document = not self.documents or any(fnmatchcase(document, glob) for glob in self.documents)
        under = not self.headings or any(fnmatchcase(h, glob) for h in heading_path for glob in self.headings)
        return in_document and under


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
    mend_citations: bool = OnlyIfUsed(
        default=False, description="A marker whose passage does not hold its sentence moves to the passage that does"
    )

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        return _without_unused(self, write(self), ONLY_IF_USED)

    @property
    def id(self) -> str:
        """`r-` and the first 16 hex digits of the SHA-256 of the canonical JSON."""
        spelled = self.model_dump(mode="json")
        spelled["retrieval"] = _as_first_written(self.retrieval, spelled["retrieval"])
        return "r-" + hashlib.sha256(canonical_json(spelled).encode()).hexdigest()[:16]


def _as_first_written(part: _Part, spelled: dict[str, object]) -> dict[str, object]:
    """Without the fields that came later and say what was the case before: old releases keep their ids."""
    return _without_unused(part, spelled, LATER)


def _without_unused(part: _Part, spelled: dict[str, object], kind: dict[str, JsonValue]) -> dict[str, object]:
    """Without the fields of a kind that have their defaults."""
    of_kind = {name for name, field in type(part).model_fields.items() if _is_of(kind, field)}
    return {name: value for name, value in spelled.items() if name not in of_kind or not _is_default(part, name)}


def _is_of(kind: dict[str, JsonValue], field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and kind.items() <= extra.items()


def _is_default(part: _Part, name: str) -> bool:
    return bool(getattr(part, name) == type(part).model_fields[name].default)


def canonical_json(value: object) -> str:
    """The one spelling of a JSON value that is hashed: sorted keys, no spaces, UTF-8, no NaN.

    >>> canonical_json({"b": 1, "a": [1.5, "é"]})
    '{"a":[1.5,"é"],"b":1}'
    """
    return _CANONICAL.encode(value)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
