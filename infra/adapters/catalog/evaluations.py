"""Verdicts: every evaluation that was made, the newest of a release first."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, update

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import now, reading
from tasks.core.errors import NotFound
from tasks.core.gate import Gate
from tasks.core.promotion import Judgement
from tasks.evaluation import Evaluation


class CatalogEvaluations:
    """EvaluationLog and Judgements on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, assistant: str, evaluation: Evaluation) -> None:
        row = t.evaluations.c
        with self._engine.begin() as connection:
            newest = connection.scalar(select(func.max(row.seq)).where(row.assistant == assistant)) or 0
            this = (row.assistant == assistant, row.id == evaluation.id)
            seq = connection.scalar(select(row.seq).where(*this))
            if seq is None:
                _add(connection, assistant, evaluation, newest + 1)
            elif seq != newest:
                connection.execute(update(t.evaluations).where(*this).values(seq=newest + 1))

    def evaluation(self, assistant: str, id: str) -> Evaluation:
        row = t.evaluations.c
        query = select(t.evaluations).where(row.assistant == assistant, row.id == id)
        with reading(self._engine).begin() as connection:
            found = connection.execute(query).mappings().one_or_none()
        if found is None:
            raise NotFound(f"Assistant {assistant} has no evaluation {id}.", evaluation=id)
        return _evaluation(found)

    def latest(self, assistant: str, release: str | None = None) -> Evaluation | None:
        row = t.evaluations.c
        query = select(t.evaluations).where(row.assistant == assistant).order_by(row.seq.desc()).limit(1)
        if release is not None:
            query = query.where(row.release == release)
        with reading(self._engine).begin() as connection:
            found = connection.execute(query).mappings().one_or_none()
        return None if found is None else _evaluation(found)

    def judgement(self, assistant: str, release: str) -> Judgement | None:
        found = self.latest(assistant, release)
        return None if found is None else found.judgement


def _add(connection: Connection, assistant: str, evaluation: Evaluation, seq: int) -> None:
    connection.execute(
        insert(t.evaluations).values(
            assistant=assistant,
            id=evaluation.id,
            seq=seq,
            release=evaluation.release,
            baseline=evaluation.baseline,
            golden_set=evaluation.golden_set,
            verdict=evaluation.verdict,
            summary={
                "questions": evaluation.questions,
                "gates": [asdict(gate) for gate in evaluation.gates],
                "policy": evaluation.policy,
            },
            created_at=now(),
        )
    )


def _evaluation(row: RowMapping) -> Evaluation:
    return Evaluation(
        id=row["id"],
        release=row["release"],
        baseline=row["baseline"],
        golden_set=row["golden_set"],
        verdict=row["verdict"],
        questions=row["summary"]["questions"],
        gates=tuple(Gate(**gate) for gate in row["summary"]["gates"]),
        policy=row["summary"].get("policy", ""),
    )
