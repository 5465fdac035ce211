import json

import pytest

from tasks.core.label_rows import read_row
from tasks.core.opinion_rows import PreferenceRow, RatingRow
from tasks.core.row_shapes import RowError


def read(row: object) -> object:
    return read_row(3, json.dumps(row).encode())


def turn(role: str, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


BETTER = PreferenceRow(3, "How hot?", "60 °C.", "70 °C.", ("a.md",), "ann")


@pytest.mark.parametrize(
    "row",
    [
        {"question": "How hot? ", "chosen": "60 °C. [1]", "rejected": "70 °C."},
        {"prompt": "How hot?", "chosen": "60 °C.", "rejected": "70 °C."},
        {
            "prompt": [turn("user", "How hot?")],
            "chosen": [turn("assistant", "60 °C.")],
            "rejected": [turn("assistant", [{"type": "text", "text": "70 °C."}])],
        },
        {
            "input": {"messages": [turn("system", "Answer."), turn("user", "How hot?")]},
            "preferred_output": [turn("assistant", "60 °C.")],
            "non_preferred_output": [turn("assistant", "70 °C.")],
        },
    ],
)
def test_a_preference_in_every_shape_is_the_same_row(row: dict[str, object]) -> None:
    assert read(row | {"documents": ["./a.md"], "contributor": "ann"}) == BETTER


def test_the_same_preference_has_the_same_id_and_swapped_answers_another() -> None:
    one = BETTER.opinion("accepted").id
    assert one == PreferenceRow(9, "How  hot?", "60 °C. [2]", "70 °C.", ("a.md",)).opinion("pending").id
    assert one != PreferenceRow(3, "How hot?", "70 °C.", "60 °C.", ("a.md",)).opinion("accepted").id
    assert one.startswith("p-")


@pytest.mark.parametrize(("label", "value"), [(True, 1.0), (False, 0.0)])
def test_a_rating_is_good_or_bad(label: bool, value: float) -> None:
    assert read({"prompt": "How hot?", "completion": "60 °C.", "label": label}) == RatingRow(
        3, "How hot?", "60 °C.", value
    )


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": "Q?", "chosen": "A"}, "rejected: Field required"),
        ({"question": "Q?", "rejected": "A"}, "chosen: Field required"),
        ({"question": "Q?", "chosen": "A", "rejected": "a "}, "chosen and rejected are the same answer"),
        ({"chosen": "A", "rejected": "B"}, 'has no "question" or "prompt"'),
        (
            {"question": "Q?", "prompt": "P?", "chosen": "A", "rejected": "B"},
            'has both "question" and "prompt"; write one',
        ),
        ({"question": "??", "chosen": "", "rejected": "B"}, "question: holds no word; chosen: is empty"),
        ({"question": "Q\x00?", "chosen": "A", "rejected": "B"}, "holds a NUL character"),
        ({"question": "Q?", "chosen": "A", "rejected": 7}, "rejected: Input should be a valid string"),
        ({"question": "Q?", "chosen": "A", "rejected": "B", "documents": [""]}, "documents must not be empty texts"),
        ({"prompt": "Q?", "completion": "A", "label": "yes"}, "label: Input should be a valid boolean"),
        ({"prompt": "Q?", "label": True}, 'has no "answer" or "completion"'),
        (
            {"prompt": "Q?", "completion": "A", "label": True, "contributor": "x" * 161},
            "contributor: String should have",
        ),
        (
            {"input": {"messages": [turn("assistant", "A")]}, "preferred_output": "A", "non_preferred_output": "B"},
            "user's",
        ),
    ],
)
def test_a_wrong_row_says_everything_that_is_wrong_with_it(row: object, expected: str) -> None:
    found = read(row)
    assert isinstance(found, RowError)
    assert found.line == 3
    assert expected in found.reason
