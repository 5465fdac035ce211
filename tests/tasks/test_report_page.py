import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from html.parser import HTMLParser

import pytest
from evaluation_fakes import (
    QUICK,
    declines,
    evidence,
    golden_label,
    golden_labels,
    manifest,
    miscited,
    mostly,
    passages,
    perfect,
    says,
    wrong,
)

from tasks.core.answers import Answer
from tasks.core.evidence import Evidence, case_of
from tasks.core.gate import Gate
from tasks.core.integrity import Integrity
from tasks.core.judging import Agreement, JudgeRecord
from tasks.core.labels import Label
from tasks.core.pace import Rehearsal, Rehearsed
from tasks.core.policy import HoldOverride, JudgePolicy, Pace, Slice
from tasks.core.verdict import Verdict, decide
from tasks.report_page import LONGEST_PASSAGE, render_page

LABELS = golden_labels(60, 20)
VOID = {"meta", "line", "circle", "path", "rect", "br"}
APART = {"td", "th", "small"}
HOSTILE = "<script>alert(1)</script> \" onload='x' <img src=http://tracker.example/x.png> {{ 7*7 }} ]]> </style>"


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    inside: "list[Element]" = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def find(self, tag: str, **wanted: str) -> "list[Element]":
        return [
            e for e in self.inside if e.tag == tag and all(wanted[k] in (e.attributes.get(k) or "") for k in wanted)
        ]


