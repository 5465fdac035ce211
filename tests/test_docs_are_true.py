"""What README.md and ARCHITECTURE.md say of the tree is so."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = re.findall(r"^\| (.+?) \| `(.+?)` \| `(.+?)` \|$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize(("_change", "path", "name"), ROWS, ids=[row[0] for row in ROWS])
def test_what_to_change_is_where_architecture_says(_change: str, path: str, name: str) -> None:
    text = (ROOT / path).read_text()
    assert re.search(rf"^\s*(async def|def|class) {name}\b|^{name}\b", text, re.MULTILINE), f"{path} defines no {name}"


def test_the_table_is_not_empty() -> None:
    assert len(ROWS) > 30


def test_every_path_in_the_readme_tree_exists() -> None:
    parent, missing, seen = "", [], 0
    for line in README.split("<!-- tree -->")[1].split("```")[1].strip().splitlines():
        name = line.split()[0]
        path = name if not line.startswith(" ") else parent + name
        parent = name if not line.startswith(" ") else parent
        seen += 1
        if not (ROOT / path).exists():
            missing.append(path)
    assert seen > 10
    assert missing == []


def test_every_top_level_folder_is_in_the_readme_tree() -> None:
    tree = README.split("<!-- tree -->")[1]
    folders = [d.name for d in ROOT.iterdir() if d.is_dir() and (d / "__init__.py").exists()]
    assert [name for name in folders if not re.search(rf"^{name}/", tree, re.MULTILINE)] == []


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", README)) <= targets
