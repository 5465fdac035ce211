"""Whether a LoRA adapter is the one that was trained, on the model it was trained for.

PEFT loads adapters with renamed, missing or non-finite weights and answers as the base model would, at most with a
warning. So `proof.json` is written beside the weights at training time and checked before an adapter answers anything:

    check          refused when
    files          a file is missing, is not JSON, or is of a format this version does not know
    base           the model in memory does not hold the weights that were trained on
    rank           rank, scaling or invocation of the configuration is not what was trained
    readable       the weights cannot be read to their end
    keys           a weight is missing, or is of a layer the base model does not have
    shapes         a weight does not fit its layer at this rank
    finite         a weight is NaN or infinite
    digest         the bytes of the weights are not those that were trained (a flipped bit, another adapter's file)
    tokenizer      the probe is spelled with other tokens
    golden-logits  the model with this adapter does not write what it wrote at training time
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from tasks.core.errors import AdapterBroken
from tasks.core.prompts import INVOCATION

if TYPE_CHECKING:
    from torch import Tensor

Check = Literal[
    "files", "base", "rank", "readable", "keys", "shapes", "finite", "digest", "tokenizer", "golden-logits"
]  # fmt: skip
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
PROOF = "proof.json"
PROBE = f"[1] Probe\nThe probe reads 42 on the red scale.\n\nEnd of passages{INVOCATION} What does the probe read?"

_PREFIX = "base_model.model."
_SAMPLES = 64
_GOLDEN = 16
_TOLERANCE = {"float32": 0.01, "bfloat16": 0.5, "float16": 0.1}  # of logits, which span about ±20; for a dtype served
_CONFIGURED = ("r", "lora_alpha", "use_rslora", "use_dora", "target_modules", "alora_invocation_tokens")


def write_proof(folder: Path, base_model: Any, tokenizer: Any) -> None:
    """Writes `proof.json` into an adapter's folder, from the adapter as serving would load it. `base_model` is bare."""
    config = json.loads((folder / CONFIG).read_text())
    proof = {
        "format": 1,
        "base": weights_fingerprint(base_model),
        "config": {name: config.get(name) for name in _CONFIGURED},
        "weights_sha256": _sha256(folder / WEIGHTS),
        "probe": {"text": PROBE, "tokens": _probe_tokens(tokenizer), **_golden(folder, base_model, tokenizer)},
    }
    (folder / PROOF).write_text(json.dumps(proof, sort_keys=True, indent=1) + "\n")


def verify_adapter(folder: Path, base_model: Any, tokenizer: Any) -> None:
    """Runs every check; the model is the same afterwards. Raises AdapterBroken with `values["check"]`.

    Attaches the adapter to `base_model` for one forward pass, so nothing else may be using the model meanwhile.
    """
    proof = verify_files(folder, base_model)
    if proof["probe"]["tokens"] != _probe_tokens(tokenizer):
        _broken(folder, "tokenizer", "the tokenizer spells the probe with other tokens than at training time")
    with _attached(folder, base_model) as tuned:
        _check_golden(folder, proof["probe"], tuned)


def verify_loaded(folder: Path, tuned: Any, tokenizer: Any) -> None:
    """The checks that need the adapter attached, on a PeftModel whose active adapter came from this folder."""
    proof = _read_proof(folder)
    if proof["probe"]["tokens"] != _probe_tokens(tokenizer):
        _broken(folder, "tokenizer", "the tokenizer spells the probe with other tokens than at training time")
    _check_golden(folder, proof["probe"], tuned)


def verify_files(folder: Path, base_model: Any) -> dict[str, Any]:
    """Every check that needs no forward pass; returns the proof. `base_model` may already carry other adapters."""
    proof = _read_proof(folder)
    if proof["base"] != weights_fingerprint(base_model):
        _broken(folder, "base", "it was trained on another base model than the one in memory")
    config = _read_json(folder, CONFIG)
    changed = sorted(name for name in _CONFIGURED if config.get(name) != proof["config"][name])
    if changed:
        _broken(folder, "rank", f"its configuration says another {', '.join(changed)} than at training time")
    weights = _read_weights(folder)
    _check_weights(folder, weights, _expected_shapes(base_model, proof["config"]))
    if _sha256(folder / WEIGHTS) != proof["weights_sha256"]:
        _broken(folder, "digest", "its weights are not the ones that were trained")
    return proof


def weights_fingerprint(model: Any) -> str:
    """A hash over names, shapes and some values of every weight of the base model, equal in every precision.

    Weights of attached adapters do not count. Takes milliseconds: it tells models apart, it does not find flipped bits.
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(_base_weights(model).items()):
        flat = tensor.detach().flatten()
        some = flat[:: max(1, flat.numel() // _SAMPLES)][:_SAMPLES].to(device="cpu", dtype=torch.bfloat16)
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode() + some.view(torch.int16).numpy().tobytes())
    return "sha256-" + digest.hexdigest()


def _base_weights(model: Any) -> dict[str, Tensor]:
    """The base model's own weights under their own names, whether or not PEFT has wrapped it."""
    return {
        name.removeprefix(_PREFIX).replace(".base_layer.", "."): tensor
        for name, tensor in model.named_parameters()
        if ".lora_" not in name
    }


