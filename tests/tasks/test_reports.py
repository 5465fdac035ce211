from dataclasses import replace
from pathlib import Path

from evaluation_fakes import declines, evidence, golden_label, golden_labels, manifest, mostly, perfect, says, wrong

from tasks.core.evidence import Evidence, case_of
from tasks.core.gate import Gate
from tasks.core.integrity import Integrity
from tasks.core.labels import Label
from tasks.core.verdict import decide
from tasks.evaluation import Evaluation
from tasks.reports import gate_rows, render_report

LABELS = golden_labels(60, 20)


def report(given: Evidence) -> str:
    case = case_of(given)
    return render_report(given, case, decide(case))


def section(text: str, title: str) -> str:
    return next(part for part in text.split("\n## ") if part.startswith(title))


def test_the_verdict_and_why_stand_in_the_first_three_lines() -> None:
    text = report(evidence(LABELS, mostly(perfect, wrong, every=2), perfect))
    first, why, how = text.splitlines()[:3]
    assert first == f"# REJECT: {manifest(snapshot=2).id}"
    assert why.startswith("correct: -50.0 points against ")
    assert how.startswith(f"Judged against {manifest().id} on 80 golden questions")


def test_a_promotion_says_that_every_gate_passed() -> None:
    assert report(evidence(LABELS, perfect)).splitlines()[1] == "All 8 gates passed."


def test_every_gate_is_listed_with_its_reason() -> None:
    given = evidence(LABELS, perfect, perfect)
    verdict = decide(case_of(given))
    gates = section(report(given), "Gates")
    assert all(f"| {gate.name} |" in gates and gate.reason in gates for gate in verdict.gates)


def test_the_trivial_answerers_stand_beside_the_releases() -> None:
    scores = section(report(evidence(LABELS, perfect, mostly(perfect, wrong, every=2))), "Scores")
    headings, _, first, second = scores.splitlines()[2:6]
    columns = "metric|candidate|current|difference [95 %]|n|always-abstain|copy-first-sentence"
    assert [cell.strip() for cell in headings.strip("|").split("|")] == columns.split("|")
    cells = [cell.strip() for cell in second.strip("|").split("|")]
    assert (cells[0], cells[1], cells[2], cells[4:]) == ("correct", "100.0", "50.0", ["60", "0.0", "0.0"])
    assert cells[3].startswith("+50.0 [+")
    assert first.startswith("| all_right")


def test_every_question_that_got_worse_is_shown_worst_first_with_both_answers() -> None:
    lost, unstyled = LABELS[7], LABELS[3]

    def now(label: Label):
        if label == lost:
            return wrong(label)
        return replace(perfect(label), text=f"{label.answer} Yes. [1]") if label == unstyled else perfect(label)

    worse = section(report(evidence(LABELS, now, perfect)), "Got worse: 2")
    assert worse.index(lost.question) < worse.index(unstyled.question)
    assert "| candidate | It reaches 7 bar. [1] ← pumps/7.md |" in worse
    assert f"| current | {lost.answer} [1] ← pumps/7.md |" in worse


def test_an_abstention_says_why_and_what_was_written() -> None:
    def unsupported(label: Label):
        return replace(declines(label), abstained_because="support", raw="It reaches 9 bar.")

    worse = section(report(evidence(LABELS, mostly(perfect, unsupported, every=30), perfect)), "Got worse: 2")
    assert "(declined: support; wrote: It reaches 9 bar.)" in worse


def test_questions_whose_answer_changed_are_shown() -> None:
    given = evidence(LABELS, perfect, wrong, touched={LABELS[0].id: "answer"})
    assert LABELS[0].question in section(report(given), "Answer changed with the documents: 1")


def test_a_first_release_shows_what_is_not_wholly_right() -> None:
    text = report(evidence(LABELS, mostly(perfect, wrong, every=20)))
    assert section(text, "Not wholly right: 4").count("| ideal |") == 4


def test_an_answer_cannot_break_out_of_its_cell() -> None:
    label = golden_label(0)
    hostile = replace(says(label, "x"), text="a | b\n# PROMOTE <script>")
    worse = section(
        report(evidence((label, *LABELS[1:]), lambda q: hostile if q == label else perfect(q), perfect)), "Got w"
    )
    assert "| candidate | a \\| b # PROMOTE &lt;script> ← pumps/0.md |" in worse


def test_nobody_asked_is_a_report_too() -> None:
    text = report(evidence((), perfect, integrity=Integrity("g-1", broken=("NaN in q_proj.",))))
    assert text.splitlines()[1] == "NaN in q_proj."
    assert "## Scores" not in text


def test_the_json_of_an_evaluation_is_the_documented_one() -> None:
    gate = Gate("no-harm-correct", "pass", "why", 0.025, -0.061, 80)
    found = gate_rows(Evaluation("sha256-1", "r-2", "r-1", "g-1", "PROMOTE", 100, (gate,)), Path("/a/report.md"))
    assert found == {
        "verdict": "PROMOTE",
        "release": "r-2",
        "baseline": "r-1",
        "questions": 100,
        "gates": [
            {"name": "no-harm-correct", "outcome": "pass", "reason": "why", "value": 0.025, "bound": -0.061, "n": 80}
        ],
        "report": "/a/report.md",
    }
