from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from evaluation_fakes import (
    QUICK,
    Behaviour,
    MemoryLabels,
    MemoryLog,
    MemoryTexts,
    MemoryTraining,
    Releases,
    golden_labels,
    manifest,
    mostly,
    perfect,
    wrong,
)

from infra.adapters.folder_artifacts import FolderArtifacts
from tasks.core.errors import AdapterBroken, IndexIncomplete, IntegrityFailure, ModelUnavailable, NotFound
from tasks.core.labels import Label, golden_set
from tasks.core.releases import ReleaseManifest
from tasks.evaluation import EvaluationBench, evaluate, recheck

LABELS = golden_labels(60, 30)
CURRENT, TUNED, NEWER = manifest(), manifest(adapter="sha256-1"), manifest(snapshot=2)


@pytest.fixture
def artifacts(tmp_path: Path) -> FolderArtifacts:
    return FolderArtifacts(tmp_path / "artifacts")


def bench(
    artifacts: FolderArtifacts, *behaviours: tuple[ReleaseManifest, Behaviour], labels: Sequence[Label] = LABELS
) -> EvaluationBench:
    return EvaluationBench(
        assistant="default",
        policy=QUICK,
        ask=Releases({m.id: behaviour for m, behaviour in behaviours}, labels),
        check=lambda manifest: None,
        labels=MemoryLabels(list(labels)),
        training=MemoryTraining(),
        documents=MemoryTexts(),
        artifacts=artifacts,
        log=MemoryLog(),
    )


def outcome(made, name: str) -> str:
    return next(gate.outcome for gate in made.gates if gate.name == name)


def test_both_releases_answer_the_golden_set_in_the_same_run(artifacts: FolderArtifacts) -> None:
    made = bench(artifacts, (TUNED, perfect), (CURRENT, mostly(perfect, wrong, every=3)))
    found = evaluate(made, TUNED, CURRENT)
    assert isinstance(made.ask, Releases)
    assert made.ask.asked == [TUNED.id, CURRENT.id]
    golden = golden_set(LABELS)
    assert golden is not None
    assert (found.verdict, found.release, found.baseline) == ("PROMOTE", TUNED.id, CURRENT.id)
    assert (found.golden_set, found.questions) == (golden.id, 90)
    assert made.log.latest("default", TUNED.id) == found


def test_judging_the_same_thing_twice_makes_the_same_evidence_and_records_nothing_new(
    artifacts: FolderArtifacts,
) -> None:
    made = bench(artifacts, (CURRENT, perfect))
    assert evaluate(made, CURRENT, None).id == evaluate(made, CURRENT, None).id
    assert isinstance(made.log, MemoryLog)
    assert len(made.log.recorded) == 1


def test_the_verdict_is_recomputed_from_the_stored_bundle(artifacts: FolderArtifacts) -> None:
    found = evaluate(bench(artifacts, (NEWER, perfect), (CURRENT, perfect)), NEWER, CURRENT)
    again = recheck(artifacts.path(found.id))
    assert (again.identical, again.verdict.verdict, again.verdict.gates) == (True, found.verdict, found.gates)


def test_a_tampered_bundle_is_refused(artifacts: FolderArtifacts) -> None:
    folder = artifacts.path(evaluate(bench(artifacts, (CURRENT, perfect)), CURRENT, None).id)
    path = folder / "questions.jsonl"
    path.write_bytes(path.read_bytes().replace(b"1000 bar", b"9999 bar"))
    with pytest.raises(IntegrityFailure):
        recheck(folder)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="is no evidence bundle"):
        recheck(tmp_path)


def test_labels_outside_the_golden_set_are_not_asked(artifacts: FolderArtifacts) -> None:
    others = (replace(LABELS[0], split="train"), replace(LABELS[1], state="rejected"))
    made = bench(artifacts, (CURRENT, perfect), labels=(*others, *LABELS[2:]))
    assert evaluate(made, CURRENT, None).questions == 88


