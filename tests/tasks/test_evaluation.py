import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from chat_fakes import MemoryCompletions, OneModel, ReadingModel
from evaluation_fakes import (
    QUICK,
    Behaviour,
    MemoryLabels,
    MemoryLog,
    MemoryTexts,
    MemoryTraining,
    Releases,
    golden_label,
    golden_labels,
    manifest,
    mostly,
    perfect,
    read_folder,
    wrong,
)
from retrieval_fakes import published

from infra.adapters.folder_artifacts import FolderArtifacts
from tasks.answering import AnsweringBench, answer
from tasks.bundles import recheck
from tasks.core.answers import Answer
from tasks.core.errors import AdapterBroken, IndexIncomplete, IntegrityFailure, ModelUnavailable, NotFound
from tasks.core.evidence import Evidence, policy_id, read_bundle
from tasks.core.fingerprints import collection_name
from tasks.core.judging import JudgeRecord
from tasks.core.labels import Label, golden_set
from tasks.core.metrics.score import Metric
from tasks.core.opinions import Preference
from tasks.core.pace import NOT_REHEARSED, Rehearsal, Rehearsed
from tasks.core.policy import JudgePolicy, Pace
from tasks.core.ports import Progress
from tasks.core.prompts import default_prompt
from tasks.core.releases import Limits, ModelRef, ReleaseManifest, RetrievalSettings, SnapshotRef
from tasks.evaluation import Evaluation, EvaluationBench, evaluate

LABELS = golden_labels(60, 30)
CURRENT, TUNED, NEWER = manifest(), manifest(adapter="sha256-1"), manifest(snapshot=2)


@pytest.fixture
def artifacts(tmp_path: Path) -> FolderArtifacts:
    return FolderArtifacts(tmp_path / "artifacts")


