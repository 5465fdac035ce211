"""The base model that answers, as people edit it in the Prefect UI."""

from __future__ import annotations

from typing import ClassVar

from blocks.chosen import SettingsBlock, as_in_settings


class RatchetChatModel(SettingsBlock):
    """The model that answers and that LoRA adapters are trained on."""

    _block_type_name = "Ratchet chat model"
    _block_type_slug = "ratchet-chat-model"
    _description = "The model that answers, and that LoRA adapters are trained on."
    _code_example = """```python
from blocks import RatchetChatModel

await RatchetChatModel(model="/models/Qwen3-4B", threads=8).save("qwen")
```"""
    _sets: ClassVar[dict[str, str]] = {"model": "base_model", "threads": "torch_threads"}

    model: str | None = as_in_settings("base_model", "Model")
    threads: int | None = as_in_settings("torch_threads", "Threads")
