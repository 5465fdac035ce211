"""An embedder by name: `minilm`, `openai:MODEL`, or any sentence-transformers model by folder or Hugging Face name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.core.errors import BadSetting

if TYPE_CHECKING:
    from pydantic import SecretStr

    from tasks.core.ports import Embedder

PACKAGED = "minilm"
HOSTED = "openai:"


def open_embedder(
    name: str,
    *,
    threads: int = 0,
    openai_base_url: str | None = None,
    openai_api_key: SecretStr | None = None,
    dimensions: int | None = None,
    usd_per_million_tokens: float | None = None,
    tokenizer: Path | None = None,
    query_prompt: str | None = None,
    passage_prompt: str | None = None,
) -> Embedder:
    """Loads and asks nothing yet. Raises BadSetting for a name that cannot be one.

    `dimensions`, `usd_per_million_tokens` and `tokenizer` are for `openai:`, the prompts for sentence-transformers.
    """
    if name == PACKAGED:
        from infra.adapters.minilm_embedder import MiniLmEmbedder

        return MiniLmEmbedder(threads)
    if name.startswith(HOSTED) and name != HOSTED:
        from infra.adapters.openai_embedder import OpenAiEmbedder

        return OpenAiEmbedder(
            name.removeprefix(HOSTED),
            api_key=openai_api_key,
            base_url=openai_base_url,
            dimensions=dimensions,
            usd_per_million_tokens=usd_per_million_tokens,
            tokenizer=tokenizer,
        )
    _require_a_place(name)
    from infra.adapters.sentence_transformers_embedder import SentenceTransformersEmbedder

    return SentenceTransformersEmbedder(name, threads=threads, query_prompt=query_prompt, passage_prompt=passage_prompt)


def _require_a_place(name: str) -> None:
    """A word without a slash is a slip of the pen more often than one of Hugging Face's few models without an owner."""
    folder = bool(name) and Path(name).expanduser().is_dir()
    if not folder and (name.count("/") != 1 or name.startswith(("/", ".", "~"))):
        raise BadSetting(
            f"No embedder is named {name!r}: there is no such folder, and it is not `{PACKAGED}`, `{HOSTED}MODEL` "
            "(such as openai:text-embedding-3-small) or a Hugging Face name (OWNER/MODEL).",
            embedder=name,
        )
