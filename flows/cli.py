"""The `ratchet` command: each command is a flow, or a read. Heavy imports wait inside the commands."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.terminal import Shown, show

if TYPE_CHECKING:
    from infra.workbench import Workbench

Command = Callable[..., None]


def assistant_command(name: str, group: click.Group | None = None) -> Callable[[Callable[..., Shown]], click.Command]:
    """Registers a function as a command with `--assistant` and `--json`; it returns what to show."""

    def register(function: Callable[..., Shown]) -> click.Command:
        @click.option("--assistant", default="default", metavar="NAME", show_default=True, help="Which assistant.")
        @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, nothing else there.")
        def command(assistant: str, as_json: bool, **options: Any) -> None:
            show(lambda: function(assistant, **options), as_json=as_json)

        command.__doc__ = function.__doc__
        command.__click_params__ = command.__click_params__ + getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        return (group or ratchet).command(name)(command)

    return register


def open_bench(assistant: str) -> Workbench:
    """The assistant's adapters, none of them opened yet."""
    from infra.workbench import open_workbench

    return open_workbench(assistant)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ratchet")
def ratchet() -> None:
    """Keep a hybrid assistant (retrieval + fine-tuning) current, and let it move only forward."""


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
@click.option("--pattern", metavar="P", help="Answer by this pattern instead of the release's own.")
def ask(assistant: str, question: str, release: str | None, pattern: str | None) -> Shown:
    """Answer QUESTION with citations, and name the release that answered."""
    from flows.reading import show_answer

    return show_answer(open_bench(assistant), question, release, pattern)


@assistant_command("search")
@click.argument("text")
@click.option("-k", "k", type=click.IntRange(1, 50), help="How many passages; default: as the release says.")
@click.option("--document", "documents", multiple=True, metavar="GLOB", help="Only documents like it; repeatable.")
@click.option("--heading", "headings", multiple=True, metavar="GLOB", help="Only under headings like it; repeatable.")
def search(assistant: str, text: str, k: int | None, documents: tuple[str, ...], headings: tuple[str, ...]) -> Shown:
    """The passages that would be retrieved for TEXT."""
    from flows.reading import show_search

    return show_search(open_bench(assistant), text, k, documents, headings)


@ratchet.group()
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


@ratchet.group()
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
@click.option("--force", is_flag=True, help="Train below the threshold; also pay again for a hosted job that failed.")
def train(assistant: str, method: str, force: bool) -> Shown:
    """Train on the accepted labels, preferences or ratings, and register the candidate release."""
    from flows.acting import show_training

    return asyncio.run(show_training(assistant, method, force))


@ratchet.group()
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


@ratchet.command()
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--file", type=click.Path(path_type=Path), metavar="FILE", help="Default: prefect.yaml here, or ours.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, nothing else there.")
def deploy(dry_run: bool, file: Path | None, as_json: bool) -> None:
    """Bring the Prefect server in line with prefect.yaml: pools, blocks, deployments, schedules, automations.

    Changes in place, touches only what is Ratchet's, and changes nothing the second time.
    """
    from flows.deploying.command import show_deploy

    show(lambda: asyncio.run(show_deploy(dry_run=dry_run, file=file)), as_json=as_json)


@ratchet.command()
@click.option("--host", help="Default: RATCHET_SERVICE_HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: RATCHET_SERVICE_PORT, else 8321.")
def serve(host: str | None, port: int | None) -> None:
    """Run the OpenAI-compatible answer service for every assistant."""
    from flows.serving import serve_answers

    serve_answers(host, port)


@ratchet.command()
@click.option("--prefect-port", type=click.IntRange(1, 65535), default=4200, show_default=True)
@click.option("--service-port", type=click.IntRange(1, 65535), help="Default: RATCHET_SERVICE_PORT, else 8321.")
@click.option("--hooks-port", type=click.IntRange(1, 65535), help="Default: RATCHET_WEBHOOK_PORT, else 8322.")
def up(prefect_port: int, service_port: int | None, hooks_port: int | None) -> None:
    """Run everything on this machine: Prefect, workers, schedules, webhooks and the answer service.

    With PREFECT_API_URL set, that Prefect server is used and none is started.
    """
    from flows.bringing_up import bring_up, chosen_ports

    def running() -> Shown:
        bring_up(chosen_ports(prefect_port, service_port, hooks_port))
        return Shown({}, "")

    show(running, as_json=False)


@ratchet.group()
def hooks() -> None:
    """Receive webhooks that say that documents changed."""


@hooks.command("serve")
@click.option("--host", help="Default: RATCHET_WEBHOOK_HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: RATCHET_WEBHOOK_PORT, else 8322.")
def hooks_serve(host: str | None, port: int | None) -> None:
    """Run the webhook receiver for every assistant; PREFECT_API_URL says which Prefect is told."""
    from flows.receiving import serve_hooks

    def serving() -> Shown:
        serve_hooks(host, port)
        return Shown({}, "")

    show(serving, as_json=False)


@ratchet.command()
@click.option("--assistant", default="demo", metavar="NAME", show_default=True, help="Which assistant to build.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, nothing else there.")
def demo(assistant: str, as_json: bool) -> None:
    """Run the whole loop on the shipped handbook, from nothing to a promoted release that answers."""
    from flows.demo.run import run_demo

    show(lambda: run_demo(assistant, as_json=as_json), as_json=as_json)


def main() -> None:
    """The console script. What one library has to say to another is not for the person who runs it."""
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers|peft|torch")
    ratchet(prog_name="ratchet")


if __name__ == "__main__":
    main()
