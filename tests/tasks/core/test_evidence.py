import hashlib
import json
from dataclasses import replace

import pytest
from evaluation_fakes import evidence, golden_labels, manifest, miscited, mostly, perfect, wrong

from tasks.core.errors import IntegrityFailure
from tasks.core.evidence import EVIDENCE, QUESTIONS, REPORT, VERDICT, Evidence, bundle, case_of, read_bundle, recheck
from tasks.core.verdict import decide

LABELS = golden_labels(40, 20)


def sealed(given: Evidence) -> dict[str, bytes]:
    case = case_of(given)
    return bundle(given, case, decide(case), "# report\n")


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


def test_a_bundle_reads_back_as_what_was_sealed() -> None:
    assert read_bundle(FILES) == GIVEN


@pytest.mark.parametrize(
    "given",
    [GIVEN, evidence(LABELS, perfect), evidence((), perfect), evidence(golden_labels(3), perfect, wrong)],
)
def test_a_verdict_is_recomputed_byte_for_byte(given: Evidence) -> None:
    files = sealed(given)
    again = recheck(files)
    assert (again.identical, again.differences) == (True, ())
    assert again.verdict == decide(case_of(given))
    assert sealed(given) == files


@pytest.mark.parametrize("name", [QUESTIONS, VERDICT, REPORT])
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
    assert set(lines[0]) == {"label", "candidate", "baseline", "always-abstain", "copy-first-sentence"}
    assert lines[0]["candidate"]["scores"]["abstains"] == {"undefined": "the question is answerable"}
    assert lines[-1]["candidate"]["scores"]["correct"] == {"undefined": "no page answers the question"}
