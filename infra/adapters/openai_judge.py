"""A judge at OpenAI, or at any server that speaks its chat completions (vLLM, Ollama, llama.cpp, a proxy)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from infra.adapters.openai_retries import Patience, ask
from tasks.core.errors import BadSetting, IntegrityFailure, ModelUnavailable, RatchetError, UsageError
from tasks.core.ports import JudgeReply

if TYPE_CHECKING:
    from tasks.core.ports import JudgeQuestion

OPENAI = "https://api.openai.com/v1"
MAX_REPLY_TOKENS = 4096  # for about 40 claims, and what a model thinks before it writes
TOKENS_AROUND_A_MESSAGE = 16  # of the chat template, generously
NO_KEY = "no-key"  # for servers that want none: the SDK insists on one
MOST_SILENT_TRIES = 2  # a request that was sent and never answered may be billed: no more than so many a question
PATIENCE = Patience(seconds=120.0)  # an evaluation waits for it, and does without its scores afterwards


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server understands of what would be asked of it. Not every server, nor every model, takes everything."""

    form: Literal["json_schema", "json_object", "none"] = "json_schema"
    limit: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    temperature: bool = True
    seed: bool = True


@dataclass(frozen=True, slots=True)
class Prices:
    """USD per million tokens."""

    prompt: float = 0.0
    completion: float = 0.0

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What they cost together."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1_000_000


class OpenAiJudge:
    """Judge.

    Asks with a JSON schema, temperature 0 and a seed. A server that refuses one of them by name is asked without it
    from then on (for the schema: with plain JSON, then with the prompt's words alone): `dialect` says what is left,
    once a request was answered that way.
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: SecretStr | None = None,
        base_url: str | None = None,
        prices: Prices | None = None,
        max_reply_tokens: int = MAX_REPLY_TOKENS,
        timeout_seconds: float = 120.0,
        patience: Patience | None = None,
    ) -> None:
        """Asks nothing yet. Raises BadSetting when base_url is no address, or holds a password."""
        self._model = model
        self._api_key = api_key if api_key and api_key.get_secret_value() else SecretStr(NO_KEY)
        self._base_url = _address(OPENAI if base_url is None else base_url)
        self._prices = prices or Prices()
        self._max_reply_tokens = max_reply_tokens
        self._timeout_seconds = timeout_seconds
        self._patience = patience or PATIENCE
        self.dialect = Dialect()

    @property
    def fingerprint(self) -> str:
        """A server may change a model without a word; that cannot be seen here."""
        parts = f"{self._base_url} {self._model} {self._max_reply_tokens}"
        return f"openai-{hashlib.sha256(parts.encode()).hexdigest()[:16]}"

    def most_usd(self, question: JudgeQuestion) -> float:
        """As if every try were billed in full and every byte were a token, of the schema too: none is ever two."""
        return MOST_SILENT_TRIES * self._most_usd_once(question)

    def _most_usd_once(self, question: JudgeQuestion) -> float:
        texts = [*(message.content for message in question.prompt), question.name, str(question.schema)]
        prompt_tokens = sum(len(text.encode()) + TOKENS_AROUND_A_MESSAGE for text in texts)
        return self._prices.usd(prompt_tokens, self._max_reply_tokens)

    def ask(self, question: JudgeQuestion) -> JudgeReply:
        try:
            completion, silent_tries = self._completion(question)
        except RatchetError as error:
            raise self._without_the_key(error) from error.__cause__
        once = self._most_usd_once(question)
        used = _tokens(completion)
        cost = silent_tries * once + (once if used is None else self._prices.usd(*used))
        choice = _choice(completion)
        if choice is None:  # a proxy's page, say
            raise IntegrityFailure(f"{self._what} did not answer in OpenAI's format. Check the base URL.")
        message, finish = choice.message, choice.finish_reason
        if getattr(message, "refusal", None) or finish == "content_filter":
            return JudgeReply(getattr(message, "refusal", None) or "filtered", "refused", cost)
        text = message.content if isinstance(message.content, str) else ""
        return JudgeReply(text, "cut" if finish == "length" else "whole", cost)

    def _completion(self, question: JudgeQuestion) -> tuple[Any, int]:
        """And how many tries before it may be billed though nothing came of them."""
        spoken, tries = self.dialect, _Tries(self._what)
        while True:
            request = request_of(self._model, question, spoken, self._max_reply_tokens)
            tries.create = partial(self._client.chat.completions.create, **request)
            try:
                completion = ask(tries, self._what, self._patience)
            except UsageError as error:
                understood = conceded(spoken, error)
                if understood is None:
                    raise
                spoken = understood
            else:
                self.dialect = spoken
                return completion, tries.silent

    def _without_the_key(self, error: RatchetError) -> RatchetError:
        """Some servers repeat the key they refuse, and what a judge says of itself is kept as evidence."""
        return type(error)(error.message.replace(self._api_key.get_secret_value(), "…"), **error.values)

    @property
    def _what(self) -> str:
        return f"The judge {self._model!r} at {self._base_url}"

    @cached_property
    def _client(self) -> Any:
        """Without the SDK's own retries: it would wait behind our back, for longer than asked."""
        from openai import OpenAI

        return OpenAI(
            api_key=self._api_key.get_secret_value(),
            base_url=self._base_url,
            timeout=self._timeout_seconds,
            max_retries=0,
        )


