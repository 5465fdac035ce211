"""The one way an answer is made, for evaluation, `ratchet ask` and the answer service."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

from tasks.confidence import confidences
from tasks.core.answers import AbstainedBecause, Answer, Passage
from tasks.core.documents import Hit
from tasks.core.errors import UsageError
from tasks.core.passages import packed
from tasks.core.ports import ChatModel, ChatModels, Completion, Message, Progress
from tasks.core.prompts import INVOCATION, render
from tasks.core.releases import ReleaseManifest, canonical_json
from tasks.core.replies import Reply, followed_sentences, settle, whole_sentences
from tasks.remembered_questions import RememberedQuestions
from tasks.retrieval import RetrievalBench, retrieve

PORTION = 32  # prompts asked, and then cached, together
_PATTERNS = ("rag", "sequential", "tuned")


class CompletionCache(Protocol):
    """Completions asked for before. Decoding is greedy, so an entry never goes stale: keys name model and prompt."""

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Completion]:
        """Those of the keys that are there."""

    def put_many(self, completions: Mapping[str, Completion]) -> None:
        """Adds them; a key that is there already stays as it is."""


@dataclass(frozen=True, slots=True)
class AnsweringBench:
    """What answering needs. completions: None keeps nothing."""

    retrieval: RetrievalBench
    chat: ChatModels
    completions: CompletionCache | None = None


_NOTHING = Completion("", prompt_tokens=0, completion_tokens=0)


@dataclass(frozen=True, slots=True)
class _Found:
    """A question, its hits, and how sure retrieval is of them."""

    question: str
    hits: Sequence[Hit]
    confidence: float


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question, what was found for it, and either the prompt or the reason not to ask the model."""

    question: str
    passages: tuple[Passage, ...]
    confidence: float
    prompt: tuple[Message, ...] = ()
    because: AbstainedBecause | None = None


def answer(
    questions: Sequence[str], manifest: ReleaseManifest, bench: AnsweringBench, progress: Progress | None = None
) -> list[Answer]:
    """One answer per question, in order, all from the release's own snapshot, model and prompt.

    Raises what opening the model raises, and UsageError for an answering pattern that is not built yet.
    """
    chat = _open(manifest, bench)
    count = _counter(chat)
    asked = [_ask(found, manifest, count) for found in _retrieve(questions, manifest, bench)]
    limit = manifest.limits.max_new_tokens
    written = iter(_complete([one.prompt for one in asked if one.prompt], limit, chat, bench.completions, progress))
    release = manifest.id
    return [_answer(one, next(written) if one.prompt else _NOTHING, manifest, release) for one in asked]


def answer_one(question: str, manifest: ReleaseManifest, bench: AnsweringBench) -> Answer:
    """`answer` for a single question."""
    return answer([question], manifest, bench)[0]


def stream_answer(question: str, manifest: ReleaseManifest, bench: AnsweringBench) -> Iterator[str | Answer]:
    """The text of `answer_one` in pieces, then the Answer.

    Nothing is sent that could still be withdrawn: whole sentences, and all at once where the release requires support.
    """
    if _checks_support(manifest):
        final = answer_one(question, manifest, bench)
        yield final.text
        yield final
        return
    chat = _open(manifest, bench)
    (found,) = _retrieve([question], manifest, bench)
    asked = _ask(found, manifest, _counter(chat))
    ready_part = followed_sentences if manifest.mend_citations else whole_sentences
    raw, sent = "", ""
    for piece in chat.stream(asked.prompt, max_new_tokens=manifest.limits.max_new_tokens) if asked.prompt else ():
        raw += piece
        ready = _settle(ready_part(raw), asked, manifest)
        if ready.because is None and ready.text != sent:
            yield ready.text[len(sent) :]
            sent = ready.text
    final = _answer(asked, _counted(raw, asked.prompt, chat) if asked.prompt else _NOTHING, manifest, manifest.id)
    yield final.text[len(sent) :]
    yield final


def _open(manifest: ReleaseManifest, bench: AnsweringBench) -> ChatModel:
    if manifest.pattern not in _PATTERNS:
        raise UsageError(
            f"The answering pattern {manifest.pattern!r} is not built yet; this version answers with "
            f"{', '.join(_PATTERNS)}. Choose one of them for the release.",
            pattern=manifest.pattern,
        )
    return bench.chat.open(manifest.model)


