"""The rows that a model was trained on, kept as one file and handed out again by its hash."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.core.errors import IntegrityFailure
from tasks.core.ports import ArtifactStore, TrainingRow
from tasks.core.preference_rows import PreferenceRow
from tasks.core.rating_rows import RatingRow
from tasks.core.releases import canonical_json

FILE = "dataset.jsonl"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows as a file. hash: SHA-256 of its bytes, in hex: what `sha256sum` says of an export."""

    hash: str
    artifact: str


def dataset_lines(train: Iterable[TrainingRow], validation: Iterable[TrainingRow]) -> Iterator[bytes]:
    """The file line by line: {"label", "messages", "split"}, training rows first, in the order they were trained in."""
    for split, rows in (("train", train), ("validation", validation)):
        for row in rows:
            said = [*((message.role, message.content) for message in row.prompt), ("assistant", row.completion)]
            messages = [{"role": role, "content": content} for role, content in said]
            yield canonical_json({"label": row.label_id, "split": split, "messages": messages}).encode() + b"\n"


def opinion_lines(
    train: Iterable[PreferenceRow | RatingRow], validation: Iterable[PreferenceRow | RatingRow]
) -> Iterator[bytes]:
    """The same of pairs, with {"chosen", "rejected"}, or of ratings, with {"completion", "good"}."""
    for split, rows in (("train", train), ("validation", validation)):
        for row in rows:
            messages = [{"role": message.role, "content": message.content} for message in row.prompt]
            told = {"label": row.label_id, "split": split, "messages": messages, **row.answers}
            yield canonical_json(told).encode() + b"\n"


def keep_lines(artifacts: ArtifactStore, lines: Iterable[bytes]) -> Dataset:
    """Puts such a file into the artifact store."""
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        with (Path(folder) / FILE).open("wb") as file:
            for line in lines:
                digest.update(line)
                file.write(line)
        return Dataset(digest.hexdigest(), artifacts.put(Path(folder)))


def export_dataset(artifacts: ArtifactStore, dataset: Dataset, target: Path) -> int:
    """Writes the rows to a file, which must hash to what it is asked for; the number of rows.

    Raises NotFound when they are not kept any more, IntegrityFailure when they are not what was trained on.
    """
    content = (artifacts.path(dataset.artifact) / FILE).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != dataset.hash:
        raise IntegrityFailure(
            f"The rows kept as {dataset.artifact} hash to {found[:16]}…; what was trained on hashes to "
            f"{dataset.hash[:16]}…. Restore the artifact from a backup.",
            dataset=dataset.hash,
        )
    target.write_bytes(content)
    return content.count(b"\n")
