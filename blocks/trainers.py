"""How adapters are trained here, and hosted models at a vendor, as people edit it in the Prefect UI."""

from __future__ import annotations

from typing import ClassVar

from pydantic import SecretStr

from blocks.chosen import SettingsBlock, as_in_settings


class RatchetLoraTrainer(SettingsBlock):
    """LoRA on the machine of the training pool."""

    _block_type_name = "Ratchet LoRA trainer"
    _block_type_slug = "ratchet-lora-trainer"
    _description = "How an adapter is trained on your own machine. The defaults are measured for the packaged model."
    _code_example = """```python
from blocks import RatchetLoraTrainer

await RatchetLoraTrainer(rank=32, learning_rate=2e-4).save("larger-model")
```"""
    _sets: ClassVar[dict[str, str]] = {
        "rank": "lora.rank",
        "alpha": "lora.alpha",
        "learning_rate": "lora.learning_rate",
        "epochs": "lora.epochs",
        "longest_seconds": "train_here_seconds",
        "slowest_answer_seconds": "answer_here_seconds",
    }

    rank: int | None = as_in_settings("lora.rank", "Rank")
    alpha: int | None = as_in_settings("lora.alpha", "Alpha")
    learning_rate: float | None = as_in_settings("lora.learning_rate", "Learning rate")
    epochs: int | None = as_in_settings("lora.epochs", "Epochs")
    longest_seconds: float | None = as_in_settings("train_here_seconds", "Longest training, in seconds")
    slowest_answer_seconds: float | None = as_in_settings("answer_here_seconds", "Slowest answer, in seconds")


class RatchetHostedTrainer(SettingsBlock):
    """Fine-tuning at a vendor, by OpenAI's protocol."""

    _block_type_name = "Ratchet hosted trainer"
    _block_type_slug = "ratchet-hosted-trainer"
    _description = "Fine-tuning at a vendor by OpenAI's protocol, within a budget. OpenAI itself is winding it down."
    _code_example = """```python
from blocks import RatchetHostedTrainer

await RatchetHostedTrainer(model="gpt-4.1-mini-2025-04-14", api_key="sk-...", budget_usd=20).save("openai")
```"""
    _sets: ClassVar[dict[str, str]] = {
        "model": "hosted_base_model",
        "base_url": "hosted_base_url",
        "api_key": "hosted_api_key",
        "budget_usd": "hosted_budget_usd",
        "usd_per_million_tokens": "hosted_usd_per_million_tokens",
        "tokenizer": "hosted_tokenizer",
        "epochs": "hosted_epochs",
        "beta": "hosted_beta",
        "wait_hours": "hosted_wait_hours",
    }

    model: str | None = as_in_settings("hosted_base_model", "Model")
    base_url: str | None = as_in_settings("hosted_base_url", "Address")
    api_key: SecretStr | None = as_in_settings("hosted_api_key", "API key")
    budget_usd: float | None = as_in_settings("hosted_budget_usd", "Budget, in US$")
    usd_per_million_tokens: float | None = as_in_settings("hosted_usd_per_million_tokens", "US$ per million tokens")
    tokenizer: str | None = as_in_settings("hosted_tokenizer", "Tokenizer")
    epochs: int | None = as_in_settings("hosted_epochs", "Epochs")
    beta: float | None = as_in_settings("hosted_beta", "Beta, for preferences")
    wait_hours: float | None = as_in_settings("hosted_wait_hours", "Longest wait, in hours")
