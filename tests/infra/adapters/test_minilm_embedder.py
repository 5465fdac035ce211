"""The packaged MiniLM: the vectors of the model it is, without torch, and the same ones however they are asked for."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tiny_bert import minilm_folder

from infra.adapters.minilm_embedder import DIMENSIONS, MAX_TOKENS, MiniLmEmbedder, _token_ids
from tasks.core.errors import Stopped
from tasks.documents import stopping

TEXTS = [
    "How do I replace the pump's seal?",
    "Changing the gasket of the pump",
    "The cafeteria opens at noon.",
    *[f"Paragraph {n} says something about valve {n} " * (n + 1) for n in range(30)],
]
ODD = [
    "",
    " \t\n ",
    "漢字 and かな and 한국어",
    "🚀 rocket 👩‍👩‍👧 family",
    "control \x00\x07\x1b characters and a \ufffd",
    "Ünïcödé, ligature ﬁ, combining é, and soft\u00adhyphen",
    "[CLS] a text that names [SEP] special [PAD] tokens [MASK]",
    "x" * 500,
    "word " * 1000,
    "العربية עברית ไทย हिन्दी",
    "\u200bzero\u200bwidth\u2028line",
    "3.14 € ½ ² C++ foo_bar --flag=1 https://example.com/a?b=c",
]


@pytest.mark.parametrize("text", ODD)
def test_token_ids_are_those_of_transformers_tokenizer(text: str) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(minilm_folder(), local_files_only=True)
    assert _token_ids([text])[0] == theirs(text, truncation=True, max_length=MAX_TOKENS)["input_ids"]


def test_vectors_are_those_of_transformers_to_float_precision() -> None:
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(minilm_folder(), local_files_only=True).eval()
    texts = [*TEXTS[:8], *ODD]
    vectors = MiniLmEmbedder().embed(texts)
    for text, vector in zip(texts, vectors, strict=True):
        with torch.inference_mode():
            mean = model(input_ids=torch.tensor(_token_ids([text]))).last_hidden_state[0].mean(dim=0)
        assert np.abs(vector - torch.nn.functional.normalize(mean, dim=0).numpy()).max() < 2e-6


def test_vectors_mean_something() -> None:
    vectors = MiniLmEmbedder().embed(TEXTS[:3])
    assert vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2]


def test_a_vector_is_the_same_to_the_bit_alone_in_a_batch_and_on_any_threads() -> None:
    together, two = MiniLmEmbedder(threads=1).embed(TEXTS), MiniLmEmbedder(threads=2).embed(TEXTS[::-1])[::-1]
    assert np.array_equal(together, two)
    for row in (0, 2, 20, 32):
        assert np.array_equal(MiniLmEmbedder().embed([TEXTS[row]])[0], together[row])


def test_callers_at_once_get_what_each_would_get_alone() -> None:
    embedder = MiniLmEmbedder()
    alone = [embedder.embed([text]) for text in TEXTS[:12]]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(lambda text: embedder.embed([text]), TEXTS[:12]))
    assert all(np.array_equal(one, other) for one, other in zip(alone, at_once, strict=True))


def test_a_run_that_is_to_end_ends_in_the_middle_of_a_batch() -> None:
    class AtTheThirdLook(threading.Event):
        looks = 0

        def is_set(self) -> bool:
            self.looks += 1
            return self.looks > 2

    stop = AtTheThirdLook()
    token = stopping.set(stop)
    try:
        with pytest.raises(Stopped):
            MiniLmEmbedder(threads=1).embed([f"Pump {n} runs." for n in range(64)])
    finally:
        stopping.reset(token)
    assert stop.looks == 3  # and so 8 texts of 64
    assert MiniLmEmbedder(threads=1).embed(["Pump 7 runs."]).shape == (1, DIMENSIONS)


def test_no_texts_give_no_vectors() -> None:
    assert MiniLmEmbedder().embed([]).shape == (0, DIMENSIONS)


def test_tokens_are_counted_as_embedded() -> None:
    assert MiniLmEmbedder().count_tokens(["pump seal", "", "word " * 1000]) == 4 + 2 + MAX_TOKENS


def test_the_fingerprint_is_that_of_the_weights() -> None:
    assert MiniLmEmbedder().fingerprint == MiniLmEmbedder(threads=2).fingerprint
    assert MiniLmEmbedder().fingerprint.startswith("minilm-")


def test_a_first_vector_imports_neither_torch_nor_transformers() -> None:
    script = (
        "import sys; from infra.adapters.minilm_embedder import MiniLmEmbedder as E; e = E(); e.embed(['a']);"
        "e.fingerprint; print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
