"""Whether passages say what a sentence claims: a table written by hand, and what the rule is known not to see."""

import json
import re
from pathlib import Path

import pytest

from tasks.core.metrics.entailment import ENTAILED, entailment, entails

# passage → claims as a person reads them: supported, paraphrased; negated, another number or name, two sentences mixed
SAID = ("supported", "paraphrase")
TABLE: dict[str, dict[str, list[str]]] = {
    "Halden 300 > Limits\n"
    "The Halden 300 runs at up to 42 bar and delivers 18 litres of water per minute. "
    "Never let it run dry. "
    "Its frame is made of galvanised steel.": {
        "supported": [
            "The Halden 300 runs at up to 42 bar.",
            "The frame of the Halden 300 is made of galvanised steel.",
            "It delivers 18 litres per minute.",
        ],
        "paraphrase": [
            "The Halden 300 must not run dry.",
            "Up to 42 bar is what the Halden 300 runs at.",
        ],
        "negated": [
            "The Halden 300 does not run at 42 bar.",
            "The frame of the Halden 300 is not made of galvanised steel.",
            "You may let the Halden 300 run dry.",
        ],
        "number": [
            "The Halden 300 runs at up to 45 bar.",
            "It delivers 42 litres of water per minute.",
        ],
        "name": [
            "The Skerry 300 runs at up to 42 bar.",
            "The frame of the Brisk is made of galvanised steel.",
        ],
        "unrelated": [
            "The kitchen opens at seven in the morning.",
        ],
    },
    "Control panel > Lights\n"
    "A steady green light on the panel means that the machine is ready. "
    "A steady red light on the panel means that the emergency stop is pressed. "
    "A flashing red light on the panel means that the motor is too hot.": {
        "supported": ["A flashing red light on the panel means that the motor is too hot."],
        "paraphrase": ["When a steady green light is on, the machine is ready."],
        "mixed": [
            "A steady red light on the panel means that the machine is ready.",
            "A steady green light on the panel means that the motor is too hot.",
        ],
    },
    "Fire drill > Assembly points\n"
    "Workshop staff gather on the football field. "
    "Office staff gather at the flagpole. "
    "Everybody returns when the whistle is blown.": {
        "supported": ["Office staff gather at the flagpole."],
        "paraphrase": ["Office staff gather at the flagpole and workshop staff on the football field."],
        "mixed": ["Workshop staff gather at the flagpole.", "Office staff gather on the football field."],
    },
    "Annual leave > Carrying over\n"
    "Unused leave may be carried over until 31 March of the following year. "
    "Leave that is not taken by then expires. "
    "Managers approve requests within 5 working days.": {
        "supported": [
            "Unused leave may be carried over until 31 March of the following year.",
            "Managers approve requests within five working days.",
        ],
        "paraphrase": [
            "You can carry over unused leave until 31 March.",
            "Requests are approved by managers within 5 working days.",
            "Leave not taken by 31 March expires.",
        ],
        "negated": [
            "Unused leave may not be carried over until 31 March.",
            "Managers never approve requests within 5 working days.",
        ],
        "number": [
            "Unused leave may be carried over until 30 April.",
            "Managers approve requests within 10 working days.",
        ],
        "name": [
            "Unused leave may be carried over until 31 May.",
        ],
        "unrelated": [
            "Parking permits are issued by the front desk.",
        ],
    },
    "Brannock kiln > Firing\n"
    "The Brannock kiln reaches 1,240 degrees after six hours. "
    "It cools overnight. "
    "Do not open the lid above 100 degrees.": {
        "supported": [
            "The Brannock kiln reaches 1240 degrees after 6 hours.",
            "The kiln cools overnight.",
        ],
        "paraphrase": [
            "After six hours the kiln has reached 1,240 degrees.",
            "The lid must not be opened above 100 degrees.",
        ],
        "negated": [
            "The Brannock kiln never reaches 1,240 degrees.",
            "Open the lid above 100 degrees.",
            "The kiln doesn't cool overnight.",
        ],
        "number": [
            "The Brannock kiln reaches 1,420 degrees after six hours.",
            "The Brannock kiln reaches 1,240 degrees after four hours.",
        ],
        "name": [
            "The Tolley kiln reaches 1,240 degrees after six hours.",
        ],
        "unrelated": [
            "The glaze is mixed with two parts of water.",
        ],
    },
    "Expenses > Travel\n"
    "Greta Lund signs travel expenses above 500 euros. "
    "Receipts are kept for seven years. "
    "First-class tickets are not reimbursed.": {
        "supported": [
            "Greta Lund signs travel expenses above 500 euros.",
            "Receipts are kept for 7 years.",
            "First-class tickets are not reimbursed.",
        ],
        "paraphrase": [
            "Travel expenses above 500 euros are signed by Greta Lund.",
            "Tickets in first class are never reimbursed.",
            "Keep receipts for seven years.",
        ],
        "negated": [
            "First-class tickets are reimbursed.",
            "Greta Lund does not sign travel expenses above 500 euros.",
            "Receipts are not kept for seven years.",
        ],
        "number": [
            "Greta Lund signs travel expenses above 5,000 euros.",
            "Receipts are kept for ten years.",
        ],
        "name": [
            "Henrik Voss signs travel expenses above 500 euros.",
            "Travel expenses above 500 euros are signed by Mara Lund.",
        ],
        "unrelated": [
            "The shuttle bus leaves from the north gate.",
        ],
    },
    "Osmund ferry > Timetable\n"
    "The Osmund ferry leaves at 07:15 on weekdays and at 09:30 on Sundays. "
    "It carries 38 cars. "
    "Dogs travel free of charge.": {
        "supported": [
            "The Osmund ferry leaves at 07:15 on weekdays.",
            "The ferry carries 38 cars.",
            "Dogs travel free of charge.",
        ],
        "paraphrase": [
            "On Sundays the Osmund ferry leaves at 09:30.",
            "Dogs are allowed to travel free of charge on the ferry.",
        ],
        "negated": [
            "The Osmund ferry does not leave at 07:15 on weekdays.",
            "Dogs do not travel free of charge.",
        ],
        "number": [
            "The ferry carries 83 cars.",
            "The Osmund ferry leaves at 07:45 on weekdays.",
        ],
        "name": [
            "The Aldmoor ferry leaves at 07:15 on weekdays.",
            "The Osmund ferry leaves at 07:15 on Saturdays.",
        ],
        "unrelated": [
            "The bridge was closed for repairs after the storm.",
        ],
    },
    "API > Rate limits\n"
    "Each key may send 600 requests per minute. "
    "Requests beyond that are answered with status 429. "
    "The header Retry-After says how many seconds to wait.": {
        "supported": [
            "Each key may send 600 requests per minute.",
            "Requests beyond 600 per minute are answered with status 429.",
        ],
        "paraphrase": [
            "Retry-After is the header that says how many seconds to wait.",
            "A key may send at most 600 requests a minute.",
        ],
        "negated": [
            "A key may not send 600 requests per minute.",
            "Requests beyond that are not answered with status 429.",
        ],
        "number": [
            "Requests beyond that are answered with status 503.",
            "Each key may send 60 requests per minute.",
        ],
        "name": [
            "The header X-Wait says how many seconds to wait.",
        ],
        "unrelated": [
            "Webhooks are signed with a shared secret.",
        ],
    },
    "Storage > Solvents\n"
    "Solvents are stored in the yellow cabinet on floor 2. "
    "The cabinet must stay locked. "
    "No more than 20 litres may be kept there.": {
        "supported": [
            "Solvents are stored in the yellow cabinet on floor 2.",
            "The cabinet must stay locked.",
        ],
        "paraphrase": [
            "The yellow cabinet on floor 2 is where solvents are stored.",
            "At most 20 litres may be kept in the cabinet.",
            "Keep the solvents cabinet locked.",
        ],
        "negated": [
            "The cabinet must not stay locked.",
            "Solvents are not stored in the yellow cabinet.",
        ],
        "number": [
            "Solvents are stored in the yellow cabinet on floor 3.",
            "No more than 25 litres may be kept there.",
        ],
        "unrelated": [
            "Forklift drivers renew their licence each spring.",
        ],
    },
    "Warranty\n"
    "The warranty lasts 24 months from delivery. "
    "It does not cover wear parts such as seals and hoses. "
    "Claims are sent to service@halden.example.": {
        "supported": [
            "The warranty lasts 24 months from delivery.",
            "The warranty does not cover wear parts.",
        ],
        "paraphrase": [
            "Wear parts such as hoses are not covered by the warranty.",
            "From delivery on, the warranty lasts for 24 months.",
        ],
        "negated": [
            "The warranty covers wear parts such as seals and hoses.",
            "The warranty does not last 24 months from delivery.",
        ],
        "number": [
            "The warranty lasts 36 months from delivery.",
            "The warranty lasts 2.4 months from delivery.",
        ],
        "name": [
            "Claims are sent to service@skerry.example.",
        ],
        "unrelated": [
            "Seals are pressed from nitrile rubber in Aldmoor.",
        ],
    },
    "Backups > Schedule\n"
    "A full backup runs every Sunday at 02:00. "
    "Between Sundays only changes are saved. "
    "Backups are kept for 90 days and then deleted. "
    "Restoring does not require a restart.": {
        "supported": [
            "A full backup runs every Sunday at 02:00.",
            "Backups are kept for 90 days.",
        ],
        "paraphrase": [
            "Every Sunday at 02:00 a full backup is run.",
            "After 90 days backups are deleted.",
            "No restart is required for restoring.",
        ],
        "negated": [
            "Backups are not deleted after 90 days.",
            "Restoring requires a restart.",
        ],
        "number": [
            "Backups are kept for 9 days.",
            "A full backup runs every Sunday at 20:00.",
        ],
        "name": [
            "A full backup runs every Friday at 02:00.",
        ],
        "unrelated": [
            "Passwords expire when an account is closed.",
        ],
    },
    "Tolley orchard > Harvest\n"
    "Pickers at Tolley orchard start with the Redwing pears in late August. "
    "The apples follow in September. "
    "Ladders longer than 4 metres are not allowed.": {
        "supported": [
            "Pickers at Tolley orchard start with the Redwing pears in late August.",
            "Ladders longer than 4 metres are not allowed.",
        ],
        "paraphrase": [
            "The apples follow the Redwing pears in September.",
            "At Tolley orchard, picking starts in late August with Redwing pears.",
            "You are not allowed to use ladders longer than 4 metres.",
        ],
        "negated": [
            "Pickers do not start with the Redwing pears.",
            "Ladders longer than 4 metres are allowed.",
        ],
        "number": [
            "Ladders longer than 6 metres are not allowed.",
        ],
        "name": [
            "Pickers at Tolley orchard start with the Marlow pears in late August.",
            "The apples follow in October.",
        ],
        "unrelated": [
            "Bees are kept behind the old cider press.",
        ],
    },
}

