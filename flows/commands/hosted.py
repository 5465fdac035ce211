"""`ratchet hosted`: what is trained at a vendor, and what is left there."""

from __future__ import annotations

import click

from flows.commands.root import assistant_command, open_bench
from flows.terminal import Shown


@click.group()
def hosted() -> None:
    """See, cancel and clean up training at a vendor."""


@assistant_command("jobs", hosted)
def hosted_jobs(assistant: str) -> Shown:
    """Every fine-tuning job, what it costs, and which hosted models stop soon."""
    from flows.hosted_jobs import show_hosted_jobs

    return show_hosted_jobs(open_bench(assistant))


@assistant_command("cancel", hosted)
@click.argument("intent")
def hosted_cancel(assistant: str, intent: str) -> Shown:
    """End the job of INTENT, at the vendor too."""
    from flows.hosted_jobs import show_hosted_cancel

    return show_hosted_cancel(open_bench(assistant), intent)


@assistant_command("delete-files", hosted)
@click.argument("intent")
def hosted_delete_files(assistant: str, intent: str) -> Shown:
    """Delete the uploaded files of the ended job of INTENT."""
    from flows.hosted_jobs import show_deleted_files

    return show_deleted_files(open_bench(assistant), intent)


@assistant_command("save-answers", hosted)
@click.option("--release", metavar="ID", help="Default: the one being served.")
def hosted_save_answers(assistant: str, release: str | None) -> Shown:
    """Keep what a hosted release answers to the golden questions, before its model stops."""
    from flows.hosted_jobs import show_saved_answers

    return show_saved_answers(open_bench(assistant), release)
