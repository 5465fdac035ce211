"""When to abstain, by retrieval alone: several confidences on the demo's questions. No answer is generated.

    .venv/bin/python benchmarks/abstention.py

The handbook is ingested anew, and every label asked of it. The confidences are compared on the training and validation
labels: the area under the ROC curve (AUC), and what a calibrated threshold refuses of the questions that no page
answers and of those that one does. Cross-validated: on pages that the threshold was not calibrated on, in ten folds.
The two that the product knows are measured on the golden questions too, last, with the threshold of the other labels.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from flows.demo.handbook_folder import LABELS, SHIPPED
from infra.settings import load_settings
from infra.workbench import Workbench
from tasks.confidence import confidences
from tasks.core.candidates import reference
from tasks.core.citations import sentences
from tasks.core.confidence import _covered, _stems, calibrate, telling_sentences
from tasks.core.documents import Hit
from tasks.core.labels import Label
from tasks.core.releases import RetrievalSettings
from tasks.documents import holding_lease, plan, read
from tasks.labels import import_labels
from tasks.remembered_questions import RememberedQuestions
from tasks.retrieval import retrieve
from tasks.snapshots import build, embed, publish
from tasks.sources import resolve_sources, scan

FOLDS = 10
BY_PASSAGE, BY_SENTENCE = RetrievalSettings(), RetrievalSettings(confidence="sentence")


@dataclass(frozen=True)
class Sentence:
    """similarity: with the question. covered: of the question's words, by itself; headed: with its headings."""

    similarity: float
    covered: float
    headed: float


@dataclass(frozen=True)
class Passage:
    similarity: float
    covered: float
    sentences: tuple[Sentence, ...]


Confidence = Callable[[Sequence[Passage]], float]
Refused = tuple[float, float]  # shares: when it should, when it should not


def over_sentences(of: Callable[[Sentence], float]) -> Confidence:
    """Of the best sentence."""
    return lambda passages: max((of(one) for passage in passages for one in passage.sentences), default=0.0)


CONFIDENCES: dict[str, Confidence] = {
    "passage: similarity": lambda all_: max(p.similarity for p in all_),
    "passage: words": lambda all_: max(p.covered for p in all_),
    "passage: mean of both (`passage`)": lambda all_: max((p.similarity + p.covered) / 2 for p in all_),
    "sentence: similarity": over_sentences(lambda s: s.similarity),
    "sentence: words": over_sentences(lambda s: s.headed),
    "sentence similarity, passage words: mean": lambda all_: max(
        (s.similarity + p.covered) / 2 for p in all_ for s in p.sentences
    ),
    "sentence: mean of both, words without headings": over_sentences(lambda s: (s.similarity + s.covered) / 2),
    "sentence: mean of both": over_sentences(lambda s: (s.similarity + s.headed) / 2),
    "sentence: 0.6 similarity + 0.4 words": over_sentences(lambda s: 0.6 * s.similarity + 0.4 * s.headed),
    "sentence: geometric mean": over_sentences(lambda s: sqrt(max(s.similarity, 0) * s.headed)),
}


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        bench = Workbench("default", load_settings(home=Path(scratch), database_url=None))
        try:
            labels = prepared(bench)
            known = [label for label in labels if label.split != "golden"]
            golden = [label for label in labels if label.split == "golden"]
            compare(known, features(bench, known), measured(bench, known, BY_SENTENCE))
            on_golden(bench, known, golden)
            cost(bench, known)
        finally:
            bench.parser.close()


def prepared(bench: Workbench) -> list[Label]:
    """Ingests the handbook and imports the labels, as steps 1 and 2 of the demo."""
    documents = bench.documents
    with holding_lease(documents) as lease:
        todo = plan(documents, scan(documents, resolve_sources(documents, str(SHIPPED))))
        publish(documents, build(documents, embed(documents, read(documents, todo, lease), lease), lease), lease)
    import_labels(bench.labels, LABELS)
    return [label for label in bench.label_catalog.labels(bench.assistant) if label.state == "accepted"]


def found_for(bench: Workbench, labels: Sequence[Label]) -> list[list[Hit]]:
    snapshot = bench.document_catalog.published(bench.assistant)
    assert snapshot is not None
    return retrieve(bench.retrieval, reference(snapshot), [label.question for label in labels], BY_PASSAGE)


def features(bench: Workbench, labels: Sequence[Label]) -> list[list[Passage]]:
    found = found_for(bench, labels)
    texts = sorted({text for hits in found for hit in hits for text in sentences(hit.chunk.text)})
    vectors = dict(zip(texts, bench.embedder.embed(texts), strict=True))
    asked = bench.embedder.embed_queries([label.question for label in labels])

    def passage(question: str, vector: np.ndarray, hit: Hit) -> Passage:
        stems, above = _stems(question), "\n".join(hit.chunk.heading_path)
        told = tuple(
            Sentence(float(vectors[text] @ vector), _covered(stems, text), _covered(stems, f"{above}\n{text}"))
            for text in sentences(hit.chunk.text)
        )
        return Passage(hit.similarity, _covered(stems, hit.chunk.embedded_text), told)

    return [
        [passage(label.question, vector, hit) for hit in hits]
        for label, vector, hits in zip(labels, asked, found, strict=True)
    ]


