"""What stands on a terminal while a command works."""

import doctest
import os
import pty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import pytest
from command_line import Run

from flows import terminal
from flows.cli import ratchet
from flows.terminal import progress_line

ASKED = ["ask", "How tall is the light mast?"]
OPENING, ANSWERING = "  opening the model …", "  answering …"
SEEN = f"\r{OPENING}\r{ANSWERING.ljust(len(OPENING))}\r{' ' * len(ANSWERING)}\r"  # nothing stays of what stood there
END = "\0"


@contextmanager
def on_a_terminal() -> Iterator[Callable[[], str]]:
    """Standard error is a terminal in here; gives what was written to it."""
    screen, line = pty.openpty()
    with open(line, "w") as stderr, redirect_stderr(stderr):

        def written() -> str:
            stderr.write(END)
            stderr.flush()
            seen = b""
            while not seen.endswith(END.encode()):
                seen += os.read(screen, 4096)
            return seen.decode().removesuffix(END)

        yield written
    os.close(screen)


def test_the_examples_of_the_terminal_are_so() -> None:
    assert doctest.testmod(terminal).failed == 0


def test_a_training_tells_one_estimate_of_what_is_left() -> None:
    trainers = "training: loss 2.50, 80 tokens/s, 120 s left"
    assert progress_line(trainers, 12, 60, 30.0) == f"{trainers} 12/60"
    assert progress_line("embedding", 12, 60, 30.0) == "embedding 12/60  (24/min, 2 min 0 s left)"  # 48 × 30 / 12 s
    assert progress_line("embedding", 0, 60, 30.0) == "embedding 0/60"


@pytest.mark.usefixtures("home")
def test_who_asks_at_a_terminal_sees_what_there_is_to_wait_for_until_the_answer_is_there(
    run: Run, docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("ingest", docs)
    elsewhere = run(*ASKED)
    assert (elsewhere.exit_code, elsewhere.stderr) == (0, "")  # no terminal, nothing to look at
    with on_a_terminal() as written:
        with pytest.raises(SystemExit, match="0"):
            ratchet.main(ASKED)
        assert written() == SEEN
    assert capsys.readouterr().out == elsewhere.stdout


@pytest.mark.usefixtures("home")
def test_who_asks_for_json_at_a_terminal_sees_nothing_else(
    run: Run, docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("ingest", docs)
    with on_a_terminal() as written:
        with pytest.raises(SystemExit, match="0"):
            ratchet.main([*ASKED, "--json"])
        assert written() == ""
    assert capsys.readouterr().out.startswith("{")
