"""What a judge said, paid for once, and what people said of the same answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from sqlalchemy import Connection, Engine, RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import now, reading
from infra.adapters.catalog.releases import ensure_assistant
from tasks.core.human_judgements import HumanJudgement
from tasks.core.judging import Exhibit
from tasks.core.metrics.score import Undefined
from tasks.human_judgements import Taken
from tasks.judge_asking import Ruling

_KEYS_PER_QUERY = 500


class CatalogRulings:
    """RulingCache on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get_many(self, keys: Sequence[str]) -> dict[str, Ruling]:
        found: dict[str, Ruling] = {}
        with reading(self._engine).begin() as connection:
            for some in _portions(keys):
                rows = connection.execute(select(t.judgements).where(t.judgements.c.key.in_(some))).mappings()
                found |= {row["key"]: _ruling(row) for row in rows}
        return found

    def put(self, key: str, ruling: Ruling) -> None:
        scores = {"calls": ruling.calls}
        said = {"undefined": ruling.said.reason} if isinstance(ruling.said, Undefined) else {"said": ruling.said}
        values = {"key": key, "scores": scores | said, "cost_usd": ruling.cost_usd}
        with suppress(IntegrityError), self._engine.begin() as connection:  # it is known: another run was first, say
            connection.execute(insert(t.judgements).values(**values))


def _portions(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[at : at + _KEYS_PER_QUERY] for at in range(0, len(keys), _KEYS_PER_QUERY))


def _ruling(row: RowMapping) -> Ruling:
    scores = row["scores"]
    said = Undefined(scores["undefined"]) if "undefined" in scores else str(scores["said"])
    return Ruling(said, int(scores["calls"]), float(row["cost_usd"]))


class CatalogHumanJudgements:
    """HumanJudgements and JudgementCatalog on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def judgements(self, assistant: str) -> list[HumanJudgement]:
        rows = t.human_judgements
        query = select(rows).where(rows.c.assistant == assistant).order_by(rows.c.created_at, rows.c.id)
        with reading(self._engine).begin() as connection:
            return [_judgement(row) for row in connection.execute(query).mappings()]

    def add(self, assistant: str, judgements: Sequence[HumanJudgement]) -> Taken:
        rows = t.human_judgements
        wanted = {one.id: one for one in judgements}  # the last line of a file about the same thing counts
        with self._engine.begin() as connection:
            ensure_assistant(connection, assistant)
            # SQLite's BEGIN IMMEDIATE excludes other writers already; elsewhere this row's lock does.
            connection.execute(select(t.assistants.c.name).where(t.assistants.c.name == assistant).with_for_update())
            query = select(rows.c.id, rows.c.value).where(rows.c.assistant == assistant)
            known = {row.id: row.value for row in connection.execute(query)}
            new = [one for one in wanted.values() if one.id not in known]
            changed = [one for one in wanted.values() if one.id in known and known[one.id] != one.value]
            _insert(connection, assistant, new)
            for one in changed:
                this = (rows.c.assistant == assistant, rows.c.id == one.id)
                connection.execute(update(rows).where(*this).values(value=one.value))
        return Taken(new=len(new), changed=len(changed), known=len(judgements) - len(new) - len(changed))


def _insert(connection: Connection, assistant: str, judgements: Sequence[HumanJudgement]) -> None:
    if judgements:
        created = now()
        rows = [{"assistant": assistant, "created_at": created, **_values(one)} for one in judgements]
        connection.execute(insert(t.human_judgements), rows)


def _values(one: HumanJudgement) -> dict[str, object]:
    return {
        "id": one.id,
        "metric": one.metric,
        "question": one.exhibit.question,
        "answer": one.exhibit.answer,
        "ideal": one.exhibit.ideal,
        "contexts": list(one.exhibit.contexts),
        "value": one.value,
        "who": one.who,
    }


def _judgement(row: RowMapping) -> HumanJudgement:
    exhibit = Exhibit(row["question"], row["answer"], tuple(row["contexts"]), row["ideal"])
    return HumanJudgement(row["metric"], exhibit, row["value"], row["who"])
