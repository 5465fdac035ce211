from dataclasses import replace

import pytest
from sqlalchemy import Engine, update

from infra.adapters.catalog.evaluations import CatalogEvaluations
from infra.adapters.catalog.tables import evaluations
from tasks.core.errors import NotFound
from tasks.core.gate import Gate
from tasks.evaluation import Evaluation

GATES = (Gate("intact", "pass", "Whole."), Gate("no-harm-correct", "undecided", "Too few.", -0.02, -0.12, 40))
FIRST = Evaluation("sha256-1", "r-1", None, "g-1", "HOLD", 40, GATES, "p-1")


@pytest.fixture
def log(catalog_engine: Engine) -> CatalogEvaluations:
    return CatalogEvaluations(catalog_engine)


def test_what_is_recorded_is_read_back(log: CatalogEvaluations) -> None:
    log.record("default", FIRST)
    assert log.evaluation("default", "sha256-1") == FIRST
    assert log.latest("default") == log.latest("default", "r-1") == FIRST


def test_an_unknown_one_is_named(log: CatalogEvaluations) -> None:
    with pytest.raises(NotFound, match="sha256-9"):
        log.evaluation("default", "sha256-9")
    assert log.latest("default") is None
    assert log.judgement("default", "r-1") is None


def test_the_newest_of_a_release_is_the_one_that_counts(log: CatalogEvaluations) -> None:
    later = replace(FIRST, id="sha256-2", verdict="PROMOTE")
    for evaluation in (FIRST, later, replace(FIRST, id="sha256-3", release="r-2")):
        log.record("default", evaluation)
    assert log.latest("default", "r-1") == later
    log.record("default", FIRST)  # judged again as it was judged first
    assert log.latest("default", "r-1") == FIRST
    assert log.latest("default") == FIRST


def test_recording_twice_changes_nothing(log: CatalogEvaluations) -> None:
    log.record("default", FIRST)
    log.record("default", FIRST)
    log.record("other", FIRST)
    assert log.latest("default") == log.latest("other") == FIRST


def test_promotion_sees_the_verdict_and_the_reasons_of_what_did_not_pass(log: CatalogEvaluations) -> None:
    log.record("default", FIRST)
    found = log.judgement("default", "r-1")
    assert found is not None
    assert (found.id, found.verdict, found.baseline, found.golden_set) == ("sha256-1", "HOLD", None, "g-1")
    assert found.reasons == ("Too few.",)
    assert (found.doubts, found.policy) == (("no-harm-correct",), "p-1")


def test_a_verdict_of_a_time_before_policies_were_recorded_is_read_and_names_none(catalog_engine: Engine) -> None:
    engine, log = catalog_engine, CatalogEvaluations(catalog_engine)
    log.record("default", FIRST)
    with engine.begin() as connection:
        connection.execute(update(evaluations).values(summary={"questions": 40, "gates": []}))
    assert log.latest("default", "r-1") == replace(FIRST, gates=(), policy="")
