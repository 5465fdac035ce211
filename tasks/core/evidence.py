"""The evidence bundle: everything a verdict was reached from, as files that anyone can read and compute again.

    evidence.json    policy, seed, manifests, golden set, what changed, integrity, rehearsal, what a judge contributed,
                     versions, hashes of the other files
    questions.jsonl  one line a question: the label, every answer with its passages, every score or why there is none
    verdict.json     the verdict and every gate
    report.md        the same for people
    report.html      the same with plots, for a browser

No file holds a date or a path of one machine: the same answers and the same rehearsal make the same bytes.
docs/evidence.md says what each field is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from tasks.core.answers import Answer
from tasks.core.comparison import Touch, kinds_of_change
from tasks.core.errors import IntegrityFailure, UsageError
from tasks.core.integrity import Integrity
from tasks.core.judging import JudgedScores, JudgeRecord
from tasks.core.labels import Label
from tasks.core.metrics.question import Marking
from tasks.core.metrics.score import Scores, Undefined
from tasks.core.pace import NOT_REHEARSED, Rehearsal
from tasks.core.policy import Policy
from tasks.core.releases import ReleaseManifest, canonical_json
from tasks.core.scoring import ScoreSheet, mark, mark_trivial
from tasks.core.verdict import Case, Verdict, decide

EVIDENCE, QUESTIONS, VERDICT = "evidence.json", "questions.jsonl", "verdict.json"
REPORT, PAGE = "report.md", "report.html"
FORMAT = 2  # of the bundle: 1 knew neither anchor nor rehearsal nor judge

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
    anchor: ReleaseManifest | None = None  # None: there is none, or it is one of the two
    anchor_answers: tuple[Answer, ...] = ()
    anchor_touched: Mapping[str, Touch] = field(default_factory=dict)  # golden questions that changed since the anchor
    rehearsal: Rehearsal = NOT_REHEARSED
    judged: JudgeRecord | None = None


def case_of(evidence: Evidence) -> Case:
    """The case with every score computed."""
    baseline, anchor, judged = evidence.baseline, evidence.anchor, evidence.judged
    candidate = _sheet(evidence, evidence.candidate, evidence.answers, judged.candidate if judged else {})
    theirs = judged.baseline if judged else {}
    return Case(
        policy=evidence.policy,
        candidate=candidate,
        baseline=_sheet(evidence, baseline, evidence.baseline_answers, theirs) if baseline else None,
        trivial=mark_trivial(candidate, _marking(evidence, evidence.candidate)),
        integrity=evidence.integrity,
        kinds=kinds_of_change(evidence.candidate, baseline) if baseline else (),
        touched=evidence.touched,
        anchor=_sheet(evidence, anchor, evidence.anchor_answers) if anchor else None,
        anchor_touched=evidence.anchor_touched,
        rehearsal=evidence.rehearsal,
        agreement=judged.agreement if judged else {},
    )


def _sheet(
    evidence: Evidence, manifest: ReleaseManifest, answers: tuple[Answer, ...], judged: JudgedScores | None = None
) -> ScoreSheet:
    return mark(manifest.id, evidence.labels, answers, _marking(evidence, manifest, judged))


def _marking(evidence: Evidence, manifest: ReleaseManifest, judged: JudgedScores | None = None) -> Marking:
    return Marking(
        abstention=manifest.prompt.abstention,
        k=0 if manifest.pattern == "tuned" else manifest.retrieval.k,
        answer_schema=evidence.policy.answer_schema,
        judged=judged or {},
    )


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def bundle(evidence: Evidence, case: Case, verdict: Verdict, reports: Mapping[str, str]) -> dict[str, bytes]:
    """File name → bytes. reports: file name → what it says to people."""
    files = {
        QUESTIONS: "".join(line + "\n" for line in _question_lines(case)).encode(),
        VERDICT: verdict_bytes(evidence, verdict),
        **{name: text.encode() for name, text in reports.items()},
    }
    given = _GIVEN.dump_python(_given(evidence), mode="json")
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return {EVIDENCE: (canonical_json({"format": FORMAT, "given": given, "files": hashes}) + "\n").encode(), **files}


def policy_id(policy: Policy) -> str:
    """`p-` and 16 hex digits over everything in a policy that a verdict depends on.

    Who may override, and whom a promotion asks, decide about promotions and not about verdicts.
    """
    said = policy.model_dump(mode="json", exclude={"override", "approval"})
    return "p-" + hashlib.sha256(canonical_json(said).encode()).hexdigest()[:16]


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
    sheets = {"candidate": case.candidate, "baseline": case.baseline, "anchor": case.anchor}
    sheets |= {t.answerer: t for t in case.trivial}
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
    versions: Mapping[str, str]  # of what computed it first


def recheck(files: Files) -> Recheck:
    """Computes every score from the answers and the verdict from the scores. The reports are not rendered again.

    Raises IntegrityFailure when a file is missing, or is not the one that was sealed, and UsageError for a bundle of
    another format.
    """
    evidence = read_bundle(files)
    case = case_of(evidence)
    verdict = decide(case)
    again = bundle(evidence, case, verdict, {name: files[name].decode() for name in (REPORT, PAGE) if name in files})
    return Recheck(
        verdict, again == {name: files[name] for name in again}, tuple(_differences(files, again)), evidence.versions
    )


def read_bundle(files: Files) -> Evidence:
    """The evidence in a bundle. Raises IntegrityFailure, and UsageError for a bundle of another format."""
    try:
        envelope = _ENVELOPE.validate_json(files[EVIDENCE])
        _require_format(envelope)
        for name, digest in envelope.files.items():
            if hashlib.sha256(files[name]).hexdigest() != digest:
                raise IntegrityFailure(f"{name} was changed after the verdict; restore the bundle.", file=name)
        given = _GIVEN.validate_python(envelope.given)
        lines = [json.loads(line) for line in files[QUESTIONS].splitlines()]
        return Evidence(
            policy=given.policy,
            candidate=given.candidate,
            baseline=given.baseline,
            labels=tuple(_LABEL.validate_python(line["label"]) for line in lines),
            answers=tuple(_ANSWER.validate_python(line["candidate"]["answer"]) for line in lines),
            baseline_answers=_answers(lines, "baseline"),
            integrity=given.integrity,
            touched=given.touched,
            versions=given.versions,
            anchor=given.anchor,
            anchor_answers=_answers(lines, "anchor"),
            anchor_touched=given.anchor_touched,
            rehearsal=given.rehearsal,
            judged=given.judged,
        )
    except KeyError as error:
        raise IntegrityFailure(f"The bundle lacks {error}; it is not whole.") from error
    except (ValueError, ValidationError) as error:
        raise IntegrityFailure(f"The bundle cannot be read: {error}") from error


def _require_format(envelope: _Envelope) -> None:
    if envelope.format == FORMAT:
        return
    versions = envelope.given.get("versions")
    maker = versions.get("ratchet", "unknown") if isinstance(versions, dict) else "unknown"
    older = envelope.format < FORMAT
    raise UsageError(
        f"This evidence bundle has format {envelope.format}, written by ratchet {maker}; this version recomputes "
        f"format {FORMAT}. Recompute it with {'the version that wrote it' if older else 'a newer version of ratchet'}"
        f"{', or judge the release again: `ratchet evaluate RELEASE`.' if older else '.'}",
        format=envelope.format,
        known=FORMAT,
    )


def _answers(lines: Sequence[dict[str, Any]], role: str) -> tuple[Answer, ...]:
    return tuple(_ANSWER.validate_python(line[role]["answer"]) for line in lines if line[role])


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
class _Envelope:
    format: int
    given: dict[str, JsonValue]
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Given:
    policy: Policy
    candidate: ReleaseManifest
    baseline: ReleaseManifest | None
    integrity: Integrity
    touched: Mapping[str, Touch]
    versions: Mapping[str, str]
    anchor: ReleaseManifest | None
    anchor_touched: Mapping[str, Touch]
    rehearsal: Rehearsal
    judged: JudgeRecord | None


def _given(evidence: Evidence) -> _Given:
    e = evidence
    return _Given(
        policy=e.policy,
        candidate=e.candidate,
        baseline=e.baseline,
        integrity=e.integrity,
        touched=e.touched,
        versions=e.versions,
        anchor=e.anchor,
        anchor_touched=e.anchor_touched,
        rehearsal=e.rehearsal,
        judged=e.judged,
    )


_ENVELOPE, _GIVEN = TypeAdapter(_Envelope), TypeAdapter(_Given)
_LABEL, _ANSWER = TypeAdapter(Label), TypeAdapter(Answer)
