"""What runs for every assistant: deployments, the services, all of it at once, and the demo."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from flows.terminal import Shown, show


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--file", type=click.Path(path_type=Path), metavar="FILE", help="Default: prefect.yaml here, or ours.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, nothing else there.")
def deploy(dry_run: bool, file: Path | None, as_json: bool) -> None:
    """Bring the Prefect server in line with prefect.yaml: pools, blocks, deployments, schedules, automations.

    Changes in place, touches only what is Ratchet's, and changes nothing the second time.
    """
    from flows.deploying.command import show_deploy

    show(lambda: asyncio.run(show_deploy(dry_run=dry_run, file=file)), as_json=as_json)


@click.command()
@click.option("--host", help="Default: RATCHET_SERVICE_HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: RATCHET_SERVICE_PORT, else 8321.")
def serve(host: str | None, port: int | None) -> None:
    """Run the OpenAI-compatible answer service for every assistant."""
    from flows.serving import serve_answers

    def serving() -> Shown:
        serve_answers(host, port)
        return Shown({}, "")

    show(serving, as_json=False)


@click.command()
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


@click.group()
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


@click.command()
@click.option("--assistant", default="demo", metavar="NAME", show_default=True, help="Which assistant to build.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, nothing else there.")
def demo(assistant: str, as_json: bool) -> None:
    """Run the whole loop on the shipped handbook, from nothing to a promoted release that answers."""
    from flows.demo.run import run_demo

    show(lambda: run_demo(assistant, as_json=as_json), as_json=as_json)
