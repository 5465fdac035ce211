"""Any Hugging Face causal model as ChatModels: loaded once, with LoRA adapters switched inside it.

Decoding is greedy and ends with the model's end of turn, or at the first line break after some text: an answer is one
line.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from infra.adapters.adapted_model import AdaptedModel
from infra.adapters.base_models import BaseModel, LoadedBase, load_base_model
from infra.adapters.chat_template import ChatTemplate
from tasks.core.errors import IntegrityFailure, NotFound, Stopped
from tasks.core.ports import ArtifactStore, Completion, Message, Progress
from tasks.core.releases import ModelRef, canonical_json
from tasks.documents import stopping

if TYPE_CHECKING:
    from torch import Tensor

    from infra.adapters.greedy_decoding import GreedyDecoder, Prompt

_LIBRARIES = ("torch", "transformers", "peft")
_DECODING = "greedy, one line, fixed part and passages read by themselves"


class TransformersChat:
    """ChatModels on one base model. Safe to use from several threads: they take turns, step by step."""

    def __init__(self, base: BaseModel, artifacts: ArtifactStore, *, threads: int = 0) -> None:
        """Loads nothing yet. threads: for torch on a CPU; 0 leaves its own choice."""
        self._base = base
        self._artifacts = artifacts
        self._threads = threads
        self._opening = threading.Lock()
        self._engine: _Engine | None = None

    def base(self) -> ModelRef:
        return ModelRef(kind="base", base=self._base.name, base_digest=self._base.digest)

    def open(self, model: ModelRef) -> TransformersChatModel:
        """Raises also IntegrityFailure when the release was built on another base model than the configured one."""
        if model.kind == "hosted":
            raise NotFound(f"{model.base} is a hosted model, but this assistant runs {self._base.name} in process.")
        if model.base_digest != self._base.digest:
            raise IntegrityFailure(
                f"The release was built on base model {model.base} ({model.base_digest[:19]}…), but "
                f"{self._base.name} ({self._base.digest[:19]}…) is configured. Set RATCHET_BASE_MODEL to the former.",
                wanted=model.base_digest,
                found=self._base.digest,
            )
        with self._opening:
            if self._engine is None:
                self._engine = _Engine(load_base_model(self._base, threads=self._threads), self._artifacts)
        return TransformersChatModel(self._engine, model)


class _Engine:
    """What all models on one base share."""

    def __init__(self, loaded: LoadedBase, artifacts: ArtifactStore) -> None:
        from infra.adapters.greedy_decoding import GreedyDecoder

        self.adapted = AdaptedModel(loaded, artifacts)
        self.template = ChatTemplate(loaded.tokenizer)
        self.spell: Callable[[list[int]], str] = lambda ids: loaded.tokenizer.decode(ids, skip_special_tokens=True)
        self.ends = _end_tokens(loaded) | {self.template.end_of_turn}
        self.compute = f"{loaded.model.device.type} {loaded.model.dtype}"
        self.decoder: GreedyDecoder = GreedyDecoder(
            loaded.model.config, loaded.model.device, loaded.tokenizer.pad_token_id, self.adapted.lock
        )


class TransformersChatModel:
    """ChatModel: the base model, alone or with one adapter."""

    def __init__(self, engine: _Engine, model: ModelRef) -> None:
        self._engine = engine
        self._base = ModelRef(kind="base", base=model.base, base_digest=model.base_digest)
        self._network = _Network(engine.adapted, model.adapter)
        what = [model.base_digest, model.adapter, engine.compute, _DECODING, [version(name) for name in _LIBRARIES]]
        self._fingerprint = "chat-" + hashlib.sha256(canonical_json(what).encode()).hexdigest()[:32]

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def complete(
        self, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, progress: Progress | None = None
    ) -> list[Completion]:
        return self._completed([self._read(prompt) for prompt in prompts], max_new_tokens, progress)

    def complete_with_base(
        self, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, progress: Progress | None = None
    ) -> list[tuple[Completion, Completion]]:
        """As AnswersWithBase. An adapter that is active everywhere shares nothing with its base: they take turns."""
        read = [self._read(prompt) for prompt in prompts]
        if self._network.prefix_key:
            base = TransformersChatModel(self._engine, self._base)
            each = [one.complete(prompts, max_new_tokens=max_new_tokens, progress=progress) for one in (self, base)]
            return list(zip(*each, strict=True))
        pairs = [one for prompt in read for one in (prompt, replace(prompt, awake=False))]
        written = self._completed(pairs, max_new_tokens, progress and (lambda what, *at: progress(what, *_halved(*at))))
        return list(zip(written[::2], written[1::2], strict=True))

    def _completed(self, read: Sequence[Prompt], limit: int, progress: Progress | None) -> list[Completion]:
        completions: dict[int, Completion] = {}
        if progress and read:  # the first batch takes a while
            progress("answering", 0, len(read))
        for batch in self._engine.decoder.batches(read, limit):
            texts = [_Text(self._engine) for _ in batch]
            for _ in self._decode([read[at] for at in batch], texts, limit):
                _require_wanted()  # at each token: on few cores batches are long
            for at, text in zip(batch, texts, strict=True):
                completions[at] = Completion(text.visible, len(read[at]), len(text.tokens))
            if progress:
                progress("answering", len(completions), len(read))
        return [completions[at] for at in range(len(read))]

    def stream(self, prompt: Sequence[Message], *, max_new_tokens: int) -> Iterator[str]:
        text, sent = _Text(self._engine), ""
        for _ in self._decode([self._read(prompt)], [text], max_new_tokens):
            if not text.visible.endswith("\N{REPLACEMENT CHARACTER}"):  # half a character: the next token completes it
                piece, sent = text.visible[len(sent) :], text.visible
                if piece:
                    yield piece
        if text.visible != sent:
            yield text.visible[len(sent) :]

    def count_tokens(self, prompt: Sequence[Message]) -> int:
        return len(self._engine.template.ids(prompt))

    def _read(self, messages: Sequence[Message]) -> Prompt:
        from infra.adapters.greedy_decoding import Prompt

        fixed, passages, rest = self._engine.template.parts(messages)
        return Prompt(tuple(fixed), tuple(passages), tuple(rest))

    def _decode(self, prompts: Sequence[Prompt], texts: Sequence[_Text], limit: int) -> Iterator[None]:
        return self._engine.decoder.decode(self._network, prompts, limit, lambda row, token: texts[row].add(token))


def _halved(done: int, total: int) -> tuple[int, int]:
    return done // 2, total // 2


def _require_wanted() -> None:
    stop = stopping.get()
    if stop is not None and stop.is_set():
        raise Stopped(
            "The run was stopped while the model was answering. Earlier answers are kept; run again to go on."
        )


class _Network:
    """Network of the decoder: the base model with one adapter active, or with none."""

    def __init__(self, adapted: AdaptedModel, adapter: str | None) -> None:
        self._adapted = adapted
        self._adapter = adapter
        self._invocation = adapted.attach(adapter) if adapter else ()

    @property
    def prefix_key(self) -> str:
        return "" if self._adapter is None or self._invocation else self._adapter

    def active(self, rest: Sequence[int]) -> int:
        size = len(self._invocation)
        if not size:
            return len(rest)
        found = [at for at in range(len(rest) - size + 1) if tuple(rest[at : at + size]) == self._invocation]
        if not found:
            raise IntegrityFailure(
                "The prompt does not hold the tokens that wake the adapter, and the base model would answer in its "
                "name. Render prompts with tasks.core.prompts, and use the tokenizer the adapter was trained with."
            )
        return len(rest) - found[-1]

    def logits(self, active: Sequence[int], **inputs: Any) -> Tensor:
        return self._adapted.logits(self._adapter, active if self._invocation else None, inputs)


class _Text:
    """What one row has written so far."""

    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self.tokens: list[int] = []

    def add(self, token: int) -> bool:
        """Whether the text ends with this token."""
        self.tokens.append(token)
        return token in self._engine.ends or "\n" in self._engine.spell(self.tokens).lstrip()

    @property
    def visible(self) -> str:
        """The first line that holds anything, without the space around it."""
        return self._engine.spell(self.tokens).strip().split("\n")[0].rstrip()


def _end_tokens(loaded: LoadedBase) -> frozenset[int]:
    told = loaded.model.generation_config.eos_token_id
    ends = told if isinstance(told, list) else [told]
    return frozenset(token for token in (*ends, loaded.tokenizer.eos_token_id) if token is not None)