PAIRS = [(passage, kind, one) for passage, kinds in TABLE.items() for kind, claims in kinds.items() for one in claims]
MISJUDGED = {
    "Unused leave may be carried over until 31 May.": "the name May is the word may",
    "Claims are sent to service@skerry.example.": "a name without a capital is a word among others",
}


def test_the_table_is_large_enough_to_mean_something() -> None:
    kinds = [kind for _, kind, _ in PAIRS]
    assert len(PAIRS) >= 100
    assert min(kinds.count(kind) for kind in (*SAID, "negated", "number", "name", "unrelated")) >= 10


def test_what_is_said_ranks_above_what_is_not() -> None:
    """AUROC by Mann and Whitney: the chance that a supported claim scores higher than another, ties half."""
    said = [entailment([passage], claim) for passage, kind, claim in PAIRS if kind in SAID]
    other = [entailment([passage], claim) for passage, kind, claim in PAIRS if kind not in SAID]
    wins = sum((good > bad) + (good == bad) / 2 for good in said for bad in other)
    assert wins / (len(said) * len(other)) >= 0.98


def test_at_its_threshold_it_misjudges_only_the_claims_whose_reason_is_written_here() -> None:
    wrong = {claim for passage, kind, claim in PAIRS if entails([passage], claim) != (kind in SAID)}
    assert wrong == set(MISJUDGED)


