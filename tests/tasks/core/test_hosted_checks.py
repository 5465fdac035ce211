"""What a vendor would refuse, or silently spoil, is refused here: all of it, with line numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hosted_world import rows

from tasks.core.errors import InvalidTrainingFile
from tasks.core.hosted_checks import MAX_EXAMPLE_TOKENS, MAX_FILE_BYTES, problems, require_valid
from tasks.core.hosted_files import HostedFile, TokenCount, preference_file, supervised_file
from tasks.core.ports import Message
from tasks.core.preference_rows import PreferenceRow

WORDS = TokenCount(lambda text: len(text.split()), exact=True)
GOOD = supervised_file(rows())


def chat(*turns: tuple[str, object]) -> str:
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in turns]})


def pair(n: int, chosen: str = "yes", rejected: str = "no") -> PreferenceRow:
    return PreferenceRow(f"l-{n}", (Message("user", f"Question {n}?"),), chosen, rejected)


def said(*lines: str, golden: tuple[str, ...] = ()) -> list[str]:
    return [str(one) for one in problems(HostedFile(lines), "supervised", WORDS, golden)]


def test_rows_as_they_are_served_are_valid() -> None:
    require_valid(GOOD, None, "supervised", WORDS)
    assert json.loads(GOOD.lines[0])["messages"][0] == {"role": "system", "content": "Answer."}
    assert len(GOOD.lines) == 12


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ("{}", "`messages` is no list of messages"),
        (chat(("user", "a"), ("tool", "b")), "messages[1]: role 'tool' is not system, user or assistant"),
        (chat(("user", "a"), ("assistant", " ")), "messages[1]: has no text"),
        (chat(("user", "a"), ("assistant", 7)), "messages[1]: has no text"),
        (chat(("user", "a")), "the last message is the user's, not the assistant's"),
        (chat(("assistant", "a")), "do not take turns, beginning with the user: assistant"),
        (chat(("user", "a"), ("user", "b"), ("assistant", "c")), "do not take turns"),
        (chat(("user", "a"), ("system", "b"), ("assistant", "c")), "a system message stands after the first place"),
        ('{"messages": [{"role": "user", "content": "a", "name": "b"}]}', "holds name, which is not sent"),
    ],
)
def test_a_line_is_refused_by_name(line: str, problem: str) -> None:
    assert any(one.startswith("line 1: ") and problem in one for one in said(line))


def test_everything_is_said_at_once_in_the_order_of_lines() -> None:
    lines = (*GOOD.lines, "{", chat(("user", "a")), GOOD.lines[3])
    with pytest.raises(InvalidTrainingFile, match="3 problems") as raised:
        require_valid(HostedFile(lines), None, "supervised", WORDS)
    assert [text.partition(":")[0] for text in raised.value.values["problems"]] == [  # type: ignore[attr-defined]
        "training file, line 13",
        "training file, line 14",
        "training file, line 15",
    ]


def test_fewer_than_ten_examples_are_refused_but_may_validate() -> None:
    nine = HostedFile(GOOD.lines[:9])
    with pytest.raises(InvalidTrainingFile, match="9 examples; a job takes at least 10"):
        require_valid(nine, None, "supervised", WORDS)
    require_valid(supervised_file(rows(10, word="fan")), nine, "supervised", WORDS)


def test_an_example_that_would_be_cut_without_a_word_is_refused() -> None:
    around = 2 * 3 + 3  # tokens around two messages and the reply
    fits = MAX_EXAMPLE_TOKENS - around - len(("user", "assistant", "answer"))
    assert said(chat(("user", "word " * fits), ("assistant", "answer"))) == []
    [problem] = said(chat(("user", "word " * (fits + 1)), ("assistant", "answer")))
    assert "65,537 tokens" in problem


def test_without_a_tokenizer_a_long_example_names_the_setting_that_would_count_it() -> None:
    line = chat(("user", "x" * MAX_EXAMPLE_TOKENS), ("assistant", "answer"))
    [problem] = problems(HostedFile((line,)), "supervised", TokenCount())
    assert "RATCHET_HOSTED_TOKENIZER" in problem.reason


def test_a_file_over_the_limit_is_refused() -> None:
    class Huge(HostedFile):
        @property
        def content(self) -> bytes:  # a view, so that the test needs no half gigabyte
            return _Long()  # type: ignore[return-value]

    class _Long:
        def __len__(self) -> int:
            return MAX_FILE_BYTES + 1

    [problem] = problems(Huge(GOOD.lines), "supervised", WORDS)
    assert problem.reason == "536,870,913 bytes; a file holds at most 536,870,912"


def test_a_repeated_line_names_the_first_one() -> None:
    assert said(*GOOD.lines, GOOD.lines[4]) == ["line 13: repeats line 5"]


def test_rows_that_repeat_are_written_once() -> None:
    assert supervised_file([*rows(), *rows()]).lines == GOOD.lines


def test_one_prompt_with_two_answers_is_refused() -> None:
    other = chat(("user", "a"), ("assistant", "b")), chat(("user", "a"), ("assistant", "c"))
    assert said(*other) == ["line 2: asks what line 1 asks, and wants another answer"]


def test_a_golden_question_in_other_words_is_found_behind_its_passages() -> None:
    [problem] = said(*GOOD.lines, golden=("At how many bar does the pump 7 run",))
    assert problem == "line 8: asks a golden question: 'At how many bar does the pump 7 run'"
    assert said(*GOOD.lines, golden=("At how many bar does pump 700 run?",)) == []


def test_examples_of_both_files_are_refused() -> None:
    with pytest.raises(InvalidTrainingFile, match="validation file, line 1: 2 examples are in the training file too"):
        require_valid(GOOD, HostedFile(tuple(sorted(GOOD.lines[:2]))), "supervised", WORDS)


def test_preferences_are_written_as_dpo_wants_them() -> None:
    file = preference_file(pair(n) for n in range(10))
    require_valid(file, None, "dpo", WORDS)
    assert json.loads(file.lines[0]) == {
        "input": {"messages": [{"role": "user", "content": "Question 0?"}]},
        "preferred_output": [{"role": "assistant", "content": "yes"}],
        "non_preferred_output": [{"role": "assistant", "content": "no"}],
    }


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (pair(1, rejected="yes"), "prefers an answer to itself"),
        (pair(1, chosen=""), "preferred_output: has no text"),
        (replace(pair(1), prompt=()), "`input.messages` is no list of messages"),
        (replace(pair(1), prompt=(Message("assistant", "a"),)), "the last message is the assistant's, not the user's"),
    ],
)
def test_a_preference_that_teaches_nothing_is_refused(row: PreferenceRow, problem: str) -> None:
    assert any(problem in str(one) for one in problems(preference_file([row]), "dpo", WORDS))


def test_preferences_of_more_than_one_turn_are_refused() -> None:
    turns = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    [problem] = problems(preference_file([replace(pair(1), prompt=turns)]), "dpo", WORDS)
    assert problem.reason.startswith("input.messages: more than one turn")


def test_one_question_with_its_answers_the_other_way_round_is_refused() -> None:
    [problem] = problems(preference_file([pair(1), pair(2), pair(1, "no", "yes")]), "dpo", WORDS)
    assert str(problem) == "line 3 (l-1): prefers the answer to which line 1 prefers the other"


def test_a_golden_question_is_found_in_a_preference_too() -> None:
    [problem] = problems(preference_file([pair(1), pair(2)]), "dpo", WORDS, ("question 2",))
    assert str(problem) == "line 2 (l-2): asks a golden question: 'question 2'"


def test_a_line_never_holds_what_some_reader_takes_for_a_line_break() -> None:
    [line] = supervised_file([replace(rows()[0], completion="one\u2028two\x85three")]).lines
    assert line.splitlines() == [line]
    assert json.loads(line)["messages"][-1]["content"] == "one\u2028two\x85three"


def test_equal_content_has_one_hash_and_other_content_another() -> None:
    assert GOOD.sha == supervised_file(rows()).sha != supervised_file(rows(13)).sha


def test_a_problem_names_the_label_to_take_out() -> None:
    file = preference_file([*(pair(n) for n in range(12)), replace(pair(1, "no", "yes"), label_id="p-9")])
    with pytest.raises(
        InvalidTrainingFile, match=r"line 13 \(p-9\): prefers .* line 2 .*`ratchet labels review --reject ID`"
    ):
        require_valid(file, None, "dpo", WORDS)
