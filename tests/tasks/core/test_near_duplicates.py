from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.near_duplicates import same_question, same_question_pairs, wording


def same(a: str, b: str) -> bool:
    return same_question(wording(a), wording(b))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("What pressure does the Halden 300 run at?", "what pressure does the halden 300 run at"),
        ("What pressure does the Halden 300 run at?", "What  pressure does Halden 300 run at ?!"),
        ("Who’s on call at night?", "Whos on call at night?"),
        ("What pressure does the Halden run at?", "What pres\u00adsure does the Hal\u200bden run at?\ufeff"),
        ("How many hours does one full tank last in winter?", "How many hours does one full tank last in winters?"),
        ("And which fluid does the pump in the hall need?", "And what fluid does the pump in the hall needs?"),
    ],
)
def test_case_punctuation_articles_and_an_ending_do_not_make_another_question(a: str, b: str) -> None:
    assert same(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("What pressure does the Halden 300 run at?", "At what pressure does a Halden 300 run?"),
        ("What pressure does the Halden 300 run at?", "What presure does the Halden 300 run at?"),
        ("How long does the warranty last in winter?", "In winter, how long does the waranty last?"),
        (
            "How often is the filter of the pump cleaned?",
            "Can you tell me how often the filter of the pump is cleaned?",
        ),
        ("Who may open the valve of the boiler?", "Who can open the valve of a boiler?"),
        ("which oil does the gearbox take in winter?", "in winter, which oil does the geerbox take?"),
    ],
)
def test_a_phrase_moved_a_small_word_changed_or_a_word_misspelt_is_the_same_question(a: str, b: str) -> None:
    assert same(a, b)
    assert same(b, a)


LONG = "please tell me, for the yearly inspection in the northern warehouse that is due at the end of the month, "


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("what pressure does the Halden 300 run at?", "what pressure does the Halden 500 run at?"),
        ("how hot may the Halden get?", "how hot may the Hilden get?"),
        ("may the pump run dry?", "may the pump not run dry?"),
        ("is it rated for 4.2 bar?", "is it rated for 42 bar?"),
        ("does it stand 5 °C?", "does it stand -5 °C?"),
        ("does it stand 5 °C?", "does it stand 5 °F?"),
        ("can it be written in C++?", "can it be written in C#?"),
        ("is the red lamp above the green lamp?", "is the green lamp above the red lamp, Sir?"),
        ("does valve A feed valve B?", "does valve B feed valve A?"),
        ("what is its maximum pressure?", "what is its minimum pressure?"),
        ("is it checked in may?", "is it checked in march?"),
        ("is it rinsed before use?", "is it rinsed after use?"),
        ("who may open it?", "when may one open it?"),
        ("who must open it?", "who may open it?"),
        ("how long is it from the tank to the boiler?", "how long is it from the boiler to the tank?"),
        ("is it opened before the pump is started?", "is the pump started before it is opened?"),
        ("does the pump feed the valve?", "does the valve feed the pump?"),
        ("who signs for the travel costs of a team?", "who signs for the training costs of a team?"),
        ("how wide is the inlet of the pump in the hall?", "how wide is the outlet of the pump in the hall?"),
    ],
)
def test_one_number_name_sign_letter_or_negation_makes_another_question_however_long_the_rest(a: str, b: str) -> None:
    assert not same(a, b)
    assert not same(LONG + a, LONG + b)


words = st.sampled_from(
    ["pump", "pumps", "pressure", "presure", "valve", "Halden", "300", "500", "hot", "not", "the", "runs", "at", "in"]
)


@given(st.lists(st.lists(words, min_size=1, max_size=14).map(" ".join), max_size=12))
def test_the_fast_search_finds_exactly_the_pairs_that_comparing_each_with_each_finds(texts: list[str]) -> None:
    questions = [wording(text) for text in texts]
    slow = [(i, j) for i, j in combinations(range(len(texts)), 2) if same_question(questions[i], questions[j])]
    assert sorted(same_question_pairs(questions)) == slow
