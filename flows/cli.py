"""The `ratchet` command: each command is a flow, or a read. Heavy imports wait inside the commands.

Here are the commands of one assistant; groups, and what runs for all assistants, are in `flows/commands`.
"""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from typing import Any

import click

from flows.commands.hosted import hosted
from flows.commands.judge import judge
from flows.commands.labels import labels
from flows.commands.root import assistant_command, open_bench, ratchet
from flows.commands.services import demo, deploy, hooks, serve, up
from flows.terminal import Shown, waiting

for command in (labels, judge, hosted, deploy, serve, up, hooks, demo):
    ratchet.add_command(command)


@assistant_command("status")
def status(assistant: str) -> Shown:
    """Release, snapshot, labels to the threshold, candidate, quarantine, last runs, models that stop soon."""
    from flows.reading import show_status

    return show_status(open_bench(assistant))


@assistant_command("releases")
def releases(assistant: str) -> Shown:
    """Every release, newest first."""
    from flows.reading import show_releases

    return show_releases(open_bench(assistant))


@assistant_command("ingest")
@click.argument("path", required=False)
@click.option("--source", metavar="NAME", help="Name of the source; needed only to re-point a registered one.")
@click.option("--include", multiple=True, metavar="GLOB", help="Only these paths, from now on; may be repeated.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave these paths out, from now on; may be repeated.")
@click.option("--retry-quarantined", is_flag=True, help="Also read again what was refused and has not changed since.")
@click.option("--plan", is_flag=True, help="Say what a run would do, exactly, and write nothing.")
@click.option("--max-delete-fraction", type=click.FloatRange(0, 1), help="Stop when more documents would vanish.")
def ingest(assistant: str, include: tuple[str, ...], exclude: tuple[str, ...], **asked: Any) -> Shown:
    """Bring the index up to date with PATH, or with every registered source.

    PATH is a folder, a file, s3://bucket/prefix, or git+REPOSITORY@REF (a folder, a bundle or a URL).
    """
    from flows.acting import show_ingest

    return asyncio.run(
        show_ingest({"assistant": assistant, "include": include or None, "exclude": exclude or None} | asked)
    )


@assistant_command("ask")
@click.argument("question")
@click.option("--release", metavar="ID", help="Ask this release instead of the current one.")
@click.option(
    "--pattern",
    type=click.Choice(["rag", "sequential", "tuned", "parallel", "routed"]),
    help="Answer by this pattern instead of the release's own.",
)
def ask(assistant: str, question: str, release: str | None, pattern: str | None) -> Shown:
    """Answer QUESTION with citations, and name the release that answered."""
    from flows.reading import show_answer

    with waiting(quiet=click.get_current_context().params["as_json"]) as say:
        return show_answer(open_bench(assistant), question, release, pattern, say)


@assistant_command("search")
@click.argument("text")
@click.option("-k", "k", type=click.IntRange(1, 50), help="How many passages; default: as the release says.")
@click.option("--document", "documents", multiple=True, metavar="GLOB", help="Only documents like it; repeatable.")
@click.option("--heading", "headings", multiple=True, metavar="GLOB", help="Only under headings like it; repeatable.")
def search(assistant: str, text: str, k: int | None, documents: tuple[str, ...], headings: tuple[str, ...]) -> Shown:
    """The passages that would be retrieved for TEXT."""
    from flows.reading import show_search

    return show_search(open_bench(assistant), text, k, documents, headings)


@assistant_command("models")
def models(assistant: str) -> Shown:
    """Every model: base, adapters, hosted, and jobs at a vendor; which releases use it, what it was trained on."""
    from flows.model_commands import show_models

    return show_models(open_bench(assistant))


@assistant_command("train")
@click.option(
    "--method",
    type=click.Choice(["lora", "openai", "auto", "dpo", "kto", "openai-dpo"]),
    default="lora",
    show_default=True,
    help="Labels: lora here, openai at a vendor, auto where it fits. Preferences: dpo here, openai-dpo at the vendor. "
    "Ratings: kto.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Train below the threshold; also pay again for a hosted job that failed, or beside one.",
)
def train(assistant: str, method: str, force: bool) -> Shown:
    """Train on the accepted labels, preferences or ratings, and register the candidate release."""
    from flows.acting import show_training

    return asyncio.run(show_training(assistant, method, force))


@assistant_command("evaluate")
@click.argument("release", required=False)
@click.option("--all", "whole", is_flag=True, help="Show every gate, not only those that stopped it.")
@click.option("--export", type=click.Path(path_type=Path), metavar="FOLDER", help="Also put the evidence there.")
def evaluate(assistant: str, release: str | None, whole: bool, export: Path | None) -> Shown:
    """Judge RELEASE (default: the newest candidate) against the current one on the golden set."""
    from flows.acting import show_evaluation

    return asyncio.run(show_evaluation(assistant, release, whole, export))


@assistant_command("promote")
@click.argument("release")
@click.option("--who", help="Recorded in the history; default: your user name.")
@click.option("--reason", help="Required for a release that was rolled back before, and with --override.")
@click.option("--override", is_flag=True, help="Accept the doubts of a HOLD, as far as the policy lets you.")
def promote(assistant: str, **asked: Any) -> Shown:
    """Make RELEASE current if its verdict still holds."""
    from flows.acting import show_promotion

    return asyncio.run(show_promotion({"assistant": assistant} | {k: v for k, v in asked.items() if v}))


@assistant_command("history")
def history(assistant: str) -> Shown:
    """Every promotion and rollback: who, when, why, on which verdict."""
    from flows.looking_back import show_history

    return show_history(open_bench(assistant))


@assistant_command("anchor")
@click.argument("release", required=False)
@click.option("--who", help="Recorded in the history; default: your user name.")
@click.option("--reason", help="Required to set one.")
def anchor(assistant: str, release: str | None, who: str | None, reason: str | None) -> Shown:
    """Show the release that later ones are measured against, or make RELEASE it."""
    from flows.looking_back import show_anchor

    return show_anchor(open_bench(assistant), release, who, reason)


@assistant_command("rollback")
@click.option("--to", metavar="RELEASE", help="Default: the release before the current one.")
@click.option("--who", help="Recorded in the history; default: your user name.")
@click.option("--reason", default="rolled back by hand", show_default=True)
def rollback(assistant: str, to: str | None, who: str | None, reason: str) -> Shown:
    """Return to an earlier release at once."""
    from flows.looking_back import show_rollback

    return show_rollback(open_bench(assistant), to, who, reason)


@assistant_command("vacuum")
@click.option("--plan", is_flag=True, help="Say what a run would delete, exactly, and delete nothing.")
@click.option("--keep", type=click.IntRange(1), help="Releases a rollback can return to; default: as set.")
@click.option("--drop-unused-vectors", is_flag=True, help="Also forget vectors that no snapshot uses.")
def vacuum(assistant: str, plan: bool, keep: int | None, drop_unused_vectors: bool) -> Shown:
    """Delete what no retained release can read, and ask the retained ones their probe questions again."""
    from flows.acting import show_vacuum

    return asyncio.run(show_vacuum(assistant, plan, keep, drop_unused_vectors))


@assistant_command("recheck")
@click.argument("report")
def recheck(assistant: str, report: str) -> Shown:
    """Recompute a verdict from its evidence bundle (a folder, a file in it, or an evaluation's id)."""
    from flows.looking_back import show_recheck

    return show_recheck(open_bench(assistant), report)


def main() -> None:
    """The console script. What one library has to say to another is not for the person who runs it."""
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers|peft|torch")
    ratchet(prog_name="ratchet")


if __name__ == "__main__":
    main()
