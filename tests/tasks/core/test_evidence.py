import hashlib
import json
from dataclasses import replace

import pytest
from evaluation_fakes import (
    Behaviour,
    declines,
    evidence,
    golden_labels,
    manifest,
    miscited,
    mostly,
    perfect,
    uncited,
    wrong,
)
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from tasks.core.errors import IntegrityFailure, UsageError
from tasks.core.evidence import (
    EVIDENCE,
    PAGE,
    QUESTIONS,
    REPORT,
    VERDICT,
    Evidence,
    bundle,
    case_of,
    policy_id,
    read_bundle,
    recheck,
)
from tasks.core.judging import Agreement, JudgeRecord
from tasks.core.pace import Rehearsal, Rehearsed
from tasks.core.policy import Approval, HoldOverride, Policy
from tasks.core.verdict import decide

LABELS = golden_labels(40, 20)


def sealed(given: Evidence) -> dict[str, bytes]:
    case = case_of(given)
    return bundle(given, case, decide(case), {REPORT: "# report\n", PAGE: "<p>report</p>"})


def resealed(files: dict[str, bytes], name: str, data: bytes) -> dict[str, bytes]:
    """What a careful forger leaves: one file changed, and its hash with it."""
    envelope = json.loads(files[EVIDENCE])
    envelope["files"][name] = hashlib.sha256(data).hexdigest()
    return {**files, name: data, EVIDENCE: json.dumps(envelope).encode()}


GIVEN = evidence(
    LABELS,
    mostly(perfect, wrong, every=7),
    mostly(perfect, miscited, every=3),
    candidate=manifest(adapter="sha256-1"),
    touched={LABELS[0].id: "page"},
)
FILES = sealed(GIVEN)
WHOLE = replace(
    GIVEN,
    anchor=manifest(system="Answer well."),
    anchor_answers=tuple(perfect(label) for label in LABELS),
    anchor_touched={LABELS[1].id: "answer"},
    rehearsal=Rehearsal((Rehearsed(LABELS[0].id, "It reaches 7 bar.", 0.512),), (Rehearsed(LABELS[0].id, "No.", 0.4),)),
    judged=JudgeRecord(
        "judge-1", {"judged_faithfulness": Agreement(0.7, 0.61, 40)}, {LABELS[0].id: {"judged_faithfulness": 1.0}}
    ),
    versions={"ratchet": "0.1.0"},
)


@pytest.mark.parametrize("given", [GIVEN, WHOLE])
def test_a_bundle_reads_back_as_what_was_sealed(given: Evidence) -> None:
    assert read_bundle(sealed(given)) == given


@pytest.mark.parametrize(
    "given",
    [GIVEN, WHOLE, evidence(LABELS, perfect), evidence((), perfect), evidence(golden_labels(3), perfect, wrong)],
)
def test_a_verdict_is_recomputed_byte_for_byte(given: Evidence) -> None:
    files = sealed(given)
    again = recheck(files)
    assert (again.identical, again.differences) == (True, ())
    assert again.verdict == decide(case_of(given))
    assert sealed(given) == files


def test_whether_the_limit_ended_an_answer_is_in_no_bundle_so_that_older_ones_are_recomputed_alike() -> None:
    assert sealed(replace(GIVEN, answers=tuple(replace(one, cut_short=True) for one in GIVEN.answers))) == FILES


@pytest.mark.parametrize("name", [QUESTIONS, VERDICT, REPORT, PAGE])
def test_a_file_changed_after_sealing_is_refused(name: str) -> None:
    with pytest.raises(IntegrityFailure, match=f"{name} was changed after the verdict"):
        recheck({**FILES, name: FILES[name] + b" "})


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(IntegrityFailure, match="not whole"):
        recheck({name: data for name, data in FILES.items() if name != QUESTIONS})


def test_what_is_no_bundle_is_refused() -> None:
    with pytest.raises(IntegrityFailure, match="cannot be read"):
        recheck({**FILES, EVIDENCE: b"{"})


def test_a_forged_verdict_is_found_out_even_with_its_hash_put_right() -> None:
    forged = FILES[VERDICT].replace(b'"verdict":"', b'"verdict":"NOT-')
    again = recheck(resealed(FILES, VERDICT, forged))
    assert not again.identical
    assert any(difference.startswith("verdict.json, line 1: recorded …") for difference in again.differences)


def test_a_forged_score_is_found_out_even_with_its_hash_put_right() -> None:
    forged = FILES[QUESTIONS].replace(b'"correct":0.0', b'"correct":1.0', 1)
    assert forged != FILES[QUESTIONS]
    again = recheck(resealed(FILES, QUESTIONS, forged))
    assert not again.identical
    assert any(difference.startswith("questions.jsonl") for difference in again.differences)


def test_a_forged_answer_changes_the_verdict_that_is_recomputed() -> None:
    answers = tuple(replace(answer, text="Nonsense.", citations=()) for answer in GIVEN.answers)
    again = recheck(resealed(FILES, QUESTIONS, sealed(replace(GIVEN, answers=answers))[QUESTIONS]))
    assert (again.identical, again.verdict.verdict) == (False, "REJECT")


def test_each_line_names_every_score_or_the_reason_for_none() -> None:
    lines = [json.loads(line) for line in FILES[QUESTIONS].splitlines()]
    assert [line["label"]["id"] for line in lines] == [label.id for label in LABELS]
    assert {"label", "candidate", "baseline", "anchor", "always-abstain", "copy-first-sentence"} <= set(lines[0])
    assert lines[0]["anchor"] is None
    assert lines[0]["candidate"]["scores"]["abstains"] == {"undefined": "the question is answerable"}
    assert lines[-1]["candidate"]["scores"]["correct"] == {"undefined": "no page answers the question"}


