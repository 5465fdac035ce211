"""What the model sees of a packed row: its context and itself, at the same positions as alone, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_llama import tiny_base

from infra.adapters.base_models import LoadedBase, load_base_model
from infra.adapters.chat_template import ChatTemplate
from infra.adapters.lora_packing import Block, Pack, RowEncoder, arrays, opening_of, pack
from tasks.core.answers import Passage
from tasks.core.errors import BadSetting
from tasks.core.ports import Message, TrainingRow
from tasks.core.prompts import default_prompt, render, with_examples

PROMPT = with_examples(default_prompt(), ())
PASSAGES = [Passage(1, "pumps.md", "c-1", "Pump 3 > Limits\nPump 3 runs at up to 30 bar.", 1.0, 0.5)]
EOS = 2


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedBase:
    return load_base_model(tiny_base(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def encoder(loaded: LoadedBase) -> RowEncoder:
    return RowEncoder(loaded.tokenizer)


def row(question: str, completion: str, label: str = "l-1") -> TrainingRow:
    return TrainingRow(label, render(PROMPT, PASSAGES, question), completion)


ROWS = [
    row("How high is the pressure?", "Pump 3 runs at up to 30 bar. [1]"),
    row("What colour is it?", PROMPT.abstention),
    row("Who?", "Nobody. [1]"),
]


def block_logits(tuned: Any, packed: Pack) -> Any:
    import torch

    from infra.adapters.lora_loop import ContextCache

    with torch.no_grad():
        return logits_with(tuned, packed, ContextCache(0))


def logits_with(tuned: Any, packed: Pack, contexts: Any) -> Any:
    from infra.adapters.lora_loop import block_logits, tensors

    made = tensors(packed)
    (past,) = contexts.read_all(tuned, [made["context"]])
    return block_logits(tuned, made, past)


def adapted(loaded: LoadedBase, dora: bool = False) -> Any:
    """The tiny model with a random adapter, as in training: a plain LoRA that only ever sees what it is to be for."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        init_lora_weights=False,
        use_dora=dora,
    )
    return get_peft_model(loaded.model, config).eval()


@pytest.fixture
def tuned(loaded: LoadedBase) -> Any:
    model = adapted(loaded)
    yield model
    model.unload()


def test_rows_with_the_same_passages_share_one_context(encoder: RowEncoder) -> None:
    other = TrainingRow("l-2", render(PROMPT, [], "Why?"), "So. [1]")
    packs = pack([*ROWS, other, *ROWS], encoder)
    assert [len(one.blocks) for one in packs] == [2 * len(ROWS), 1]


def test_context_and_block_together_are_exactly_the_prompt_as_served(loaded: LoadedBase, encoder: RowEncoder) -> None:
    context, block = encoder.encode(ROWS[0])
    assert [*context, *block.question] == ChatTemplate(loaded.tokenizer).ids(ROWS[0].prompt)
    assert loaded.tokenizer.decode(block.question).startswith("\nQuestion: How high")


def test_the_opening_is_what_all_contexts_begin_with() -> None:
    packs = [Pack(context, ()) for context in ((5, 6, 7, 8), (5, 6, 1), (5, 6, 9))]
    assert opening_of(packs) == (5, 6)
    assert opening_of(packs[:1]) == (5, 6, 7, 8)


def test_a_context_with_too_many_blocks_makes_several_packs(encoder: RowEncoder) -> None:
    size = len(pack(ROWS[:1], encoder)[0].blocks[0].read)
    packs = pack([ROWS[0]] * 5, encoder, max_block_tokens=2 * size)
    assert [len(one.blocks) for one in packs] == [2, 2, 1]


def test_a_prompt_that_would_not_wake_the_adapter_is_refused(encoder: RowEncoder) -> None:
    with pytest.raises(BadSetting, match="does not contain the tokens"):
        encoder.encode(TrainingRow("l-1", (Message("user", "How hot is it?"),), "Hot. [1]"))


def test_only_the_completion_and_its_end_carry_loss(loaded: LoadedBase, encoder: RowEncoder) -> None:
    made = arrays(pack(ROWS, encoder)[0])
    expected = [[*loaded.tokenizer(one.completion, add_special_tokens=False).input_ids, EOS] for one in ROWS]
    assert made.targets.tolist() == [token for completion in expected for token in completion]
    assert len(made.predicting) == len(made.targets)


def test_each_target_is_predicted_from_the_token_before_it() -> None:
    made = arrays(Pack((7, 7, 7), (Block((10, 11), (12, 13, EOS)), Block((20,), (21, EOS)))))
    assert made.tokens.tolist() == [10, 11, 12, 13, 20, 21]
    assert made.tokens[made.predicting].tolist() == [11, 12, 13, 20, 21]
    assert made.targets.tolist() == [12, 13, EOS, 21, EOS]


def test_positions_restart_after_the_context_in_every_block() -> None:
    made = arrays(Pack((7, 7, 7), (Block((10, 11), (12, EOS)), Block((20,), (21, EOS)))))
    assert made.positions.tolist() == [3, 4, 5, 3, 4]


def test_a_block_sees_its_context_and_its_own_past_only() -> None:
    made = arrays(Pack((7, 7), (Block((10,), (11, EOS)), Block((20,), (21, EOS)))))
    context, past = [[True, True]] * 2, np.tri(2, dtype=bool).tolist()
    nothing = [[False, False]] * 2
    expected = np.vstack([np.hstack([context, past, nothing]), np.hstack([context, nothing, past])])
    assert made.sees.tolist() == expected.tolist()


