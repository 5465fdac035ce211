from __future__ import annotations

import hashlib
import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.documents import Chunk, Hit
from tasks.core.labels import Label
from tasks.core.ports import TrainingRow
from tasks.core.prompts import INVOCATION, default_prompt, render, with_examples
from tasks.core.training_rows import RowSettings, answering_chunk, training_rows
from tasks.datasets import dataset_lines

PROMPT = with_examples(default_prompt("The handbook does not say."), ())
PUMPS = 8


def page(n: int) -> str:
    return f"pumps/{n}.md"


def limits(n: int) -> Chunk:
    return Chunk(f"limits-{n}", page(n), (f"Pump {n}", "Limits"), f"Pump {n} runs at up to {n}0 bar.")


def weight(n: int) -> Chunk:
    return Chunk(f"weight-{n}", page(n), (f"Pump {n}", "Weight"), f"Pump {n} weighs {n}7 kg.")


def label(name: str, question: str, answer: str, document: str, *facts: str, unanswerable: bool = False) -> Label:
    return Label(name, question, answer, (document,), unanswerable, facts, "train", "accepted")


def pressure(n: int) -> Label:
    return label(f"p{n}", f"At how many bar does pump {n} run?", f"Pump {n} runs at {n}0 bar.", page(n), f"{n}0 bar")


def colour(n: int) -> Label:
    return label(f"c{n}", f"What colour is pump {n}?", "The handbook does not say.", page(n), unanswerable=True)


def hits(n: int) -> list[Hit]:
    """Its own page first, then the pages after it."""
    chunks = [limits(n), weight(n), *(limits((n + i) % PUMPS) for i in range(1, 4))]
    return [Hit(chunk, 1 / (60 + rank), 0.5) for rank, chunk in enumerate(chunks)]


LABELS = [pressure(n) for n in range(PUMPS)] + [colour(n) for n in range(PUMPS)]
HITS = {one.id: hits(int(one.id[1:])) for one in LABELS}


def rows(**settings: object) -> tuple[TrainingRow, ...]:
    return training_rows(LABELS, HITS, PROMPT, RowSettings(**settings))  # type: ignore[arg-type]


def abstains(row: TrainingRow) -> bool:
    return row.completion == PROMPT.abstention


def context(row: TrainingRow) -> str:
    return row.prompt[-1].content.rpartition(INVOCATION)[0]


def test_a_row_is_what_serving_renders_and_the_answer_with_the_marker_of_its_passage() -> None:
    [row] = training_rows(
        [pressure(3)], {"p3": hits(3)}, PROMPT, RowSettings(passages=1, contexts=1, abstain_fraction=0)
    )
    assert row.completion == "Pump 3 runs at 30 bar. [1]"
    assert row.prompt[0] == render(PROMPT, [], "")[0]
    assert row.prompt[-1].content.startswith("[1] Pump 3 > Limits\nPump 3 runs at up to 30 bar.")
    assert row.prompt[-1].content.endswith(f"{INVOCATION} At how many bar does pump 3 run?")


def test_the_marker_names_the_passage_that_holds_the_answer() -> None:
    for row in rows(contexts=3):
        if not abstains(row):
            n = row.label_id[1:]
            marker = row.completion[-2]
            assert f"[{marker}] Pump {n} > Limits\n" in row.prompt[-1].content


def test_every_label_is_answered_in_as_many_contexts_as_asked_for() -> None:
    answered = Counter(row.label_id for row in rows(contexts=3) if not abstains(row))
    assert answered == {f"p{n}": 3 for n in range(PUMPS)}


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5])
def test_the_share_of_rows_that_abstain_is_what_was_asked_for(fraction: float) -> None:
    only_answerable = {name: found for name, found in HITS.items() if name.startswith("p")}
    settings = RowSettings(contexts=3, abstain_fraction=fraction)
    made = training_rows(LABELS[:PUMPS], only_answerable, PROMPT, settings)
    assert sum(map(abstains, made)) == round(fraction / (1 - fraction) * 3 * PUMPS)


def test_a_row_that_abstains_shows_no_passage_that_answers_it() -> None:
    for row in rows(contexts=3, abstain_fraction=0.5):
        if abstains(row) and row.label_id.startswith("p"):
            assert f"up to {row.label_id[1:]}0 bar" not in context(row)


def test_a_row_that_abstains_shows_what_retrieval_found_near_the_question() -> None:
    for row in rows(contexts=2, abstain_fraction=0.5):
        assert any(hit.chunk.text in context(row) for hit in HITS[row.label_id])


def test_unanswerable_labels_are_never_answered_and_abstain_where_there_is_room() -> None:
    made = rows(abstain_fraction=0.5)
    assert {row.label_id for row in made if abstains(row)} >= {f"c{n}" for n in range(PUMPS)}
    assert not [row for row in made if row.label_id.startswith("c") and not abstains(row)]