class Reader(HTMLParser):
    """Reads a page as a browser would, and refuses tags that do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.page = Element("page", {})
        self.open = [self.page]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        self.handle_data(" " if tag in APART else "")
        element = Element(tag, dict(attrs))
        for around in self.open:
            around.inside.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag
        self.handle_data(" " if tag in APART else "")

    def handle_data(self, data: str) -> None:
        for around in self.open:
            around.words.append(data)


def page_of(given: Evidence, verdict: Verdict | None = None) -> str:
    case = case_of(given)
    return render_page(given, case, verdict or decide(case))


def read(page: str) -> Element:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == [reader.page]
    return reader.page


@cache
def rejected() -> Element:
    return read(page_of(evidence(LABELS, mostly(perfect, wrong, every=2), perfect)))


def section(page: Element, id: str) -> Element:
    return page.find("section", id=id)[0]


def questions(page: Element) -> list[str]:
    return [e.attributes["id"] or "" for e in page.inside if (e.attributes.get("class") or "").startswith("q ")]


# ── a file of its own ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_names_nothing_outside_itself_and_forbids_it() -> None:
    page = rejected()
    named = [
        e.attributes[name] for e in page.inside for name in ("src", "href", "action", "data") if name in e.attributes
    ]
    assert named
    assert all(target and target.startswith("#") for target in named)
    assert not re.search(r"url\(|@import|https?:", page.find("style")[0].text + page.find("script")[0].text)
    policy = page.find("meta", **{"http-equiv": "Content-Security-Policy"})[0].attributes["content"] or ""
    assert policy.startswith("default-src 'none';")


def test_only_the_script_and_the_style_that_came_along_may_run() -> None:
    page = rejected()
    policy = page.find("meta", **{"http-equiv": "Content-Security-Policy"})[0].attributes["content"] or ""
    for tag in ("script", "style"):
        (brought,) = page.find(tag)
        digest = hashlib.sha256("".join(brought.words).encode()).digest()
        assert f"{tag}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert [e.tag for e in page.inside if "style" in e.attributes] == []


def test_every_link_leads_to_a_place_on_the_page() -> None:
    page = rejected()
    ids = [e.attributes["id"] for e in page.inside if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    assert {f"#{id}" for id in ids} >= {e.attributes["href"] for e in page.find("a")}


def test_the_same_evidence_makes_the_same_bytes() -> None:
    given = [evidence(LABELS, mostly(perfect, wrong, every=3), perfect) for _ in range(2)]
    assert page_of(given[0]) == page_of(given[1])


def test_what_documents_labels_and_models_wrote_is_text_and_nothing_else() -> None:
    label = replace(
        golden_label(0, page=f"{HOSTILE}.md"), question=f"pump 0 {HOSTILE}", answer=HOSTILE, facts=(HOSTILE,)
    )
    shown = tuple(replace(p, text=HOSTILE, document=HOSTILE) for p in passages(label))
    bad = replace(says(label, "x"), text=HOSTILE, contexts=shown)
    worse = replace(declines(label), text=HOSTILE, raw=HOSTILE, contexts=shown[:1])
    given = evidence(
        (label, *LABELS[1:]),
        lambda q: worse if q == label else perfect(q),
        lambda q: bad if q == label else perfect(q),
        candidate=manifest(snapshot=2, system=f"one two three four {HOSTILE}"),
        baseline=manifest(system="one two three four five"),
    )
    verdict = Verdict("REJECT", (Gate("intact", "fail", HOSTILE), Gate(HOSTILE, "undecided", HOSTILE)))
    page = read(page_of(given, verdict))
    assert len(page.find("script")) == 1
    assert "alert" not in page.find("script")[0].text
    assert page.find("img") == []
    assert [e.tag for e in page.inside for name in e.attributes if name.startswith("on")] == []
    assert page.text.count("<script>alert(1)</script>") > 8


def test_text_of_any_direction_is_kept_apart_and_control_characters_are_dropped() -> None:
    arabic = replace(golden_label(0), question="pump 0: ما هو الضغط؟ 🛠️")
    given = evidence(
        (arabic, *LABELS[1:]),
        lambda q: replace(wrong(q), text="7\x00\x1b[31m بار") if q == arabic else perfect(q),
        perfect,
    )
    page = read(page_of(given))
    (title,) = [h for h in page.find("h3") if "ما هو الضغط؟ 🛠️" in h.text]
    assert title.attributes["dir"] == "auto"
    (said,) = [p for p in page.find("p") if p.text == "7[31m بار"]
    assert said.attributes["dir"] == "auto"


def test_five_hundred_questions_with_long_passages_can_still_be_mailed() -> None:
    def verbose(label: Label) -> Answer:
        long = tuple(replace(p, text=p.text + " and <so> on" * 300) for p in passages(label))
        return replace(perfect(label), contexts=long)

    page = page_of(evidence(golden_labels(400, 100), mostly(verbose, wrong, every=7), verbose))
    assert len(page.encode()) < 1_500_000
    assert len(questions(read(page))) == 500
    assert "Passages: in questions.jsonl" in page


# ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_opens_with_the_verdict_as_a_sentence() -> None:
    given = evidence(LABELS, perfect)
    failed = Verdict(
        "REJECT", (Gate("a", "fail", ""), Gate("b", "fail", ""), Gate("c", "pass", ""), Gate("d", "reported", ""))
    )
    doubtful = Verdict("HOLD", (Gate("a", "undecided", ""), Gate("c", "pass", "")))
    passed = Verdict("PROMOTE", (Gate("a", "pass", ""), Gate("d", "reported", "")))
    titles = [read(page_of(given, verdict)).find("h1")[0].text for verdict in (failed, doubtful, passed)]
    assert titles == [
        "This release must not go live: 2 of 3 checks failed.",
        "Not yet: 1 of 2 checks could not be decided; nothing was found to be wrong.",
        "This release may go live: it passed all 1 checks on 80 questions, as the first release.",
    ]


def test_a_hold_says_what_to_do_with_the_reasons_and_their_numbers_of_labels() -> None:
    given = evidence(LABELS[:14], perfect, perfect)
    doubts = [gate for gate in decide(case_of(given)).gates if gate.outcome == "undecided"]
    assert doubts
    following = section(read(page_of(given)), "next").text
    assert "ratchet labels import FILE.jsonl" in following
    assert f"ratchet evaluate {given.candidate.id}" in following
    assert all(gate.reason in following for gate in doubts)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (HoldOverride(), "The policy lets nobody accept these doubts."),
        (HoldOverride(gates=("no-*",), who=("Ada",)), "The policy lets nobody accept these doubts."),
        (HoldOverride(gates=("no-*", "b"), who=("Ada", "Max")), "Ada or Max may accept these doubts"),
        (HoldOverride(gates=("*",), who=("*",)), "Anybody may accept these doubts"),
    ],
)
def test_a_hold_says_who_may_accept_it(override: HoldOverride, said: str) -> None:
    given = evidence(LABELS, perfect, policy=QUICK.model_copy(update={"override": override}))
    held = Verdict("HOLD", (Gate("no-harm-correct", "undecided", ""), Gate("b", "undecided", "")))
    assert said in section(read(page_of(given, held)), "next").text


def test_no_policy_lets_anybody_accept_a_doubt_about_integrity() -> None:
    anybody = HoldOverride(gates=("*",), who=("*",))
    given = evidence(LABELS, perfect, policy=QUICK.model_copy(update={"override": anybody}))
    held = Verdict("HOLD", (Gate("no-leak", "undecided", ""),))
    assert "The policy lets nobody accept these doubts." in section(read(page_of(given, held)), "next").text


def test_what_changed_is_shown_word_by_word() -> None:
    given = evidence(
        LABELS,
        perfect,
        perfect,
        candidate=manifest(k=3, adapter="sha256-b", system="Answer in one short sentence."),
        baseline=manifest(k=2, system="Answer in one long sentence."),
    )
    changes = section(read(page_of(given)), "changes")
    assert ([e.text for e in changes.find("del")], [e.text for e in changes.find("ins")]) == (["long"], ["short"])
    rows = [row.text for row in changes.find("tr")[1:]]
    assert [row.split()[1] for row in rows] == ["model.kind", "model.adapter", "prompt.system", "retrieval.k"]
    assert [cell.text for cell in changes.find("tr")[-1].find("td")] == ["2", "3"]


def test_gates_are_grouped_and_failures_and_doubts_come_first() -> None:
    names = (
        "intact",
        "floor-correct",
        "no-harm-correct",
        "better-right",
        "slice-hr",
        "drift-recall",
        "pace",
        "brand-new",
    )
    outcomes = ("pass", "pass", "pass", "fail", "undecided", "pass", "reported", "pass")
    gates = tuple(Gate(name, outcome, "why") for name, outcome in zip(names, outcomes, strict=True))
    page = section(read(page_of(evidence(LABELS, perfect), Verdict("REJECT", gates))), "gates")
    assert [h.text for h in page.find("h3")] == [
        "Against the current release",
        "Slices",
        "Integrity",
        "Floors",
        "Drift",
        "Other",
        "Pace",
    ]
    assert [e.text for e in page.find("th", scope="row")][:3] == ["better-right", "no-harm-correct", "slice-hr"]


def test_every_outcome_is_said_in_words_too() -> None:
    rows = [row for row in section(rejected(), "gates").find("tr") if row.find("td")]
    assert len(rows) == len(decide(case_of(evidence(LABELS, mostly(perfect, wrong, every=2), perfect))).gates)
    assert all(any(word in row.text for word in ("failed", "undecided", "passed", "for information")) for row in rows)


def test_every_plot_can_be_read_without_seeing_it() -> None:
    drawn = rejected().find("svg", role="img")
    assert len(drawn) > 8
    spoken = [svg.attributes["aria-label"] or "" for svg in drawn]
    (correct,) = [text for text in spoken if text.startswith("correct: −50.0 points, between −")]
    assert correct.endswith("the line is at −10.0; failed")


def test_a_plot_puts_the_middle_where_the_number_is() -> None:
    lane = next(
        svg for svg in rejected().find("svg", role="img") if "correct: −50.0" in (svg.attributes["aria-label"] or "")
    )
    limit, zero = lane.find("line", **{"class": "limit"})[0], lane.find("line", **{"class": "zero"})[0]
    middle = float((lane.find("svg")[0].attributes["x"] or "").rstrip("%"))
    at_zero, at_limit = (float((line.attributes["x1"] or "").rstrip("%")) for line in (zero, limit))
    assert (at_zero - middle) / (at_zero - at_limit) == pytest.approx(50 / 10, abs=0.01)


def test_questions_are_shown_worst_first_each_once_with_both_answers() -> None:
    lost, unstyled, won = LABELS[7], LABELS[3], LABELS[9]

    def now(label: Label) -> Answer:
        if label == lost:
            return wrong(label)
        return replace(perfect(label), text=f"{label.answer} Yes. [1]") if label == unstyled else perfect(label)

    page = read(page_of(evidence(LABELS, now, lambda label: wrong(label) if label == won else perfect(label))))
    shown = questions(page)
    assert shown[:3] == [lost.id, unstyled.id, won.id]
    assert sorted(shown) == sorted(label.id for label in LABELS)
    (worst,) = page.find("article", id=lost.id)
    assert [p.text for p in worst.find("p", dir="auto") if "bar" in p.text] == [
        lost.answer,
        "It reaches 7 bar. [1]",
        f"{lost.answer} [1]",
    ]
    assert "all_right 1 → 0" in worst.text
    assert "Pump 7 stands on a plinth." in worst.find("details")[0].text


def test_the_largest_gain_is_the_first_of_the_better_ones() -> None:
    found, cited = LABELS[9], LABELS[3]

    def then(label: Label) -> Answer:
        return wrong(label) if label == found else miscited(label) if label == cited else perfect(label)

    assert questions(read(page_of(evidence(LABELS, perfect, then))))[:2] == [found.id, cited.id]


def test_passages_that_differ_are_shown_for_both() -> None:
    def narrow(label: Label) -> Answer:
        return replace(wrong(label), contexts=passages(label)[:1])

    label = LABELS[0]
    page = read(page_of(evidence(LABELS, lambda q: narrow(q) if q == label else perfect(q), perfect)))
    titles = [s.text for s in page.find("article", id=label.id)[0].find("summary")]
    assert titles == ["1 passage shown to the candidate", "2 passages shown to the current release"]


def test_a_question_worse_in_one_thing_and_better_in_another_says_so() -> None:
    def better_without_style(label: Label) -> Answer:
        return replace(perfect(label), text=f"{label.answer} Yes. [1]")

    label = LABELS[0]
    page = read(
        page_of(
            evidence(
                LABELS,
                lambda q: better_without_style(q) if q == label else perfect(q),
                lambda q: wrong(q) if q == label else perfect(q),
            )
        )
    )
    assert "▼ worse in part" in page.find("article", id=label.id)[0].text


def test_a_question_can_be_filtered_by_how_it_changed() -> None:
    touched = LABELS[0].id
    page = read(page_of(evidence(LABELS, perfect, mostly(perfect, wrong, every=20), touched={touched: "answer"})))
    (filters,) = page.find("div", role="group")
    assert "hidden" in filters.attributes  # without the script nothing is filtered, and no button does nothing
    assert [b.text for b in filters.find("button")] == ["Worse 0", "Better 4", "Changed with documents 1", "All 80"]
    marked = {
        e.attributes["id"]: (e.attributes["data-is"] or "").split()
        for e in page.inside
        if "q " in (e.attributes.get("class") or "")
    }
    assert marked[touched] == ["better", "answer"]
    assert sum("better" in words for words in marked.values()) == 4


def test_a_setting_that_improves_nothing_says_so_next_to_what_was_tried() -> None:
    page = read(page_of(evidence(LABELS, perfect, perfect, candidate=manifest(k=3))))
    assert "One of these has to lie wholly right of zero" in section(page, "harm").text
    assert "Together: ? undecided." in section(page, "harm").text


def test_the_trivial_answerers_stand_next_to_the_releases() -> None:
    floors = section(rejected(), "floors").text
    assert "always-abstain" in floors
    assert "copy-first-sentence" in floors


def test_the_anchor_has_a_plot_of_its_own() -> None:
    given = replace(
        evidence(LABELS, mostly(perfect, wrong, every=4), mostly(perfect, wrong, every=4)),
        anchor=manifest(snapshot=9),
        anchor_answers=tuple(perfect(label) for label in LABELS),
    )
    drift = section(read(page_of(given)), "drift")
    assert given.anchor
    assert given.anchor.id in drift.text
    assert [th.text.split()[0] for th in drift.find("th", scope="row")] == list(QUICK.drift_budget)
    assert "correct: −25.0 points" in (drift.find("svg", role="img")[0].attributes["aria-label"] or "")


def test_every_slice_has_a_lane_with_its_questions_and_says_when_it_has_to_be_shown() -> None:
    few = Slice(name="few", documents=("pumps/1*.md",), required=True)
    policy = QUICK.model_copy(update={"slices": (few,)})
    page = read(page_of(evidence(LABELS, mostly(perfect, wrong, every=2), perfect, policy=policy)))
    slices = section(page, "slices")
    names = [th.text for th in slices.find("th", scope="row")]
    counts = [td.text for td in slices.find("td", **{"class": "number n"})]
    assert (names, counts) == (["few must be shown not worse", "unanswerable"], ["11", "20"])


def test_pace_shows_seconds_of_both_and_whether_the_answer_was_the_judged_one() -> None:
    first, second = LABELS[:2]
    rehearsal = Rehearsal(
        (Rehearsed(first.id, perfect(first).text, 1.5), Rehearsed(second.id, "Something else.", 0.7)),
        (Rehearsed(first.id, perfect(first).text, 1.0),),
    )
    prices = Pace(usd_per_million_prompt_tokens=2.0, usd_per_million_completion_tokens=10.0)
    policy = QUICK.model_copy(update={"pace": prices})
    given = replace(evidence(LABELS, perfect, perfect, policy=policy), rehearsal=rehearsal)
    pace = section(read(page_of(given)), "pace")
    rows = [[cell.text for cell in row.find("td")[1:]] for row in pace.find("tr") if row.find("td") and row.find("th")]
    assert rows[:2] == [["1.50 s", "1.00 s", "✓ same"], ["0.70 s", "–", "≠ differs"]]
    assert f"${(100 * 2.0 + 10 * 10.0) / 1e6:.6f}" in pace.text


def test_a_judge_shows_its_agreement_and_what_it_may_decide() -> None:
    agreement = {"judged_faithfulness": Agreement(0.8, 0.6, 30), "judged_relevancy": Agreement(0.9, 0.59, 500)}
    few = {"judged_context_recall": Agreement(0.9, 0.8, 29)}
    scores = {label.id: {"judged_faithfulness": 1.0} for label in LABELS}
    given = replace(
        evidence(LABELS, perfect, perfect, policy=QUICK.model_copy(update={"judge": JudgePolicy(model="m")})),
        judged=JudgeRecord("judge-1", {**agreement, **few}, scores, scores, unfinished="The budget of $5 was spent."),
    )
    judge = section(read(page_of(given)), "judge")
    decides = {row.find("th")[0].text.split()[0]: row.find("td")[-1].text for row in judge.find("tr")[1:]}
    assert {metric: text.split()[:2] for metric, text in decides.items()} == {
        "judged_faithfulness": ["✓", "yes"],
        "judged_relevancy": ["i", "no"],
        "judged_context_precision": ["i", "no"],
        "judged_context_recall": ["i", "no"],
    }
    assert "people judged 29 answers" in decides["judged_context_recall"]
    assert "The budget of $5 was spent." in judge.text


def test_the_evidence_says_how_to_compute_everything_again() -> None:
    given = replace(evidence(LABELS, perfect, perfect), versions={"numpy": "2.9.9"})
    last = section(read(page_of(given)), "evidence").text
    named = (given.candidate.id, given.integrity.golden_set or "", "2.9.9", f"seed {QUICK.seed}", "ratchet recheck")
    assert all(name in last for name in named)


def test_a_first_release_shows_what_is_not_wholly_right_first_and_compares_nothing() -> None:
    page = read(page_of(evidence(LABELS, mostly(perfect, wrong, every=20))))
    assert questions(page)[:4] == [LABELS[n].id for n in (0, 20, 40, 60)]
    assert page.find("script") == page.find("section", id="harm") == page.find("section", id="changes") == []


def test_nobody_asked_is_a_page_too() -> None:
    page = read(page_of(evidence((), perfect, integrity=Integrity("g-1", broken=("NaN in q_proj.",)))))
    assert "NaN in q_proj." in section(page, "next").text
    assert page.find("section", id="questions") == page.find("section", id="pace") == []


@pytest.mark.parametrize("labels", [LABELS[:1], golden_labels(0, 30), golden_labels(12, per_page=12)])
def test_a_golden_set_of_any_kind_has_a_page(labels: Sequence[Label]) -> None:
    page = read(page_of(evidence(labels, perfect, wrong)))
    assert sorted(questions(page)) == sorted(label.id for label in labels)


def test_a_long_passage_is_cut_with_the_length_of_the_rest() -> None:
    long = replace(wrong(LABELS[0]), contexts=(replace(passages(LABELS[0])[0], text="x" * (LONGEST_PASSAGE + 1_234)),))
    page = page_of(evidence(LABELS, lambda q: long if q == LABELS[0] else perfect(q), perfect))
    assert "x… (1,234 more characters)" in page
