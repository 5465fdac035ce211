"""What stands on a terminal while a command works."""

import doctest

from flows import terminal
from flows.terminal import progress_line


def test_the_examples_of_the_terminal_are_so() -> None:
    assert doctest.testmod(terminal).failed == 0


def test_a_training_tells_one_estimate_of_what_is_left() -> None:
    trainers = "training: loss 2.50, 80 tokens/s, 120 s left"
    assert progress_line(trainers, 12, 60, 30.0) == f"{trainers} 12/60"
    assert progress_line("embedding", 12, 60, 30.0) == f"embedding 12/60  (24/min, {48 * 30 // 12 // 60} min 0 s left)"
    assert progress_line("embedding", 0, 60, 30.0) == "embedding 0/60"
