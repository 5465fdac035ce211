"""One base model in memory and the LoRA adapters attached to it, each proved before its first use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from infra.adapters.adapter_proof import verify_files, verify_loaded
from infra.adapters.base_models import LoadedBase
from tasks.core.errors import AdapterBroken
from tasks.core.ports import ArtifactStore

if TYPE_CHECKING:
    from torch import Tensor

_KEPT_ADAPTERS = 4


class AdaptedModel:
    """Runs forward passes with one adapter or none. Switching is global to the model: hold `lock` around each pass."""

    def __init__(self, loaded: LoadedBase, artifacts: ArtifactStore) -> None:
        self.lock = threading.RLock()
        self.bare = loaded.model
        self._tokenizer = loaded.tokenizer
        self._artifacts = artifacts
        self._peft: Any = None  # wraps `bare` as long as an adapter is attached
        self._attached: OrderedDict[str, tuple[int, ...]] = OrderedDict()  # digest → invocation; least used first

    def attach(self, digest: str) -> tuple[int, ...]:
        """Loads and proves the adapter unless it is attached; returns the tokens that wake it, if any do.

        Raises NotFound, IntegrityFailure or AdapterBroken; the other adapters stay as they were.
        """
        with self.lock:
            if digest not in self._attached:
                self._attached[digest] = self._load(digest)
                self._drop_the_least_used()
            self._attached.move_to_end(digest)
            return self._attached[digest]

    def logits(self, adapter: str | None, active: Sequence[int] | None, inputs: dict[str, Any]) -> Tensor:
        """(rows, vocabulary) after the last position. active: for an adapter that is woken, its positions per row."""
        import torch

        with self.lock:
            if adapter is not None:
                self.attach(adapter)
                self._peft.set_adapter(adapter)
            off = self._peft.disable_adapter() if self._peft and adapter is None else nullcontext()
            extra = {} if active is None else {"alora_offsets": list(active)}
            with off, torch.inference_mode():
                output = (self._peft or self.bare)(**inputs, **extra, use_cache=True, logits_to_keep=1)
        logits: Tensor = output.logits[:, -1]
        return logits

    def _load(self, digest: str) -> tuple[int, ...]:
        from peft import PeftModel

        folder = self._artifacts.path(digest)
        verify_files(folder, self.bare)
        if self._peft is None:
            self._peft = PeftModel.from_pretrained(self.bare, str(folder), adapter_name=digest)
        else:
            self._peft.load_adapter(str(folder), adapter_name=digest)
        self._peft.set_adapter(digest)
        self._peft.eval()
        try:
            verify_loaded(folder, self._peft, self._tokenizer)
        except AdapterBroken:
            self._detach(digest)
            raise
        return tuple(self._peft.peft_config[digest].alora_invocation_tokens or ())

    def _drop_the_least_used(self) -> None:
        while len(self._attached) > _KEPT_ADAPTERS:
            digest, _ = self._attached.popitem(last=False)
            self._detach(digest)

    def _detach(self, digest: str) -> None:
        others = [name for name in self._peft.peft_config if name != digest]
        if others:
            self._peft.set_adapter(others[-1])  # PEFT warns when the active one is deleted
            self._peft.delete_adapter(digest)
        else:
            self._peft.unload()
            self._peft = None
