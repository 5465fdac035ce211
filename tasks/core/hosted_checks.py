"""A vendor's rules for what is trained on, and ours, checked before anything leaves: all that is wrong, at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.core.errors import InvalidTrainingFile
from tasks.core.hosted_files import OUTPUTS, HostedFile, TokenCount, messages_of, tokens_of
from tasks.core.hosted_jobs import Method
from tasks.core.near_duplicates import same_question_pairs, wording
from tasks.core.prompts import INVOCATION

MIN_EXAMPLES = 10
MAX_EXAMPLE_TOKENS = 65_536  # what is longer is cut without a word
MAX_FILE_BYTES = 512 * 1024 * 1024
SHOWN = 20  # problems in a message; `values` hold all


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line, which label it comes from where that is known; line 0 is the file."""

    line: int
    reason: str
    label: str = ""

    def __str__(self) -> str:
        of_label = f" ({self.label})" if self.label else ""
        return f"line {self.line}{of_label}: {self.reason}" if self.line else self.reason


def require_valid(
    training: HostedFile,
    validation: HostedFile | None,
    method: Method,
    tokens: TokenCount,
    golden: Sequence[str] = (),
) -> None:
    """Raises InvalidTrainingFile with every problem of both files at once. golden: its questions."""
    found = [("training file", p) for p in problems(training, method, tokens, golden)]
    if len(training.lines) < MIN_EXAMPLES:
        few = f"{len(training.lines)} examples; a job takes at least {MIN_EXAMPLES}: bring more, or train here"
        found.insert(0, ("training file", Problem(0, few)))
    if validation is not None:
        found += [("validation file", p) for p in problems(validation, method, tokens, golden)]
        both = set(training.lines) & set(validation.lines)
        if both:
            line = validation.lines.index(min(both)) + 1
            reason = f"{len(both)} examples are in the training file too"
            found.append(("validation file", _naming(validation, Problem(line, reason))))
    if found:
        said = [f"{where}, {problem}" for where, problem in found]
        more = f"; and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
        raise InvalidTrainingFile(
            f"{len(said)} problems in what would be uploaded, and nothing was: {'; '.join(said[:SHOWN])}{more}."
            f"{_advice(one for _, one in found)}",
            problems=tuple(said),
        )


def problems(file: HostedFile, method: Method, tokens: TokenCount, golden: Sequence[str] = ()) -> list[Problem]:
    """Everything that is wrong with a file's lines, in their order."""
    found = []
    if len(file.content) > MAX_FILE_BYTES:
        found.append(Problem(0, f"{len(file.content):,} bytes; a file holds at most {MAX_FILE_BYTES:,}"))
    valid: dict[int, Mapping[str, object]] = {}
    for number, line in enumerate(file.lines, start=1):
        example, wrong = _read(line, method)
        found += [Problem(number, reason) for reason in wrong]
        if example is not None and not wrong:
            valid[number] = example
            if (size := tokens_of(line, method, tokens)) > MAX_EXAMPLE_TOKENS:
                found.append(Problem(number, _too_long(size, tokens)))
    found += [*_repeated(file.lines), *_contradictions(valid, method), *_golden(valid, method, golden)]
    return sorted((_naming(file, one) for one in found), key=lambda one: one.line)


def _naming(file: HostedFile, problem: Problem) -> Problem:
    labels = dict(enumerate(file.made_of, start=1))
    return replace(problem, label=labels.get(problem.line, ""))


def _advice(found: Iterable[Problem]) -> str:
    lines = any(one.line for one in found)
    return " Take out what is wrong, by the id that its line has: `ratchet labels review --reject ID`." if lines else ""


def _too_long(size: int, tokens: TokenCount) -> str:
    if tokens.exact:
        return f"{size:,} tokens; what is over {MAX_EXAMPLE_TOKENS:,} would be cut without a word"
    return (
        f"up to {size:,} tokens; what is over {MAX_EXAMPLE_TOKENS:,} would be cut without a word "
        "(RATCHET_HOSTED_TOKENIZER counts exactly)"
    )


