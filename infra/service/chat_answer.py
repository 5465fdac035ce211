"""An answer as OpenAI's clients read it: one completion, or chunks of a stream."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from infra.service.desk import Served
from tasks.core.answers import Answer
from tasks.core.feedback import Response

Json = dict[str, object]

_PIECE = re.compile(r"\s*\S+\s*")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer and what names it: the same in a completion and in every chunk."""

    id: str
    created: int  # seconds since the epoch
    served: Served
    answer: Answer

    def completion(self) -> Json:
        """The body of a plain answer."""
        message = {"role": "assistant", "content": self.answer.text, "refusal": None, "annotations": self.annotations()}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": self.usage(),
            "ratchet": self.ratchet(),
        }

    def chunks(self, include_usage: bool) -> Iterator[Json]:
        """The parts of a stream; what names and supports the answer stands in the one with the finish reason."""
        rest: Json = {"usage": None} if include_usage else {}
        head = {**self._head("chat.completion.chunk"), **rest}
        yield {**head, "choices": [_choice({"role": "assistant", "content": ""})]}
        for piece in _PIECE.findall(self.answer.text):
            yield {**head, "choices": [_choice({"content": piece})]}
        last = _choice({"annotations": self.annotations()}, self.finish_reason)
        yield {**head, "choices": [last], "ratchet": self.ratchet()}
        if include_usage:
            yield {**head, "choices": [], "usage": self.usage()}

    def server_sent_events(self, include_usage: bool) -> Iterator[bytes]:
        """The stream as bytes, `[DONE]` at its end."""
        for chunk in self.chunks(include_usage):
            yield b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    def remembered(self) -> Response:
        """What is kept of it for feedback."""
        manifest = self.served.manifest
        return Response(
            id=self.id,
            assistant=manifest.assistant,
            release=manifest.id,
            snapshot=manifest.snapshot.number,
            pattern=manifest.pattern,
            question=self.answer.question,
            answer=self.answer.text,
            documents=tuple(sorted({citation.document for citation in self.answer.citations})),
        )

    @property
    def finish_reason(self) -> str:
        """`length` when the release's limit may have cut the answer."""
        return "length" if self.answer.cut_short and not self.answer.abstained else "stop"

    def ratchet(self) -> Json:
        """Which release said it, on what grounds."""
        return {**released(self.served), "citations": [asdict(c) for c in self.answer.citations], **self._doubts()}

    def annotations(self) -> list[Json]:
        """One for every place where the text carries a citation's marker."""
        text = self.answer.text
        return [
            _annotation(citation.document, match.start(), match.end())
            for citation in self.answer.citations
            for match in re.finditer(re.escape(f"[{citation.marker}]"), text)
        ]

    def usage(self) -> Json:
        """Tokens of the prompt and of what the model wrote."""
        prompt, completion = self.answer.prompt_tokens, self.answer.completion_tokens
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def _doubts(self) -> Json:
        return {"abstained": self.answer.abstained, "abstained_because": self.answer.abstained_because}

    def _head(self, kind: str) -> Json:
        release = self.served.manifest.id
        model = f"{self.served.manifest.assistant}@{release}"
        return {"id": self.id, "object": kind, "created": self.created, "model": model, "system_fingerprint": release}


def released(served: Served) -> Json:
    """What names a release on the wire."""
    manifest = served.manifest
    return {
        "release": manifest.id,
        "snapshot": manifest.snapshot.number,
        "pattern": manifest.pattern,
        "as_of": served.as_of,
        "unproven": served.unproven,
    }


def _choice(delta: Json, finish_reason: str | None = None) -> Json:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _annotation(document: str, start: int, end: int) -> Json:
    citation = {"start_index": start, "end_index": end, "title": document, "url": document}
    return {"type": "url_citation", "url_citation": citation}
