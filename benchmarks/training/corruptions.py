"""Eight ways in which an adapter can be broken: is each refused, by which check, and after how many milliseconds?

    .venv/bin/python benchmarks/training/corruptions.py
    .venv/bin/python benchmarks/training/corruptions.py --model smollm2-135m-instruct

An adapter of rank 16 on all linear layers with its proof; each corruption on a copy, checked five times, the slowest
counts. The digest in the proof is made to match where the corruption would otherwise be found by that alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "fakes"))

from tiny_llama import tiny_llama

from infra.adapters.adapter_proof import CONFIG, PROOF, WEIGHTS, verify_adapter, write_proof
from infra.adapters.base_models import LoadedBase, find_base_model, load_base_model
from infra.adapters.lora_fitting import write_adapter
from infra.offline import silence_telemetry
from tasks.core.errors import AdapterBroken

REPEATS = 5
Break = Callable[[Path], None]


def random_adapter(folder: Path, loaded: LoadedBase, seed: int) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model

    from tasks.core.prompts import INVOCATION

    torch.manual_seed(seed)
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    tuned = get_peft_model(loaded.model, config)
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    folder.mkdir()
    invocation = loaded.tokenizer(INVOCATION, add_special_tokens=False).input_ids
    write_adapter(folder, tuned, base_name=loaded.source.name, invocation=invocation)
    write_proof(folder, tuned.unload(), loaded.tokenizer)
    return folder


def weights_changed(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Break:
    def apply(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)
        edit(folder / PROOF, weights_sha256=hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest())

    return apply


def edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def with_nan(weights: dict[str, Any]) -> dict[str, Any]:
    weights[min(weights)].view(-1)[5] = float("nan")
    return weights


def truncated(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])


def bit_flipped(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-40] ^= 1
    (folder / WEIGHTS).write_bytes(bytes(data))


def kinds(other: Path) -> dict[str, tuple[str, Break]]:
    """Per corruption, the check that must find it."""
    return {
        "keys renamed": ("keys", weights_changed(lambda w: {n.replace("lora_A", "lora_C"): x for n, x in w.items()})),
        "keys missing": ("keys", weights_changed(lambda w: {n: x for n, x in w.items() if ".layers.0." in n})),
        "NaN": ("finite", weights_changed(with_nan)),
        "another base": ("base", lambda folder: edit(folder / PROOF, base="sha256-" + "0" * 64)),
        "another rank": ("rank", lambda folder: edit(folder / CONFIG, r=8)),
        "truncated": ("readable", truncated),
        "a bit flipped": ("digest", bit_flipped),
        "swapped": ("digest", lambda folder: shutil.copyfile(other / WEIGHTS, folder / WEIGHTS) and None),
    }


def measured(folder: Path, loaded: LoadedBase) -> tuple[str | None, float]:
    """The check that refused it, None when none did, and the slowest time in milliseconds."""
    check, slowest = None, 0.0
    for _ in range(REPEATS):
        begun = time.perf_counter()
        try:
            verify_adapter(folder, loaded.model, loaded.tokenizer)
        except AdapterBroken as error:
            check = str(error.values["check"])
        slowest = max(slowest, 1000 * (time.perf_counter() - begun))
    return check, slowest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="default: a random llama of two layers")
    parser.add_argument("--home", type=Path, default=Path(".ratchet"), help="where a packaged model is unpacked")
    asked = parser.parse_args()
    silence_telemetry()
    wrong = 0
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        model = asked.model or str(tiny_llama(folder / "tiny"))
        loaded = load_base_model(find_base_model(model, asked.home if asked.model else folder / "home"))
        whole, other = (random_adapter(folder / f"adapter-{seed}", loaded, seed) for seed in (1, 2))
        check, slowest = measured(whole, loaded)
        print(f"{'as trained':<14} {check or 'accepted':<10} {slowest:6.1f} ms")
        wrong += check is not None
        for name, (expected, corrupt) in kinds(other).items():
            copy = Path(shutil.copytree(whole, folder / name.replace(" ", "-")))
            corrupt(copy)
            check, slowest = measured(copy, loaded)
            wrong += check != expected
            print(f"{name:<14} {check or 'ACCEPTED':<10} {slowest:6.1f} ms", flush=True)
    print("8 of 8 refused by the right check" if not wrong else f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