def compare(labels: Sequence[Label], passages: Sequence[Sequence[Passage]], as_served: Sequence[float]) -> None:
    unanswerable = sum(label.unanswerable for label in labels)
    print(
        f"{len(labels)} training and validation labels, {unanswerable} of them unanswerable\n\n"
        "| confidence | AUC | threshold | abstains when it should | and when not | cross-validated: should | not |\n"
        "|---|---:|---:|---:|---:|---:|---:|"
    )
    measures = {name: [measure(one) for one in passages] for name, measure in CONFIDENCES.items()}
    for name, sure in (measures | {"sentence: geometric mean, few sentences read (`sentence`)": as_served}).items():
        least = calibrated(labels, sure)
        should, should_not = refused(labels, sure, [least] * len(labels))
        cv_should, cv_should_not = refused(labels, sure, held_out(labels, sure))
        print(
            f"| {name} | {auc(labels, sure):.3f} | {least:.3f} | {should:.3f} | {should_not:.3f} "
            f"| {cv_should:.3f} | {cv_should_not:.3f} |"
        )


def on_golden(bench: Workbench, known: Sequence[Label], golden: Sequence[Label]) -> None:
    unanswerable = sum(label.unanswerable for label in golden)
    print(
        f"\n{len(golden)} golden questions, {unanswerable} of them unanswerable; "
        "the threshold is that of the other labels\n\n"
        "| confidence | AUC | threshold | abstains when it should | and when it should not |\n|---|---:|---:|---:|---:|"
    )
    for settings in (BY_PASSAGE, BY_SENTENCE):
        least = calibrated(known, measured(bench, known, settings))
        sure = measured(bench, golden, settings)
        should, should_not = refused(golden, sure, [least] * len(golden))
        print(f"| {settings.confidence} | {auc(golden, sure):.3f} | {least:.3f} | {should:.3f} | {should_not:.3f} |")


def measured(bench: Workbench, labels: Sequence[Label], settings: RetrievalSettings) -> list[float]:
    return confidences(bench.embedder, [label.question for label in labels], found_for(bench, labels), settings)


def cost(bench: Workbench, labels: Sequence[Label]) -> None:
    """One question at a time, as people ask; the question's own vector is known from retrieving."""
    took: dict[str, list[float]] = {"retrieving": [], "passage": [], "sentence": []}
    sentences_read = []
    for label in labels:
        started = time.process_time()
        found = found_for(bench, [label])
        took["retrieving"].append(time.process_time() - started)
        embedder = RememberedQuestions(bench.embedder)
        embedder.embed_queries([label.question])
        for settings in (BY_PASSAGE, BY_SENTENCE):
            started = time.process_time()
            confidences(embedder, [label.question], found, settings)
            took[settings.confidence].append(time.process_time() - started)
        sentences_read.append(len(telling_sentences(label.question, found[0])))
    spent = ", ".join(f"{what} {1000 * statistics.mean(seconds):.1f}" for what, seconds in took.items())
    print(f"\nms of processor time a question: {spent}; {statistics.mean(sentences_read):.2f} sentences read")


# ── arithmetic ───────────────────────────────────────────────────────────────────────────────────────────────────────


def apart(labels: Sequence[Label], sure: Sequence[float]) -> tuple[list[float], list[float]]:
    """Of the answerable, and of the unanswerable."""
    both = list(zip(labels, sure, strict=True))
    return [x for label, x in both if not label.unanswerable], [x for label, x in both if label.unanswerable]


def calibrated(labels: Sequence[Label], sure: Sequence[float]) -> float:
    least = calibrate(*apart(labels, sure))
    return 0.0 if least is None else least


def held_out(labels: Sequence[Label], sure: Sequence[float]) -> list[float]:
    """For each label the threshold of the folds that its page is not in."""
    folds = [fold(label) for label in labels]
    least = []
    for left_out in range(FOLDS):
        rest = [n for n, one in enumerate(folds) if one != left_out]
        least.append(calibrated([labels[n] for n in rest], [sure[n] for n in rest]))
    return [least[one] for one in folds]


def fold(label: Label) -> int:
    page = label.documents[0] if label.documents else ""
    return int(hashlib.sha256(page.encode()).hexdigest(), 16) % FOLDS


def refused(labels: Sequence[Label], sure: Sequence[float], least: Sequence[float]) -> Refused:
    below = [float(x < cut) for x, cut in zip(sure, least, strict=True)]
    answerable, unanswerable = apart(labels, below)
    return statistics.mean(unanswerable), statistics.mean(answerable)


def auc(labels: Sequence[Label], sure: Sequence[float]) -> float:
    """The chance that an answerable question has a higher confidence than an unanswerable one; ties count half."""
    answerable, unanswerable = map(np.array, apart(labels, sure))
    differences = answerable[:, None] - unanswerable
    return float((differences > 0).mean() + (differences == 0).mean() / 2)


if __name__ == "__main__":
    main()
