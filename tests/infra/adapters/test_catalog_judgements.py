"""Rulings and people's judgements in the catalog, and their doubles in memory: the same suite on both."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from judge_fakes import MemoryJudgements, MemoryRulings
from sqlalchemy import Engine

from infra.adapters.catalog.judgements import CatalogHumanJudgements, CatalogRulings
from tasks.core.human_judgements import HumanJudgement
from tasks.core.judging import Exhibit
from tasks.core.metrics.score import Undefined
from tasks.human_judgements import Taken
from tasks.judge_asking import Ruling, RulingCache

SAID = Ruling('{"claims": [], "größer": "\\u0000"}', calls=1, cost_usd=0.1 + 0.2)
UNDEFINED = Ruling(Undefined("the judge refused to judge this"), calls=2, cost_usd=0.0)


@pytest.fixture
def engine(catalog_engine: Engine) -> Engine:
    return catalog_engine


# ── what a judge said ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(params=["memory", "catalog"])
def rulings(request: pytest.FixtureRequest, engine: Engine) -> RulingCache:
    return MemoryRulings() if request.param == "memory" else CatalogRulings(engine)


def test_a_ruling_is_read_back_as_it_was_put(rulings: RulingCache) -> None:
    rulings.put("a", SAID)
    rulings.put("b", UNDEFINED)
    assert rulings.get_many(["a", "b", "c"]) == {"a": SAID, "b": UNDEFINED}
    assert rulings.get_many(["a"]) == {"a": SAID}
    assert rulings.get_many([]) == {}


def test_the_first_ruling_stays(rulings: RulingCache) -> None:
    rulings.put("a", SAID)
    rulings.put("a", UNDEFINED)
    assert rulings.get_many(["a"]) == {"a": SAID}


def test_more_keys_than_a_query_takes_are_found(rulings: RulingCache) -> None:
    keys = [f"{n:064x}" for n in range(1_200)]
    for key in keys[::100]:
        rulings.put(key, SAID)
    assert set(rulings.get_many(keys)) == set(keys[::100])


def test_several_threads_put_at_once_and_one_of_them_wins(rulings: RulingCache) -> None:
    put = [replace(SAID, calls=n) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda ruling: rulings.put("same", ruling), put))
        list(pool.map(lambda n: rulings.put(f"own-{n}", SAID), range(8)))
    found = rulings.get_many(["same", *(f"own-{n}" for n in range(8))])
    assert len(found) == 1 + 8
    assert found["same"] in put


def test_what_a_judge_said_outlives_the_process(engine: Engine) -> None:
    CatalogRulings(engine).put("a", SAID)
    engine.dispose()
    assert CatalogRulings(engine).get_many(["a"]) == {"a": SAID}


# ── what people said ─────────────────────────────────────────────────────────────────────────────────────────────────

ONE = HumanJudgement(
    "judged_context_recall", Exhibit("How hot?", "", ("It is 40 °C.", "größer"), "40 °C."), 0.25, "Ann"
)
OTHER = HumanJudgement("judged_relevancy", Exhibit("How hot?", "Red.", ()), 1.0, None)
People = MemoryJudgements | CatalogHumanJudgements


@pytest.fixture(params=["memory", "catalog"])
def open_people(request: pytest.FixtureRequest, engine: Engine) -> Callable[[], People]:
    memory = MemoryJudgements()
    return lambda: memory if request.param == "memory" else CatalogHumanJudgements(engine)


def test_judgements_are_read_back_as_they_were_given(open_people: Callable[[], People]) -> None:
    assert open_people().add("default", [ONE, OTHER]) == Taken(new=2, changed=0, known=0)
    assert sorted(open_people().judgements("default"), key=lambda one: one.metric) == [ONE, OTHER]


def test_new_changed_and_known_ones_are_told_apart(open_people: Callable[[], People]) -> None:
    people = open_people()
    people.add("default", [ONE, OTHER])
    third = replace(ONE, who="Bob")
    assert people.add("default", [replace(ONE, value=0.75), OTHER, third]) == Taken(new=1, changed=1, known=1)
    assert {(one.metric, one.who, one.value) for one in people.judgements("default")} == {
        ("judged_context_recall", "Ann", 0.75),
        ("judged_context_recall", "Bob", 0.25),
        ("judged_relevancy", None, 1.0),
    }


def test_nothing_given_changes_nothing(open_people: Callable[[], People]) -> None:
    people = open_people()
    people.add("default", [ONE])
    assert people.add("default", []) == Taken(0, 0, 0)
    assert list(people.judgements("default")) == [ONE]


def test_the_last_word_on_the_same_thing_counts(open_people: Callable[[], People]) -> None:
    people = open_people()
    assert people.add("default", [ONE, replace(ONE, value=1.0)]) == Taken(new=1, changed=0, known=1)
    assert [one.value for one in people.judgements("default")] == [1.0]


def test_judgements_come_in_the_same_order_each_time(open_people: Callable[[], People]) -> None:
    people = open_people()
    people.add("default", [replace(ONE, who=f"Person {n}") for n in range(20)])
    assert list(open_people().judgements("default")) == list(people.judgements("default"))


def test_assistants_have_judgements_of_their_own(engine: Engine) -> None:
    people = CatalogHumanJudgements(engine)
    assert people.add("one", [ONE]) == people.add("two", [ONE]) == Taken(new=1, changed=0, known=0)
    people.add("two", [replace(ONE, value=1.0)])
    assert [one.value for one in people.judgements("one")] == [0.25]
    assert list(people.judgements("nobody")) == []
