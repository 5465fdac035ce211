"""The rows that a model was trained on come out as they went in, under their hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from infra.adapters.folder_artifacts import FolderArtifacts
from tasks.core.errors import IntegrityFailure, NotFound
from tasks.core.ports import Message, TrainingRow
from tasks.datasets import FILE, Dataset, dataset_lines, export_dataset, keep_lines

ROWS = [
    TrainingRow(f"l-{n}", (Message("system", "Answer."), Message("user", f"Größe {n}?\n")), f"{n}. [1]")
    for n in range(3)
]


@pytest.fixture
def store(tmp_path: Path) -> FolderArtifacts:
    return FolderArtifacts(tmp_path / "artifacts")


def test_an_export_is_exactly_what_was_trained_on_and_hashes_to_the_datasets_hash(
    store: FolderArtifacts, tmp_path: Path
) -> None:
    kept = keep_lines(store, dataset_lines(ROWS[:2], ROWS[2:]))
    file = tmp_path / "rows.jsonl"
    assert export_dataset(store, kept, file) == 3
    assert hashlib.sha256(file.read_bytes()).hexdigest() == kept.hash
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(row["label"], row["split"]) for row in rows] == [("l-0", "train"), ("l-1", "train"), ("l-2", "validation")]
    assert rows[0]["messages"] == [
        {"role": "system", "content": "Answer."},
        {"role": "user", "content": "Größe 0?\n"},
        {"role": "assistant", "content": "0. [1]"},
    ]


def test_the_hash_changes_with_a_row_its_order_and_its_split() -> None:
    def hashed(*parts: list[TrainingRow]) -> str:
        return hashlib.sha256(b"".join(dataset_lines(*parts))).hexdigest()

    assert hashed(ROWS, []) == hashed(list(ROWS), [])
    assert len({hashed(ROWS, []), hashed(ROWS[::-1], []), hashed(ROWS[:2], ROWS[2:]), hashed(ROWS[:2], [])}) == 4


def test_rows_that_are_not_what_was_trained_on_are_not_exported(store: FolderArtifacts, tmp_path: Path) -> None:
    kept, other = (keep_lines(store, dataset_lines(rows, [])) for rows in (ROWS, ROWS[:1]))
    with pytest.raises(IntegrityFailure, match="what was trained on hashes to"):
        export_dataset(store, Dataset(kept.hash, other.artifact), tmp_path / "out")
    (store.path(kept.artifact) / FILE).write_bytes(b"{}\n")
    with pytest.raises(IntegrityFailure):
        export_dataset(store, kept, tmp_path / "out")
    with pytest.raises(NotFound):
        export_dataset(store, Dataset(kept.hash, "sha256-" + "0" * 64), tmp_path / "out")
    assert not (tmp_path / "out").exists()
