"""Cuts `openai_fine_tuning_schema.json` out of OpenAI's API description (MIT): `python trim_openapi.py openapi.yaml`.

Kept: the paths below with their parameters, bodies and answers, and every schema they lead to. Left out: prose,
examples, titles, `x-` extensions and reinforcement fine-tuning with its graders. Two habits of OpenAPI 3.0 that JSON
Schema 2020-12 does not know are written in its words: `nullable: true` and `exclusiveMinimum: true`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

TARGET = Path(__file__).parent / "openai_fine_tuning_schema.json"
JOB = "/fine_tuning/jobs/{fine_tuning_job_id}"
KEPT = {
    "/files": ("get", "post"),
    "/files/{file_id}": ("get", "delete"),
    "/fine_tuning/jobs": ("get", "post"),
    JOB: ("get",),
    f"{JOB}/cancel": ("post",),
    f"{JOB}/events": ("get",),
    f"{JOB}/checkpoints": ("get",),
    "/models": ("get",),
    "/models/{model}": ("get",),
}
PROSE = {"description", "summary", "example", "examples", "title", "externalDocs", "tags", "operationId", "deprecated"}
LEFT_OUT = {"FineTuneReinforcementMethod"}


def main(source: str) -> None:
    """Writes the file beside this one."""
    whole = yaml.load(Path(source).read_text(), Loader=yaml.CSafeLoader)
    paths = {
        path: {
            verb: {part: operation[part] for part in ("parameters", "requestBody", "responses") if part in operation}
            for verb in verbs
            for operation in [whole["paths"][path][verb]]
        }
        for path, verbs in KEPT.items()
    }
    trimmed = {"paths": cleaned(paths), "components": {"schemas": {}}}
    schemas, wanted = trimmed["components"]["schemas"], {"ErrorResponse", *references(trimmed["paths"])}
    while wanted - schemas.keys():
        for name in sorted(wanted - schemas.keys()):
            schemas[name] = cleaned(whole["components"]["schemas"][name])
            wanted |= set(references(schemas[name]))
    info = {key: whole["info"][key] for key in ("title", "version", "license")}
    said = {"openapi": whole["openapi"], "info": info, "x-trimmed-by": "trim_openapi.py", **trimmed}
    TARGET.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")


def cleaned(part: Any, *, names: bool = False) -> Any:
    """Without prose. names: the keys are names of properties, which may be called `description` or `title`."""
    if isinstance(part, list):
        return [cleaned(one) for one in part if not _is_left_out(one)]
    if not isinstance(part, dict):
        return part
    kept = {
        key: cleaned(value, names=key == "properties" and not names)
        for key, value in part.items()
        if not _is_left_out(value) and (names or not (key in PROSE or str(key).startswith("x-")))
    }
    return kept if names else _in_2020_12(kept)


def _in_2020_12(schema: dict[str, Any]) -> dict[str, Any]:
    nullable = schema.pop("nullable", False) is True
    if nullable and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    if schema.get("exclusiveMinimum") is True:
        schema["exclusiveMinimum"] = schema.pop("minimum")
    return schema


def _is_left_out(part: Any) -> bool:
    return isinstance(part, dict) and str(part.get("$ref", "")).rpartition("/")[2] in LEFT_OUT


def references(part: Any) -> list[str]:
    """Names of the schemas a part leads to."""
    if isinstance(part, list):
        return [name for one in part for name in references(one)]
    if not isinstance(part, dict):
        return []
    here = [part["$ref"].rpartition("/")[2]] if isinstance(part.get("$ref"), str) else []
    return here + [name for value in part.values() for name in references(value)]


if __name__ == "__main__":
    main(*sys.argv[1:])
