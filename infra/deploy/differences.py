"""What has to change so that a Prefect server holds what is wanted: two lists in, the changes out. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

Kind = Literal["work pool", "variable", "block type", "block", "deployment", "schedule", "automation"]
Action = Literal["create", "update", "delete"]
_SIGN: Mapping[Action, str] = {"create": "+", "update": "~", "delete": "-"}
_WIDEST = 60  # characters of a value in a line


@dataclass(frozen=True, slots=True)
class Thing:
    """Something on the server, as far as it is ours to say: fields that people may set are not in it."""

    kind: Kind
    name: str
    fields: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """A thing that is there. ours: it carries our mark, so it goes when it is not wanted any more."""

    thing: Thing
    id: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """One field, before and after."""

    field: str
    before: JsonValue
    after: JsonValue

    def sentence(self) -> str:
        """`cron: "7 * * * *" → "9 * * * *"`."""
        return f"{self.field}: {_short(self.before)} → {_short(self.after)}"


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to one thing. id: of the thing that is there; None for one that is created."""

    action: Action
    thing: Thing
    id: str | None = None
    differences: tuple[Difference, ...] = ()

    def as_json(self) -> dict[str, JsonValue]:
        """One row of `ratchet deploy --json`."""
        fields = {one.field: [one.before, one.after] for one in self.differences}
        return {"action": self.action, "kind": self.thing.kind, "name": self.thing.name, "fields": dict(fields)}


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything that was changed, or would be; how many things were right already."""

    changes: tuple[Change, ...] = ()
    unchanged: int = 0

    def __add__(self, other: Changes) -> Changes:
        return Changes(self.changes + other.changes, self.unchanged + other.unchanged)

    def as_json(self) -> dict[str, JsonValue]:
        """The object of `ratchet deploy --json`."""
        return {"changes": [one.as_json() for one in self.changes], "unchanged": self.unchanged}

    def text(self) -> str:
        """A line per thing, and one per field that changes."""
        lines = []
        for one in self.changes:
            lines.append(f"{_SIGN[one.action]} {one.thing.kind} {one.thing.name}")
            lines += [f"    {difference.sentence()}" for difference in one.differences]
        counts = {action: sum(one.action == action for one in self.changes) for action in _SIGN}
        return "\n".join(
            [
                *lines,
                f"{counts['create']} new, {counts['update']} changed, {counts['delete']} removed, "
                f"{self.unchanged} as they should be",
            ]
        )


def plan(wanted: Iterable[Thing], found: Iterable[Found]) -> Changes:
    """Creates what is missing, updates in place what differs in a field of ours, deletes what is ours and not wanted.

    >>> plan([Thing("variable", "a", {"value": 1})], [Found(Thing("variable", "a", {"value": 2}), "id-1", True)]).text()
    '~ variable a\\n    value: 2 → 1\\n0 new, 1 changed, 0 removed, 0 as they should be'
    """
    there = {(one.thing.kind, one.thing.name): one for one in found}
    changes, unchanged = [], 0
    for thing in wanted:
        known = there.pop((thing.kind, thing.name), None)
        if known is None:
            changes.append(Change("create", thing))
        elif differences := _differences(known.thing.fields, thing.fields):
            changes.append(Change("update", thing, known.id, differences))
        else:
            unchanged += 1
    changes += [Change("delete", one.thing, one.id) for one in there.values() if one.ours]
    return Changes(tuple(changes), unchanged)


def settled(applied: bool | None, variable: bool | None, schedule: bool | None) -> bool:
    """Whether a schedule shall be active: what was changed by a person since it was applied last.

    applied: what held after the last run. A schedule is switched on its page or by its variable, and either counts.

    >>> settled(True, True, False), settled(True, False, True), settled(False, True, False)
    (False, False, True)
    >>> settled(None, False, None), settled(None, None, None), settled(None, True, False)
    (False, True, False)
    """
    if applied is not None and variable is not None and variable != applied:
        return variable
    if schedule is not None:
        return schedule
    return True if variable is None else variable


def _differences(before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> tuple[Difference, ...]:
    return tuple(
        Difference(name, before.get(name), value) for name, value in after.items() if before.get(name) != value
    )


def _short(value: JsonValue) -> str:

    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def rows(changes: Changes) -> Sequence[tuple[Action, Kind, str]]:
    """The changes without their fields, in the order in which they are made."""
    return [(one.action, one.thing.kind, one.thing.name) for one in changes.changes]
