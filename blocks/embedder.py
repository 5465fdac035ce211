"""What turns text into vectors, as people edit it in the Prefect UI."""

from __future__ import annotations

from typing import ClassVar

from pydantic import SecretStr

from blocks.chosen import SettingsBlock, as_in_settings


class RatchetEmbedder(SettingsBlock):
    """The embedder of an assistant's index. Another one is a planned rebuild of the index."""

    _block_type_name = "Ratchet embedder"
    _block_type_slug = "ratchet-embedder"
    _description = "What turns text into vectors: the packaged MiniLM, OpenAI, or a sentence-transformers model."
    _code_example = """```python
from blocks import RatchetEmbedder

await RatchetEmbedder(model="openai:text-embedding-3-small", api_key="sk-...", dimensions=512).save("openai-small")
```"""
    _sets: ClassVar[dict[str, str]] = {
        "model": "embedder",
        "base_url": "openai_base_url",
        "api_key": "openai_api_key",
        "dimensions": "embedding_dimensions",
        "usd_per_million_tokens": "embedding_usd_per_million_tokens",
        "tokenizer": "embedding_tokenizer",
        "query_prompt": "embedding_query_prompt",
        "passage_prompt": "embedding_passage_prompt",
    }

    model: str | None = as_in_settings("embedder", "Model")
    base_url: str | None = as_in_settings("openai_base_url", "Address")
    api_key: SecretStr | None = as_in_settings("openai_api_key", "API key")
    dimensions: int | None = as_in_settings("embedding_dimensions", "Dimensions")
    usd_per_million_tokens: float | None = as_in_settings("embedding_usd_per_million_tokens", "US$ per million tokens")
    tokenizer: str | None = as_in_settings("embedding_tokenizer", "Tokenizer")
    query_prompt: str | None = as_in_settings("embedding_query_prompt", "Before a question")
    passage_prompt: str | None = as_in_settings("embedding_passage_prompt", "Before a passage")
