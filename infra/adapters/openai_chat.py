"""Chat models of OpenAI, or of any server that speaks its chat completions: base models and what was tuned from them.

Asked with temperature 0 and a seed, which makes answers as steady as the vendor can: not always the same. An answer is
one line, as with the models that run here.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cached_property, partial
from typing import Any

from pydantic import SecretStr

from infra.adapters.openai_judge import Dialect, conceded
from infra.adapters.openai_retries import Patience, ask
from tasks.core.errors import BadSetting, IntegrityFailure, ModelUnavailable, NotFound, UsageError
from tasks.core.hosted_retirement import retirement_of, vendor_of
from tasks.core.ports import Completion, Message, Progress
from tasks.core.releases import ModelRef, canonical_json

OPENAI = "https://api.openai.com/v1"
BYTES_PER_TOKEN = 4  # of English prose, where there is no tokenizer
TOKENS_AROUND_A_MESSAGE = 3
SEED = 0


class OpenAiChat:
    """ChatModels of one server. Safe to use from several threads."""

    def __init__(
        self,
        base: str,
        *,
        api_key: SecretStr | None = None,
        base_url: str | None = None,
        count: Callable[[str], int] | None = None,
        lanes: int = 8,
        timeout_seconds: float = 60.0,
        patience: Patience | None = None,
    ) -> None:
        """Asks nothing yet. Raises BadSetting without a key when the server is OpenAI's.

        count: tokens of a text; without it they are estimated from its length. lanes: questions asked at once.
        """
        if api_key is None and base_url is None:
            raise BadSetting(
                f"The chat model {base!r} at OpenAI needs an API key. Set RATCHET_OPENAI_API_KEY or OPENAI_API_KEY, or "
                "RATCHET_HOSTED_BASE_URL for a server without one."
            )
        self._base = base
        self._server = _Server(api_key or SecretStr("none"), (base_url or OPENAI).rstrip("/"), timeout_seconds)
        self._count = count or (lambda text: -(-len(text.encode()) // BYTES_PER_TOKEN))
        self._lanes = lanes
        self._patience = patience or Patience()
        self._opening = threading.Lock()
        self._opened: dict[str, OpenAiChatModel] = {}

    def base(self) -> ModelRef:
        return ModelRef(kind="hosted", base=self._base, base_digest="")

    def open(self, model: ModelRef) -> OpenAiChatModel:
        """Asks the server once whether it has the model. Raises also what `infra.adapters.openai_retries.ask` does."""
        if model.kind != "hosted":
            raise NotFound(f"{model.base} ({model.kind}) is no model of {self._server.url}.")
        with self._opening:
            if model.base not in self._opened:
                self._require(model.base)
                self._opened[model.base] = OpenAiChatModel(
                    model.base, self._server, self._count, self._lanes, self._patience
                )
            return self._opened[model.base]

    def _require(self, model: str) -> None:
        what = f"The chat model {model!r} at {self._server.url}"
        try:
            ask(lambda: self._server.client.models.retrieve(model), what, self._patience)
        except NotFound as error:  # some servers only list
            listed = ask(lambda: [one.id for one in self._server.client.models.list()], what, self._patience)
            if model in listed:
                return
            known = retirement_of(model, vendor_of(self._server.url))
            stops = f" OpenAI stops it on {known.stops.isoformat()}." if known else ""
            raise NotFound(f"{what} is not there.{stops} Roll back: `ratchet rollback`.", model=model) from error


class _Server:
    """Where a model is asked, and what it has shown to understand."""

    def __init__(self, api_key: SecretStr, url: str, timeout_seconds: float) -> None:
        self._api_key = api_key
        self.url = url
        self._timeout_seconds = timeout_seconds
        self._conceding = threading.Lock()
        self.dialect = Dialect(form="none")

    def concede(self, spoken: Dialect, error: UsageError) -> bool:
        """Whether the server can be asked again with less. What it refuses by name is left out from then on."""
        understood = conceded(spoken, error)
        if understood is None:
            return False
        with self._conceding:  # another thread may have learnt the same
            self.dialect = understood if self.dialect == spoken else self.dialect
        return True

    @cached_property
    def client(self) -> Any:
        """Without the SDK's own retries: it would wait behind our back, for longer than asked."""
        from openai import OpenAI

        return OpenAI(
            api_key=self._api_key.get_secret_value(),
            base_url=self.url,
            timeout=self._timeout_seconds,
            max_retries=0,
        )


