"""How like the ideal answer an answer is."""

import re
import string
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from evaluation_fakes import declines, golden_label, says
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.answers import Answer
from tasks.core.labels import Label
from tasks.core.metrics.likeness import (
    NO_FACTS,
    NO_NUMBERS,
    common_subsequence,
    exact_match,
    figures,
    key_facts,
    numbers,
    rouge_l,
    token_f1,
)
from tasks.core.metrics.matching import squad_tokens
from tasks.core.metrics.score import IS_UNANSWERABLE, Score

LABEL_1 = golden_label(1)
LABEL = replace(
    LABEL_1, question="How hard does the Halden 300 press?", answer="It runs at up to 42 bar.", facts=("42 bar",)
)

Likeness = Callable[[Label, Answer], Score]
ALL: tuple[Likeness, ...] = (exact_match, token_f1, rouge_l, numbers, key_facts)


def scored(metric: Likeness, text: str, ideal: str = LABEL.answer) -> Score:
    label = replace(LABEL, answer=ideal)
    return metric(label, says(LABEL_1, text))


@pytest.mark.parametrize("metric", ALL)
def test_where_no_page_answers_no_answer_is_like_the_ideal_one(metric: Likeness) -> None:
    hopeless = replace(LABEL, unanswerable=True)
    assert metric(hopeless, says(LABEL_1, "42 bar")) == metric(hopeless, declines(LABEL_1)) == IS_UNANSWERABLE


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("text", ["The handbook does not say.", LABEL.answer])
def test_declining_what_a_page_answers_is_like_nothing_whatever_its_words(metric: Likeness, text: str) -> None:
    assert metric(LABEL, replace(declines(LABEL_1), text=text)) == 0.0


@pytest.mark.parametrize(
    ("text", "ideal", "same"),
    [
        ("It runs at up to 42 bar.", "it runs at up to 42 bar", 1),
        ("The pump!", "a pump", 1),
        ("An oil", "the oil.", 1),
        ("42-bar pump", "42 bar pump", 0),  # as SQuAD: a hyphen joins
        ("It runs at 42 bar.", "It runs at up to 42 bar.", 0),
        ("", "the", 1),
        ("🙂", "pump", 0),
    ],
)
def test_exact_match_is_that_of_squad(text: str, ideal: str, same: int) -> None:
    assert scored(exact_match, text, ideal) == same


def test_token_f1_is_the_harmonic_mean_of_words_shared() -> None:
    assert scored(token_f1, "It runs at 42 bar.") == 2 * 5 / (5 + 7)
    assert scored(token_f1, "42 42 bar") == 2 * 2 / (3 + 7)  # each as often as it occurs
    assert scored(token_f1, "Tea at four.") == pytest.approx(2 * 1 / (3 + 7))


@settings(deadline=None)
@given(st.text(st.sampled_from("aAn the.,-'’[]1éß\t\n"), max_size=60))
def test_words_are_normalised_as_the_squad_script_does(text: str) -> None:
    bare = re.sub(r"\[\d{1,3}(?:\s*,\s*\d{1,3})*\]", " ", text).lower()
    unpunctuated = "".join(letter for letter in bare if letter not in set(string.punctuation))
    assert squad_tokens(text) == re.sub(r"\b(a|an|the)\b", " ", unpunctuated).split()


def test_rouge_l_is_the_longest_common_subsequence_over_both_lengths() -> None:
    assert scored(rouge_l, "It runs at 42 bar.") == 2 * 5 / (5 + 7)
    assert scored(rouge_l, "bar 42 at runs it") == 2 * 1 / (5 + 7)
    assert scored(rouge_l, "It runs, always, at 42 bar. [1, 2]") == 2 * 5 / (6 + 7)
    assert scored(rouge_l, "!") == 0.0


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from("abcd"), max_size=12), st.lists(st.sampled_from("abcd"), max_size=12))
def test_the_longest_common_subsequence_is_that_of_the_recursion(one: list[str], other: list[str]) -> None:
    @cache
    def longest(i: int, j: int) -> int:
        if i == len(one) or j == len(other):
            return 0
        if one[i] == other[j]:
            return 1 + longest(i + 1, j + 1)
        return max(longest(i + 1, j), longest(i, j + 1))

    assert common_subsequence(one, other) == longest(0, 0)


@settings(deadline=None)
@given(st.text(st.sampled_from("ab1 .,é"), max_size=40), st.text(st.sampled_from("ab1 .,é"), max_size=40))
def test_rouge_l_is_symmetric_and_1_for_the_same_words(one: str, other: str) -> None:
    assert scored(rouge_l, one, other) == scored(rouge_l, other, one)
    assert scored(rouge_l, one, one) == (1.0 if re.search(r"\w", one) else 0.0)


@pytest.mark.parametrize(
    ("text", "ideal", "agree"),
    [
        ("42 bar at most.", "Up to 42 bar.", 1),
        ("42 bar and 42 bar", "Up to 42 bar.", 1),  # how often does not matter
        ("42 bar, 18 litres", "Up to 42 bar.", 0),  # one too many
        ("It runs.", "Up to 42 bar.", 0),
        ("-42 bar", "42 bar", 0),
        ("2,50 kg", "2.5 kg", 1),
        ("1,240 degrees", "1240 degrees", 1),
        ("four parts", "4 parts", 1),
        ("The Halden 300 runs at 42 bar.", "42 bar", 1),  # 300 is the question's
        ("42 bar [1, 2]", "42 bar", 1),  # nor are markers numbers
        ("9" * 400, "42 bar", 0),
    ],
)
def test_numbers_agree_when_they_are_the_ideal_answers_and_no_others(text: str, ideal: str, agree: int) -> None:
    assert scored(numbers, text, ideal) == agree


def test_without_numbers_on_either_side_there_is_nothing_to_agree_on() -> None:
    assert scored(numbers, "It is blue.", "Blue.") == NO_NUMBERS
    assert numbers(replace(LABEL, answer="Blue."), declines(LABEL_1)) == NO_NUMBERS
    assert scored(numbers, "It is 7 blue.", "Blue.") == 0.0


def test_figures_have_one_spelling() -> None:
    assert figures("−20 °C, 1’240.50 and sixteen") == {"-20", "1240.5", "16"}


def test_key_facts_are_counted() -> None:
    label = replace(LABEL, facts=("42 bar", "90 °C", "blue"))
    assert key_facts(label, says(LABEL_1, "A blue 42-bar washer.")) == 2 / 3
    assert key_facts(replace(label, facts=()), says(LABEL_1, "A blue one.")) == NO_FACTS
