import json

import pytest

from tasks.core.label_rows import LabelRow, RowError, page_uri, read_row
from tasks.core.labels import label_id
from tasks.core.ports import Message


def read(**row: object) -> LabelRow | RowError:
    return read_row(7, json.dumps(row).encode())


def good(**row: object) -> LabelRow:
    found = read(**row)
    assert isinstance(found, LabelRow), found
    return found


def reason(raw: bytes) -> str:
    found = read_row(7, raw)
    assert isinstance(found, RowError)
    assert found.line == 7
    return found.reason


def test_a_question_row_with_everything() -> None:
    row = good(
        question=" How hot? ",
        answer="Up to 60 °C. [2]",
        documents=["./a\\b.md", "file:///srv/c.md"],
        facts=["60 °C"],
        split="golden",
        supersedes=True,
    )
    assert row == LabelRow(7, "How hot?", "Up to 60 °C.", ("/srv/c.md", "a/b.md"), ("60 °C",), False, "golden", True)


def test_a_chat_row_keeps_the_whole_conversation_and_asks_its_last_question() -> None:
    turns = [("developer", "Be brief."), ("user", "Is the Halden sold?"), ("assistant", "Yes."), ("user", "And hot?")]
    row = good(messages=[{"role": r, "content": c} for r, c in [*turns, ("assistant", "It is. [1]")]])
    assert (row.question, row.answer) == ("And hot?", "It is.")
    assert row.messages[0] == Message("system", "Be brief.")
    assert len(row.messages) == 5
    assert row.asked == "Is the Halden sold?\nYes.\nAnd hot?"


def test_a_chat_row_may_hold_its_texts_in_parts_and_other_keys_of_the_vendor() -> None:
    parts = [{"type": "text", "text": "How "}, {"type": "text", "text": "hot?"}]
    turns = [{"role": "user", "content": parts}, {"role": "assistant", "content": "60 °C", "weight": 1}]
    assert good(messages=turns, tools=[], parallel_tool_calls=False).question == "How hot?"


def test_a_prompt_row() -> None:
    row = good(prompt="How hot?", completion=" 60 °C\n")
    assert (row.question, row.answer) == ("How hot?", "60 °C")


def test_the_same_label_has_the_same_id_in_every_shape() -> None:
    turns = [{"role": "user", "content": "How hot?"}, {"role": "assistant", "content": "60 °C [1]"}]
    ids = {
        good(question="How  hot?", answer="60 °C").id,
        good(prompt="How hot?", completion="60 °C [3]").id,
        good(messages=turns).id,
    }
    assert ids == {label_id("How hot?", "60 °C", [])}
    assert label_id("How hot?", "60 °C", ["a.md"]) not in ids


def test_earlier_turns_are_part_of_what_was_asked() -> None:
    def talk(about: str) -> LabelRow:
        said = [("user", about), ("assistant", "Yes."), ("user", "Really?"), ("assistant", "Yes.")]
        return good(messages=[{"role": r, "content": c} for r, c in said])

    assert talk("Is it hot?").id != talk("Is it cold?").id


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"question": "caf\xe9", "answer": "x"}', "not UTF-8 (byte 0xe9 at position 18); save the file as UTF-8"),
        (b'{"question": "a"', "is not JSON: EOF"),
        (b"question,answer", "is not JSON"),
        (b"[" * 100_000, "is not JSON: recursion limit"),
        (b'{"question": "\\ud800?", "answer": "x"}', "is not JSON"),
        (b'[{"question": "a"}]', "not a JSON object; write one object per line"),
        (b'"text"', "not a JSON object"),
        (b"{}", 'has none of "question" with "answer"'),
        (b'{"question": "a", "messages": []}', "mixes several"),
        (b'{"question": "a"}', "answer: Field required"),
        (b'{"question": 5, "answer": "b"}', "question: Input should be a valid string"),
        (b'{"question": "?!", "answer": "b"}', "question: holds no word"),
        (b'{"question": "a", "answer": " [2] "}', "answer: is empty"),
        (b'{"question": "a", "answer": "b\\u0000"}', "NUL"),
        (b'{"question": "a", "answer": "b", "documents": "a.md"}', "documents: Input should be a valid list"),
        (b'{"question": "a", "answer": "b", "documents": [" "]}', "must not be empty"),
        (
            b'{"question": "a", "answer": "b", "document": ["a.md"]}',
            'unknown key "document"; did you mean "documents"?',
        ),
        (
            b'{"question": "a", "answer": "b", "split": "test"}',
            "split: Input should be 'train', 'validation' or 'golden'",
        ),
        (b'{"question": "a", "answer": "b", "unanswerable": "yes"}', "unanswerable: Input should be a valid boolean"),
        (b'{"question": "a", "answer": "42 bar", "facts": ["43 bar"]}', "the answer itself does not contain '43 bar'"),
        (
            b'{"question": "a", "answer": "no", "facts": ["no"], "unanswerable": true}',
            "an unanswerable question has none",
        ),
        (b'{"messages": [{"role": "user", "content": "a"}]}', "at least 2 items"),
        (
            b'{"messages": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]}',
            "the last two turns must be",
        ),
        (b'{"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]}', "messages.1.role"),
    ],
)
def test_a_wrong_row_says_what_is_wrong(raw: bytes, expected: str) -> None:
    assert expected in reason(raw)


def test_everything_that_is_wrong_with_a_row_is_said_at_once() -> None:
    said = reason(b'{"question": "?", "answer": "", "fact": []}')
    assert all(word in said for word in ("holds no word", "answer: is empty", 'did you mean "facts"'))


def test_a_page_may_be_written_with_its_folder_in_front() -> None:
    known = frozenset({"pumps/a.md", "index.md"})
    for written in ("pumps/a.md", "handbook/pumps/a.md", "/srv/handbook/pumps/a.md"):
        assert page_uri(written, known, ["/srv/handbook/"]) == "pumps/a.md"
    assert page_uri("pumps/index.md", known, ["/srv/handbook"]) == "pumps/index.md"  # not the index of the root
    assert page_uri("s3://bucket/docs/pumps/a.md", known, ["s3://bucket/docs"]) == "pumps/a.md"
