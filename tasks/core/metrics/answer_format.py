"""Whether an answer is JSON of the policy's JSON Schema, as strictly as the program that reads it might be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import isinf
from typing import TYPE_CHECKING, NoReturn

from pydantic import JsonValue

from tasks.core.answers import Answer
from tasks.core.metrics.score import Score, Undefined, yes
from tasks.core.releases import canonical_json

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from referencing import Resource
    from referencing._core import Resolver

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FORMATS = ("date", "time", "date-time", "email", "ipv4", "ipv6", "uuid", "regex")
"""The only ones asserted, and the only ones a schema may name: what else jsonschema checks depends on the packages that
happen to be installed, and a verdict is computed again elsewhere."""

NO_SCHEMA = Undefined("the policy has no answer_schema")


def well_formed(answer: Answer, schema: Mapping[str, JsonValue] | None) -> Score:
    """1 when the whole text is JSON that the schema admits (draft 2020-12, formats asserted).

    Every answer is held to it, an abstention too: what reads the answers reads that as well. So the abstention of an
    assistant that answers in JSON is itself JSON, such as {"answer": null}, and the schema admits it. A marker behind
    the JSON makes it invalid; inside of a string it is part of the string.
    """
    if schema is None:
        return NO_SCHEMA
    try:
        return yes(_validator(canonical_json(schema)).is_valid(strict_json(answer.text)))
    except (ValueError, RecursionError):
        return 0.0


def strict_json(text: str) -> JsonValue:
    """A text that every reader of JSON reads alike (I-JSON, RFC 7493). Raises ValueError, or RecursionError.

    No NaN or Infinity, no number beyond the largest double, no name twice in an object, no half of a surrogate pair,
    and nothing but white space around it.

    >>> strict_json(' {"bar": 42} ')
    {'bar': 42}
    """
    found: JsonValue = json.loads(
        text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole, object_pairs_hook=_each_name_once
    )
    json.dumps(found, ensure_ascii=False).encode()  # raises UnicodeEncodeError, a ValueError, for half of a pair
    return found


def check_schema(schema: Mapping[str, JsonValue]) -> str | None:
    """What is wrong with a schema, where, and what to do; None when answers can be checked against it."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
        return next(_unusable(schema), None)
    except SchemaError as error:
        at = "/".join(str(part) for part in error.absolute_path) or "its top"
        return f"answer_schema is no JSON Schema of draft 2020-12: at {at}, {error.message}."
    except RecursionError:
        return "answer_schema refers to itself without end: let each such reference stand under a property or an item."


def _unusable(schema: Mapping[str, JsonValue]) -> Iterator[str]:
    """Complaints about a schema that is valid by itself."""
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    for other in _other_dialects(dict(schema)):
        yield f"answer_schema says it is {other}; only {DIALECT} is read. Write it in that draft, or leave out $schema."
        return
    whole = DRAFT202012.create_resource(schema)
    yield from _cannot_be_checked(Registry().with_resource("", whole).crawl().resolver_with_root(whole), whole)
    for value in (None, True, 0, "", [], [0], {}, {"": 0}):
        _validator(canonical_json(schema)).is_valid(value)


def _other_dialects(value: JsonValue) -> Iterator[str]:
    if isinstance(value, dict):
        named = value.get("$schema")
        if isinstance(named, str) and named.removesuffix("#") != DIALECT:
            yield named
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _other_dialects(part)


def _cannot_be_checked(resolver: Resolver[JsonValue], part: Resource[JsonValue]) -> Iterator[str]:
    """References to what is not in the schema, of which nothing is ever fetched; formats that nobody asserts."""
    from referencing.exceptions import Unresolvable

    said = part.contents if isinstance(part.contents, dict) else {}
    for word in ("$ref", "$dynamicRef"):
        try:
            if word in said:
                resolver.lookup(str(said[word]))
        except Unresolvable:
            yield f"answer_schema refers to {said[word]}, which is not in it. Write that part under its $defs."
    if "format" in said and said["format"] not in FORMATS:
        yield (
            f"answer_schema asks for the format {said['format']}, which is not checked here; {', '.join(FORMATS)} are. "
            "Write it as a pattern."
        )
    for inner in part.subresources():
        yield from _cannot_be_checked(resolver.in_subresource(inner), inner)


@lru_cache(maxsize=16)
def _validator(schema: str) -> Draft202012Validator:
    from jsonschema import Draft202012Validator, FormatChecker  # a quarter of a second, for who answers in JSON
    from referencing import Registry

    known = Draft202012Validator.FORMAT_CHECKER.checkers
    formats = FormatChecker(())
    formats.checkers = {name: known[name] for name in FORMATS}
    return Draft202012Validator(json.loads(schema), registry=Registry(), format_checker=formats)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(number: str) -> float:
    if isinf(value := float(number)):
        raise ValueError(f"{number} is beyond the largest double")
    return value


def _whole(number: str) -> int:
    _finite(number)
    return int(number)


def _each_name_once(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return found
