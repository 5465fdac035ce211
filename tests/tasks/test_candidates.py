"""What the next release is made of."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from chat_fakes import OneModel
from document_fakes import MemorySource, ingest, new_bench, new_catalog
from retrieval_fakes import NumberOfWords, over

from infra.adapters.catalog.labels import CatalogLabels
from infra.adapters.catalog.releases import CatalogReleases
from tasks.candidates import CandidateBench, newest_snapshot, propose, starting_point, tuned_candidate
from tasks.confidence import confidences
from tasks.core.candidates import reference
from tasks.core.errors import NotFound
from tasks.core.labels import Label
from tasks.core.prompts import DEFAULT_ABSTENTION
from tasks.core.releases import ModelRef, ReleaseManifest, RetrievalSettings
from tasks.documents import DocumentsBench
from tasks.labels import LabelCatalog
from tasks.retrieval import retrieve

PAGES = {
    "pump.md": b"# Bilge pump\n\nThe bilge pump moves 90 litres of water.",
    "saw.md": b"# Band saw\n\nThe blade of the band saw is 27 millimetres wide.",
    "mast.md": b"# Light mast\n\nThe light mast stands 9 metres tall.",
}


def label(n: int, question: str, answer: str, page: str, *, split: str = "train") -> Label:
    facts = () if answer == "Unknown." else (answer.split()[-2],)
    return Label(f"l-{n}", question, answer, (page,), answer == "Unknown.", facts, split, "accepted")  # type: ignore[arg-type]


HOUSE = [
    label(1, "How many litres of water does the bilge pump move?", "The bilge pump moves 90 litres.", "pump.md"),
    label(2, "How wide is the blade of the band saw?", "The blade is 27 millimetres.", "saw.md"),
    label(3, "What does the light mast cost?", "Unknown.", "mast.md"),
]


@dataclass
class Labels(CatalogLabels):
    """Labels in a list."""

    held: list[Label] = field(default_factory=list)

    def labels(self, assistant: str) -> list[Label]:
        return self.held


@dataclass
class World:
    docs: DocumentsBench
    source: MemorySource
    labels: LabelCatalog
    bench: CandidateBench

    def serve(self, manifest: ReleaseManifest, *, unproven: bool = False) -> None:
        row = self.bench.releases.register(manifest, "test")
        now = self.bench.releases.standing("default").release
        self.bench.releases.move_pointer(
            "default", row.id, expected=now, kind="promote", evaluation=None, unproven=unproven, who="a", reason="b"
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    engine, source, labels = new_catalog(tmp_path), MemorySource(dict(PAGES)), Labels()
    docs = new_bench(tmp_path, source, engine=engine)
    bench = CandidateBench(
        assistant="default",
        documents=docs.catalog,
        releases=CatalogReleases(engine),
        labels=labels,
        retrieval=over(docs),
        chat=OneModel(),
    )
    return World(docs, source, labels, bench)


def proposed(world: World) -> ReleaseManifest:
    manifest = propose(world.bench)
    assert manifest is not None
    return manifest


def test_before_the_first_snapshot_there_is_nothing_to_propose(world: World) -> None:
    with pytest.raises(NotFound, match="no documents yet"):
        propose(world.bench)


def test_without_labels_the_first_release_uses_the_shipped_prompt(world: World) -> None:
    ingest(world.docs)
    manifest = proposed(world)
    assert (manifest.pattern, manifest.model.kind, manifest.prompt.abstention) == ("rag", "base", DEFAULT_ABSTENTION)


def test_labels_give_the_prompt_their_examples_and_their_way_to_abstain(world: World) -> None:
    ingest(world.docs)
    world.labels.held = HOUSE  # type: ignore[attr-defined]
    prompt = proposed(world).prompt
    assert prompt.abstention == "Unknown."
    answers = [example.answer for example in prompt.examples]
    assert answers == ["The bilge pump moves 90 litres. [1]", "Unknown.", "The blade is 27 millimetres. [2]"]


def test_golden_labels_are_never_shown_as_examples(world: World) -> None:
    ingest(world.docs)
    golden = [label(9, "How tall is the light mast?", "It stands 9 metres.", "mast.md", split="golden")]
    world.labels.held = [*HOUSE, *golden]  # type: ignore[attr-defined]
    assert "How tall is the light mast?" not in {example.question for example in proposed(world).prompt.examples}


def test_a_proven_release_is_carried_over_to_new_documents_unchanged_but_for_the_snapshot(world: World) -> None:
    ingest(world.docs)
    first = proposed(world)
    world.serve(first)
    assert propose(world.bench) is None
    world.source.write("crane.md", "# Crane\n\nThe crane lifts 4 tonnes.")
    ingest(world.docs)
    second = proposed(world)
    assert second.snapshot.number == 2
    assert second.model_copy(update={"snapshot": first.snapshot}) == first


def test_a_wish_for_another_retrieval_is_proposed_once_and_keeps_the_calibrated_confidence(world: World) -> None:
    ingest(world.docs)
    first = proposed(world)
    calibrated = first.retrieval.model_copy(update={"confidence": "sentence", "min_confidence": 0.25})
    world.serve(first.model_copy(update={"retrieval": calibrated}))
    wishing = replace(world, bench=replace(world.bench, wished=RetrievalSettings(k=3, neighbours=1)))
    second = proposed(wishing)
    assert second.retrieval == RetrievalSettings(k=3, neighbours=1, confidence="sentence", min_confidence=0.25)
    assert second.model_copy(update={"retrieval": first.retrieval}) == first
    assert starting_point(wishing.bench) == second
    world.serve(second)
    assert propose(wishing.bench) is None


def test_a_wished_reranker_is_pinned_by_what_it_is_and_not_by_its_name(world: World) -> None:
    ingest(world.docs)
    reranker = NumberOfWords()
    retrieval = replace(world.bench.retrieval, open_reranker={"longest": reranker}.__getitem__)
    wish = RetrievalSettings(k=3, reranker="longest")
    wishing = replace(world, bench=replace(world.bench, retrieval=retrieval, wished=wish))
    first = proposed(wishing)
    assert first.retrieval.reranker_fingerprint == "number-of-words-1"
    reranker.fingerprint = "number-of-words-2"
    assert proposed(wishing).id != first.id


def test_documents_that_came_back_as_they_were_need_no_new_release(world: World) -> None:
    ingest(world.docs)
    world.serve(proposed(world))
    world.source.write("crane.md", "# Crane\n\nThe crane lifts 4 tonnes.")
    ingest(world.docs)
    del world.source.contents["crane.md"]
    ingest(world.docs)
    assert propose(world.bench) is None


def test_the_first_golden_label_puts_even_the_served_release_to_the_proof(world: World) -> None:
    ingest(world.docs)
    served = proposed(world)
    world.serve(served, unproven=True)
    assert propose(world.bench) is None
    golden = label(9, "How tall is the light mast?", "It stands 9 metres.", "mast.md", split="golden")
    world.labels.held = [golden]  # type: ignore[attr-defined]
    assert proposed(world) == served


def test_a_tuned_candidate_keeps_the_prompt_it_was_trained_with_and_drops_the_examples(world: World) -> None:
    ingest(world.docs)
    world.labels.held = HOUSE  # type: ignore[attr-defined]
    start = starting_point(world.bench)
    snapshot = world.docs.catalog.published("default")
    assert snapshot is not None
    model = ModelRef(kind="lora", base=start.model.base, base_digest="sha256-0", adapter="sha256-1")
    tuned = tuned_candidate(world.bench, start, snapshot, model)
    assert (tuned.pattern, tuned.model, tuned.prompt.examples) == ("sequential", model, ())
    assert (tuned.prompt.system, tuned.prompt.abstention) == (start.prompt.system, start.prompt.abstention)


def test_a_tuned_candidate_answers_by_the_wished_pattern_or_as_the_one_before_did(world: World) -> None:
    ingest(world.docs)
    start, snapshot = starting_point(world.bench), newest_snapshot(world.bench)
    model = ModelRef(kind="lora", base=start.model.base, base_digest="sha256-0", adapter="sha256-1")
    wishing = replace(world.bench, pattern="parallel")
    assert starting_point(wishing).pattern == "rag"  # a base model's
    tuned = tuned_candidate(wishing, start, snapshot, model)
    assert tuned.pattern == "parallel"
    newer = model.model_copy(update={"adapter": "sha256-2"})
    assert tuned_candidate(world.bench, tuned, snapshot, newer).pattern == "parallel"
    hosted = ModelRef(kind="hosted", base="ft:gpt", base_digest="")
    assert tuned_candidate(world.bench, tuned, snapshot, hosted).pattern == "sequential"


def test_another_pattern_is_a_candidate_to_be_judged(world: World) -> None:
    ingest(world.docs)
    start, snapshot = starting_point(world.bench), newest_snapshot(world.bench)
    model = ModelRef(kind="lora", base=start.model.base, base_digest="sha256-0", adapter="sha256-1")
    served = tuned_candidate(world.bench, start, snapshot, model)
    world.serve(served)
    assert propose(world.bench) is None
    wished = propose(replace(world.bench, pattern="routed"))
    assert wished == served.model_copy(update={"pattern": "routed"})


def test_a_wish_for_parallel_stops_no_assistant_that_a_hosted_model_serves(world: World) -> None:
    ingest(world.docs)
    start, snapshot = starting_point(world.bench), newest_snapshot(world.bench)
    hosted = ModelRef(kind="hosted", base="ft:gpt", base_digest="")
    wishing = replace(world.bench, pattern="parallel")
    served = tuned_candidate(wishing, start, snapshot, hosted)  # paid for by now
    assert served.pattern == "sequential"
    world.serve(served)
    assert propose(wishing) is None
    adapter = ModelRef(kind="lora", base=start.model.base, base_digest="sha256-0", adapter="sha256-1")
    assert tuned_candidate(wishing, starting_point(wishing), snapshot, adapter).pattern == "parallel"


@pytest.mark.parametrize(
    "retrieval", [RetrievalSettings(), RetrievalSettings(k=1, documents=("pump.md", "saw.md"))], ids=str
)
def test_a_tuned_candidate_abstains_below_a_confidence_calibrated_on_its_own_retrieval(
    world: World, retrieval: RetrievalSettings
) -> None:
    ingest(world.docs)
    world.labels.held = HOUSE  # type: ignore[attr-defined]
    start = starting_point(world.bench).model_copy(update={"retrieval": retrieval})
    snapshot = newest_snapshot(world.bench)
    by_sentence = retrieval.model_copy(update={"confidence": "sentence"})
    pump, saw, cost = measured(world, HOUSE, by_sentence)
    assert cost < min(pump, saw)
    least = (cost + min(pump, saw)) / 2
    tuned = tuned_candidate(world.bench, start, snapshot, start.model)
    assert tuned.retrieval == by_sentence.model_copy(update={"min_confidence": least})


def test_golden_questions_have_no_say_in_the_confidence_to_abstain_below(world: World) -> None:
    ingest(world.docs)
    snapshot = newest_snapshot(world.bench)
    golden = [
        label(10, "What moves?", "It moves 90 litres.", "pump.md", split="golden"),
        label(11, "How many litres of water does the bilge pump move a day?", "Unknown.", "pump.md", split="golden"),
    ]
    settings = RetrievalSettings(confidence="sentence")
    sure = measured(world, [*golden, *HOUSE], settings)
    assert sure[0] < sure[4] < sure[1]  # either would move the threshold
    thresholds = []
    for held in (HOUSE, [*HOUSE, *golden]):
        world.labels.held = held  # type: ignore[attr-defined]
        start = starting_point(world.bench)
        thresholds.append(tuned_candidate(world.bench, start, snapshot, start.model).retrieval.min_confidence)
    assert thresholds[0] is not None
    assert thresholds[0] == thresholds[1]


def test_without_a_threshold_a_tuned_candidate_reads_no_sentences(world: World) -> None:
    ingest(world.docs)
    world.labels.held = HOUSE[:2]  # type: ignore[attr-defined]
    start = starting_point(world.bench)
    tuned = tuned_candidate(world.bench, start, newest_snapshot(world.bench), start.model)
    assert (tuned.retrieval.confidence, tuned.retrieval.min_confidence) == ("passage", None)


def measured(world: World, labels: list[Label], settings: RetrievalSettings) -> list[float]:
    questions = [one.question for one in labels]
    found = retrieve(world.bench.retrieval, reference(newest_snapshot(world.bench)), questions, settings)
    return confidences(world.bench.retrieval.embedder, questions, found, settings)
