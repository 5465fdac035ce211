import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.metrics.matching import normalised, numbers, says, sentences, squad_tokens, supports, token_f1


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("The Halden 300 runs at up to 42 bar. [2]", "42 bar"),
        ("It runs at 42bar.", "42 bar"),
        ("A 42-bar pump.", "42 bar"),
        ("It reaches 1,240 degrees.", "1240 degrees"),
        ("It reaches 1240 degrees.", "1,240 degrees"),
        ("It reaches 1\u202f240 degrees.", "1240 degrees"),
        ("Store it below 20°C.", "20 ° C"),
        ("USE GRADE  46 oil.", "grade 46"),
        ("It holds −20 °C.", "-20 °C"),
        ("Warranty: 24 months.", "24 months."),
    ],
)
def test_a_fact_is_found_whatever_its_spelling(text: str, fact: str) -> None:
    assert says(text, fact)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("It runs at 142 bar.", "42 bar"),
        ("It runs at 4.2 bar.", "2 bar"),
        ("It runs at 42 barrels.", "42 bar"),
        ("It weighs 42.5 kg.", "42"),
        ("It holds -20 °C.", "20 °C"),
        ("The answer stands in the passage. [2]", "2"),
        ("It costs 1,240 crowns.", "240 crowns"),
        ("anything", ""),
        ("anything", " . "),
    ],
)
def test_a_piece_of_another_number_or_word_is_not_the_fact(text: str, fact: str) -> None:
    assert not says(text, fact)


def test_a_decimal_comma_is_no_thousands_separator() -> None:
    assert normalised("0,125 mm") == "0,125 mm"
    assert normalised("1,500,000 km") == "1500000 km"


def test_markers_are_no_part_of_what_is_said() -> None:
    assert normalised("It runs. [1] It stops. [2, 13]") == "it runs. it stops."
    assert numbers("42 bar [1, 2]") == {"42": 1}
    assert squad_tokens("It runs. [1, 2]") == ["it", "runs"]
    assert normalised("Between [1000, 2000] bar") == "between [1000, 2000] bar"


def test_numbers_of_names_with_letters_do_not_count() -> None:
    assert numbers("The H2 pump 300 runs at 42.5 bar, not -3. [1]") == {"300": 1, "42.5": 1, "-3": 1}


def test_tokens_are_compared_as_squad_does() -> None:
    assert squad_tokens("The pump's oil, a grade-46!") == ["pumps", "oil", "grade46"]
    assert token_f1("The cat sat.", "a cat sat down") == 2 * 2 / (2 + 3)
    assert token_f1("", "") == 1.0
    assert token_f1("", "cat") == 0.0


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_f1_is_symmetric_and_between_0_and_1(a: str, b: str) -> None:
    assert 0 <= token_f1(a, b) == token_f1(b, a) <= 1


@settings(deadline=None)
@given(st.text("ab19 -.,'°", max_size=40))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


def test_support_is_the_share_of_facts_or_the_best_sentence() -> None:
    page = "Pump 300 stands on a plinth. Pump 300 runs at up to 42 bar."
    assert supports(page, "", ("42 bar", "60 bar")) == 1 / 2
    assert supports(page, "Pump 300 runs at 42 bar.", ()) == 1.0
    assert supports(page, "Pump 300 runs at 60 bar.", ()) == 0.0
    assert supports("", "Pump 300 runs at 42 bar.", ()) == 0.0


def test_a_line_ends_a_sentence_and_an_abbreviation_does_not() -> None:
    assert sentences("Limits\nIt runs at 4.2 bar, e.g. Warm. Then stop.") == [
        "Limits",
        "It runs at 4.2 bar, e.g. Warm.",
        "Then stop.",
    ]
