"""An assistant's settings as people edit them in the Prefect UI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from prefect.blocks.core import Block
from pydantic import Field, field_validator, model_validator

from blocks.chat_model import RatchetChatModel
from blocks.chosen import as_in_settings
from blocks.embedder import RatchetEmbedder
from blocks.gate_policy import RatchetGatePolicy
from blocks.label_policy import RatchetLabelPolicy
from blocks.sources import RatchetSources
from blocks.stores import RatchetStores
from blocks.trainers import RatchetHostedTrainer, RatchetLoraTrainer
from blocks.weaviate import RatchetWeaviate
from infra.own_policy import with_own_policy
from infra.settings import Settings, load_settings
from infra.workbench import Workbench, open_workbench
from tasks.core.errors import UsageError

_PARTS = ("sources", "stores", "weaviate", "embedder", "chat_model", "lora", "hosted", "labels")
_MOVED = {
    "home": ("stores", "home"),
    "database_url": ("stores", "database_url"),
    "s3_endpoint_url": ("stores", "s3_endpoint_url"),
    "base_model": ("chat_model", "model"),
    "retrain_threshold": ("labels", "threshold"),
}
"""Fields of blocks that were saved before parts were blocks of their own, and where they are now."""


class RatchetAssistant(Block):
    """What an assistant is kept current with. A part left empty follows the worker."""

    _block_type_name = "Ratchet assistant"
    _block_type_slug = "ratchet-assistant"
    _description = (
        "What an assistant is kept current with: its documents, stores, models, labels, and what it must prove."
    )
    _code_example = """```python
from blocks import RatchetAssistant, RatchetSources

docs = RatchetSources(sources=[{"path": "/srv/handbook"}])
await docs.save("handbook")
await RatchetAssistant(assistant="handbook", sources=docs).save("handbook")
```
Then run a flow with `{"request": {"assistant": "handbook", "block": "handbook"}}`."""

    assistant: str = Field(default="default", title="Assistant", description="The assistant's name")
    sources: RatchetSources | None = Field(
        default=None, title="Sources", description="Where its documents come from; default: those that are registered"
    )
    stores: RatchetStores | None = Field(
        default=None, title="Stores", description="Where its state lies; default: as the worker says"
    )
    weaviate: RatchetWeaviate | None = Field(
        default=None,
        title="Weaviate",
        description="Where the vector index is kept; default: as the worker says, else a file in home",
    )
    embedder: RatchetEmbedder | None = Field(
        default=None, title="Embedder", description="What turns text into vectors; another one rebuilds the index"
    )
    chat_model: RatchetChatModel | None = Field(default=None, title="Chat model", description="The model that answers")
    lora: RatchetLoraTrainer | None = Field(
        default=None, title="LoRA trainer", description="How adapters are trained on your own machine"
    )
    hosted: RatchetHostedTrainer | None = Field(
        default=None, title="Hosted trainer", description="Fine-tuning at a vendor; none: there is none"
    )
    labels: RatchetLabelPolicy | None = Field(
        default=None, title="Labels", description="Where labels come from, and when they start a training"
    )
    policy: RatchetGatePolicy | None = Field(
        default=None,
        title="Gate policy",
        description="What a release must prove; default: its own file's, else the worker's ratchet.toml",
    )
    max_delete_fraction: float | None = as_in_settings("max_delete_fraction", "Most that may be deleted, 0 to 1")
    allow_unproven: bool | None = as_in_settings("allow_unproven", "Serve before there is a golden set")

    @model_validator(mode="before")
    @classmethod
    def _from_older_shapes(cls, values: Any) -> Any:
        """Blocks that were saved when an assistant was one flat form keep loading."""
        if not isinstance(values, Mapping):
            return values
        moved = dict(values)
        if isinstance(moved.get("embedder"), str):
            moved["embedder"] = {"model": moved["embedder"]}
        for old, (part, field) in _MOVED.items():
            value = moved.pop(old, None)
            if value is not None:
                moved[part] = {**(moved.get(part) or {}), field: value}
        return moved

    @field_validator(*_PARTS, "policy", mode="before")
    @classmethod
    def _none_chosen(cls, value: object) -> object:
        """The form sends an empty object, or an empty text, where no block was chosen."""
        return None if value in ({}, "") else value

    def settings(self) -> Settings:
        """The worker's settings with this block's parts on top. Raises BadSetting."""
        chosen: dict[str, object] = {}
        for part in (getattr(self, name) for name in _PARTS):
            chosen |= part.settings() if part is not None else {}
        for name in ("max_delete_fraction", "allow_unproven"):
            if getattr(self, name) is not None:
                chosen[name] = getattr(self, name)
        if self.policy:
            return load_settings(**chosen, policy=self.policy.policy())
        return with_own_policy(load_settings(**chosen), self.assistant)


@asynccontextmanager
async def open_assistant(assistant: str, block: str | None) -> AsyncIterator[Workbench]:
    """The workbench of a request, closed at the end. Raises what `workbench_of` raises."""
    bench = await workbench_of(assistant, block)
    try:
        yield bench
    finally:
        bench.close()


async def workbench_of(assistant: str, block: str | None) -> Workbench:
    """The workbench of a request: by its block when it names one, else by this process's settings.

    Raises ValueError when there is no block of that name, UsageError when it is about another assistant.
    """
    settings = None
    if block is not None:
        loaded: RatchetAssistant = await RatchetAssistant.aload(block)
        if loaded.assistant != assistant:
            raise UsageError(
                f"Block {block} is about assistant {loaded.assistant}, the request about {assistant}. Name one of them."
            )
        settings = loaded.settings()
    return open_workbench(assistant, settings)
