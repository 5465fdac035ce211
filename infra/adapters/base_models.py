"""Base models on disk: the packaged SmolLM2, a folder, or a Hugging Face model by name; each with its digest.

    <home>/models/<name>/          a model we materialised: safetensors, configuration, tokenizer, base-model.json
    <home>/models/<name>.digest    the remembered digest of a folder that belongs to somebody else

A folder of ours appears by one rename, so it is whole or not there: a kill leaves only a `.building-…` folder, which
the next run clears away, and of two runs at once the second finds the name taken and uses it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.adapters.packaged_model import unpack_smollm2
from tasks.core.errors import BadSetting, IntegrityFailure, ModelUnavailable, NotFound
from tasks.core.releases import canonical_json

if TYPE_CHECKING:
    import torch

PACKAGED = "smollm2-135m-instruct"
_RECEIPT = "base-model.json"
_MODEL_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "tokenizer*", "*.model", "merges.txt")


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model's folder. digest: over weights, configuration, tokenizer and chat template."""

    name: str
    folder: Path
    digest: str


@dataclass(frozen=True, slots=True)
class LoadedBase:
    """A base model in memory, in evaluation mode, and its tokenizer (left-padding, with a pad token)."""

    source: BaseModel
    model: Any
    tokenizer: Any


def find_base_model(name: str, home: Path) -> BaseModel:
    """The model of this name, materialised under `home` if need be (the packaged one takes half a minute, once).

    Raises NotFound when no package, folder or Hugging Face model has the name, ModelUnavailable when it cannot be
    fetched now, BadSetting where there is no PyTorch to run it.
    """
    if find_spec("torch") is None:
        raise BadSetting(
            f"There is no PyTorch here, so {name} cannot answer: this is the service's small image, for releases of a "
            "hosted model. Serve this one from the image ratchet-worker, or install all of Ratchet: pip install ratchet"
        )
    if name == PACKAGED:
        return _ours(name, home, unpack_smollm2)
    if Path(name).expanduser().is_dir():
        return _theirs(Path(name).expanduser().resolve(), home)
    return _ours(name, home, lambda target: _download(name, target))