@pytest.mark.parametrize("kind", ["negated", "number", "mixed"])
def test_similar_words_do_not_make_up_for_a_negation_another_number_or_the_end_of_another_sentence(kind: str) -> None:
    assert {entailment([passage], claim) for passage, one, claim in PAIRS if one == kind} == {0.0}


@pytest.mark.parametrize(
    ("passage", "claim"),
    [
        ("The gate is open on Mondays.", "The gate is closed on Mondays."),  # antonyms: 2 of 3 words
        ("Visitors must wear a helmet.", "Visitors may wear a helmet."),  # "may" for "must"
        ("The hall seats 40 guests and the bar seats 12 guests.", "The hall seats 12 guests."),  # the unit is the same
        (
            "A steady red light means stop.",
            "A steady violet light means stop.",
        ),  # one word of five, and it stands nowhere
        ("Postgres stores the vectors.", "Oracle stores the vectors."),  # begins the sentence, and stands nowhere
        (
            "The front tank is yellow. The rear tank is blue.",
            "The front tank is blue.",
        ),  # mixed, but of three words only
        ("Die Pumpe läuft mit 42 bar.", "Die Pumpe läuft nie mit 42 bar."),  # a negation that is not English
    ],
)
def test_known_limits_what_it_takes_for_said_and_a_reader_would_not(passage: str, claim: str) -> None:
    assert entails([passage], claim)