def _expected_shapes(base_model: Any, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The name and shape of every weight an adapter of this configuration has on this model."""
    targets, rank = tuple(f".{name}" for name in config["target_modules"]), config["r"]
    shapes: dict[str, tuple[int, ...]] = {}
    for name, tensor in _base_weights(base_model).items():
        layer, _, kind = name.rpartition(".")
        if kind == "weight" and f".{layer}".endswith(targets):
            shapes[f"{_PREFIX}{layer}.lora_A.weight"] = (rank, tensor.shape[1])
            shapes[f"{_PREFIX}{layer}.lora_B.weight"] = (tensor.shape[0], rank)
            if config["use_dora"]:
                shapes[f"{_PREFIX}{layer}.lora_magnitude_vector"] = (tensor.shape[0],)
    return shapes


def _check_weights(folder: Path, weights: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    missing, unknown = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or unknown:
        example = (missing or unknown)[0]
        _broken(folder, "keys", f"{len(missing)} weights are missing and {len(unknown)} are unknown, such as {example}")
    misfits = [name for name, tensor in weights.items() if tuple(tensor.shape) != expected[name]]
    if misfits:
        name = min(misfits)
        _broken(folder, "shapes", f"{name} has shape {tuple(weights[name].shape)} instead of {expected[name]}")
    broken = [name for name, tensor in weights.items() if not bool(tensor.isfinite().all())]
    if broken:
        _broken(folder, "finite", f"{len(broken)} weights hold NaN or infinity, such as {min(broken)}")


def _check_golden(folder: Path, probe: Mapping[str, Any], tuned: Any) -> None:
    logits = _probe_logits(tuned, probe["tokens"])
    tolerance = _TOLERANCE[str(tuned.dtype).removeprefix("torch.")]
    worst = max(abs(float(logits[at]) - value) for at, value in zip(probe["ids"], probe["logits"], strict=True))
    if not worst <= tolerance:  # NaN is not within any tolerance
        _broken(folder, "golden-logits", f"its answer to the probe is off by {worst:.3g}, the limit is {tolerance:g}")


def _golden(folder: Path, base_model: Any, tokenizer: Any) -> dict[str, list[Any]]:
    """Logits after the probe: of the likeliest tokens, and of some spread over the vocabulary."""
    with _attached(folder, base_model) as tuned:
        logits = _probe_logits(tuned, _probe_tokens(tokenizer))
    top = logits.topk(_GOLDEN // 2).indices.tolist()
    ids = sorted({*top, *range(0, len(logits), max(1, len(logits) // (_GOLDEN // 2)))})
    return {"ids": ids, "logits": [round(float(logits[at]), 4) for at in ids]}


@contextmanager
def _attached(folder: Path, base_model: Any) -> Iterator[Any]:
    from peft import PeftModel

    tuned = PeftModel.from_pretrained(base_model, str(folder)).eval()
    try:
        yield tuned
    finally:
        tuned.unload()


def _probe_logits(tuned: Any, tokens: list[int]) -> Tensor:
    import torch

    ids = torch.tensor([tokens], device=tuned.device)
    with torch.no_grad():
        logits: Tensor = tuned(input_ids=ids, attention_mask=torch.ones_like(ids), logits_to_keep=1).logits[0, -1]
    return logits.float().cpu()


def _probe_tokens(tokenizer: Any) -> list[int]:
    tokens: list[int] = tokenizer(PROBE, add_special_tokens=False).input_ids
    return tokens


def _read_proof(folder: Path) -> dict[str, Any]:
    proof = _read_json(folder, PROOF)
    if proof.get("format") != 1:
        _broken(folder, "files", f"{PROOF} has format {proof.get('format')!r}; this version knows 1")
    return proof


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / name).read_bytes())
    except (OSError, ValueError) as error:
        _broken(folder, "files", f"{name} cannot be read: {error}", error)
    if not isinstance(content, dict):
        _broken(folder, "files", f"{name} is not a JSON object")
    return content


def _read_weights(folder: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        _broken(folder, "files", f"{WEIGHTS} is missing", error)
    except SafetensorError as error:
        _broken(folder, "readable", f"{WEIGHTS} cannot be read: {error}", error)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _broken(folder: Path, check: Check, why: str, cause: Exception | None = None) -> NoReturn:
    message = f"The adapter in {folder.name} was refused: {why}. Train again, or restore the folder from a backup."
    raise AdapterBroken(message, check=check, folder=str(folder)) from cause
