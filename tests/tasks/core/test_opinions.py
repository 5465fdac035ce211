from dataclasses import replace

import pytest

from tasks.core.errors import GoldenLeak
from tasks.core.labels import Label
from tasks.core.opinion_rows import PreferenceRow, RatingRow
from tasks.core.opinions import Opinion, rating_id, to_train_on

GOLDEN = Label(
    "l-g", "At how many bar does the Halden 300 run?", "42.", ("halden.md",), False, (), "golden", "accepted"
)


def preference(question: str, page: str) -> Opinion:
    return replace(PreferenceRow(1, question, "A", "B", (page,)).opinion("accepted"), split="train")


def test_only_accepted_opinions_of_the_training_split_are_trained_on() -> None:
    one = preference("Who paints it?", "paint.md")
    others = [
        replace(one, id="p-1", split=None),
        replace(one, id="p-2", state="pending"),
        replace(one, id="p-3", split="golden"),
    ]
    assert to_train_on([*others, one], [GOLDEN]) == (one,)


@pytest.mark.parametrize(
    ("question", "page", "said"),
    [
        ("Who paints it?", "halden.md", "is about halden.md, as golden label l-g is"),
        ("at how many bar does a Halden 300 run", "copy.md", "asks what golden label l-g asks"),
    ],
)
def test_an_opinion_on_a_golden_page_or_question_stops_everything(question: str, page: str, said: str) -> None:
    with pytest.raises(GoldenLeak, match=said):
        to_train_on([preference(question, page)], [GOLDEN])


def test_one_person_rates_one_answer_once() -> None:
    assert rating_id("Q?", "A. [1]", ["b", "a"], "ann") == rating_id(" Q?", "A.", ["a", "b"], "ann")
    assert rating_id("Q?", "A.", [], "ann") != rating_id("Q?", "A.", [], "bob")
    assert RatingRow(1, "Q?", "A.", 1.0).opinion("accepted").id == RatingRow(2, "Q?", "A.", 0.0).opinion("accepted").id
