"""Whatever the code imports is in pyproject.toml by its own name, not by luck of what another library brings."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = ("flows", "tasks", "blocks", "infra")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {name: wanted for name, wanted in PROJECT["optional-dependencies"].items() if name != "dev"}


def named(requirements: list[str]) -> set[str]:
    return {canonical(re.match(r"[\w.-]+", one)[0]) for one in requirements}  # type: ignore[index]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(file: Path) -> set[str]:
    """The top-level names that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - set(OURS)


def test_every_library_that_is_imported_is_declared() -> None:
    declared = named(PROJECT["dependencies"]).union(*map(named, EXTRAS.values()))
    carriers = packages_distributions()
    undeclared, seen = {}, set()
    for file in (file for folder in OURS for file in (ROOT / folder).rglob("*.py")):
        for module in imported(file):
            seen.add(module)
            if not {canonical(one) for one in carriers.get(module, [module])} & declared:
                undeclared[module] = str(file.relative_to(ROOT))
    assert {"prefect", "yaml", "sqlalchemy"} <= seen
    assert undeclared == {}


def test_every_library_that_is_declared_is_pinned() -> None:
    pinned = {canonical(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines() if line}
    assert named(PROJECT["dependencies"]) - pinned == set()
