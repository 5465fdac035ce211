"""`ratchet judge`: how far a judging model agrees with people."""

from __future__ import annotations

from pathlib import Path

import click

from flows.commands.root import assistant_command, open_bench
from flows.terminal import Shown


@click.group()
def judge() -> None:
    """Import what people said of answers, and see how far the policy's judge agrees."""


@assistant_command("import", judge)
@click.argument("file", type=click.Path(path_type=Path))
def judge_import(assistant: str, file: Path) -> Shown:
    """Import people's judgements from FILE, one JSON object a line; a bad line does not cost the others."""
    from flows.judging import show_judge_import

    return show_judge_import(open_bench(assistant), file)


@assistant_command("status", judge)
def judge_status(assistant: str) -> Shown:
    """By metric: how far the judge agrees with people, and whether it may decide."""
    from flows.judging import show_judge_status

    return show_judge_status(open_bench(assistant))