def load_base_model(base: BaseModel, *, threads: int = 0, quantized: bool = False) -> LoadedBase:
    """Weights and tokenizer in memory. threads: for torch on a CPU; 0 leaves its own choice (every core).

    quantized: in 4 bits (NF4, double quantisation), to be trained on only; wants CUDA and bitsandbytes.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if threads:
        torch.set_num_threads(threads)
    device, dtype = compute_choice()
    tokenizer = load_tokenizer(base)
    model = AutoModelForCausalLM.from_pretrained(
        base.folder,
        dtype=dtype,
        attn_implementation="sdpa",
        local_files_only=True,
        **(_nf4(dtype) if quantized else {}),
    )
    if quantized:  # it lies on the GPU already, and refuses to be moved
        return LoadedBase(base, model.eval(), tokenizer)
    return LoadedBase(base, model.to(device).eval(), tokenizer)


def _nf4(dtype: torch.dtype) -> dict[str, Any]:
    from transformers import BitsAndBytesConfig

    how = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    return {"quantization_config": how, "device_map": {"": 0}}


def load_tokenizer(base: BaseModel) -> Any:
    """The tokenizer alone. Raises NotFound when it has no chat template: Ratchet talks to chat models."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.folder, padding_side="left", local_files_only=True)
    if not tokenizer.chat_template:
        raise NotFound(
            f"The tokenizer of {base.name} has no chat template, so it is not an instruct model. "
            "Set RATCHET_BASE_MODEL to the instruct version of it."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def compute_choice() -> tuple[str, torch.dtype]:
    """Device and dtype: bfloat16 on a GPU that has it, else float32.

    On a CPU always float32: greedy text in bfloat16 depends on how requests happen to be batched, and only some CPUs
    are faster with it.
    """
    import torch

    if not torch.cuda.is_available():
        return "cpu", torch.float32
    return "cuda", torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32


def _ours(name: str, home: Path, build: Callable[[Path], None]) -> BaseModel:
    folder = home.resolve() / "models" / _slug(name)
    receipt = folder / _RECEIPT
    if not receipt.exists():
        _build_beside(folder, name, build)
    return BaseModel(name, folder, json.loads(receipt.read_text())["digest"])


def _build_beside(folder: Path, name: str, build: Callable[[Path], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(folder)
    building = Path(tempfile.mkdtemp(prefix=f".building-{folder.name}-{os.getpid()}-", dir=folder.parent))
    try:
        build(building)
        (building / _RECEIPT).write_text(json.dumps({"name": name, "digest": digest_of_model(building)}))
        building.rename(folder)
    except OSError:
        if not (folder / _RECEIPT).exists():  # not another run that was first: a real failure
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _clear_abandoned(folder: Path) -> None:
    for left in folder.parent.glob(f".building-{folder.name}-*"):
        builder = left.name.removeprefix(f".building-{folder.name}-").split("-")[0]
        if builder.isdecimal() and not _alive(int(builder)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _theirs(folder: Path, home: Path) -> BaseModel:
    """A folder used where it lies. Its digest is remembered as long as names, sizes and times of its files stay."""
    if not any(folder.glob("*.safetensors")):
        raise NotFound(f"{folder} holds no *.safetensors weights: it is not a model Ratchet can load.")
    remembered = home.resolve() / "models" / f"{_slug(str(folder))}.digest"
    hint = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in _files(folder)]
    if remembered.exists():
        known = json.loads(remembered.read_text())
        if known["hint"] == hint:
            return BaseModel(str(folder), folder, known["digest"])
    digest = digest_of_model(folder)
    remembered.parent.mkdir(parents=True, exist_ok=True)
    _replace_text(remembered, json.dumps({"hint": hint, "digest": digest}))
    return BaseModel(str(folder), folder, digest)


def _replace_text(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)


def digest_of_model(folder: Path) -> str:
    """`sha256-…` over the files that decide what the model writes, without what only records who saved them."""
    parts = []
    for path in _files(folder):
        if path.name in ("config.json", "tokenizer_config.json"):
            told = {k: v for k, v in json.loads(path.read_text()).items() if k not in _WHO_SAVED}
            parts.append([path.name, hashlib.sha256(canonical_json(told).encode()).hexdigest()])
        else:
            with path.open("rb") as file:
                parts.append([path.name, hashlib.file_digest(file, "sha256").hexdigest()])
    return "sha256-" + hashlib.sha256(canonical_json(parts).encode()).hexdigest()


_WHO_SAVED = {"transformers_version", "_name_or_path", "_model_name_or_path", "is_local", "local_files_only"}


def _files(folder: Path) -> Iterator[Path]:
    found = {path for pattern in _MODEL_FILES for path in folder.glob(pattern) if path.name != _RECEIPT}
    return iter(sorted(path for path in found if path.is_file()))


def _download(name: str, target: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        snapshot_download(name, local_dir=target, allow_patterns=list(_MODEL_FILES))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise NotFound(
            f"No folder and no Hugging Face model is named {name!r}. Check RATCHET_BASE_MODEL.", model=name
        ) from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise ModelUnavailable(
            f"The model {name!r} is not here and huggingface.co cannot be reached: {error}. Put the model in a folder "
            f"and set RATCHET_BASE_MODEL to it, or use {PACKAGED!r}, which needs no download.",
            model=name,
        ) from error
    shutil.rmtree(target / ".cache", ignore_errors=True)
    if not any(target.glob("*.safetensors")):
        raise IntegrityFailure(f"The Hugging Face model {name!r} has no safetensors weights; choose one that has.")


def _slug(name: str) -> str:
    """A folder name that no two models share.

    >>> _slug("smollm2-135m-instruct")
    'smollm2-135m-instruct'
    >>> _slug("HuggingFaceTB/SmolLM2-360M-Instruct")
    'HuggingFaceTB-SmolLM2-360M-Instruct-ffd15e'
    """
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    return plain if plain == name else f"{plain[-80:]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