def _read(line: str, method: Method) -> tuple[Mapping[str, object] | None, list[str]]:
    try:
        example = json.loads(line)
    except json.JSONDecodeError as error:
        return None, [f"is not JSON: {error}"]
    if not isinstance(example, dict):
        return None, ["is not a JSON object"]
    if method == "supervised":
        return example, _wrong_chat(example.get("messages"), "messages", ends_with="assistant")
    given = example.get("input")
    wrong = _wrong_chat(given.get("messages") if isinstance(given, dict) else None, "input.messages", ends_with="user")
    if not wrong and sum(one["role"] == "user" for one in example["input"]["messages"]) != 1:
        wrong.append("input.messages: more than one turn; preferences are learned of one question and its answers")
    for name in OUTPUTS:
        wrong += _wrong_output(example.get(name), name)
    if not wrong and example[OUTPUTS[0]] == example[OUTPUTS[1]]:
        wrong.append("prefers an answer to itself")
    return example, wrong


def _wrong_chat(messages: object, name: str, *, ends_with: str) -> list[str]:
    if not isinstance(messages, list) or not messages:
        return [f"`{name}` is no list of messages"]
    wrong = [f"{name}[{at}]: {reason}" for at, one in enumerate(messages) for reason in _wrong_message(one)]
    if wrong:
        return wrong
    roles = [one["role"] for one in messages]
    if "system" in roles[1:]:
        wrong.append(f"{name}: a system message stands after the first place")
    turns = [role for role in roles if role != "system"]
    expected = ["user" if at % 2 == 0 else "assistant" for at in range(len(turns))]
    if turns != expected:
        wrong.append(f"{name}: user and assistant do not take turns, beginning with the user: {', '.join(roles)}")
    if roles[-1] != ends_with:
        wrong.append(f"{name}: the last message is the {roles[-1]}'s, not the {ends_with}'s")
    return wrong


def _wrong_message(message: object) -> Iterator[str]:
    if not isinstance(message, dict):
        yield "is no object"
        return
    if message.get("role") not in ("system", "user", "assistant"):
        yield f"role {message.get('role')!r} is not system, user or assistant"
    content = message.get("content")
    if not isinstance(content, str) or not content.strip():
        yield "has no text"
    if unknown := sorted(set(message) - {"role", "content"}):
        yield f"holds {', '.join(unknown)}, which is not sent"


def _wrong_output(output: object, name: str) -> list[str]:
    if not isinstance(output, list) or len(output) != 1:
        return [f"`{name}` is not one message"]
    wrong = [f"{name}: {reason}" for reason in _wrong_message(output[0])]
    if not wrong and output[0]["role"] != "assistant":
        wrong.append(f"{name}: is the {output[0]['role']}'s, not the assistant's")
    return wrong


def _repeated(lines: Sequence[str]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if first.setdefault(line, number) != number:
            yield Problem(number, f"repeats line {first[line]}")


def _contradictions(examples: Mapping[int, Mapping[str, object]], method: Method) -> Iterator[Problem]:
    """The same prompt with another answer, or with the same two answers the other way round, teaches neither."""
    if method == "dpo":
        yield from _turned_round(examples)
        return
    first: dict[str, tuple[int, str]] = {}
    for number, example in examples.items():
        *prompt, last = messages_of(example, method)
        at, answer = first.setdefault(json.dumps(prompt), (number, last["content"]))
        if answer != last["content"]:
            yield Problem(number, f"asks what line {at} asks, and wants another answer")


def _turned_round(examples: Mapping[int, Mapping[str, object]]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for number, example in examples.items():
        prompt, answers = example["input"], [example[name] for name in OUTPUTS]
        if at := first.get(json.dumps([prompt, *reversed(answers)])):
            yield Problem(number, f"prefers the answer to which line {at} prefers the other")
        first.setdefault(json.dumps([prompt, *answers]), number)


def _golden(examples: Mapping[int, Mapping[str, object]], method: Method, golden: Sequence[str]) -> Iterator[Problem]:
    if not golden:
        return
    numbers = list(examples)
    asked = [_question(examples[number], method) for number in numbers]
    leaks: dict[int, str] = {}
    for i, j in same_question_pairs([wording(text) for text in (*asked, *golden)]):
        if i < len(asked) <= j:
            leaks.setdefault(numbers[i], golden[j - len(asked)])
    for number, question in leaks.items():
        yield Problem(number, f"asks a golden question: {question!r}")


def _question(example: Mapping[str, object], method: Method) -> str:
    asked = [one["content"] for one in messages_of(example, method) if one["role"] == "user"][-1]
    return asked.rpartition(INVOCATION)[2].strip()
