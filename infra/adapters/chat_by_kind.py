"""Models that run here and models that a vendor runs, as one: each release is answered where its model is."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from tasks.core.ports import ChatModel, ChatModels
from tasks.core.releases import ModelRef


class ChatByKind:
    """ChatModels over two others, each of them made when a model of its kind is first opened."""

    def __init__(self, open_local: Callable[[], ChatModels], open_hosted: Callable[[], ChatModels]) -> None:
        self._open_local = open_local
        self._open_hosted = open_hosted

    def base(self) -> ModelRef:
        return self._local.base()

    def open(self, model: ModelRef) -> ChatModel:
        return (self._hosted if model.kind == "hosted" else self._local).open(model)

    @cached_property
    def _local(self) -> ChatModels:
        return self._open_local()

    @cached_property
    def _hosted(self) -> ChatModels:
        return self._open_hosted()