def bench(
    artifacts: FolderArtifacts, *behaviours: tuple[ReleaseManifest, Behaviour], labels: Sequence[Label] = LABELS
) -> EvaluationBench:
    ask = Releases({m.id: behaviour for m, behaviour in behaviours}, labels)
    return EvaluationBench(
        assistant="default",
        policy=QUICK,
        ask=ask,
        check=lambda manifest: None,
        labels=MemoryLabels(list(labels)),
        training=MemoryTraining(),
        documents=MemoryTexts(),
        artifacts=artifacts,
        log=MemoryLog(),
        anchor=lambda: None,
        rehearse=ask.rehearse,
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


@pytest.mark.parametrize(
    ("question", "documents", "said"),
    [("Who made it?", LABELS[0].documents, "fail"), ("Who painted the boat?", ("boat.md",), "pass")],
)
def test_a_preference_that_a_model_learned_is_looked_at_as_a_label_is(
    artifacts: FolderArtifacts, question: str, documents: tuple[str, ...], said: str
) -> None:
    learned = Preference("p-1", question, "The yard did.", "Dunno!", documents, "train", "accepted")
    made = bench(artifacts, (TUNED, perfect), (CURRENT, perfect))
    made = replace(made, labels=MemoryLabels(list(LABELS), [learned]), training=MemoryTraining(frozenset({"p-1"})))
    assert outcome(evaluate(made, TUNED, CURRENT), "no-leak") == said


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
    assert "29 on different pages" in found.judgement.reasons[0]
    assert recheck(artifacts.path(found.id)).identical


def test_what_changed_in_the_documents_is_read_from_the_two_snapshots(artifacts: FolderArtifacts) -> None:
    old = {label.documents[0]: "Nothing yet." for label in LABELS[:8]}
    new = {label.documents[0]: label.answer for label in LABELS[:8]}
    changed = {label.id for label in LABELS[:8]}
    made = bench(artifacts, (NEWER, perfect), (CURRENT, lambda q: wrong(q) if q.id in changed else perfect(q)))
    found = evaluate(replace(made, documents=MemoryTexts({1: old, 2: new})), NEWER, CURRENT)
    [fresh] = [gate for gate in found.gates if gate.name == "fresh"]
    assert fresh.reason == "All 8 questions whose answer changed are right now."
    assert found.verdict == "PROMOTE"


# ── the anchor ───────────────────────────────────────────────────────────────────────────────────────────────────────

FIRST = manifest(system="Answer well.", snapshot=3)


def evidence_of(artifacts: FolderArtifacts, made: Evaluation) -> Evidence:
    return read_bundle(read_folder(artifacts.path(made.id)))


def test_the_anchor_answers_the_same_questions_in_the_same_run(artifacts: FolderArtifacts) -> None:
    made = bench(artifacts, (TUNED, perfect), (CURRENT, perfect), (FIRST, wrong))
    kept = evidence_of(artifacts, evaluate(replace(made, anchor=lambda: FIRST), TUNED, CURRENT))
    assert isinstance(made.ask, Releases)
    assert made.ask.asked == [TUNED.id, CURRENT.id, FIRST.id]
    assert kept.anchor == FIRST
    assert kept.anchor_answers == tuple(wrong(label) for label in kept.labels)


@pytest.mark.parametrize("anchor", [TUNED, CURRENT])
def test_an_anchor_that_is_one_of_the_two_is_not_asked_again(
    artifacts: FolderArtifacts, anchor: ReleaseManifest
) -> None:
    made = bench(artifacts, (TUNED, perfect), (CURRENT, perfect))
    kept = evidence_of(artifacts, evaluate(replace(made, anchor=lambda: anchor), TUNED, CURRENT))
    assert isinstance(made.ask, Releases)
    assert made.ask.asked == [TUNED.id, CURRENT.id]
    assert (kept.anchor, kept.integrity.anchor_broken) == (None, ())


@pytest.mark.parametrize("error", [NotFound("Its snapshot is gone."), AdapterBroken("NaN in q_proj.")])
def test_an_anchor_that_cannot_be_asked_is_said_and_the_others_are_judged(
    artifacts: FolderArtifacts, error: Exception
) -> None:
    made = bench(artifacts, (TUNED, perfect), (CURRENT, perfect))
    found = evaluate(replace(made, anchor=lambda: FIRST, check=broken(FIRST, error)), TUNED, CURRENT)
    kept = evidence_of(artifacts, found)
    assert (kept.anchor, kept.anchor_answers, kept.integrity.anchor_broken) == (None, (), (str(error),))
    assert found.questions == 90
    assert recheck(artifacts.path(found.id)).identical


def test_an_anchor_is_not_asked_when_the_candidate_is_broken(artifacts: FolderArtifacts) -> None:
    made = replace(bench(artifacts), anchor=lambda: FIRST, check=broken(TUNED, AdapterBroken("NaN.")))
    kept = evidence_of(artifacts, evaluate(made, TUNED, CURRENT))
    assert (kept.anchor, kept.integrity.anchor_broken) == (None, ())


def test_what_changed_since_the_anchor_is_read_from_its_own_snapshot(artifacts: FolderArtifacts) -> None:
    old = {label.documents[0]: "Nothing yet." for label in LABELS[:8]}
    new = {label.documents[0]: label.answer for label in LABELS[:8]}
    made = bench(artifacts, (TUNED, perfect), (CURRENT, perfect), (FIRST, wrong))
    made = replace(made, anchor=lambda: FIRST, documents=MemoryTexts({1: new, 3: old}))
    kept = evidence_of(artifacts, evaluate(made, TUNED, CURRENT))
    assert kept.anchor_touched == {label.id: "answer" for label in LABELS[:8]}
    assert kept.touched == {}


# ── pace, and a judge ────────────────────────────────────────────────────────────────────────────────────────────────


def rehearsing(
    labels: Sequence[Label],
    candidate: ReleaseManifest,
    baseline: ReleaseManifest | None,
    progress: Progress | None = None,
) -> Rehearsal:
    asked = tuple(Rehearsed(label.id, "said", 0.25) for label in labels[1:])
    return Rehearsal(asked, asked if baseline else ())


def test_as_many_questions_as_the_policy_says_are_asked_one_at_a_time_and_kept(artifacts: FolderArtifacts) -> None:
    made = replace(bench(artifacts, (TUNED, perfect), (CURRENT, perfect)), rehearse=rehearsing)
    kept = evidence_of(artifacts, evaluate(made, TUNED, CURRENT))
    assert (len(kept.rehearsal.candidate), len(kept.rehearsal.baseline)) == (QUICK.pace.questions, QUICK.pace.questions)


def test_a_policy_that_asks_for_no_pace_measures_none(artifacts: FolderArtifacts) -> None:
    made = replace(bench(artifacts, (TUNED, perfect), (CURRENT, perfect)), rehearse=rehearsing)
    unhurried = replace(made, policy=QUICK.model_copy(update={"pace": Pace(questions=0)}))
    assert evidence_of(artifacts, evaluate(unhurried, TUNED, CURRENT)).rehearsal == NOT_REHEARSED


def test_a_broken_release_is_not_rehearsed(artifacts: FolderArtifacts) -> None:
    made = replace(bench(artifacts, (CURRENT, perfect)), rehearse=rehearsing, check=broken(TUNED, NotFound("Gone.")))
    assert evidence_of(artifacts, evaluate(made, TUNED, CURRENT)).rehearsal == NOT_REHEARSED


def judging(labels: Sequence[Label], answers: Sequence[Answer], baseline_answers: Sequence[Answer]) -> JudgeRecord:
    kindly: dict[str, dict[Metric, float]] = {label.id: {"judged_faithfulness": 1.0} for label in labels}
    return JudgeRecord("judge-1", candidate=kindly, calls=len(answers) + len(baseline_answers))


def test_a_judge_is_shown_the_answers_of_both_when_the_policy_names_one(artifacts: FolderArtifacts) -> None:
    made = replace(bench(artifacts, (TUNED, perfect), (CURRENT, perfect)), judge=judging)
    assert evidence_of(artifacts, evaluate(made, TUNED, CURRENT)).judged is None
    policy = QUICK.model_copy(update={"judge": JudgePolicy(model="gpt")})
    found = evaluate(replace(made, policy=policy), TUNED, CURRENT)
    judged = evidence_of(artifacts, found).judged
    assert judged is not None
    assert judged.calls == 2 * 90
    line = json.loads((artifacts.path(found.id) / "questions.jsonl").read_text().splitlines()[0])
    assert line["candidate"]["scores"]["judged_faithfulness"] == 1.0
    assert "undefined" in line["baseline"]["scores"]["judged_faithfulness"]


def test_an_evaluation_knows_the_policy_it_was_made_under(artifacts: FolderArtifacts) -> None:
    made = bench(artifacts, (CURRENT, perfect))
    assert evaluate(made, CURRENT, None).policy == policy_id(QUICK)


def test_the_bundle_holds_both_reports_and_says_what_computed_it(artifacts: FolderArtifacts) -> None:
    found = evaluate(bench(artifacts, (TUNED, perfect), (CURRENT, wrong)), TUNED, CURRENT)
    files = read_folder(artifacts.path(found.id))
    assert set(files) == {"evidence.json", "questions.jsonl", "verdict.json", "report.md", "report.html"}
    assert {"ratchet", "numpy", "python", "unicode"} <= set(read_bundle(files).versions)


# ── what the release being served said before ────────────────────────────────────────────────────────────────────────

PAGES = {f"pumps/{n}.md": f"# Pump {n}\n\nThe pump {n} reaches up to {n + 40} bar." for n in range(12)}
ASKED = tuple(
    replace(golden_label(n), question=f"How many bar does the pump {n} reach?", facts=(f"{n + 40} bar",))
    for n in range(12)
)


@dataclass
class Elsewhere(ReadingModel):
    """The same model on another machine, or under another version of what computes it."""

    computed_by: str = "torch 2"

    @property
    def fingerprint(self) -> str:
        return f"{self.name} {self.computed_by}"


@pytest.fixture
def answering(tmp_path: Path) -> AnsweringBench:
    retrieval, _ = published(tmp_path, PAGES)
    return AnsweringBench(retrieval, OneModel(Elsewhere()), MemoryCompletions())


def served(system: str = "Answer.", **changes: object) -> ReleaseManifest:
    prompt = default_prompt().model_copy(update={"system": f"{default_prompt().system}\n{system}"})
    return ReleaseManifest(
        assistant="default",
        snapshot=SnapshotRef(number=1, manifest_hash="0" * 64, collection=collection_name("default", "words-1")),
        model=ModelRef(kind="base", base="reader-1", base_digest="sha256-0"),
        prompt=prompt,
        retrieval=RetrievalSettings(k=2),
        pattern="rag",
    ).model_copy(update=changes)


def really_asking(artifacts: FolderArtifacts, answering: AnsweringBench) -> EvaluationBench:
    """Through retrieval, prompt, model and cache, as in a deployment."""

    def ask(questions: Sequence[str], manifest: ReleaseManifest, *, progress: Progress | None = None) -> list[Answer]:
        return answer(questions, manifest, answering, progress)

    return replace(bench(artifacts, labels=ASKED), ask=ask, rehearse=None)


def prompts_asked(answering: AnsweringBench) -> int:
    assert isinstance(answering.chat, OneModel)
    return sum(len(batch) for batch in answering.chat.model.asked)


def test_the_release_being_served_is_not_asked_again_what_it_was_asked_in_an_earlier_run(
    artifacts: FolderArtifacts, answering: AnsweringBench
) -> None:
    made = really_asking(artifacts, answering)
    evaluate(made, served("Be brief."), served())
    assert prompts_asked(answering) == 12 + 12
    first = evidence_of(artifacts, evaluate(made, served("Be kind."), served()))
    assert prompts_asked(answering) == 12 + 12 + 12
    answering.completions.held.clear()  # type: ignore[union-attr]
    anew = evidence_of(artifacts, evaluate(made, served("Be kind."), served()))
    assert anew == first
    assert prompts_asked(answering) == 5 * 12
    assert all("bar" in said.text for said in anew.baseline_answers)


@pytest.mark.parametrize(
    "baseline",
    [
        served("Be kind."),
        served(limits=Limits(max_new_tokens=30)),
        served(retrieval=RetrievalSettings(k=1)),
    ],
    ids=["another prompt", "another limit", "other passages"],
)
def test_what_was_said_counts_for_exactly_that_prompt_and_limit(
    artifacts: FolderArtifacts, answering: AnsweringBench, baseline: ReleaseManifest
) -> None:
    made = really_asking(artifacts, answering)
    evaluate(made, served("Be brief."), served())
    before = prompts_asked(answering)
    evaluate(made, served("Be brief."), baseline)
    assert prompts_asked(answering) == before + 12


def test_what_was_said_counts_for_exactly_that_model_and_what_computed_it(
    artifacts: FolderArtifacts, answering: AnsweringBench
) -> None:
    made = really_asking(artifacts, answering)
    evaluate(made, served("Be brief."), served())
    before = prompts_asked(answering)
    assert isinstance(answering.chat, OneModel)
    assert isinstance(answering.chat.model, Elsewhere)
    answering.chat.model.computed_by = "torch 3"
    evaluate(made, served("Be brief."), served())
    assert prompts_asked(answering) == before + 12 + 12
