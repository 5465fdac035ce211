"""The one way confidence is measured: for answering, and for choosing the confidence to abstain below."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.core.confidence import Telling, passage_confidence, sentence_confidence, telling_sentences
from tasks.core.documents import Hit
from tasks.core.ports import Embedder
from tasks.core.releases import RetrievalSettings

DECIMALS = 6  # of a similarity, as the index rounds: far above what the order of additions can change


def confidences(
    embedder: Embedder, questions: Sequence[str], found: Sequence[Sequence[Hit]], settings: RetrievalSettings
) -> list[float]:
    """How sure retrieval is of each question, 0 to 1, measured as the release's settings say.

    found: the hits of each question. By sentence, a few short texts are embedded per question, all in one call. Raises
    what the embedder raises.
    """
    asked = list(zip(questions, found, strict=True))
    if settings.confidence == "passage":
        return [passage_confidence(question, hits) for question, hits in asked]
    told = [telling_sentences(question, hits) for question, hits in asked]
    return [sentence_confidence(*one) for one in zip(told, _similarities(embedder, questions, told), strict=True)]


def _similarities(embedder: Embedder, questions: Sequence[str], told: Sequence[Sequence[Telling]]) -> list[list[float]]:
    """The cosine of every sentence with its question."""
    texts = list(dict.fromkeys(one.text for sentences in told for one in sentences))
    if not texts:
        return [[] for _ in told]
    vectors = dict(zip(texts, embedder.embed(texts).astype("f8"), strict=True))
    asked = embedder.embed_queries(questions).astype("f8")
    return [
        [round(float(vectors[one.text] @ question), DECIMALS) for one in sentences]
        for question, sentences in zip(asked, told, strict=True)
    ]