def test_a_model_trained_on_a_golden_page_is_rejected(artifacts: FolderArtifacts) -> None:
    trained = replace(LABELS[0], id="l-trained", question="Who made it?", split="train")
    made = bench(artifacts, (TUNED, perfect), (CURRENT, perfect), labels=(*LABELS, trained))
    made = replace(made, training=MemoryTraining(frozenset({"l-trained"})))
    found = evaluate(made, TUNED, CURRENT)
    assert (found.verdict, outcome(found, "no-leak")) == ("REJECT", "fail")


@pytest.mark.parametrize("ids", [None, frozenset({"l-deleted"})])
def test_a_model_whose_training_is_unknown_holds(artifacts: FolderArtifacts, ids: frozenset[str] | None) -> None:
    made = bench(artifacts, (TUNED, perfect), (CURRENT, mostly(perfect, wrong, every=3)))
    found = evaluate(replace(made, training=MemoryTraining(ids)), TUNED, CURRENT)
    assert (found.verdict, outcome(found, "no-leak")) == ("HOLD", "undecided")


def broken(which: ReleaseManifest, error: Exception):
    def check(manifest: ReleaseManifest) -> None:
        if manifest == which:
            raise error

    return check


@pytest.mark.parametrize("error", [AdapterBroken("NaN in q_proj."), IndexIncomplete("3 chunks are missing.")])
def test_a_broken_candidate_is_rejected_by_name_and_asks_nobody(artifacts: FolderArtifacts, error: Exception) -> None:
    made = replace(bench(artifacts, (CURRENT, perfect)), check=broken(TUNED, error))
    found = evaluate(made, TUNED, CURRENT)
    assert (found.verdict, found.judgement.reasons, found.questions) == ("REJECT", (str(error),), 0)
    assert isinstance(made.ask, Releases)
    assert made.ask.asked == []
    assert recheck(artifacts.path(found.id)).identical


def test_a_broken_baseline_holds(artifacts: FolderArtifacts) -> None:
    made = replace(bench(artifacts, (TUNED, perfect)), check=broken(CURRENT, NotFound("Adapter is gone.")))
    found = evaluate(made, TUNED, CURRENT)
    assert (found.verdict, outcome(found, "intact")) == ("HOLD", "undecided")


def test_an_error_that_may_pass_is_no_verdict(artifacts: FolderArtifacts) -> None:
    made = replace(bench(artifacts), check=broken(TUNED, ModelUnavailable("Out of memory.")))
    with pytest.raises(ModelUnavailable):
        evaluate(made, TUNED, CURRENT)


def test_without_a_golden_set_it_holds_and_says_how_many_labels_it_takes(artifacts: FolderArtifacts) -> None:
    found = evaluate(bench(artifacts, (CURRENT, perfect), labels=()), CURRENT, None)
    assert (found.verdict, found.golden_set, found.questions) == ("HOLD", None, 0)
    assert "25 on different pages" in found.judgement.reasons[0]
    assert recheck(artifacts.path(found.id)).identical


def test_what_changed_in_the_documents_is_read_from_the_two_snapshots(artifacts: FolderArtifacts) -> None:
    old = {label.documents[0]: "Nothing yet." for label in LABELS[:8]}
    new = {label.documents[0]: label.answer for label in LABELS[:8]}
    changed = {label.id for label in LABELS[:8]}
    made = bench(artifacts, (NEWER, perfect), (CURRENT, lambda q: wrong(q) if q.id in changed else perfect(q)))
    found = evaluate(replace(made, documents=MemoryTexts({1: old, 2: new})), NEWER, CURRENT)
    [fresh] = [gate for gate in found.gates if gate.name == "fresh"]
    assert fresh.reason == "Of 8 questions whose answer changed, 8 are right now and 0 no longer."
    assert found.verdict == "PROMOTE"