def _address(base_url: str) -> str:
    parts = urlsplit(base_url)
    if "@" in parts.netloc:
        raise BadSetting(
            "policy.judge.base_url holds a password, and every evaluation keeps the policy. Leave it out, and set "
            "RATCHET_JUDGE_API_KEY where the server wants a key."
        )
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise BadSetting(f"policy.judge.base_url is {base_url!r}. Write it like http://127.0.0.1:8000/v1.")
    return base_url.rstrip("/")


@dataclass
class _Tries:
    """What is tried for one question, counted where it was sent and nothing came back."""

    what: str
    create: Callable[[], Any] | None = None
    silent: int = 0

    def __call__(self) -> Any:
        from openai import APIConnectionError

        assert self.create
        try:
            return self.create()
        except APIConnectionError as error:
            if not _was_sent(error):
                raise
            self.silent += 1
            if self.silent < MOST_SILENT_TRIES:
                raise
            raise ModelUnavailable(
                f"{self.what} took {self.silent} requests and answered none ({error}). It may bill them, so it is not "
                "asked again now. Run again later, or check the server and how long it takes."
            ) from error


def _was_sent(error: Exception) -> bool:
    """By name: which HTTP library the SDK is built on has changed before. What is not known here may have been sent."""
    return type(error.__cause__).__name__ not in {"ConnectError", "ConnectTimeout", "PoolTimeout"}


def _choice(completion: Any) -> Any | None:
    """The first choice, where there is one that says something."""
    choices = getattr(completion, "choices", None)
    return choices[0] if choices and getattr(choices[0], "message", None) else None


def _tokens(completion: Any) -> tuple[int, int] | None:
    """Prompt and completion tokens that are billed, where the server says so."""
    usage = getattr(completion, "usage", None)
    prompt, written = (getattr(usage, f"{kind}_tokens", None) for kind in ("prompt", "completion"))
    return (prompt, written) if isinstance(prompt, int) and isinstance(written, int) else None


def request_of(model: str, question: JudgeQuestion, dialect: Dialect, max_reply_tokens: int) -> dict[str, Any]:
    """The body of the request."""
    schema = {"name": question.name, "strict": True, "schema": dict(question.schema)}
    request: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in question.prompt],
        dialect.limit: max_reply_tokens,
    }
    if dialect.form != "none":
        request["response_format"] = {"type": dialect.form} | (
            {"json_schema": schema} if dialect.form == "json_schema" else {}
        )
    if dialect.temperature:
        request["temperature"] = 0
    if dialect.seed:
        request["seed"] = question.seed
    return request


def conceded(dialect: Dialect, error: UsageError) -> Dialect | None:
    """The dialect without what the server refused by name; None when it refused something else."""
    cause = error.__cause__
    named = str(getattr(cause, "param", None) or getattr(cause, "message", ""))
    if getattr(cause, "code", None) == "context_length_exceeded" or "context length" in named:
        return None  # such messages name the limit on the reply too
    if dialect.form != "none" and any(word in named for word in ("response_format", "json_schema", "json_object")):
        return replace(dialect, form="json_object" if dialect.form == "json_schema" else "none")
    if dialect.limit == "max_completion_tokens" and "max_completion_tokens" in named:
        return replace(dialect, limit="max_tokens")
    if dialect.temperature and "temperature" in named:
        return replace(dialect, temperature=False)
    if dialect.seed and "seed" in named:
        return replace(dialect, seed=False)
    return None
