"""Candidates that are broken on purpose."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from infra.workbench import Workbench
from tasks.core.releases import ReleaseManifest


def with_half_an_adapter(bench: Workbench, manifest: ReleaseManifest) -> ReleaseManifest:
    """The release with an adapter that lost every second tensor, as after a partial upload.

    PEFT loads it without a complaint and answers like the base model.
    """
    from safetensors.torch import load_file, save_file

    assert manifest.model.adapter is not None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "adapter"
        shutil.copytree(bench.artifacts.path(manifest.model.adapter), folder)
        weights = folder / "adapter_model.safetensors"
        tensors = load_file(weights)
        save_file({name: tensors[name] for name in sorted(tensors)[::2]}, weights)
        digest = bench.artifacts.put(folder)
    return manifest.model_copy(update={"model": manifest.model.model_copy(update={"adapter": digest})})
