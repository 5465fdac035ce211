"""An assistant's settings as people edit them in the Prefect UI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from prefect.blocks.core import Block
from pydantic import Field, SecretStr, field_validator

from blocks.gate_policy import RatchetGatePolicy
from blocks.weaviate import RatchetWeaviate
from infra.own_policy import with_own_policy
from infra.settings import Settings, load_settings
from infra.workbench import Workbench, open_workbench
from tasks.core.errors import UsageError

_AS_THEY_ARE = {
    "embedder",
    "s3_endpoint_url",
    "base_model",
    "max_delete_fraction",
    "retrain_threshold",
    "allow_unproven",
}


class RatchetAssistant(Block):
    """Where an assistant keeps its state and how it is kept current. A field left empty follows the worker."""

    _block_type_name = "Ratchet assistant"
    _block_type_slug = "ratchet-assistant"
    _description = "Where an assistant keeps its state, which model answers, and when it retrains."
    _code_example = """```python
from blocks import RatchetAssistant

await RatchetAssistant(assistant="handbook", home="/srv/ratchet").save("handbook")
```
Then run a flow with `{"request": {"assistant": "handbook", "block": "handbook"}}`."""

    assistant: str = Field(default="default", description="The assistant's name")
    home: str | None = Field(default=None, description="Folder of the catalog, index, artifacts and models")
    database_url: SecretStr | None = Field(default=None, description="SQLAlchemy URL of the catalog")
    weaviate: RatchetWeaviate | None = Field(
        default=None, description="Where the vector index is kept; default: as the worker says, else a file in home"
    )
    embedder: str | None = Field(
        default=None,
        description="minilm, openai:MODEL, or a sentence-transformers model; another one rebuilds the index",
    )
    s3_endpoint_url: str | None = Field(default=None, description="An S3-compatible store instead of AWS")
    base_model: str | None = Field(default=None, description="A Hugging Face causal model by name or folder")
    max_delete_fraction: float | None = Field(
        default=None, ge=0, le=1, description="A run that would delete more of the documents than this stops"
    )
    retrain_threshold: int | None = Field(default=None, ge=1, description="New accepted labels that start a training")
    policy: RatchetGatePolicy | None = Field(
        default=None,
        description="What a release must prove; default: its own file's, else the worker's ratchet.toml",
    )
    allow_unproven: bool | None = Field(default=None, description="Serve snapshots before a golden set exists")

    @field_validator("weaviate", "policy", mode="before")
    @classmethod
    def _none_chosen(cls, value: object) -> object:
        """The form sends an empty object where no block was chosen."""
        return None if value == {} else value

    def settings(self) -> Settings:
        """The worker's settings with this block's fields on top. Raises BadSetting."""
        chosen: dict[str, object] = self.model_dump(include=_AS_THEY_ARE, exclude_none=True)
        if self.home:
            chosen["home"] = Path(self.home)
        if self.database_url:
            chosen["database_url"] = self.database_url
        if self.weaviate:
            chosen["weaviate_url"] = self.weaviate.url
            chosen["weaviate_grpc_port"] = self.weaviate.grpc_port
            chosen["weaviate_api_key"] = self.weaviate.api_key
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
