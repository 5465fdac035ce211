"""Whether the right pages were found. Equal to `ir-measures` (R@k, nDCG@k), which a test holds it to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log2

from tasks.core.answers import Passage
from tasks.core.labels import Label
from tasks.core.metrics.matching import supports
from tasks.core.metrics.score import IS_UNANSWERABLE, Score, Undefined, yes

HOLDS = 0.6  # of the ideal answer: a passage that supports this much holds it

NO_RETRIEVAL = Undefined("the release shows no passages")
NO_PAGE_NAMED = Undefined("the label names no page")


def ranked_documents(contexts: Sequence[Passage]) -> list[str]:
    """Each document once, where its best passage stands."""
    return list(dict.fromkeys(passage.document for passage in contexts))


def recall_at_k(ranked: Sequence[str], relevant: Iterable[str], k: int) -> float:
    """Share of the relevant documents among the first k. Needs one relevant document at least."""
    wanted = set(relevant)
    return len(wanted & set(ranked[:k])) / len(wanted)


def ndcg_at_k(ranked: Sequence[str], relevant: Iterable[str], k: int) -> float:
    """Discounted gain of the first k over the best possible, by binary relevance (Järvelin & Kekäläinen 2002)."""
    wanted = set(relevant)
    gain = sum(1 / log2(rank + 1) for rank, document in enumerate(ranked[:k], start=1) if document in wanted)
    return gain / sum(1 / log2(rank + 1) for rank in range(1, min(len(wanted), k) + 1))


def recall(label: Label, contexts: Sequence[Passage], k: int) -> Score:
    """recall@k by document. A label that names no page asks instead whether any passage holds the ideal answer."""
    if label.unanswerable:
        return IS_UNANSWERABLE
    if k == 0:
        return NO_RETRIEVAL
    if not label.documents:
        return yes(any(holds_answer(passage.text, label) for passage in contexts[:k]))
    return recall_at_k(ranked_documents(contexts), label.documents, k)


def ndcg(label: Label, contexts: Sequence[Passage], k: int) -> Score:
    """nDCG@k by document."""
    if label.unanswerable:
        return IS_UNANSWERABLE
    if k == 0:
        return NO_RETRIEVAL
    return ndcg_at_k(ranked_documents(contexts), label.documents, k) if label.documents else NO_PAGE_NAMED


def holds_answer(text: str, label: Label) -> bool:
    """Whether a passage says what the label's ideal answer says."""
    return supports(text, label.answer, label.facts) >= (1.0 if label.facts else HOLDS)
