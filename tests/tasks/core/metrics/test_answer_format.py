"""Whether an answer is JSON of the policy's schema, and whether a schema can be held to."""

import json
from dataclasses import replace

import pytest
from evaluation_fakes import declines, golden_label, perfect
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.metrics.answer_format import FORMATS, NO_SCHEMA, check_schema, strict_json, well_formed

LABEL = golden_label(1)
SCHEMA = {
    "type": "object",
    "required": ["answer"],
    "properties": {"answer": {"type": ["string", "null"]}, "bar": {"type": "number", "multipleOf": 0.5}},
    "additionalProperties": False,
}


def scored(text: str, schema=SCHEMA):
    return well_formed(replace(perfect(LABEL), text=text), schema)


def test_without_a_schema_no_form_was_promised() -> None:
    assert scored('{"answer": "42 bar"}', None) == NO_SCHEMA


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"answer": "42 bar [1]"}', 1),
        (' \n{"bar": 42.5,\t"answer": null}\n', 1),
        ('{"answer": "\\ud83d\\ude42 🙂"}', 1),
        ("{}", 0),
        ('{"answer": 42}', 0),
        ('{"answer": "42 bar", "bar": 42.3}', 0),
        ('{"answer": "42 bar", "unit": "bar"}', 0),
        ('"42 bar"', 0),
        ("", 0),
        ("The pump reaches 42 bar.", 0),
        ('{"answer": "42 bar"', 0),  # cut short
        ('{"answer": "42 bar",}', 0),
        ("{'answer': '42 bar'}", 0),
        ('{"answer": "42 bar"} [1]', 0),  # text behind it
        ('Here it is: {"answer": "42 bar"}', 0),
        ('```json\n{"answer": "42 bar"}\n```', 0),
        ('{"answer": "42 bar"}{"answer": "42 bar"}', 0),
        ('{"answer": "42 bar", "answer": "43 bar"}', 0),  # which one counts depends on the reader
        ('{"answer": null, "bar": NaN}', 0),
        ('{"answer": null, "bar": -Infinity}', 0),
        ('{"answer": null, "bar": 1e999}', 0),  # infinity to most readers
        ('{"answer": null, "bar": 1' + "0" * 400 + "}", 0),
        ('{"answer": null, "bar": 1' + "0" * 300 + "}", 1),
        ('{"answer": null, "bar": 1' + "0" * 5000 + "}", 0),
        ('{"answer": "\\ud83d"}', 0),  # half a character
        ('{"answer": "a\nb"}', 0),  # a line break that is not escaped
        ('\ufeff{"answer": null}', 0),
        ("[" * 100_000, 0),
        ('{"a":' * 100_000, 0),
    ],
)
def test_an_answer_is_strict_json_of_the_schema_or_it_is_not(text: str, valid: int) -> None:
    assert scored(text) == valid


def test_an_abstention_is_held_to_the_schema_like_any_answer() -> None:
    """A program reads it too."""
    assert well_formed(declines(LABEL), SCHEMA) == 0.0
    assert well_formed(replace(declines(LABEL), text='{"answer": null}'), SCHEMA) == 1.0


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**300), 10**300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(JSON)
def test_what_json_writes_is_read_as_it_was(value: object) -> None:
    text = json.dumps(value)
    assert strict_json(text) == value
    assert scored(text, {}) == 1.0
    assert scored(text + ",", {}) == 0.0


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("date", "2026-02-28", "2026-02-30"),
        ("time", "07:15:00Z", "25:15:00Z"),
        ("date-time", "2026-02-28T07:15:00Z", "2026-02-28 07:15"),
        ("email", "ada@example.org", "ada"),
        ("ipv4", "127.0.0.1", "127.0.0.256"),
        ("ipv6", "::1", ":::1"),
        ("uuid", "3e4666bf-d5e5-4aa7-b8ce-cefe41c7568a", "3e4666bf"),
        ("regex", "a+", "a("),
    ],
)
def test_formats_are_asserted(name: str, right: str, wrong: str) -> None:
    assert name in FORMATS
    assert (scored(json.dumps(right), {"format": name}), scored(json.dumps(wrong), {"format": name})) == (1.0, 0.0)


# ── the schema itself ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "schema",
    [
        {},
        SCHEMA,
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "array", "items": {"format": "date"}},
        {"$defs": {"bar": {"type": "number"}}, "properties": {"bar": {"$ref": "#/$defs/bar"}}},
        {"$id": "https://example.org/answer", "items": {"$ref": "/answer"}},  # a tree
        {"$defs": {"bar": {"$anchor": "bar"}}, "$ref": "#bar"},
        {"properties": {"$ref": {"type": "string"}, "format": {"const": "uri"}}},  # names, not references
        {"const": {"$ref": "#/nowhere", "format": "uri"}},  # a value
    ],
)
def test_a_schema_that_answers_can_be_held_to(schema) -> None:
    assert check_schema(schema) is None


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "strnig"}, "no JSON Schema of draft 2020-12: at type, 'strnig' is not valid"),
        ({"properties": {"bar": {"minimum": "3"}}}, "at properties/bar/minimum, '3' is not of type 'number'"),
        ({"required": "answer"}, "at required, 'answer' is not of type 'array'"),
        ({"pattern": "("}, "at pattern, '(' is not a 'regex'"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "says it is http://json-schema.org/draft-07/schema#"),
        ({"$defs": {"a": {"$schema": "http://nowhere.example"}}}, "says it is http://nowhere.example"),
        ({"$ref": "https://example.org/schema.json"}, "refers to https://example.org/schema.json, which is not in it"),
        ({"items": {"$ref": "#/$defs/bar"}}, "refers to #/$defs/bar"),
        ({"$dynamicRef": "#bar"}, "refers to #bar"),
        ({"anyOf": [{"format": "uri"}]}, "asks for the format uri, which is not checked here"),
        ({"$ref": "#"}, "refers to itself without end"),
        ({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#"}}}, "refers to itself without end"),
    ],
)
def test_a_schema_that_none_can_be_held_to_is_refused_with_the_place_and_the_way_out(schema, said: str) -> None:
    complaint = check_schema(schema)
    assert complaint is not None
    assert said in complaint
    assert complaint.startswith("answer_schema ")


def test_nested_without_measure_is_refused_and_not_a_crash() -> None:
    schema: dict[str, object] = {}
    for _ in range(5000):
        schema = {"not": schema}
    assert check_schema(schema) is not None  # type: ignore[arg-type]
