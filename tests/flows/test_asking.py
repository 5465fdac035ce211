"""What a person sees who asks: why there is no answer, and what is refused before a model is loaded."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest
from click.testing import CliRunner
from evaluation_fakes import declines, golden_labels, perfect

from flows.cli import ratchet
from flows.reading import WHY_NONE, answer_as_text

pytestmark = pytest.mark.usefixtures("home")
LABEL = golden_labels(1, 0)[0]


def test_an_answer_shows_what_it_cites_and_nothing_else_that_was_found() -> None:
    text = answer_as_text(perfect(LABEL))
    assert "  [1] " in text
    assert "found:" not in text


def test_without_an_answer_it_says_why_and_what_was_found() -> None:
    first, why, *found, last = answer_as_text(declines(LABEL)).splitlines()
    assert first == declines(LABEL).text
    assert why == f"  {WHY_NONE['model']}"
    assert [line.split()[0] for line in found] == ["found:"] * 2
    assert "stands on a plinth" in found[0]
    assert last.startswith("  release r-test, snapshot 1")


def test_the_list_of_commands_cuts_no_sentence() -> None:
    listed = CliRunner().invoke(ratchet, ["--help"]).stdout.partition("Commands:")[2]
    assert "..." not in listed
    assert set(ratchet.commands) <= set(listed.split())


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_is_refused(question: str) -> None:
    refused = CliRunner().invoke(ratchet, ["ask", question])
    assert (refused.exit_code, refused.stderr) == (2, "ratchet: The question is empty.\n")


@pytest.mark.parametrize("command", [("serve",), ("hooks", "serve")])
def test_a_port_that_is_taken_is_named_with_the_option_that_chooses_another(command: tuple[str, ...]) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = CliRunner().invoke(ratchet, [*command, "--port", str(port)])
    assert refused.exit_code == 2
    assert f"127.0.0.1:{port}: Address already in use" in refused.stderr
    assert "--port" in refused.stderr
    assert "Answering" not in refused.stderr
