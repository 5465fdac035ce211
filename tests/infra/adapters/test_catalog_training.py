from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from infra.adapters.catalog.labels import CatalogLabels
from infra.adapters.catalog.training import CatalogTrainings
from tasks.core.releases import ModelRef, SnapshotRef
from tasks.training import Lineage

REF = ModelRef(kind="lora", base="tiny", base_digest="sha256-0", adapter="sha256-1")
SNAPSHOT = SnapshotRef(number=3, manifest_hash="m", collection="default-c")


def lineage(training: str = "t-1", *labels: str) -> Lineage:
    return Lineage(training, "lora-1", SNAPSHOT, labels or ("l-1", "l-2"), 8, {"loss": 0.25})


@pytest.fixture
def engine(catalog_engine: Engine) -> Engine:
    return catalog_engine


@pytest.fixture
def trainings(engine: Engine) -> CatalogTrainings:
    return CatalogTrainings(engine)


def consumed(engine: Engine) -> frozenset[str]:
    return CatalogLabels(engine).consumed("default")


def test_a_succeeded_training_registers_its_model_and_consumes_its_labels(
    trainings: CatalogTrainings, engine: Engine
) -> None:
    trainings.start("default", "t-1", ["l-1", "l-2"])
    made = trainings.succeed("default", REF, lineage())
    assert made.id == REF.adapter
    assert trainings.made_by("default", "t-1") == made
    assert trainings.models("default") == [made]
    assert consumed(engine) == {"l-1", "l-2"}


def test_a_running_training_consumes_no_label(trainings: CatalogTrainings, engine: Engine) -> None:
    trainings.start("default", "t-1", ["l-1"])
    assert consumed(engine) == frozenset()
    assert trainings.made_by("default", "t-1") is None


def test_a_failed_training_consumes_no_label_and_can_run_again(trainings: CatalogTrainings, engine: Engine) -> None:
    trainings.start("default", "t-1", ["l-1", "l-2"])
    trainings.fail("default", "t-1", "OutOfMemory: 3 GB")
    assert consumed(engine) == frozenset()
    trainings.start("default", "t-1", ["l-1", "l-2"])
    trainings.succeed("default", REF, lineage())
    assert consumed(engine) == {"l-1", "l-2"}


def test_succeeding_twice_registers_once(trainings: CatalogTrainings) -> None:
    trainings.start("default", "t-1", ["l-1"])
    first = trainings.succeed("default", REF, lineage())
    assert trainings.succeed("default", REF, lineage()) == first
    assert len(trainings.models("default")) == 1


def test_models_belong_to_their_assistant(trainings: CatalogTrainings) -> None:
    trainings.start("default", "t-1", ["l-1"])
    trainings.succeed("default", REF, lineage())
    assert trainings.models("other") == []
    assert trainings.made_by("other", "t-1") is None


def test_what_a_model_is_registered_with_is_kept_from_the_start(trainings: CatalogTrainings) -> None:
    begun = replace(lineage(), dataset="d-1", dataset_artifact="sha256-d", method="dpo", started_from="ft:x")
    trainings.start("default", "t-1", ["l-1", "l-2"], begun)
    trainings.start("default", "t-2", ["l-3"])  # trained here, or begun by an earlier version
    trainings.fail("default", "t-1", "waited too long")
    assert trainings.begun("default", "t-1") == begun
    assert [trainings.begun("default", "t-2"), trainings.begun("other", "t-1")] == [None, None]


def test_a_run_that_comes_late_does_not_undo_what_has_succeeded(trainings: CatalogTrainings, engine: Engine) -> None:
    trainings.start("default", "t-1", ["l-1", "l-2"], lineage())
    made = trainings.succeed("default", REF, lineage())
    trainings.start("default", "t-1", ["l-1", "l-2"], lineage())
    trainings.fail("default", "t-1", "HostedUnavailable: gone")
    assert trainings.made_by("default", "t-1") == made
    assert consumed(engine) == {"l-1", "l-2"}


def test_many_that_start_one_training_at_once_note_it_once(trainings: CatalogTrainings) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: trainings.start("default", "t-1", ["l-1", "l-2"], lineage()), range(16)))
    assert trainings.begun("default", "t-1") == lineage()