def test_the_reports_are_sealed_and_one_that_was_not_is_found_out() -> None:
    assert sealed(GIVEN)[PAGE] == b"<p>report</p>"
    case = case_of(GIVEN)
    without_page = bundle(GIVEN, case, decide(case), {REPORT: "# report\n"})
    assert recheck(without_page).identical
    assert not recheck({**without_page, PAGE: b"<p>another</p>"}).identical


@pytest.mark.parametrize(
    ("number", "says"),
    [(1, "the version that wrote it, or judge the release again"), (3, "a newer version of ratchet")],
)
def test_a_bundle_of_another_format_is_refused_with_what_wrote_it(number: int, says: str) -> None:
    envelope = json.loads(sealed(WHOLE)[EVIDENCE])
    envelope["format"] = number
    if number == 1:
        for unknown in ("anchor", "anchor_touched", "rehearsal", "judged"):
            del envelope["given"][unknown]
    with pytest.raises(UsageError, match=f"has format {number}, written by ratchet 0.1.0; .* {says}"):
        recheck({**FILES, EVIDENCE: json.dumps(envelope).encode()})


@pytest.mark.parametrize(
    "text", [b"[]", b"{}", b'{"format": "x"}', b'{"format": 2, "given": {}, "files": {}}', b"\xff"]
)
def test_what_only_looks_like_a_bundle_is_refused(text: bytes) -> None:
    with pytest.raises(IntegrityFailure, match="cannot be read"):
        recheck({**FILES, EVIDENCE: text})


# ── any evidence ─────────────────────────────────────────────────────────────────────────────────────────────────────

_BEHAVIOURS = (perfect, wrong, uncited, miscited, declines)
_MANIFESTS = (manifest(), manifest(adapter="sha256-1"), manifest(snapshot=2), manifest(k=1), manifest(system="Answer!"))


def _any_behaviour(labels: int) -> st.SearchStrategy[Behaviour]:
    picks = st.lists(st.integers(0, len(_BEHAVIOURS) - 1), min_size=labels, max_size=labels)
    return picks.map(lambda chosen: lambda label: _BEHAVIOURS[chosen[int(label.id[2:], 16)]](label))


@st.composite
def any_evidence(draw: st.DrawFn) -> Evidence:
    answerable, unanswerable = draw(st.integers(0, 8)), draw(st.integers(0, 4))
    labels = golden_labels(answerable, unanswerable, per_page=draw(st.integers(1, 3)))
    behaviour = _any_behaviour(len(labels))
    share = st.floats(0.01, 0.99)
    touched = st.dictionaries(
        st.sampled_from([x.id for x in labels] or ["l-none"]), st.sampled_from(["answer", "page"])
    )
    rehearsed = st.builds(Rehearsed, st.just("l-0"), st.text(max_size=9), st.floats(0, 9).map(lambda x: round(x, 3)))
    rehearsal = st.builds(Rehearsal, st.tuples(rehearsed, rehearsed), st.tuples(rehearsed))
    anchored = draw(st.booleans())
    policy = Policy(
        resamples=1_000,
        seed=draw(st.integers(0, 9)),
        alpha=draw(st.sampled_from([0.01, 0.05, 0.2])),
        minimum_questions=draw(st.integers(2, 12)),
        floors=draw(st.dictionaries(st.sampled_from(["correct", "recall", "style"]), share, max_size=2)),
        margins=draw(st.dictionaries(st.sampled_from(["correct", "right", "abstains"]), share, max_size=2)),
    )
    made = evidence(
        labels,
        draw(behaviour),
        draw(st.none() | behaviour),
        candidate=draw(st.sampled_from(_MANIFESTS)),
        baseline=draw(st.sampled_from(_MANIFESTS)),
        policy=policy,
        touched=draw(touched),  # type: ignore[arg-type]
    )
    return replace(
        made,
        anchor=manifest(snapshot=9) if anchored else None,
        anchor_answers=tuple(map(draw(behaviour), labels)) if anchored else (),
        anchor_touched=draw(touched) if anchored else {},  # type: ignore[arg-type]
        rehearsal=draw(rehearsal),
    )


@settings(max_examples=100, deadline=None)
@for_all(any_evidence())
def test_whatever_was_answered_is_recomputed_byte_for_byte(given: Evidence) -> None:
    files = sealed(given)
    again = recheck(files)
    assert (again.identical, again.differences) == (True, ())
    assert read_bundle(files) == given
    assert sealed(read_bundle(files)) == files


# ── the policy's id ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_policy_written_in_another_order_is_the_same_policy() -> None:
    one, other = Policy(floors={"recall": 0.7, "style": 0.6}), Policy(floors={"style": 0.6, "recall": 0.7})
    assert policy_id(one) == policy_id(other)


def test_whatever_a_verdict_depends_on_makes_another_policy() -> None:
    stricter = [Policy(), Policy(alpha=0.01), Policy(seed=1), Policy(floors={"recall": 0.71})]
    assert len({policy_id(policy) for policy in stricter}) == len(stricter)


def test_who_may_decide_about_a_promotion_makes_no_other_policy() -> None:
    lenient = Policy(override=HoldOverride(gates=("*",), who=("*",)), approval=Approval(ask="always"))
    assert policy_id(lenient) == policy_id(Policy())
