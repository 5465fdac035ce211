"""Where a sentence-transformers model lies: a folder, or a Hugging Face name with an optional `@revision`.

A name found in Hugging Face's cache is used as it lies there: nothing is asked of the network, so a model never changes
by itself. A name that is not there is downloaded, once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from infra.offline import silence_telemetry
from tasks.core.errors import ModelUnavailable, NotFound

EXTRA = "pip install 'ratchet[sentence-transformers]'"
LIBRARIES = ("sentence-transformers", "transformers", "tokenizers", "torch")
_MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
_NOT_READ = ("onnx/*", "openvino/*", "*/.cache/*")


@dataclass(frozen=True, slots=True)
class SentenceModel:
    """A model's folder. digest: over every file that could change what it computes."""

    name: str
    folder: Path
    digest: str


def require_library(name: str) -> None:
    """Raises ModelUnavailable when sentence-transformers is not installed, saying how to install it."""
    silence_telemetry()
    if find_spec("sentence_transformers") is None:
        raise ModelUnavailable(f"{name!r} needs sentence-transformers, which is not installed. Run `{EXTRA}`.")


def find_sentence_model(name: str) -> SentenceModel:
    """Raises NotFound when nothing has the name, ModelUnavailable when it cannot be fetched now."""
    path = Path(name).expanduser()
    folder = path.resolve() if path.is_dir() else _from_hub(name)
    if not any(folder.rglob("*.safetensors")):
        raise NotFound(f"{folder} holds no *.safetensors weights: it is not a model Ratchet can load.", model=name)
    return SentenceModel(name, folder, _digest(folder))


def compute() -> tuple[str, str]:
    """Device, and the device with the library versions in words: what else decides the last bits of a result."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return device, ", ".join([device, *(f"{library} {version(library)}" for library in LIBRARIES)])


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Runs torch on so many threads, and sets its number back after. 0 leaves it alone."""
    import torch

    before = torch.get_num_threads()
    if threads and threads != before:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError
    from huggingface_hub.errors import RevisionNotFoundError as NoSuchRevision

    repository, _, revision = name.partition("@")
    download = partial(
        snapshot_download,
        repository,
        revision=revision or None,
        allow_patterns=list(_MODEL_FILES),
        ignore_patterns=list(_NOT_READ),
    )
    try:
        try:
            return Path(download(local_files_only=True))
        except LocalEntryNotFoundError:
            return Path(download())
    except (RepositoryNotFoundError, HFValidationError, NoSuchRevision) as error:
        raise NotFound(
            f"No folder and no Hugging Face model is named {name!r}. Check the name, or use `minilm`, which is "
            "packaged, `openai:MODEL`, or a folder.",
            model=name,
        ) from error
    except OSError as error:
        raise ModelUnavailable(
            f"The model {name!r} is not on this machine and huggingface.co cannot be reached: {error}. Put the model "
            "in a folder and name the folder, or use `minilm`, which needs no download.",
            model=name,
        ) from error


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    files = {path for pattern in _MODEL_FILES for path in folder.rglob(pattern)}
    for path in sorted(files):
        inside = path.relative_to(folder)
        if path.is_file() and not any(inside.match(pattern) for pattern in _NOT_READ):
            with path.open("rb") as file:
                digest.update(f"{inside.as_posix()}\n{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
