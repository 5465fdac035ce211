"""The root of the `ratchet` command, and what every command of an assistant has: `--assistant`, `--json`, a bench."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from flows.terminal import Shown, show

if TYPE_CHECKING:
    from infra.workbench import Workbench


class WholeSentences(click.Group):
    """A group whose list of commands wraps what they say, where Click cuts it."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        said = [(name, self.commands[name].get_short_help_str(limit=200)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(said)


@click.group(cls=WholeSentences, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ratchet")
def ratchet() -> None:
    """Keep a hybrid assistant (retrieval + fine-tuning) current, and let it move only forward."""


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
