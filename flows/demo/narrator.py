"""How the demo tells what happens: numbered steps, indented findings, elapsed time."""

from __future__ import annotations

import textwrap
import time

import click


class Narrator:
    """Prints on stderr under `--json`, on stdout otherwise."""

    def __init__(self, steps: int, *, to_stderr: bool = False) -> None:
        self._steps = steps
        self._at = 0
        self._err = to_stderr
        self._begun = time.monotonic()

    def step(self, title: str) -> None:
        """Begins the next step."""
        self._at += 1
        elapsed = time.monotonic() - self._begun
        click.echo(f"\n[{self._at}/{self._steps}] {title}  ({elapsed:.0f} s)", err=self._err)

    def say(self, text: str) -> None:
        """A finding; long lines are wrapped, tables and lists kept."""
        for line in text.splitlines():
            wide = len(line) > 116 and not line.startswith(" ") and "  " not in line
            for part in textwrap.wrap(line, 112) if wide else [line]:
                click.echo(f"      {part}".rstrip(), err=self._err)

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return time.monotonic() - self._begun