class OpenAiChatModel:
    """ChatModel: one model of the server."""

    def __init__(
        self, model: str, server: _Server, count: Callable[[str], int], lanes: int, patience: Patience
    ) -> None:
        self._model = model
        self._server = server
        self._count = count
        self._lanes = lanes
        self._patience = patience

    @property
    def fingerprint(self) -> str:
        """A server may change a model without a word; that cannot be seen here."""
        what = [self._server.url, self._model, SEED, "one line"]
        return "chat-openai-" + hashlib.sha256(canonical_json(what).encode()).hexdigest()[:32]

    def complete(
        self, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, progress: Progress | None = None
    ) -> list[Completion]:
        if not prompts:
            return []
        with ThreadPoolExecutor(min(self._lanes, len(prompts))) as pool:
            asked = [pool.submit(self._complete, prompt, max_new_tokens) for prompt in prompts]
            try:
                for done, one in enumerate(as_completed(asked), start=1):
                    one.result()
                    if progress:
                        progress("answering", done, len(prompts))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # the rest would be paid for
                raise
        return [one.result() for one in asked]

    def stream(self, prompt: Sequence[Message], *, max_new_tokens: int) -> Iterator[str]:
        text, sent = "", ""
        for piece in self._pieces(prompt, max_new_tokens):
            text += piece
            if _is_over(text):
                break
            if line := _line(text):  # the end may be space that a later line break makes the end of the answer
                yield line[len(sent) :]
                sent = line
        if rest := _line(text)[len(sent) :]:
            yield rest

    def _pieces(self, prompt: Sequence[Message], limit: int) -> Iterator[str]:
        from httpx2 import HTTPError
        from openai import OpenAIError

        chunks = self._asked(prompt, limit, stream=True)
        try:
            for chunk in chunks:
                yield (chunk.choices[0].delta.content or "") if chunk.choices else ""
        except (OpenAIError, HTTPError) as error:
            raise ModelUnavailable(f"{self._what} broke off in the middle of an answer: {error}. Ask again.") from error
        finally:
            chunks.close()

    def count_tokens(self, prompt: Sequence[Message]) -> int:
        each = (TOKENS_AROUND_A_MESSAGE + self._count(one.role) + self._count(one.content) for one in prompt)
        return TOKENS_AROUND_A_MESSAGE + sum(each)

    def _complete(self, prompt: Sequence[Message], limit: int) -> Completion:
        answer = self._asked(prompt, limit)
        if not getattr(answer, "choices", None):  # a proxy's page, say
            raise IntegrityFailure(f"{self._what} did not answer in OpenAI's format. Check the base URL.")
        choice, used = answer.choices[0], answer.usage
        text = choice.message.content or ""
        written = used.completion_tokens if used else self._count(text)
        if choice.finish_reason == "length":
            written = max(written, limit)
        return Completion(_line(text), used.prompt_tokens if used else self.count_tokens(prompt), written)

    def _asked(self, prompt: Sequence[Message], limit: int, *, stream: bool = False) -> Any:
        while True:
            spoken = self._server.dialect
            request = _request(self._model, prompt, spoken, limit)
            if stream:
                request["stream"] = True
            try:
                return ask(partial(self._server.client.chat.completions.create, **request), self._what, self._patience)
            except UsageError as error:
                if isinstance(error, NotFound | BadSetting) or not self._server.concede(spoken, error):
                    raise

    @property
    def _what(self) -> str:
        return f"The chat model {self._model!r} at {self._server.url}"


def _request(model: str, prompt: Sequence[Message], dialect: Dialect, limit: int) -> dict[str, Any]:
    request: dict[str, Any] = {
        "model": model,
        "messages": [{"role": one.role, "content": one.content} for one in prompt],
        dialect.limit: limit,
    }
    if dialect.temperature:
        request["temperature"] = 0
    if dialect.seed:
        request["seed"] = SEED
    return request


def _line(text: str) -> str:
    """The first line that holds anything, without the space around it.

    >>> _line("\\n It runs at 42 bar. [1] \\nAnything else?")
    'It runs at 42 bar. [1]'
    """
    return text.strip().split("\n")[0].rstrip()


def _is_over(text: str) -> bool:
    return "\n" in text.lstrip()
