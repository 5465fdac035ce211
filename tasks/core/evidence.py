"""The evidence bundle: everything a verdict was reached from, as files that anyone can read and compute again.

    evidence.json    policy, seed, manifests, golden set, what changed, integrity, versions, hashes of the other files
    questions.jsonl  one line a question: the label, every answer with its passages, every score or why there is none
    verdict.json     the verdict and every gate
    report.md        the same for people

No file holds a time or a path of one machine: the same evaluation makes the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter, ValidationError

from tasks.core.answers import Answer
from tasks.core.comparison import Touch, kinds_of_change
from tasks.core.errors import IntegrityFailure
from tasks.core.integrity import Integrity
from tasks.core.labels import Label
from tasks.core.metrics.score import Scores, Undefined
from tasks.core.policy import Policy
from tasks.core.releases import ReleaseManifest, canonical_json
from tasks.core.scoring import Marking, ScoreSheet, mark, mark_trivial
from tasks.core.verdict import Case, Verdict, decide

EVIDENCE, QUESTIONS, VERDICT, REPORT = "evidence.json", "questions.jsonl", "verdict.json", "report.md"

Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was given and what was answered; scores and verdict follow from it."""

    policy: Policy
    candidate: ReleaseManifest
    baseline: ReleaseManifest | None
    labels: tuple[Label, ...]  # sorted by id; none when nobody could be asked
    answers: tuple[Answer, ...]  # of the candidate, one per label
    baseline_answers: tuple[Answer, ...]
    integrity: Integrity
    touched: Mapping[str, Touch]
    versions: Mapping[str, str]  # of what computed the scores


def case_of(evidence: Evidence) -> Case:
    """The case with every score computed."""
    candidate = _sheet(evidence.candidate, evidence.labels, evidence.answers)
    baseline = evidence.baseline
    return Case(
        policy=evidence.policy,
        candidate=candidate,
        baseline=_sheet(baseline, evidence.labels, evidence.baseline_answers) if baseline else None,
        trivial=mark_trivial(candidate, _marking(evidence.candidate)),
        integrity=evidence.integrity,
        kinds=kinds_of_change(evidence.candidate, baseline) if baseline else (),
        touched=evidence.touched,
    )


def _sheet(manifest: ReleaseManifest, labels: tuple[Label, ...], answers: tuple[Answer, ...]) -> ScoreSheet:
    return mark(manifest.id, labels, answers, _marking(manifest))


def _marking(manifest: ReleaseManifest) -> Marking:
    return Marking(manifest.prompt.abstention, 0 if manifest.pattern == "tuned" else manifest.retrieval.k)


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def bundle(evidence: Evidence, case: Case, verdict: Verdict, report: str) -> dict[str, bytes]:
    """File name → bytes."""
    files = {
        QUESTIONS: "".join(line + "\n" for line in _question_lines(case)).encode(),
        VERDICT: verdict_bytes(evidence, verdict),
        REPORT: report.encode(),
    }
    given = _GIVEN.dump_python(_given(evidence), mode="json")
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return {EVIDENCE: (canonical_json({"format": 1, "given": given, "files": hashes}) + "\n").encode(), **files}


def verdict_bytes(evidence: Evidence, verdict: Verdict) -> bytes:
    """The verdict as it is kept and compared."""
    value = {
        "verdict": verdict.verdict,
        "release": evidence.candidate.id,
        "baseline": evidence.baseline.id if evidence.baseline else None,
        "golden_set": evidence.integrity.golden_set,
        "questions": len(evidence.labels),
        "gates": [asdict(gate) for gate in verdict.gates],
    }
    return (canonical_json(value) + "\n").encode()


