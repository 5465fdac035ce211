"""The packaged MiniLM: unit vectors that mean something and do not depend on their neighbours."""

from __future__ import annotations

import numpy as np

from infra.adapters.minilm_embedder import DIMENSIONS, MiniLmEmbedder

TEXTS = [
    "How do I replace the pump's seal?",
    "Changing the gasket of the pump",
    "The cafeteria opens at noon.",
    *[f"Paragraph {n} says something about valve {n} " * (n + 1) for n in range(40)],
]


def test_vectors_have_unit_length_and_the_order_of_the_texts() -> None:
    vectors = MiniLmEmbedder().embed(TEXTS)
    assert vectors.shape == (len(TEXTS), DIMENSIONS)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2]


def test_a_vector_does_not_depend_on_its_batch_beyond_float_noise() -> None:
    embedder = MiniLmEmbedder()
    together = embedder.embed(TEXTS)
    for row in (0, 2, 20):
        assert np.allclose(embedder.embed([TEXTS[row]])[0], together[row], atol=1e-5)


def test_no_texts_give_no_vectors() -> None:
    assert MiniLmEmbedder().embed([]).shape == (0, DIMENSIONS)


def test_the_fingerprint_is_that_of_the_weights() -> None:
    assert MiniLmEmbedder().fingerprint == MiniLmEmbedder(threads=2).fingerprint
    assert MiniLmEmbedder().fingerprint.startswith("minilm-")