@pytest.mark.parametrize(
    ("passage", "claim"),
    [
        ("Staff park behind the depot.", "Employees leave their cars in the rear yard."),  # synonyms
        (
            "Water must not touch the filter, which is made of paper.",
            "The filter is made of paper.",
        ),  # of something else
        ("Never run the pump without water.", "Run the pump with water."),  # one negation cancels the other
        ("The tank holds twenty litres.", "The tank holds 20 litres."),  # numbers above sixteen in words
    ],
)
def test_known_limits_what_a_reader_would_take_for_said_and_it_does_not(passage: str, claim: str) -> None:
    assert not entails([passage], claim)


HANDBOOK = Path(__file__).parents[4] / "flows" / "demo"


def handbook_claims() -> list[tuple[list[str], str]]:
    """Ideal answers of the shipped handbook, each with the passages of its page. Nobody wrote them for this rule."""
    rows = [json.loads(line) for line in (HANDBOOK / "labels.jsonl").read_text().splitlines()]
    on_pages = [row for row in rows if not row.get("unanswerable") and row["documents"][0].endswith(".md")]
    return [(passages_of(row["documents"][0]), row["answer"]) for row in on_pages]


def passages_of(page: str) -> list[str]:
    title, *rest = (HANDBOOK / "handbook" / page).read_text().split("\n\n")
    return [f"{title}\n{one}" for one in rest]


def with_another_number(claim: str) -> str:
    return re.sub(r"(?<= )\d+(?= )", lambda number: str(int(number[0]) * 10 + 7), claim, count=1)