def _retrieve(questions: Sequence[str], manifest: ReleaseManifest, bench: AnsweringBench) -> list[_Found]:
    """What there is at the release's snapshot; nothing for a model that answers from what it learned."""
    if manifest.pattern == "tuned":
        return [_Found(question, [], 0.0) for question in questions]
    retrieval = bench.retrieval.of(manifest.assistant)
    retrieval = replace(retrieval, embedder=RememberedQuestions(retrieval.embedder))
    found = retrieve(retrieval, manifest.snapshot, questions, manifest.retrieval)
    sure = confidences(retrieval.embedder, questions, found, manifest.retrieval)
    return [_Found(*one) for one in zip(questions, found, sure, strict=True)]


def _ask(found: _Found, manifest: ReleaseManifest, count: Callable[[str], int]) -> _Asked:
    question, sure = found.question, found.confidence
    passages = packed(found.hits, manifest.limits.max_context_tokens, count)
    least = manifest.retrieval.min_confidence
    if manifest.pattern != "tuned" and not passages:
        return _Asked(question, passages, sure, because="no-passages")
    if manifest.pattern != "tuned" and least is not None and sure < least:
        return _Asked(question, passages, sure, because="confidence")
    return _Asked(question, passages, sure, prompt=render(manifest.prompt, passages, question))


def _counter(chat: ChatModel) -> Callable[[str], int]:
    """Tokens of a text; every text is counted once, and many questions find the same passages."""
    frame = chat.count_tokens([Message("user", "")])
    return cache(lambda text: chat.count_tokens([Message("user", text)]) - frame)


def _complete(
    prompts: Sequence[tuple[Message, ...]],
    limit: int,
    chat: ChatModel,
    cache: CompletionCache | None,
    progress: Progress | None,
) -> list[Completion]:
    """One completion per prompt; the model is asked for each distinct prompt that the cache does not hold, once."""
    keys = [completion_key(chat.fingerprint, prompt, limit) for prompt in prompts]
    known = dict(cache.get_many(keys)) if cache else {}
    missing = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in known}
    for portion in _portions(missing):
        told = _continued(progress, len(missing) - len(missing.keys() - known.keys()), len(missing))
        written = chat.complete([missing[key] for key in portion], max_new_tokens=limit, progress=told)
        new = dict(zip(portion, written, strict=True))
        known |= new
        if cache:
            cache.put_many(new)
    return [known[key] for key in keys]


def _portions(prompts: Mapping[str, Sequence[Message]]) -> Iterator[list[str]]:
    """Keys of prompts that batch well, in portions small enough that a kill loses little.

    Similar lengths beside each other, and questions about the same passages, which a model may read once for all.
    """

    def likeness(key: str) -> tuple[int, str, str]:
        before = "\n".join(message.content for message in prompts[key]).rpartition(INVOCATION)[0]
        return len(before), before, key

    order = sorted(prompts, key=likeness)
    return (order[at : at + PORTION] for at in range(0, len(order), PORTION))


def _continued(progress: Progress | None, before: int, total: int) -> Progress | None:
    return progress and (lambda what, done, _: progress(what, before + done, total))


def completion_key(fingerprint: str, prompt: Sequence[Message], max_new_tokens: int) -> str:
    """What a completion is cached under: 64 hex digits over model, messages and limit."""
    what = [fingerprint, max_new_tokens, [[message.role, message.content] for message in prompt]]
    return hashlib.sha256(canonical_json(what).encode()).hexdigest()


def _answer(asked: _Asked, written: Completion, manifest: ReleaseManifest, release: str) -> Answer:
    cut_short = written.completion_tokens >= manifest.limits.max_new_tokens
    reply = _settle(written.text, asked, manifest, cut_short=cut_short)
    return Answer(
        question=asked.question,
        text=reply.text,
        release=release,
        snapshot=manifest.snapshot.number,
        pattern=manifest.pattern,
        abstained=reply.because is not None,
        abstained_because=reply.because,
        raw=written.text,
        citations=reply.citations,
        contexts=asked.passages,
        dangling_markers=reply.dangling,
        confidence=asked.confidence,
        prompt_tokens=written.prompt_tokens,
        completion_tokens=written.completion_tokens,
    )


def _settle(text: str, asked: _Asked, manifest: ReleaseManifest, *, cut_short: bool = False) -> Reply:
    if asked.because is not None:
        return Reply(manifest.prompt.abstention, asked.because)
    return settle(
        text,
        asked.passages,
        abstention=manifest.prompt.abstention,
        require_support=_checks_support(manifest),
        mend_citations=manifest.mend_citations,
        cut_short=cut_short,
    )


def _checks_support(manifest: ReleaseManifest) -> bool:
    """A model that answers without passages cites none, and there is nothing to check it against."""
    return manifest.require_support and manifest.pattern != "tuned"


def _counted(text: str, prompt: Sequence[Message], chat: ChatModel) -> Completion:
    return Completion(text, chat.count_tokens(prompt), _counter(chat)(text))
