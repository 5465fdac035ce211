"""The blessing of infrastructure: a release answers in the process that serves before it may become current."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from tasks.core.answers import Answer
from tasks.core.errors import NotFound, PromotionRefused
from tasks.core.evidence import Evidence, read_bundle
from tasks.core.labels import Label
from tasks.core.pace import Blessing
from tasks.core.ports import ArtifactStore

QUESTIONS = 4  # by the default policy one of four answers may differ; of three, none could


@dataclass(frozen=True, slots=True)
class Said:
    """What a process answered."""

    text: str
    release: str  # which answered, as the process says
    seconds: float  # from question to whole answer


class AnsweringProcess(Protocol):
    """A process that runs the answer service."""

    @property
    def where(self) -> str:
        """Its address, or what it is, for people."""

    @property
    def stays(self) -> bool:
        """Whether it goes on serving after it was asked."""

    def ask(self, assistant: str, release: str, question: str) -> Said:
        """What exactly this release says, computed anew: no answer that was kept is used.

        Raises ModelUnavailable when the process cannot be reached or has no time, BadSetting when it refuses the key,
        and PromotionRefused, with what it said, when it answers with an error.
        """


class OpenProcesses(Protocol):
    """The processes that must be able to answer."""

    def __call__(self) -> AbstractContextManager[Sequence[AnsweringProcess]]:
        """All of them, for as long as the block lasts. Raises ModelUnavailable when one cannot be had."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A question whose answer is known: what was judged."""

    question: str
    texts: frozenset[str]  # asked alone, and in a batch; either is the answer that was judged


def expected(evidence: Evidence) -> tuple[Expected, ...]:
    """What the candidate was asked one at a time; where that was not measured, every golden question."""
    judged = {label.id: Expected(label.question, frozenset([answer.text])) for label, answer in _judged(evidence)}
    alone = [(judged[one.label], one.text) for one in evidence.rehearsal.candidate if one.label in judged]
    known = [Expected(one.question, one.texts | {text}) for one, text in alone]
    return tuple(known or judged.values())


def _judged(evidence: Evidence) -> Iterator[tuple[Label, Answer]]:
    return zip(evidence.labels, evidence.answers, strict=True)


def read_evidence(artifacts: ArtifactStore, evaluation: str) -> Evidence:
    """The evidence of an evaluation.

    Raises PromotionRefused when it is gone, IntegrityFailure when it was changed, UsageError when it is of another
    format.
    """
    try:
        folder = artifacts.path(evaluation)
    except NotFound as error:
        raise PromotionRefused(
            f"The evidence of evaluation {evaluation} is gone, so nobody can say what was judged. Evaluate the release "
            "again.",
            evaluation=evaluation,
        ) from error
    return read_bundle({file.name: file.read_bytes() for file in folder.iterdir()})


def bless(
    processes: Sequence[AnsweringProcess],
    assistant: str,
    release: str,
    known: Sequence[Expected],
    least_agreement: float,
) -> Blessing:
    """Asks every process the first few questions, one at a time. least_agreement: share of answers, 0 to 1.

    Raises what asking raises, and PromotionRefused for an answer of another release, an empty one, or too many that are
    not the ones judged.
    """
    asked = known[:QUESTIONS]
    if not asked:
        raise PromotionRefused(
            f"The evidence of release {release} holds no question, so the process that serves cannot be asked any.",
            release=release,
        )
    agreed, seconds = 0, 0.0
    for process in processes:
        said = [_ask(process, assistant, release, one.question) for one in asked]
        same = sum(answer.text in one.texts for answer, one in zip(said, asked, strict=True))
        if same / len(asked) < least_agreement:
            raise _differs(process, release, asked, said, same, least_agreement)
        agreed, seconds = agreed + same, seconds + sum(answer.seconds for answer in said)
    return Blessing(
        where=", ".join(process.where for process in processes),
        questions=len(asked) * len(processes),
        agreed=agreed,
        seconds=round(seconds, 3),
        warmed=all(process.stays for process in processes),
    )


def _ask(process: AnsweringProcess, assistant: str, release: str, question: str) -> Said:
    said = process.ask(assistant, release, question)
    if said.release != release:
        raise PromotionRefused(
            f"The answer service ({process.where}) was asked for release {release} and answered with "
            f"{said.release or 'none'}. Look at its version and its catalog.",
            release=release,
            answered=said.release,
        )
    if not said.text.strip():
        raise PromotionRefused(
            f"The answer service ({process.where}) answered {question!r} with nothing.", release=release
        )
    return said


def _differs(
    process: AnsweringProcess,
    release: str,
    asked: Sequence[Expected],
    said: Sequence[Said],
    same: int,
    least_agreement: float,
) -> PromotionRefused:
    one, answer = next((o, a) for o, a in zip(asked, said, strict=True) if a.text not in o.texts)
    return PromotionRefused(
        f"The answer service ({process.where}) gives {same} of {len(asked)} answers as they were judged; the limit is "
        f"{least_agreement:.0%} (policy.pace.least_agreement). Asked {one.question!r} it says {answer.text!r}, judged "
        f"was {min(one.texts)!r}. Make sure it runs the version and the model of the evaluation, or evaluate again.",
        release=release,
        agreed=same,
        questions=len(asked),
    )
