"""An answer service that runs somewhere, asked as anybody would ask it."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field, SecretStr, ValidationError

from tasks.blessing import Said
from tasks.core.errors import BadSetting, ModelUnavailable, PromotionRefused, RatchetError

if TYPE_CHECKING:
    from httpx import Response

ANSWER_SECONDS = 300.0  # the first answer opens the model
CONNECT_SECONDS = 10.0
_TRY_AGAIN = {408, 425, 429, 502, 503, 504}


class AnswerService:
    """AnsweringProcess over HTTP.

    url: of the service, with or without `/v1`. where: what people are told in its place. proxies: whether those that
    the environment names are used.
    """

    def __init__(
        self, url: str, key: SecretStr | None, *, where: str | None = None, stays: bool = True, proxies: bool = True
    ) -> None:
        import httpx

        self.url = _root(url)
        self.where = where or self.url
        self.stays = stays
        headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self._client = httpx.Client(base_url=self.url, headers=headers, timeout=timeout, trust_env=proxies)

    def __enter__(self) -> AnswerService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def ask(self, assistant: str, release: str, question: str) -> Said:
        begun = time.perf_counter()
        response = self._post(f"{assistant}@{release}", question)
        seconds = time.perf_counter() - begun
        if response.status_code != 200:
            raise self._refusal(response, release)
        try:
            answer = _Completion.model_validate_json(response.content)
        except ValidationError as error:
            raise PromotionRefused(
                f"The answer service ({self.where}) answered with something else than an answer of a release. Make "
                "sure that RATCHET_SERVICE_URL names services that `ratchet serve` runs.",
                release=release,
            ) from error
        return Said(answer.choices[0].message.content, answer.ratchet.release, seconds)

    def is_ready(self) -> bool:
        """Whether it could answer now, also where nothing was ever promoted: a release can be asked by its name."""
        import httpx

        try:
            response = self._client.get("/readyz")
        except httpx.TransportError:
            return False
        return response.status_code == 200 or _error(response).code == "not_ready"

    def _post(self, model: str, question: str) -> Response:
        import httpx

        body = {"model": model, "messages": [{"role": "user", "content": question}]}
        try:
            return self._client.post("/v1/chat/completions", json=body, headers={"Cache-Control": "no-cache"})
        except httpx.TransportError as error:
            raise ModelUnavailable(
                f"The answer service ({self.where}) cannot be asked: {error or type(error).__name__}. Nothing was "
                "promoted. Start it again (`ratchet serve`), or take it out of RATCHET_SERVICE_URL.",
                where=self.where,
            ) from error

    def _refusal(self, response: Response, release: str) -> RatchetError:
        said, status = _error(response), response.status_code
        if status in _TRY_AGAIN:
            return ModelUnavailable(
                f"The answer service ({self.where}) has no answer just now ({status}): {said.message} Nothing was "
                "promoted; try again.",
                where=self.where,
            )
        if status in (401, 403):
            return BadSetting(
                f"The answer service ({self.where}) refuses the key that this process sends ({status}). Set the same "
                "RATCHET_API_KEY here and there."
            )
        return PromotionRefused(
            f"The answer service ({self.where}) cannot answer as release {release} ({status} {said.code}): "
            f"{said.message}",
            release=release,
            status=status,
        )


def _root(url: str) -> str:
    import httpx

    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise BadSetting(f"RATCHET_SERVICE_URL names {url!r}, which is no URL: {error}.") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadSetting(
            f"RATCHET_SERVICE_URL names {url!r}, which is no URL of a service. Name them as in "
            "http://10.0.0.7:8321,http://10.0.0.8:8321."
        )
    return str(parsed).rstrip("/").removesuffix("/v1")


class _Message(BaseModel):
    content: str


class _Choice(BaseModel):
    message: _Message


class _Ratchet(BaseModel):
    release: str


class _Completion(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]
    ratchet: _Ratchet


class _Error(BaseModel):
    message: str
    code: str = "unknown"


class _Envelope(BaseModel):
    error: _Error


def _error(response: Response) -> _Error:
    """What the service says is wrong; what stands between it and us may say so in other words."""
    try:
        return _Envelope.model_validate_json(response.content).error
    except ValidationError:
        return _Error(message=f"{response.text[:200]!r}.")