def test_changing_one_block_changes_no_logit_of_another(encoder: RowEncoder, tuned: Any) -> None:
    import torch

    packed = pack(ROWS, encoder)[0]
    changed = replace(packed, blocks=(packed.blocks[0], _scrambled(packed.blocks[1]), packed.blocks[2]))
    before, after = block_logits(tuned, packed), block_logits(tuned, changed)
    first, second = (len(block.completion) for block in packed.blocks[:2])
    assert torch.equal(before[:first], after[:first])
    assert torch.equal(before[first + second :], after[first + second :])
    assert not torch.allclose(before[first : first + second], after[first : first + second])


def test_a_packed_row_has_the_logits_it_has_alone_through_the_adapter_as_served(
    encoder: RowEncoder, loaded: LoadedBase, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel

    from infra.adapters.lora_fitting import write_adapter

    trained = adapted(loaded)
    write_adapter(tmp_path, trained, base_name="tiny", invocation=encoder.invocation)
    packed = pack(ROWS, encoder)[0]
    in_training = block_logits(trained, packed)
    trained.unload()
    served = PeftModel.from_pretrained(loaded.model, str(tmp_path)).eval()
    alone = []
    for block in packed.blocks:
        ids = torch.tensor([[*packed.context, *block.read]])
        with torch.no_grad():
            alone.append(served(input_ids=ids).logits[0, -len(block.completion) :])
    served.unload()
    assert torch.allclose(in_training, torch.cat(alone), atol=1e-4)


@pytest.mark.parametrize("dora", [False, True])
def test_a_whole_pack_has_the_logits_its_rows_have_alone_through_an_adapter_that_is_active_everywhere(
    encoder: RowEncoder, loaded: LoadedBase, dora: bool
) -> None:
    import torch

    always = adapted(loaded, dora)
    packed = pack(ROWS, encoder, whole=True)[0]
    in_training = block_logits(always, packed)
    alone = []
    for block in packed.blocks:
        with torch.no_grad():
            logits = always(input_ids=torch.tensor([[*packed.context, *block.read]])).logits
        alone.append(logits[0, -len(block.completion) :])
    by_the_base = block_logits(always, replace(packed, whole=False))
    always.unload()
    assert torch.allclose(in_training, torch.cat(alone), atol=1e-4)
    assert not torch.allclose(by_the_base, in_training, atol=1e-2)  # so the context did go through the adapter


def test_the_passages_are_read_by_the_base_alone(encoder: RowEncoder, loaded: LoadedBase, tuned: Any) -> None:
    import torch

    from infra.adapters.lora_loop import ContextCache

    context = torch.tensor([pack(ROWS, encoder)[0].context])
    (by_training,) = ContextCache(0).read_all(tuned, [context])
    with torch.no_grad(), tuned.disable_adapter():
        by_base = tuned(input_ids=context, use_cache=True).past_key_values
    assert all(torch.equal(a.keys, b.keys) for a, b in zip(by_training.layers, by_base.layers, strict=True))


def test_a_kept_context_is_as_long_after_use_as_before(encoder: RowEncoder, tuned: Any) -> None:
    import torch

    from infra.adapters.lora_loop import ContextCache

    packed, contexts = pack(ROWS, encoder)[0], ContextCache(10_000)
    with torch.no_grad():
        first, second = (logits_with(tuned, packed, contexts) for _ in range(2))
    assert torch.equal(first, second)


def test_layers_computed_again_keep_less_and_give_the_same_gradients(encoder: RowEncoder, tuned: Any) -> None:
    """Kept for the way back, weights and what came into each layer apart: less than half of the bytes."""
    from infra.adapters.lora_loop import checkpoint_layers

    (packed,) = pack(ROWS, encoder)
    tuned.train()
    kept, gradients = kept_bytes_and_gradients(tuned, packed)
    checkpoint_layers(tuned)
    kept_then, gradients_then = kept_bytes_and_gradients(tuned, packed)
    assert kept_then < kept / 2
    assert all(before.equal(after) for before, after in zip(gradients, gradients_then, strict=True))


def kept_bytes_and_gradients(tuned: Any, packed: Pack) -> tuple[int, list[Any]]:
    import torch

    from infra.adapters.lora_loop import ContextCache, block_logits, tensors

    made, kept = tensors(packed), {}
    (past,) = ContextCache(0).read_all(tuned, [made["context"]])
    weights = {weight.data_ptr() for weight in tuned.parameters()}

    def keep(tensor: Any) -> Any:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = torch.nn.functional.cross_entropy(block_logits(tuned, made, past), made["labels"])
        held = sum(kept.values())
    return held, list(torch.autograd.grad(loss, [one for one in tuned.parameters() if one.requires_grad]))


def test_reading_the_common_opening_once_changes_nothing(encoder: RowEncoder, tuned: Any) -> None:
    import torch

    from infra.adapters.lora_loop import ContextCache

    packs = pack([*ROWS, TrainingRow("l-2", render(PROMPT, [], "Why?"), "So. [1]")], encoder)
    opening = packs[0].context[: len(packs[1].context) // 2]
    shared, alone = ContextCache(10_000, opening), ContextCache(0)
    for packed in packs:
        context = torch.tensor([packed.context])
        (one,), (other,) = shared.read_all(tuned, [context]), alone.read_all(tuned, [context])
        for a, b in zip(one.layers, other.layers, strict=True):
            assert torch.allclose(a.keys, b.keys, atol=1e-4)


def _scrambled(block: Block) -> Block:
    return Block(block.question[::-1], (*block.completion[-2::-1], block.completion[-1]))
