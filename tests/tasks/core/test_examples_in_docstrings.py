"""The examples in the core's docstrings are so."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import tasks.core

MODULES = sorted(found.name for found in pkgutil.walk_packages(tasks.core.__path__, "tasks.core."))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_so(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0


def test_there_are_examples() -> None:
    assert sum(doctest.testmod(import_module(name)).attempted for name in MODULES) > 40
