"""Lines of a file of people's judgements, and what several people make of one answer."""

import json
from typing import Any

import pytest

from tasks.core.human_judgements import HumanJudgement, pooled, read_judgement
from tasks.core.judging import Exhibit
from tasks.core.label_rows import RowError
from tasks.core.metrics.score import Metric

WHOLE: dict[str, Any] = {
    "metric": "faithfulness",
    "question": "How hot?",
    "answer": "40 °C.",
    "contexts": ["It is 40 °C.", "Use oil."],
    "ideal": "40 °C.",
    "value": 1,
    "who": "Ann",
}


def read(**changes: Any) -> HumanJudgement | RowError:
    row = {key: value for key, value in (WHOLE | changes).items() if value is not None}
    return read_judgement(7, json.dumps(row).encode())


def taken(**changes: Any) -> HumanJudgement:
    found = read(**changes)
    assert isinstance(found, HumanJudgement), found
    return found


def refused(raw: bytes) -> str:
    found = read_judgement(7, raw)
    assert isinstance(found, RowError)
    assert found.line == 7
    return found.reason


@pytest.mark.parametrize(
    ("metric", "exhibit"),
    [
        ("faithfulness", Exhibit("How hot?", "40 °C.", ("It is 40 °C.", "Use oil."))),
        ("relevancy", Exhibit("How hot?", "40 °C.", ())),
        ("context_precision", Exhibit("How hot?", "", ("It is 40 °C.", "Use oil."), "40 °C.")),
        ("context_recall", Exhibit("How hot?", "", ("It is 40 °C.", "Use oil."), "40 °C.")),
    ],
)
def test_a_line_keeps_what_the_judge_is_shown_for_its_metric(metric: str, exhibit: Exhibit) -> None:
    assert taken(metric=metric) == HumanJudgement(f"judged_{metric}", exhibit, 1.0, "Ann")  # type: ignore[arg-type]
    assert taken(metric=f"judged_{metric}") == taken(metric=metric)


def test_the_metric_is_faithfulness_unless_another_is_named() -> None:
    assert taken(metric=None) == taken(metric="faithfulness")


@pytest.mark.parametrize(("value", "as_number"), [(0, 0.0), (1, 1.0), (0.25, 0.25), (True, 1.0), (False, 0.0)])
def test_a_value_is_a_number_from_0_to_1_or_a_truth(value: object, as_number: float) -> None:
    assert taken(value=value).value == as_number


@pytest.mark.parametrize("value", [-0.1, 1.1, "1", "yes", [1], {}, None, 2])
def test_any_other_value_is_refused(value: object) -> None:
    found = read(value=value)
    assert isinstance(found, RowError)
    assert found.reason.startswith("value: ")


def test_blank_space_around_texts_says_nothing_and_a_blank_name_is_no_name() -> None:
    assert taken(question="  How hot?\n", answer=" 40 °C. ", who=" Ann ") == taken()
    assert taken(who="  ").who is taken(who=None).who is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metric": "faithfulness", "answer": None}, "answer: holds no word, and faithfulness is judged by it"),
        ({"metric": "faithfulness", "contexts": []}, "contexts: holds no word"),
        ({"metric": "faithfulness", "contexts": ["…", " "]}, "contexts: holds no word"),
        ({"metric": "relevancy", "question": "?"}, "question: holds no word"),
        ({"metric": "context_recall", "ideal": None}, "ideal: holds no word"),
        ({"metric": "context_precision", "contexts": None}, "contexts: holds no word"),
        ({"metric": "correctness"}, "metric: Input should be 'faithfulness', 'relevancy'"),
        ({"metric": 3}, "metric: "),
        ({"question": None}, "question: Field required"),
        ({"contexts": "It is 40 °C."}, "contexts: Input should be a valid list"),
        ({"contexts": [1]}, "contexts.0: "),
        ({"who": "a" * 161}, "who: "),
        ({"answer": "40\x00"}, "holds a NUL character"),
        ({"context": ["It is 40 °C."]}, 'unknown key "context"; did you mean "contexts"?'),
        ({"Value": 1}, 'unknown key "Value"; did you mean "value"?'),
    ],
)
def test_what_is_wrong_with_a_line_is_named(changes: dict[str, Any], reason: str) -> None:
    found = read(**changes)
    assert isinstance(found, RowError)
    assert reason in found.reason


def test_everything_that_is_wrong_is_named_at_once() -> None:
    found = read(metric="recall", value=7, contexts="text")
    assert isinstance(found, RowError)
    assert [reason.partition(":")[0] for reason in found.reason.split("; ")] == ["metric", "contexts", "value"]


def test_keys_that_mean_nothing_here_are_ignored() -> None:
    assert taken(id="j-1", reviewed_at="2026-01-01") == taken()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{not json", "is not JSON"),
        (b'["a list"]', "is not a JSON object; write one object per line, such as {"),
        (b'"text"', "is not a JSON object"),
        ('{"question": "Wie heiß?"}'.encode("latin-1"), "is not UTF-8 (position 22)"),
        (b'{"question": "q", "value": NaN}', "is not JSON"),
        (b'{"question": "\\ud800"}', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_object_is_refused(raw: bytes, reason: str) -> None:
    assert reason in refused(raw)


def test_the_example_in_the_message_can_be_read() -> None:
    example = refused(b"[]").partition("such as ")[2].replace("…", "some words")
    assert isinstance(read_judgement(1, example.encode()), HumanJudgement)


# ── identity ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_person_on_the_same_thing_has_one_id_whatever_they_think() -> None:
    assert taken(value=0).id == taken(value=1).id
    assert taken(value=0).id == taken(value=0, ideal="something else").id  # faithfulness is not judged by it


@pytest.mark.parametrize(
    "changes",
    [
        {"who": "Bob"},
        {"who": None},
        {"question": "How cold?"},
        {"answer": "41 °C."},
        {"contexts": ["Use oil.", "It is 40 °C."]},
        {"contexts": ["It is 40 °C.Use oil."]},
        {"metric": "relevancy"},
    ],
)
def test_another_person_or_another_thing_has_another_id(changes: dict[str, Any]) -> None:
    assert taken(**changes).id != taken().id


# ── several people ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_people_who_judged_the_same_thing_count_once_with_their_mean() -> None:
    ann, bob, cid = (taken(who=who, value=value) for who, value in (("Ann", 1), ("Bob", 0), ("Cid", 1)))
    other = taken(question="How cold?", value=0.5)
    assert pooled([ann, other, bob, cid]) == [
        ("judged_faithfulness", ann.exhibit, (1 + 0 + 1) / 3),
        ("judged_faithfulness", other.exhibit, 0.5),
    ]


def test_the_same_texts_under_two_metrics_are_two_things() -> None:
    listed: list[tuple[Metric, Exhibit, float]] = pooled(
        [taken(metric="context_precision"), taken(metric="context_recall")]
    )
    assert [metric for metric, _, _ in listed] == ["judged_context_precision", "judged_context_recall"]
