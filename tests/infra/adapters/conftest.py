"""What several suites of adapters stand on; one of each per module, so that modules do not see each other's."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from source_places import S3Server, s3_server
from tiny_llama import tiny_base

from infra.adapters.base_models import BaseModel


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A random llama of two layers."""
    return tiny_base(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for artifacts."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """A server that speaks S3."""
    with s3_server() as server:
        yield server
