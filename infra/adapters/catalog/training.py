"""Trainings and the models they made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, func, insert, select, update

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.crossings import note_crossing
from infra.adapters.catalog.database import now, reading
from infra.adapters.catalog.labels import lock_assistant
from tasks.core.releases import ModelRef, SnapshotRef
from tasks.training import Lineage, RegisteredModel


class CatalogTrainings:
    """TrainingCatalog on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def start(self, assistant: str, training: str, label_ids: Sequence[str], begun: Lineage | None = None) -> None:
        running = {
            "state": "running",
            "error": None,
            "started_at": now(),
            "finished_at": None,
            "begun": _spelled(begun) if begun else None,
        }
        with self._engine.begin() as connection:
            lock_assistant(connection, assistant)
            if _row(connection, assistant, training) is None:
                row = {"assistant": assistant, "id": training, "label_ids": list(label_ids)}
                connection.execute(insert(t.trainings).values(**row, **running))
            else:
                once = (t.trainings.c.state != "succeeded",) if begun else ()
                _change(connection, assistant, training, running, *once)

    def succeed(self, assistant: str, ref: ModelRef, lineage: Lineage) -> RegisteredModel:
        model = ref.adapter or ref.base_digest or ref.base
        with self._engine.begin() as connection:
            lock_assistant(connection, assistant)
            known = _find(connection, assistant, model)
            registered = known or RegisteredModel(model, ref, lineage, now())
            if known is None:
                connection.execute(insert(t.models).values(assistant=assistant, **_values(registered)))
            done = {"state": "succeeded", "model": model, "error": None, "finished_at": now()}
            _change(connection, assistant, lineage.training, done)
            note_crossing(connection, assistant)  # what crossed is consumed, and as much may have come meanwhile
        return registered

    def fail(self, assistant: str, training: str, error: str) -> None:
        with self._engine.begin() as connection:
            failed = {"state": "failed", "error": error, "finished_at": now()}
            _change(connection, assistant, training, failed, t.trainings.c.state != "succeeded")

    def begun(self, assistant: str, training: str) -> Lineage | None:
        with reading(self._engine).begin() as connection:
            row = _row(connection, assistant, training)
            return _lineage(row["begun"]) if row and row["begun"] else None

    def made_by(self, assistant: str, training: str) -> RegisteredModel | None:
        trainings = t.trainings.c
        query = select(trainings.model).where(
            trainings.assistant == assistant, trainings.id == training, trainings.state == "succeeded"
        )
        with reading(self._engine).begin() as connection:
            model = connection.scalar(query)
            return _find(connection, assistant, model) if model else None

    def last_succeeded(self, assistant: str) -> datetime | None:
        row = t.trainings.c
        newest = select(func.max(row.finished_at)).where(row.assistant == assistant, row.state == "succeeded")
        with reading(self._engine).begin() as connection:
            at = connection.scalar(newest)
        return datetime.fromisoformat(at) if at else None

    def trained_on(self, assistant: str, model: ModelRef) -> frozenset[str] | None:
        """Ids of what a tuned model and those it began with learnt from; None when no training recorded them."""
        name = model.base if model.kind == "hosted" else model.adapter
        if name is None:
            return None
        learnt: set[str] = set()
        with reading(self._engine).begin() as connection:
            while name:
                known = _find(connection, assistant, name)
                if known is None:
                    return None
                learnt |= set(known.lineage.label_ids)
                name = known.lineage.started_from
        return frozenset(learnt)

    def models(self, assistant: str) -> list[RegisteredModel]:
        query = select(t.models).where(t.models.c.assistant == assistant)
        newest_first = query.order_by(t.models.c.created_at.desc(), t.models.c.id)
        with reading(self._engine).begin() as connection:
            return [_model(row) for row in connection.execute(newest_first).mappings()]


def _change(
    connection: Connection, assistant: str, training: str, values: dict[str, Any], *where: ColumnElement[bool]
) -> None:
    this = (t.trainings.c.assistant == assistant, t.trainings.c.id == training, *where)
    connection.execute(update(t.trainings).where(*this).values(**values))


def _row(connection: Connection, assistant: str, training: str) -> RowMapping | None:
    this = (t.trainings.c.assistant == assistant, t.trainings.c.id == training)
    return connection.execute(select(t.trainings).where(*this)).mappings().one_or_none()


def _find(connection: Connection, assistant: str, model: str) -> RegisteredModel | None:
    query = select(t.models).where(t.models.c.assistant == assistant, t.models.c.id == model)
    row = connection.execute(query).mappings().one_or_none()
    return _model(row) if row else None


def _values(model: RegisteredModel) -> dict[str, Any]:
    return {
        "id": model.id,
        "ref": model.ref.model_dump(mode="json"),
        "lineage": _spelled(model.lineage),
        "created_at": model.created_at,
    }


def _model(row: RowMapping) -> RegisteredModel:
    return RegisteredModel(row["id"], ModelRef.model_validate(row["ref"]), _lineage(row["lineage"]), row["created_at"])


def _spelled(lineage: Lineage) -> dict[str, Any]:
    return {
        "training": lineage.training,
        "trainer": lineage.trainer,
        "snapshot": lineage.snapshot.model_dump(mode="json"),
        "label_ids": list(lineage.label_ids),
        "rows": lineage.rows,
        "metrics": dict(lineage.metrics),
        "dataset": lineage.dataset,
        "dataset_artifact": lineage.dataset_artifact,
        "record": lineage.record,
        "method": lineage.method,
        "started_from": lineage.started_from,
    }


def _lineage(kept: Mapping[str, Any]) -> Lineage:
    return Lineage(
        training=kept["training"],
        trainer=kept["trainer"],
        snapshot=SnapshotRef.model_validate(kept["snapshot"]),
        label_ids=tuple(kept["label_ids"]),
        rows=kept["rows"],
        metrics=kept["metrics"],
        dataset=kept.get("dataset"),
        dataset_artifact=kept.get("dataset_artifact"),
        record=kept.get("record"),
        method=kept.get("method", "supervised"),
        started_from=kept.get("started_from"),
    )
