"""A random llama of two layers with a byte tokenizer and a ChatML template: real code paths in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.adapters.base_models import BaseModel, LoadedBase, find_base_model, load_base_model
from tasks.core.prompts import INVOCATION

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def tiny_llama(folder: Path, *, seed: int = 0) -> Path:
    """Saves the model and its tokenizer into `folder`; use the folder's path as the base model's name."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = byte_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.5,  # far from uniform: the greedy choice is never nearly a tie
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_base(tmp_path: Path, *, seed: int = 0) -> BaseModel:
    """The tiny model as `find_base_model` finds it."""
    return find_base_model(str(tiny_llama(tmp_path / f"tiny-{seed}", seed=seed)), tmp_path / "home")


def tiny_adapter(folder: Path, base: BaseModel, *, invocation: str | None = INVOCATION, seed: int = 1) -> Path:
    """Saves a random LoRA adapter that changes what the model writes, with its proof."""
    import torch
    from peft import LoraConfig, get_peft_model

    from infra.adapters.adapter_proof import write_proof
    from infra.adapters.lora_fitting import write_adapter

    loaded: LoadedBase = load_base_model(base)
    torch.manual_seed(seed)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=LINEAR, task_type="CAUSAL_LM", init_lora_weights=False)
    tuned = get_peft_model(loaded.model, config)
    folder.mkdir(parents=True)
    write_adapter(folder, tuned, base_name=base.name, invocation=_spelled(loaded.tokenizer, invocation))
    write_proof(folder, tuned.unload(), loaded.tokenizer)
    return folder


def _spelled(tokenizer: Any, invocation: str | None) -> Sequence[int]:
    return tokenizer(invocation, add_special_tokens=False)["input_ids"] if invocation else []


def byte_tokenizer(
    template: str = CHATML, specials: Sequence[str] = SPECIALS, *, bos: str = "<|im_start|>", eos: str = "<|im_end|>"
) -> Any:
    """One token for each byte and each special token. bos and eos are among the specials."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bare = Tokenizer(BPE(vocab={token: at for at, token in enumerate([*specials, *alphabet])}, merges=[]))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=bare,
        bos_token=bos,
        eos_token=eos,
        pad_token=eos,
        unk_token=specials[0],
        additional_special_tokens=[one for one in specials if one not in (bos, eos)],
        chat_template=template,
    )
