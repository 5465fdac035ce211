from dataclasses import replace
from pathlib import Path

import pytest
from evaluation_fakes import (
    QUICK,
    declines,
    evidence,
    golden_label,
    golden_labels,
    manifest,
    mostly,
    perfect,
    says,
    wrong,
)

from tasks.core.evidence import Evidence, case_of
from tasks.core.gate import Gate
from tasks.core.integrity import Integrity
from tasks.core.judging import Agreement, JudgeRecord
from tasks.core.labels import Label
from tasks.core.policy import JudgePolicy
from tasks.core.verdict import Verdict, decide
from tasks.evaluation import Evaluation
from tasks.reports import gate_rows, gate_table, render_report

LABELS = golden_labels(60, 20)


def report(given: Evidence, verdict: Verdict | None = None) -> str:
    case = case_of(given)
    return render_report(given, case, verdict or decide(case))


def section(text: str, title: str) -> str:
    return next(part for part in text.split("\n## ") if part.startswith(title))


def test_the_verdict_stands_in_the_first_three_lines_for_people_and_for_experts() -> None:
    given = evidence(LABELS, mostly(perfect, wrong, every=2), perfect)
    first, verdict, how = report(given).splitlines()[:3]
    outcomes = [gate.outcome for gate in decide(case_of(given)).gates if gate.outcome != "reported"]
    assert first == f"# REJECT: {manifest(snapshot=2).id}"
    assert verdict == f"This release must not go live: {outcomes.count('fail')} of {len(outcomes)} checks failed."
    assert how.startswith(f"Judged against {manifest().id} on 80 golden questions")


def test_a_promotion_says_that_every_gate_passed_and_how_to_put_it_live() -> None:
    passed = Verdict("PROMOTE", (Gate("intact", "pass", ""), Gate("no-leak", "pass", ""), Gate("x", "reported", "")))
    text = report(evidence(LABELS, perfect), passed)
    promise = "This release may go live: it passed all 2 checks on 80 questions, as the first release."
    assert text.splitlines()[1] == promise
    assert f"- Put it live: `ratchet promote {manifest(snapshot=2).id}`" in text
    assert "Did not pass" not in text


def test_gates_that_did_not_pass_come_first_failures_before_doubts_with_their_reasons() -> None:
    gates = (
        Gate("intact", "pass", "whole"),
        Gate("fresh", "undecided", "5 more would decide"),
        Gate("no-harm-correct", "fail", "lost too much"),
    )
    stopped = section(report(evidence(LABELS, perfect, perfect), Verdict("REJECT", gates)), "Did not pass")
    assert stopped.splitlines()[4:6] == [
        "| no-harm-correct | **failed** | lost too much |",
        "| fresh | **undecided** | 5 more would decide |",
    ]
    assert "intact" not in stopped


def test_every_other_gate_is_in_the_compact_table() -> None:
    given = evidence(LABELS, mostly(perfect, wrong, every=5), perfect)
    passed = [gate for gate in decide(case_of(given)).gates if gate.outcome == "pass"]
    table = section(report(given), "Gates")
    assert table.count("| passed |") == len(passed) > 3
    assert all(f"| {gate.name} |" in table for gate in passed)


def test_what_is_new_is_named_by_its_settings() -> None:
    given = evidence(LABELS, perfect, perfect, candidate=manifest(k=3), baseline=manifest(k=2))
    assert "What is new: config (retrieval.k)." in report(given)


def test_the_trivial_answerers_stand_beside_the_releases() -> None:
    given = evidence(LABELS, perfect, mostly(perfect, wrong, every=2))
    scores, trivial = section(report(given), "Scores"), [sheet.answerer for sheet in case_of(given).trivial]
    lines = scores.splitlines()
    headings, first = lines[2], lines[4]
    second = next(line for line in lines if line.startswith("| correct |"))
    columns = ["metric", "candidate", "current", "difference [90 %]", "n", *trivial]
    assert [cell.strip() for cell in headings.strip("|").split("|")] == columns
    cells = [cell.strip() for cell in second.strip("|").split("|")]
    assert (cells[0], cells[1], cells[2], cells[4:7]) == ("correct", "100.0", "50.0", ["60", "0.0", "0.0"])
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