def test_ideal_answers_are_supported_by_their_pages_by_no_other_page_and_not_with_another_number() -> None:
    claims = handbook_claims()
    changed = [(page, other) for page, claim in claims if (other := with_another_number(claim)) != claim]
    elsewhere = [(claims[n - 40][0], claim) for n, (_, claim) in enumerate(claims)]
    assert (len(claims) > 200, len(changed) > 80) == (True, True)
    assert sum(entails(*one) for one in claims) / len(claims) >= 0.99
    assert [claim for page, claim in changed if entails(page, claim)] == []
    assert [claim for page, claim in elsewhere if entails(page, claim)] == []


# ── one rule each ────────────────────────────────────────────────────────────────────────────────────────────────────

PUMP = "Halden 300 > Limits\nIt runs at up to 42 bar. It delivers 18 litres per minute. Let it cool before you move it."


def test_it_is_the_share_of_content_words_that_the_passages_hold() -> None:
    assert entailment(["The pump is blue."], "The pump is blue and shiny.") == 2 / 3
    assert entailment(["The pump is blue."], "The pump is shiny.") == 1 / 2


def test_whose_it_is_may_be_said_in_two_ways() -> None:
    assert entailment(["The pump's frame is made of steel."], "The frame of the pump is made of steel.") == 1.0


def test_a_sentence_speaks_under_its_heading() -> None:
    assert entailment([PUMP], "The Halden 300 runs at 42 bar.") == 1.0
    assert entailment([PUMP.partition("\n")[2]], "The Halden 300 runs at 42 bar.") == 0.0


def test_sentences_of_several_passages_support_a_claim_together() -> None:
    one, other = "The Halden 300 runs at 42 bar.", "The Halden 300 weighs 30 kg."
    both = "The Halden 300 runs at 42 bar and weighs 30 kg."
    assert (entailment([one, other], both), entailment([one], both)) == (1.0, 0.0)


def test_two_clauses_may_come_from_two_sentences_that_are_built_alike_and_one_clause_may_not() -> None:
    tank = "The front tank of the pump holds 38 litres. The front tank of the pump is yellow. Its rear tank is blue."
    assert entails([tank], "The front tank of the pump holds 38 litres and is yellow.")
    assert not entails([tank.replace("Its rear", "The rear pump's")], "The front tank of the pump is blue.")


def test_a_number_of_one_thing_is_not_lent_to_another() -> None:
    assert entails([PUMP], "It delivers 18 litres.")
    assert not entails([PUMP], "It delivers 42 litres.")
    assert entails(["Keep it between 10 and 20 degrees."], "Keep it above 10 degrees.")


def test_a_name_that_begins_the_claim_counts_where_the_passages_know_it() -> None:
    shown = ["Postgres stores the vectors.", "The queue is kept by Redis."]
    assert entails(shown, "Postgres stores the vectors.")
    assert not entails(shown, "Redis stores the vectors.")


@pytest.mark.parametrize(
    ("passage", "claim", "same"),
    [
        ("Do not open the lid.", "The lid must not be opened.", True),
        ("Do not open the lid.", "Open the lid.", False),
        ("Open the lid.", "Don't open the lid.", False),
        ("The lid isn’t locked.", "The lid is locked.", False),
        ("The pressure must not exceed 42 bar.", "The pressure may be up to 42 bar.", True),
        ("No more than 42 bar.", "At most 42 bar.", True),
        ("It is not only blue but shiny.", "It is blue and shiny.", True),
        ("Open the lid, but never the valve.", "Open the lid.", True),  # the negation ends with its clause
        ("Open the lid, but never the valve.", "Open the valve.", False),
    ],
)
def test_polarity(passage: str, claim: str, same: bool) -> None:
    assert entails([passage], claim) == same


def test_nothing_claimed_is_held_by_anything_and_nothing_holds_a_claim() -> None:
    assert entailment([], "Yes, it is.") == 1.0
    assert entailment([], "It is blue.") == entailment([""], "It is blue.") == 0.0


def test_half_is_not_enough() -> None:
    assert 1 / 2 < ENTAILED <= 2 / 3
