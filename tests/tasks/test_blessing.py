"""What a release must answer, in every process that serves, before it may become current."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from evaluation_fakes import evidence, golden_labels, perfect

from infra.adapters.folder_artifacts import FolderArtifacts
from tasks.blessing import QUESTIONS, Expected, Said, bless, expected, read_evidence
from tasks.core.errors import IntegrityFailure, ModelUnavailable, PromotionRefused
from tasks.core.evidence import bundle, case_of
from tasks.core.pace import NOT_REHEARSED, Blessing, Rehearsal, Rehearsed
from tasks.core.verdict import Verdict

KNOWN = tuple(Expected(f"Question {n}?", frozenset([f"Answer {n}."])) for n in range(1, 7))


@dataclass
class Process:
    """An AnsweringProcess that answers as was judged, in a quarter of a second; told: what it says instead."""

    told: dict[str, str] = field(default_factory=dict)
    where: str = "http://here"
    stays: bool = True
    release: str | None = None  # which answers, where it is not the one that was asked
    asked: list[str] = field(default_factory=list)

    def ask(self, assistant: str, release: str, question: str) -> Said:
        self.asked.append(question)
        known = {one.question: min(one.texts) for one in KNOWN} | self.told
        return Said(known[question], self.release or release, 0.25)


class Unreachable(Process):
    def ask(self, assistant: str, release: str, question: str) -> Said:
        raise ModelUnavailable("nobody listens there")


def blessed(*processes: Process, least_agreement: float = 0.75) -> Blessing:
    return bless(processes, "default", "r-1", KNOWN, least_agreement)


def test_a_release_is_asked_the_first_few_questions_one_by_one() -> None:
    process = Process()
    assert blessed(process) == Blessing("http://here", QUESTIONS, QUESTIONS, QUESTIONS * 0.25, warmed=True)
    assert process.asked == [one.question for one in KNOWN[:QUESTIONS]]


def test_every_service_answers_and_is_counted() -> None:
    made = blessed(Process(), Process({"Question 2?": "Something else."}, where="http://there", stays=False))
    assert made == Blessing(
        "http://here, http://there", 2 * QUESTIONS, 2 * QUESTIONS - 1, 2 * QUESTIONS * 0.25, warmed=False
    )


def test_one_service_that_answers_otherwise_is_enough_to_refuse() -> None:
    other = Process({"Question 1?": "No.", "Question 3?": "No."}, where="http://there")
    with pytest.raises(PromotionRefused, match=r"\(http://there\) gives 2 of 4 answers.*75%.*'Question 1\?'.*'No\.'"):
        blessed(Process(), other)


def test_as_many_answers_may_differ_as_the_policy_allows() -> None:
    process = Process({"Question 1?": "No.", "Question 3?": "No."})
    assert blessed(process, least_agreement=0.5).agreed == 2


@pytest.mark.parametrize(
    ("process", "why"),
    [
        (Process(release="r-0"), "asked for release r-1 and answered with r-0"),
        (Process({"Question 2?": " \n"}), "with nothing"),
    ],
)
def test_another_release_or_no_words_at_all_is_no_answer(process: Process, why: str) -> None:
    with pytest.raises(PromotionRefused, match=why):
        blessed(process, least_agreement=0)


def test_a_service_that_cannot_be_reached_may_be_there_in_a_moment() -> None:
    with pytest.raises(ModelUnavailable, match="nobody listens"):
        blessed(Process(), Unreachable())


def test_evidence_without_a_question_blesses_nothing() -> None:
    with pytest.raises(PromotionRefused, match="no question"):
        bless([Process()], "default", "r-1", (), 0.75)


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_rehearsed_is_asked_and_either_way_of_asking_gives_the_answer_that_was_judged() -> None:
    labels = golden_labels(6)
    judged = evidence(labels, perfect)
    alone = Rehearsal(candidate=tuple(Rehearsed(label.id, "Said alone.", 1.0) for label in labels[2:5]))
    assert expected(replace(judged, rehearsal=alone)) == tuple(
        Expected(label.question, frozenset(["Said alone.", perfect(label).text])) for label in labels[2:5]
    )


def test_where_nothing_was_rehearsed_golden_questions_are_asked() -> None:
    labels = golden_labels(3)
    assert expected(evidence(labels, perfect, rehearsal=NOT_REHEARSED)) == tuple(
        Expected(label.question, frozenset([perfect(label).text])) for label in labels
    )


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[], tuple[FolderArtifacts, str]]:
    def keep() -> tuple[FolderArtifacts, str]:
        artifacts, judged = FolderArtifacts(tmp_path / "artifacts"), evidence(golden_labels(3), perfect)
        (tmp_path / "bundle").mkdir()
        for name, data in bundle(judged, case_of(judged), Verdict("PROMOTE", ()), {"report.md": "It passed."}).items():
            (tmp_path / "bundle" / name).write_bytes(data)
        return artifacts, artifacts.put(tmp_path / "bundle")

    return keep


def test_the_evidence_is_read_from_where_the_evaluation_kept_it(
    kept: Callable[[], tuple[FolderArtifacts, str]],
) -> None:
    assert read_evidence(*kept()) == evidence(golden_labels(3), perfect)


def test_evidence_that_is_gone_or_was_changed_blesses_nothing(
    kept: Callable[[], tuple[FolderArtifacts, str]], tmp_path: Path
) -> None:
    artifacts, evaluation = kept()
    with pytest.raises(PromotionRefused, match="is gone"):
        read_evidence(FolderArtifacts(tmp_path / "elsewhere"), evaluation)
    (tmp_path / "artifacts" / evaluation / "questions.jsonl").write_text("{}")
    with pytest.raises(IntegrityFailure):
        read_evidence(artifacts, evaluation)
