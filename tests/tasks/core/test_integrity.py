"""Ways in which a model may have seen a golden question, and look-alikes that it may have seen."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from evaluation_fakes import golden_label
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.integrity import golden_leaks
from tasks.core.labels import Label
from tasks.core.ports import Message

SHIPPED = Path(__file__).parents[3] / "flows" / "demo" / "labels.jsonl"
GOLDEN = [golden_label(1), golden_label(2)]

OIL = replace(
    golden_label(1),
    question="How often does the gearbox oil of the Skerry 40 have to be changed in a wet summer?",
    answer="The gearbox oil of the Skerry 40 is changed every 500 hours, and sooner when it smells burnt.",
    documents=("skerry/oil.md",),
)
OTHER = replace(golden_label(2), documents=("halden/hoses.md",))
NAMED = "Golden label l-0000000000000001 stands word for word in l-0000000000000002, which was trained on."


def trained(question: str = "Anything about oil?", answer: str = "Ask the workshop.", **more: object) -> Label:
    return replace(OTHER, question=question, answer=answer, **more)  # type: ignore[arg-type]


def test_other_pages_and_other_questions_do_not_leak() -> None:
    assert golden_leaks(GOLDEN, [golden_label(3), golden_label(4)]) == ()


def test_the_label_itself() -> None:
    assert golden_leaks(GOLDEN, [GOLDEN[0]]) == ("Golden label l-0000000000000001 was trained on.",)


def test_its_page() -> None:
    label = replace(golden_label(3), documents=("pumps/2.md",))
    assert golden_leaks(GOLDEN, [label]) == (
        "Golden label l-0000000000000002 is about pumps/2.md, and so is l-0000000000000003, which was trained on.",
    )


def test_any_of_its_pages() -> None:
    label = replace(golden_label(3), documents=("other.md", "pumps/2.md"))
    assert len(golden_leaks([replace(GOLDEN[1], documents=("first.md", "pumps/2.md"))], [label])) == 1


def test_nearly_its_question() -> None:
    label = replace(golden_label(3), question="what pressure does the pump 1 reach")
    assert golden_leaks(GOLDEN, [label]) == (
        "Golden label l-0000000000000001 asks the same as l-0000000000000003, which was trained on.",
    )


def test_two_golden_labels_may_ask_the_same_and_so_may_two_that_were_trained_on() -> None:
    twice = [OIL, replace(OIL, id="l-twin", documents=("other.md",))]
    learnt = [replace(OTHER, id=f"l-{n}", documents=(f"{n}.md",)) for n in range(2)]
    assert golden_leaks(twice, learnt) == ()


def test_its_answer_under_another_question() -> None:
    assert golden_leaks([OIL], [trained(answer=f"Mind that {OIL.answer}")]) == (NAMED,)


def test_its_question_inside_a_longer_one() -> None:
    assert golden_leaks([OIL], [trained(question=f"Hello, I have a question. {OIL.question} Thank you!")]) == (NAMED,)


def test_both_inside_a_conversation() -> None:
    turns = (Message("user", OIL.question), Message("assistant", OIL.answer), Message("user", "And?"))
    talk = trained(question="And?", answer="That is all.", messages=(*turns, Message("assistant", "That is all.")))
    assert golden_leaks([OIL], [talk]) == (NAMED,)


def test_a_short_question_and_its_short_answer_side_by_side() -> None:
    """Seven words and five: neither is long enough alone."""
    short = replace(golden_label(1), documents=("a.md",))
    turns = (Message("user", short.question), Message("assistant", short.answer), Message("user", "Really?"))
    talk = trained(question="Really?", answer="Yes.", messages=(*turns, Message("assistant", "Yes.")))
    assert golden_leaks([short], [talk]) == (NAMED,)


@pytest.mark.parametrize(
    "label",
    [
        trained(OIL.question.replace("40", "60"), OIL.answer.replace("40", "60").replace("500", "800")),
        trained("When is the oil due?", "Every 500 hours the Skerry 40 gets new oil in its gearbox."),
        trained("How often does the hydraulic oil of the Halden have to be changed in a wet summer?", "Never."),
    ],
)
def test_the_same_pattern_about_another_thing_and_a_paraphrase_do_not_leak(label: Label) -> None:
    assert golden_leaks([OIL], [label]) == ()


def test_an_answer_that_several_golden_questions_share_says_nothing_about_one_of_them() -> None:
    usual = "Please ask the colleagues of the workshop, who will be glad to help you with it."
    first = replace(OIL, answer=usual)
    second = replace(golden_label(7), answer=usual, documents=("b.md",))
    assert golden_leaks([first, second], [trained(answer=usual)]) == ()
    assert len(golden_leaks([first], [trained(answer=usual)])) == 1


def test_the_sentence_that_abstains_is_no_leak() -> None:
    declined = "The documents that I was given do not say anything about that, sorry."
    unanswerable = replace(OIL, answer=declined, unanswerable=True)
    assert golden_leaks([unanswerable], [trained(answer=declined, unanswerable=True)]) == ()


def test_a_golden_label_is_named_once_by_what_says_most() -> None:
    copies = [replace(OIL, id="l-copy"), trained(answer=OIL.answer)]
    assert golden_leaks([OIL], copies) == (
        "Golden label l-0000000000000001 is about skerry/oil.md, and so is l-copy, which was trained on.",
    )
    assert golden_leaks([OIL], [OIL, *copies]) == ("Golden label l-0000000000000001 was trained on.",)


def test_leaks_come_in_the_order_of_the_golden_labels() -> None:
    found = golden_leaks(GOLDEN, [replace(golden_label(3), documents=("pumps/1.md",)), GOLDEN[1]])
    assert [sentence.split()[2] for sentence in found] == [label.id for label in GOLDEN]


SYNONYMS = {"oil": "lubricant", "changed": "renewed", "hours": "hrs", "sooner": "earlier", "often": "frequently"}
WORDS = OIL.answer.split()


@given(st.permutations(range(len(WORDS))), st.integers(3, 8))
def test_an_answer_whose_words_come_in_another_order_does_not_leak(order: list[int], kept: int) -> None:
    """Kept together: no more than `kept` words, which is fewer than a run of eight."""
    parts = [WORDS[at : at + kept - 1] for at in range(0, len(WORDS), kept - 1)]
    ranks = sorted(range(len(parts)), key=lambda n: order.index(n))
    shuffled = [word for n in ranks for word in (*parts[n], "indeed")]
    assert golden_leaks([OIL], [trained(answer=" ".join(shuffled))]) == ()


def test_of_the_shipped_labels_those_of_different_pages_do_not_leak_into_each_other() -> None:
    rows = [json.loads(line) for line in SHIPPED.read_text().splitlines()]
    labels = [
        replace(
            golden_label(n),
            question=row["question"],
            answer=row["answer"],
            documents=tuple(row["documents"]),
            unanswerable=row.get("unanswerable", False),
        )
        for n, row in enumerate(rows)
    ]
    golden = [label for label, row in zip(labels, rows, strict=True) if row.get("split") == "golden"]
    pages = {page for label in golden for page in label.documents}
    others = [label for label in labels if not pages & set(label.documents)]
    assert (len(golden) > 100, len(others) > 200) == (True, True)
    assert golden_leaks(golden, others) == ()