def _question_lines(case: Case) -> Iterator[str]:
    sheets = {"candidate": case.candidate, "baseline": case.baseline, **{t.answerer: t for t in case.trivial}}
    for n, label in enumerate(case.candidate.labels):
        line: dict[str, object] = {"label": _LABEL.dump_python(label, mode="json")}
        for role, sheet in sheets.items():
            line[role] = _scored(sheet.questions[n].answer, sheet.questions[n].scores) if sheet else None
        yield canonical_json(line)


def _scored(answer: Answer, scores: Scores) -> dict[str, object]:
    plain = {m: {"undefined": s.reason} if isinstance(s, Undefined) else s for m, s in scores.items()}
    return {"answer": _ANSWER.dump_python(answer, mode="json"), "scores": plain}


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Recheck:
    """A verdict computed again from its bundle."""

    verdict: Verdict
    identical: bool  # every score and the verdict, byte for byte
    differences: tuple[str, ...]  # what was recorded differently


def recheck(files: Files) -> Recheck:
    """Computes every score from the answers and the verdict from the scores. The report is not rendered again.

    Raises IntegrityFailure when a file is missing, or is not the one that was sealed.
    """
    evidence = read_bundle(files)
    case = case_of(evidence)
    verdict = decide(case)
    again = bundle(evidence, case, verdict, files[REPORT].decode())
    return Recheck(verdict, again == {name: files[name] for name in again}, tuple(_differences(files, again)))


def read_bundle(files: Files) -> Evidence:
    """The evidence in a bundle. Raises IntegrityFailure."""
    try:
        envelope = json.loads(files[EVIDENCE])
        for name, digest in envelope["files"].items():
            if hashlib.sha256(files[name]).hexdigest() != digest:
                raise IntegrityFailure(f"{name} was changed after the verdict; restore the bundle.", file=name)
        given = _GIVEN.validate_python(envelope["given"])
        lines = [json.loads(line) for line in files[QUESTIONS].splitlines()]
        return Evidence(
            policy=given.policy,
            candidate=given.candidate,
            baseline=given.baseline,
            labels=tuple(_LABEL.validate_python(line["label"]) for line in lines),
            answers=tuple(_ANSWER.validate_python(line["candidate"]["answer"]) for line in lines),
            baseline_answers=tuple(
                _ANSWER.validate_python(line["baseline"]["answer"]) for line in lines if line["baseline"]
            ),
            integrity=given.integrity,
            touched=given.touched,
            versions=given.versions,
        )
    except KeyError as error:
        raise IntegrityFailure(f"The bundle lacks {error}; it is not whole.") from error
    except (ValueError, ValidationError) as error:
        raise IntegrityFailure(f"The bundle cannot be read: {error}") from error


def _differences(recorded: Files, again: Files) -> Iterator[str]:
    for name in again:
        old, new = recorded[name].splitlines(), again[name].splitlines()
        if len(old) != len(new):
            yield f"{name}: {len(old)} lines were recorded, {len(new)} computed"
        for number, (was, computed) in enumerate(zip(old, new, strict=False), start=1):
            if was != computed:
                yield f"{name}, line {number}: recorded {_around(was, computed)}"


def _around(was: bytes, computed: bytes) -> str:
    """The first place where two lines part, with a little on both sides."""
    at = next((n for n, (a, b) in enumerate(zip(was, computed, strict=False)) if a != b), min(len(was), len(computed)))
    near = slice(max(0, at - 30), at + 30)
    return f"…{was[near].decode(errors='replace')}…, computed …{computed[near].decode(errors='replace')}…"


@dataclass(frozen=True, slots=True)
class _Given:
    policy: Policy
    candidate: ReleaseManifest
    baseline: ReleaseManifest | None
    integrity: Integrity
    touched: Mapping[str, Touch]
    versions: Mapping[str, str]


def _given(evidence: Evidence) -> _Given:
    e = evidence
    return _Given(e.policy, e.candidate, e.baseline, e.integrity, e.touched, e.versions)


_GIVEN, _LABEL, _ANSWER = TypeAdapter(_Given), TypeAdapter(Label), TypeAdapter(Answer)
