"""`ratchet labels`: labels come in, are counted, wait for a person, and go out as a model saw them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from flows.commands.root import assistant_command, open_bench
from flows.terminal import Shown


@click.group()
def labels() -> None:
    """Import, count, review and export labels."""


@assistant_command("import", labels)
@click.argument("place", metavar="FILE")
def labels_import(assistant: str, place: str) -> Shown:
    """Import labels from FILE, a folder or s3://bucket/key, one JSON object a line.

    A bad line does not cost the others.
    """
    from flows.label_commands import show_label_import

    return show_label_import(open_bench(assistant), place)


@assistant_command("status", labels)
def labels_status(assistant: str) -> Shown:
    """Counts by state and split, and how many are missing to the next training."""
    from flows.label_commands import show_label_status

    return show_label_status(open_bench(assistant))


@assistant_command("review", labels)
@click.option("--accept", multiple=True, metavar="ID", help="Accept a pending label, preference or rating.")
@click.option("--reject", multiple=True, metavar="ID", help="Reject one.")
def labels_review(assistant: str, accept: tuple[str, ...], reject: tuple[str, ...]) -> Shown:
    """List what is pending with the reason each waits, or decide on some."""
    from flows.label_commands import show_label_review

    return show_label_review(open_bench(assistant), accept, reject)


@assistant_command("collect", labels)
def labels_collect(assistant: str) -> Shown:
    """Import from the places that are set (RATCHET_LABEL_SOURCES), and tell Prefect when enough have arrived."""
    from flows.acting import show_collection

    return asyncio.run(show_collection(assistant))


@assistant_command("export", labels)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--dataset", metavar="HASH", help="The rows with this hash, or its beginning.")
@click.option("--model", metavar="MODEL", help="The rows that this model was trained on.")
def labels_export(assistant: str, file: Path, dataset: str | None, model: str | None) -> Shown:
    """Write exactly the rows that a model was trained on to FILE; their SHA-256 is the dataset's hash."""
    from flows.model_commands import show_export

    return show_export(open_bench(assistant), file, dataset, model)