def test_the_answer_stands_in_every_place() -> None:
    places = Counter(row.completion[-2] for row in rows(contexts=8) if not abstains(row))
    assert min(places["1"], places["2"]) > 8 * PUMPS / 4


def test_rows_of_one_context_follow_each_other_so_that_a_trainer_reads_it_once() -> None:
    contexts = [context(row) for row in rows(contexts=2)]
    changes = 1 + sum(a != b for a, b in itertools.pairwise(contexts))
    assert changes <= 2 * len(LABELS)
    assert changes < len(contexts)


def test_the_same_seed_gives_the_same_rows_in_any_order_of_labels_and_another_seed_others() -> None:
    backwards = training_rows(LABELS[::-1], HITS, PROMPT, RowSettings(seed=5))
    assert set(backwards) == set(rows(seed=5))
    assert rows(seed=5) == rows(seed=5)
    assert set(rows(seed=6)) != set(rows(seed=5))


def test_a_label_whose_answer_no_hit_holds_is_never_answered() -> None:
    lost = {**HITS, "p3": [Hit(limits(n), 1.0, 0.5) for n in (4, 5, 6)]}
    made = training_rows(LABELS, lost, PROMPT, RowSettings())
    assert not [row for row in made if row.label_id == "p3" and not abstains(row)]


def test_the_same_words_on_another_page_are_not_the_answer() -> None:
    elsewhere = Chunk("x", "prices.md", (), "A hose for 30 bar costs nine euros.")
    assert answering_chunk(pressure(3), [Hit(elsewhere, 1.0, 0.9), *hits(3)]) == limits(3)


def test_without_facts_the_words_that_the_question_does_not_bring_must_be_there() -> None:
    plain = label("p3", "At how many bar does pump 3 run?", "Pump 3 runs at 30 bar.", page(3))
    assert answering_chunk(plain, hits(3)) == limits(3)
    assert answering_chunk(plain, [Hit(weight(3), 1.0, 0.5)]) is None


def test_no_labels_make_no_rows() -> None:
    assert training_rows([], {}, PROMPT, RowSettings()) == ()


def closed_book(row: TrainingRow) -> bool:
    return row.prompt == render(PROMPT, (), question_of(row))


def question_of(row: TrainingRow) -> str:
    return next(one.question for one in LABELS if one.id == row.label_id)


@given(
    fraction=st.floats(0, 0.9),
    known=st.sets(st.integers(0, PUMPS - 1), min_size=1),
    contexts=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_the_share_of_rows_without_passages_is_what_was_asked_for(
    fraction: float, known: set[int], contexts: int, seed: int
) -> None:
    labels = [one for one in LABELS if int(one.id[1:]) in known]
    settings = RowSettings(contexts=contexts, seed=seed, closed_book_fraction=fraction)
    made = training_rows(labels, HITS, PROMPT, settings)
    closed = [row for row in made if closed_book(row)]
    assert abs(len(closed) - fraction * len(made)) <= 0.5
    times = Counter(row.label_id for row in closed)
    assert times.keys() <= {
        f"p{n}" for n in known
    }  # of these labels only, and of none that the documents do not answer
    assert max(times.values(), default=0) - min((times[f"p{n}"] for n in known), default=0) <= 1
    assert made[: len(made) - len(closed)] == training_rows(
        labels, HITS, PROMPT, RowSettings(contexts=contexts, seed=seed)
    )


def test_a_row_without_passages_is_answered_without_a_marker() -> None:
    closed = [row for row in rows(closed_book_fraction=0.3) if closed_book(row)]
    assert {row.completion for row in closed} <= {pressure(n).answer for n in range(PUMPS)}
    assert all(row.prompt[-1].content.startswith(f"No passages{INVOCATION}") for row in closed)


def test_a_label_whose_answer_no_hit_holds_is_not_asked_without_passages_either() -> None:
    lost = {**HITS, "p3": [Hit(limits(n), 1.0, 0.5) for n in (4, 5, 6)]}
    made = training_rows(LABELS, lost, PROMPT, RowSettings(closed_book_fraction=0.5))
    assert not [row for row in made if row.label_id == "p3" and not abstains(row)]


def test_by_default_the_rows_are_the_same_to_the_byte() -> None:
    """Other bytes are another dataset hash, and another training in every home."""
    lines = b"".join(dataset_lines(rows(), rows(contexts=1)))
    assert hashlib.sha256(lines).hexdigest() == "11e45b6d6b0647d133a2043cdae9a19415b0f972d6d718a3f8c3c673f5fb2b80"
