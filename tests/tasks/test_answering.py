"""How an answer is made: retrieved, packed, asked once, cited, checked; and every way to abstain."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import pytest
from chat_fakes import MemoryCompletions, OneModel, ReadingModel, TwoModels
from document_fakes import WordEmbedder
from retrieval_fakes import published

import tasks.answering
from tasks.answering import AnsweringBench, answer, answer_one, stream_answer
from tasks.completing import PORTION
from tasks.core.answers import Answer
from tasks.core.fingerprints import collection_name
from tasks.core.ports import Message
from tasks.core.prompts import default_prompt, render
from tasks.core.releases import Limits, ModelRef, Pattern, ReleaseManifest, RetrievalSettings, SnapshotRef

PAGES = {
    "halden.md": ("Halden 300 > Pressure", "The Halden 300 runs at up to 42 bar. It has a brass lance."),
    "skerry.md": ("Skerry > Hoses", "The Skerry pump carries 15 metres of hose. Rinse it after use."),
    "canteen.md": ("Canteen > Hours", "The canteen opens at noon and serves soup on Fridays."),
}
PRESSURE = "What pressure does the Halden 300 run at, up to how many bar?"
ABSTENTION = "The documents do not say."


@pytest.fixture
def bench(tmp_path: Path) -> AnsweringBench:
    retrieval, _ = published(tmp_path, {uri: f"# {heading}\n\n{text}" for uri, (heading, text) in PAGES.items()})
    return AnsweringBench(retrieval, OneModel(), MemoryCompletions())


def release(
    *,
    pattern: Pattern = "rag",
    snapshot: int = 1,
    k: int = 2,
    min_confidence: float | None = None,
    confidence: Literal["passage", "sentence"] = "passage",
    require_support: bool = True,
    mend_citations: bool = False,
    limits: Limits | None = None,
) -> ReleaseManifest:
    return ReleaseManifest(
        assistant="default",
        snapshot=SnapshotRef(number=snapshot, manifest_hash="0" * 64, collection=collection_name("default", "words-1")),
        model=ModelRef(kind="base", base="reader-1", base_digest="sha256-0"),
        prompt=default_prompt(),
        retrieval=RetrievalSettings(k=k, min_confidence=min_confidence, confidence=confidence),
        pattern=pattern,
        require_support=require_support,
        limits=limits or Limits(),
        mend_citations=mend_citations,
    )


def model_of(bench: AnsweringBench) -> ReadingModel:
    assert isinstance(bench.chat, OneModel)
    return bench.chat.model


def prompts_asked(bench: AnsweringBench) -> int:
    return sum(len(batch) for batch in model_of(bench).asked)


def test_an_answer_cites_the_passage_and_names_its_release(bench: AnsweringBench) -> None:
    manifest = release()
    said = answer_one(PRESSURE, manifest, bench)
    assert said.text == "The Halden 300 runs at up to 42 bar. [1]"
    assert [(c.marker, c.document, c.quote) for c in said.citations] == [
        (1, "halden.md", "The Halden 300 runs at up to 42 bar.")
    ]
    assert (said.release, said.snapshot, said.abstained) == (manifest.id, 1, False)
    assert [passage.marker for passage in said.contexts] == [1, 2]
    assert said.contexts[0].text == "Halden 300 > Pressure\nThe Halden 300 runs at up to 42 bar. It has a brass lance."


def test_many_questions_are_one_batch_in_order(bench: AnsweringBench) -> None:
    questions = [PRESSURE, "How many metres of hose does the Skerry pump carry?", "When does the canteen open at noon?"]
    said = answer(questions, release(), bench)
    assert [one.question for one in said] == questions
    assert [one.citations[0].document for one in said] == ["halden.md", "skerry.md", "canteen.md"]
    assert len(model_of(bench).asked) == 1


def test_a_prompt_is_asked_once_in_its_life(bench: AnsweringBench) -> None:
    first = answer([PRESSURE, PRESSURE], release(), bench)
    again = answer([PRESSURE], release(), bench)
    assert first[0] == first[1] == again[0]
    assert prompts_asked(bench) == 1


def test_a_kill_loses_only_the_portion_being_written(bench: AnsweringBench) -> None:
    questions = [f"How many bar does the Halden 300 run at on day {day}?" for day in range(PORTION + 10)]
    told: list[int] = []

    def killed(what: str, done: int, total: int) -> None:
        told.append(done)
        assert total == PORTION + 10
        if done > PORTION:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer(questions, release(), bench, progress=killed)
    assert told == [PORTION, PORTION + 10]
    before = prompts_asked(bench)
    answer(questions, release(), bench)
    assert prompts_asked(bench) - before == 10


def test_another_model_or_limit_is_asked_anew(bench: AnsweringBench) -> None:
    answer_one(PRESSURE, release(), bench)
    answer_one(PRESSURE, release(limits=Limits(max_new_tokens=20)), bench)
    assert prompts_asked(bench) == 2
    model_of(bench).name = "reader-2"
    other = ModelRef(kind="base", base="reader-2", base_digest="sha256-0")
    answer_one(PRESSURE, release().model_copy(update={"model": other}), bench)
    assert prompts_asked(bench) == 3


def test_no_passages_is_an_abstention_without_asking_the_model(bench: AnsweringBench) -> None:
    said = answer_one(PRESSURE, release(k=0), bench)
    assert (said.text, said.abstained_because, said.citations) == (ABSTENTION, "no-passages", ())
    assert prompts_asked(bench) == 0


@pytest.mark.parametrize("by", get_args(RetrievalSettings.model_fields["confidence"].annotation))
def test_low_confidence_is_an_abstention_without_asking_the_model(
    bench: AnsweringBench, by: Literal["passage", "sentence"]
) -> None:
    sure = answer_one(PRESSURE, release(confidence=by), bench).confidence
    assert not answer_one(PRESSURE, release(confidence=by, min_confidence=sure), bench).abstained
    asked = prompts_asked(bench)
    said = answer_one(PRESSURE, release(confidence=by, min_confidence=sure + 0.01), bench)
    assert (said.text, said.abstained_because) == (ABSTENTION, "confidence")
    assert prompts_asked(bench) == asked


def test_confidence_by_sentence_embeds_the_question_once_and_the_few_sentences(bench: AnsweringBench) -> None:
    embedder = bench.retrieval.embedder
    assert isinstance(embedder, WordEmbedder)
    embedder.embedded.clear()
    answer_one(PRESSURE, release(confidence="sentence"), bench)
    assert embedder.embedded == [PRESSURE, "The Halden 300 runs at up to 42 bar."]


def test_a_number_the_cited_passage_does_not_hold_is_withdrawn_and_kept_as_raw(bench: AnsweringBench) -> None:
    model_of(bench).told[PRESSURE] = "The Halden 300 runs at 45 bar. [1]"
    said = answer_one(PRESSURE, release(), bench)
    assert (said.text, said.abstained_because, said.raw) == (
        ABSTENTION,
        "support",
        "The Halden 300 runs at 45 bar. [1]",
    )
    assert answer_one(PRESSURE, release(require_support=False), bench).text == "The Halden 300 runs at 45 bar. [1]"


def test_a_marker_of_the_wrong_passage_is_mended_where_the_release_says_so_and_kept_as_raw(
    bench: AnsweringBench,
) -> None:
    model_of(bench).told[PRESSURE] = raw = "The Halden 300 runs at up to 42 bar. [2]"
    said = answer_one(PRESSURE, release(mend_citations=True), bench)
    assert (said.text, said.raw) == ("The Halden 300 runs at up to 42 bar. [1]", raw)
    assert [citation.document for citation in said.citations] == ["halden.md"]
    assert answer_one(PRESSURE, release(), bench).abstained_because == "support"


def test_the_models_own_abstention_is_recognised(bench: AnsweringBench) -> None:
    said = answer_one("Who founded it?", release(), bench)
    assert (said.text, said.abstained_because, said.citations) == (ABSTENTION, "model", ())


def test_a_marker_nobody_was_shown_is_taken_out_and_listed(bench: AnsweringBench) -> None:
    model_of(bench).told[PRESSURE] = "The Halden 300 runs at up to 42 bar. [7]"
    said = answer_one(PRESSURE, release(), bench)
    assert (said.text, said.citations, said.dangling_markers) == ("The Halden 300 runs at up to 42 bar.", (), (7,))


def test_a_sentence_cut_off_by_the_limit_is_dropped(bench: AnsweringBench) -> None:
    model_of(bench).told[PRESSURE] = "The Halden 300 runs at up to 42 bar. [1] It has a brass"
    said = answer_one(PRESSURE, release(limits=Limits(max_new_tokens=12)), bench)
    assert said.text == "The Halden 300 runs at up to 42 bar. [1]"


def test_passages_stop_where_the_context_limit_is_reached(bench: AnsweringBench) -> None:
    whole = answer_one(PRESSURE, release(k=3), bench)
    size = [len(passage.text.split()) for passage in whole.contexts]
    two = answer_one(PRESSURE, release(k=3, limits=Limits(max_context_tokens=size[0] + size[1])), bench)
    assert [p.chunk for p in two.contexts] == [p.chunk for p in whole.contexts[:2]]
    cut = answer_one(PRESSURE, release(k=3, limits=Limits(max_context_tokens=5)), bench)
    assert len(cut.contexts) == 1
    assert len(cut.contexts[0].text.split()) <= 5


def test_what_the_model_is_shown_by_default_has_not_changed(bench: AnsweringBench) -> None:
    manifest = release()
    answer_one(PRESSURE, manifest, bench)
    ((asked,),) = model_of(bench).asked
    assert (asked[0], *asked[1:-1]) == render(manifest.prompt, [], "")[:-1]
    assert asked[-1].content == (
        "[1] Halden 300 > Pressure\nThe Halden 300 runs at up to 42 bar. It has a brass lance.\n\n"
        "[2] Canteen > Hours\nThe canteen opens at noon and serves soup on Fridays.\n\n"
        f"End of passages\nQuestion: {PRESSURE}"
    )


def test_neighbours_are_shown_and_cited_as_far_as_the_context_limit_goes(tmp_path: Path) -> None:
    page = "# Pressure\n\nThe Halden 300 runs at up to 42 bar.\n\n# Lance\n\nThe lance is made of brass."
    retrieval, at = published(tmp_path, {"halden.md": page})
    bench = AnsweringBench(retrieval, OneModel(), MemoryCompletions())
    settings = RetrievalSettings(k=1, neighbours=1)
    wide = release().model_copy(update={"snapshot": at, "retrieval": settings})
    model_of(bench).told[PRESSURE] = "It runs at 42 bar and its lance is brass. [1]"
    said = answer_one(PRESSURE, wide, bench)
    assert said.contexts[0].text == (
        "Pressure\nThe Halden 300 runs at up to 42 bar.\n\nLance\nThe lance is made of brass."
    )
    assert [c.chunk for c in said.citations] == [said.contexts[0].chunk]
    tokens = len(said.contexts[0].text.split())
    narrow = wide.model_copy(update={"limits": Limits(max_context_tokens=tokens - 1)})
    assert answer_one(PRESSURE, narrow, bench).contexts[0].text == "Pressure\nThe Halden 300 runs at up to 42 bar."


def test_a_text_is_counted_once_for_all_questions_that_find_it(bench: AnsweringBench) -> None:
    counted: list[str] = []

    class Counting(ReadingModel):
        def count_tokens(self, prompt: Sequence[Message]) -> int:
            counted.append(prompt[-1].content)
            return super().count_tokens(prompt)

    assert isinstance(bench.chat, OneModel)
    bench.chat.model = Counting()
    answer([f"How many bar does the Halden 300 run at on day {day}?" for day in range(9)], release(k=3), bench)
    assert sorted(text for text in counted if text.startswith(("Halden", "Skerry", "Canteen"))) == sorted(
        f"{heading}\n{text}" for heading, text in PAGES.values()
    )


def test_a_tuned_model_answers_without_passages_and_is_not_held_to_any(bench: AnsweringBench) -> None:
    model_of(bench).told[PRESSURE] = "It runs at 42 bar."
    said = answer_one(PRESSURE, release(pattern="tuned", min_confidence=0.9), bench)
    assert (said.text, said.contexts, said.abstained) == ("It runs at 42 bar.", (), False)


TUNED = ModelRef(kind="lora", base="reader-1", base_digest="sha256-0", adapter="sha256-1")


@pytest.fixture
def both(bench: AnsweringBench) -> tuple[AnsweringBench, ReadingModel, ReadingModel]:
    """The bench over a tuned model and its base, and the two."""
    tuned, base = ReadingModel("tuned-1"), model_of(bench)
    return replace(bench, chat=TwoModels(base, tuned)), tuned, base


def parallel(**how: bool) -> ReleaseManifest:
    return release(pattern="parallel", **how).model_copy(update={"model": TUNED})  # type: ignore[arg-type]


def test_parallel_gives_the_answer_that_the_passages_hold(
    both: tuple[AnsweringBench, ReadingModel, ReadingModel],
) -> None:
    bench, tuned, base = both
    tuned.told[PRESSURE] = "The Halden 300 runs at 45 bar. [1]"
    [heard] = answer([PRESSURE], parallel(), bench)
    assert (heard.text, heard.pattern) == ("The Halden 300 runs at up to 42 bar. [1]", "parallel")
    tuned.told[PRESSURE], base.told[PRESSURE] = "It runs at 42 bar. [1]", "It runs at 45 bar. [1]"
    [heard] = answer([PRESSURE], parallel(), replace(bench, completions=None))
    assert heard.text == "It runs at 42 bar. [1]"
    base.told[PRESSURE] = "The base says 42 bar. [1]"
    [heard] = answer([PRESSURE], parallel(), replace(bench, completions=None))
    assert heard.text == "It runs at 42 bar. [1]"  # alike: the tuned one's


def test_parallel_counts_the_tokens_of_both_and_asks_each_once(
    both: tuple[AnsweringBench, ReadingModel, ReadingModel],
) -> None:
    bench, tuned, base = both
    [heard] = answer([PRESSURE], parallel(), bench)
    [alone] = answer([PRESSURE], release().model_copy(update={"model": TUNED}), bench)
    assert heard.prompt_tokens == 2 * alone.prompt_tokens
    assert heard.completion_tokens == 2 * alone.completion_tokens
    answer([PRESSURE], parallel(), bench)
    assert (len(tuned.asked), len(base.asked)) == (1, 1)


def test_parallel_is_cut_short_where_the_answer_that_is_heard_was_and_not_where_both_together_are_long(
    both: tuple[AnsweringBench, ReadingModel, ReadingModel],
) -> None:
    bench, tuned, base = both
    alone = answer_one(PRESSURE, release().model_copy(update={"model": TUNED}), bench).completion_tokens
    roomy = parallel().model_copy(update={"limits": Limits(max_new_tokens=alone + 1)})
    heard = answer_one(PRESSURE, roomy, bench)
    assert heard.completion_tokens > roomy.limits.max_new_tokens
    assert not heard.cut_short
    tight = parallel().model_copy(update={"limits": Limits(max_new_tokens=alone)})
    assert answer_one(PRESSURE, tight, bench).cut_short
    tuned.told[PRESSURE], base.told[PRESSURE] = "It runs at 42 bar. [1]", "It runs at 45 bar, " + "and on " * 20
    assert not answer_one(PRESSURE, roomy, replace(bench, completions=None)).cut_short


@pytest.mark.parametrize("require_support", [True, False])
def test_parallel_streams_what_it_answers(
    both: tuple[AnsweringBench, ReadingModel, ReadingModel], require_support: bool
) -> None:
    bench, tuned, _ = both
    tuned.told[PRESSURE] = "It runs at 45 bar. [1]"
    pieces = list(stream_answer(PRESSURE, parallel(require_support=require_support), bench))
    assert pieces == ["The Halden 300 runs at up to 42 bar. [1]", pieces[-1]]
    assert pieces[-1] == answer_one(PRESSURE, parallel(require_support=require_support), bench)


def test_routed_asks_with_passages_where_retrieval_is_sure_and_the_model_alone_where_it_is_not(
    bench: AnsweringBench,
) -> None:
    sure = answer_one(PRESSURE, release(pattern="routed", min_confidence=0.0), bench)
    assert sure == replace(answer_one(PRESSURE, release(), bench), release=sure.release, pattern="routed")
    model_of(bench).told[PRESSURE] = "It runs at 45 bar."
    unsure = answer_one(PRESSURE, release(pattern="routed", min_confidence=0.99), bench)
    assert (unsure.text, unsure.contexts, unsure.citations) == ("It runs at 45 bar.", (), ())
    *_, streamed = stream_answer(PRESSURE, release(pattern="routed", min_confidence=0.99), bench)
    assert streamed == unsure


@pytest.mark.parametrize("mend_citations", [True, False])
@pytest.mark.parametrize("require_support", [True, False])
@pytest.mark.parametrize(
    "told",
    [
        "The Halden 300 runs at up to 42 bar. [2] [1] Its lance is brass. [2]",
        "The Halden 300 runs at up to 42 bar. [1]",
        "It runs at 42 bar. [1] Its lance is brass. [9] Its lance is brass. [9] And so",
        "The documents do not say.",
        "no full stop",
        "",
    ],
)
def test_streaming_sends_the_same_text_and_nothing_is_taken_back(
    bench: AnsweringBench, told: str, require_support: bool, mend_citations: bool
) -> None:
    model_of(bench).told[PRESSURE] = told
    manifest = release(require_support=require_support, mend_citations=mend_citations)
    *pieces, final = stream_answer(PRESSURE, manifest, bench)
    assert isinstance(final, Answer)
    assert "".join(str(piece) for piece in pieces) == final.text == answer_one(PRESSURE, manifest, bench).text


def test_a_stream_that_mends_citations_sends_a_sentence_when_the_next_begins(bench: AnsweringBench) -> None:
    model_of(bench).told[PRESSURE] = "The Halden 300 runs at up to 42 bar. [2] Its lance is brass. [1]"
    first = next(iter(stream_answer(PRESSURE, release(require_support=False, mend_citations=True), bench)))
    assert first == "The Halden 300 runs at up to 42 bar. [1]"


def test_streaming_sends_the_first_sentence_before_the_last_is_written(bench: AnsweringBench) -> None:
    model_of(bench).told[PRESSURE] = "It runs at 42 bar. [1] Its lance is brass. [1]"
    first = next(iter(stream_answer(PRESSURE, release(require_support=False), bench)))
    assert first == "It runs at 42 bar."


def test_no_questions_give_no_answers(bench: AnsweringBench) -> None:
    assert answer([], release(), bench) == []


def test_the_step_imports_no_adapter_and_no_heavy_library() -> None:
    tree = ast.parse(Path(tasks.answering.__file__).read_text())
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert all(
        name.startswith(("tasks.", "collections", "dataclasses", "functools", "typing", "__future__"))
        for name in imported
    )