def test_a_metric_that_is_known_nowhere_takes_a_line_only_where_a_gate_waits_for_it() -> None:
    text = report(evidence(golden_labels(0, 30), perfect, perfect))
    assert "| citation | undefined | undefined | undefined | 0 |" in section(text, "Scores")
    assert "judged_relevancy" not in text


def test_a_judge_says_what_it_decides_what_it_cost_and_what_it_left_undone() -> None:
    told = JudgeRecord(
        "judge-1",
        {"judged_faithfulness": Agreement(0.8, 0.7, 30)},
        calls=1_240,
        cost_usd=0.5,
        unfinished="The judge is down.",
    )
    asked = evidence(LABELS, perfect, perfect, policy=QUICK.model_copy(update={"judge": JudgePolicy(model="m")}))
    judge = section(report(replace(asked, judged=told)), "The judge")
    assert "- judged_faithfulness: decides, because it agrees with people." in judge
    assert "- judged_relevancy: no answer was judged by people too; it takes 30." in judge
    assert "1,240 calls, $0.5000. The judge is down." in judge
    assert "The judge" not in report(evidence(LABELS, perfect, perfect))


def test_no_more_than_ten_losses_and_five_gains_are_shown_but_all_are_counted() -> None:
    worse = report(evidence(LABELS, mostly(perfect, wrong, every=4), perfect))
    assert section(worse, "Got worse: 20, the first 10").count("| candidate |") == 10
    better = report(evidence(LABELS, perfect, mostly(perfect, wrong, every=4)))
    assert section(better, "Got better: 20, the first 5").count("| candidate |") == 5


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("a | b\n# PROMOTE <script>", "a \\| b # PROMOTE &lt;script>"),
        ("a \\| b", "a \\\\\\| b"),
        ("![x](http://tracker.example/x.png)", "![x]\\(http://tracker.example/x.png)"),
        ("**bold** `code` ~~gone~~", "\\*\\*bold\\*\\* \\`code\\` \\~\\~gone\\~\\~"),
        ("12 \u202ebar", "12 bar"),
        ("نعم 42 بار ✅", "نعم 42 بار ✅"),
    ],
)
def test_an_answer_can_neither_leave_its_cell_nor_fetch_anything(said: str, written: str) -> None:
    label = golden_label(0)
    hostile = replace(says(label, "x"), text=said)
    given = evidence((label, *LABELS[1:]), lambda q: hostile if q == label else perfect(q), perfect)
    assert f"| candidate | {written} ← pumps/0.md |" in section(report(given), "Got worse")


def test_nobody_asked_is_a_report_too() -> None:
    text = report(evidence((), perfect, integrity=Integrity("g-1", broken=("NaN in q_proj.",))))
    assert "| intact | **failed** | NaN in q_proj. |" in text
    assert "## Scores" not in text


def test_the_table_of_gates_says_each_in_its_own_unit_the_worst_first() -> None:
    gates = (
        Gate("no-leak", "pass", "why", 0.0, 0.0, 80),
        Gate("floor-correct", "undecided", "because", 0.25, 0.155, 60),
        Gate("no-harm-correct", "fail", "|so|", -0.5, -0.401, 60),
        Gate("intact", "pass", "whole"),
    )
    rows = gate_table(Evaluation("sha256-1", "r-2", "r-1", "g-1", "REJECT", 80, gates))
    assert [list(row.values()) for row in rows] == [
        ["no-harm-correct", "failed", "-50.0", "-40.1", "60", "|so|"],
        ["floor-correct", "undecided", "25.0 %", "15.5 %", "60", "because"],
        ["no-leak", "passed", "0", "0", "80", "why"],
        ["intact", "passed", "", "", "", "whole"],
    ]
    assert list(rows[0]) == ["gate", "outcome", "value", "bound", "n", "why"]


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
