"""Requests and answers of the fine-tuning API, held against OpenAI's own description of it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS31Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parent / "openai_fine_tuning_schema.json").read_text())
_REGISTRY: Registry[Any] = Registry().with_resource("urn:api", Resource(SCHEMA, DRAFT202012))


def operation(method: str, path: str) -> dict[str, Any] | None:
    """What is described for a method and a path; None when nothing is."""
    for template, verbs in SCHEMA["paths"].items():
        pattern, given = template.split("/"), path.split("/")
        if len(pattern) == len(given) and all(p == g or p.startswith("{") for p, g in zip(pattern, given, strict=True)):
            found: dict[str, Any] | None = verbs.get(method.lower())
            if found is not None:
                return found
    return None


def wrong_request(method: str, path: str, query: dict[str, Any], body: Any, kind: str) -> list[str]:
    """Why a request is not as described."""
    described = operation(method, path)
    if described is None:
        return [f"{method} {path} is not described"]
    known = {one["name"]: one for one in described.get("parameters", []) if one["in"] == "query"}
    wrong = [f"query {name} is not described" for name in query if name.split("[")[0] not in known]
    if "requestBody" in described:
        content = described["requestBody"]["content"].get(kind)
        wrong += [f"{kind} is not described"] if content is None else _errors(content["schema"], body)
        wrong += _undescribed(content["schema"], body) if content else []
    elif body is not None:
        wrong.append("a body is not described")
    return wrong


def wrong_answer(method: str, path: str, status: int, body: Any) -> list[str]:
    """Why an answer is not as described. `paused` is documented in prose, and not in the list of statuses."""
    if status != 200:
        return _errors({"$ref": "#/components/schemas/ErrorResponse"}, body)
    described = operation(method, path)
    if described is None:
        return [f"{method} {path} is not described"]
    schema = described["responses"]["200"]["content"]["application/json"]["schema"]
    return _errors(schema, json.loads(json.dumps(body).replace('"status": "paused"', '"status": "running"')))


def _errors(schema: dict[str, Any], value: Any) -> list[str]:
    reference = schema.get("$ref")
    checker = _validator(reference) if reference else OAS31Validator(schema, registry=_REGISTRY)
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}"[:300] for e in checker.iter_errors(value)]


@cache
def _validator(reference: str) -> Any:
    return OAS31Validator({"$ref": f"urn:api{reference}"}, registry=_REGISTRY)


def _undescribed(schema: dict[str, Any], body: Any) -> list[str]:
    """JSON Schema lets unknown names pass; the API does not."""
    named = SCHEMA["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
    return [f"{name} is not described" for name in body if name not in named]
