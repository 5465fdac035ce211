"""The one way an answer is made, for evaluation, `ratchet ask` and the answer service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from tasks.completing import CompletionCache, complete
from tasks.confidence import confidences
from tasks.core.answers import AbstainedBecause, Answer, Passage
from tasks.core.documents import Hit
from tasks.core.passages import packed
from tasks.core.patterns import asks_without_passages, better_supported, models_asked
from tasks.core.ports import ChatModel, ChatModels, Completion, Message, Progress
from tasks.core.prompts import render
from tasks.core.releases import ReleaseManifest
from tasks.core.replies import Reply, followed_sentences, settle, whole_sentences
from tasks.remembered_questions import RememberedQuestions
from tasks.retrieval import RetrievalBench, retrieve


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
    """A question, the passages it is asked with, and either the prompt or the reason not to ask the model.

    grounded: passages are shown, or would be. An answer to a bare question cites none, and is checked against none.
    """

    question: str
    passages: tuple[Passage, ...]
    confidence: float
    prompt: tuple[Message, ...] = ()
    because: AbstainedBecause | None = None
    grounded: bool = True


def answer(
    questions: Sequence[str], manifest: ReleaseManifest, bench: AnsweringBench, progress: Progress | None = None
) -> list[Answer]:
    """One answer per question, in order, all from the release's own snapshot, model and prompt.

    Raises what opening the models raises, and UsageError as `models_asked` does.
    """
    chats = _open(manifest, bench)
    count = _counter(chats[0])
    asked = [_ask(found, manifest, count) for found in _retrieve(questions, manifest, bench)]
    limit = manifest.limits.max_new_tokens
    written = iter(complete([one.prompt for one in asked if one.prompt], limit, chats, bench.completions, progress))
    release = manifest.id
    return [_answer(one, next(written) if one.prompt else (_NOTHING,), manifest, release) for one in asked]


def answer_one(question: str, manifest: ReleaseManifest, bench: AnsweringBench) -> Answer:
    """`answer` for a single question."""
    return answer([question], manifest, bench)[0]


def stream_answer(question: str, manifest: ReleaseManifest, bench: AnsweringBench) -> Iterator[str | Answer]:
    """The text of `answer_one` in pieces, then the Answer.

    Nothing is sent that could still be withdrawn: whole sentences, and all at once where the release requires support
    or hears several models.
    """
    if manifest.pattern == "parallel" or (manifest.require_support and manifest.pattern != "tuned"):
        final = answer_one(question, manifest, bench)
        yield final.text
        yield final
        return
    (chat,) = _open(manifest, bench)
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
    final = _answer(asked, (_counted(raw, asked.prompt, chat) if asked.prompt else _NOTHING,), manifest, manifest.id)
    yield final.text[len(sent) :]
    yield final


def _open(manifest: ReleaseManifest, bench: AnsweringBench) -> tuple[ChatModel, ...]:
    return tuple(bench.chat.open(model) for model in models_asked(manifest.pattern, manifest.model))


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
    if asks_without_passages(manifest.pattern, found=bool(passages), confidence=sure, least=least):
        return _Asked(question, (), sure, prompt=render(manifest.prompt, (), question), grounded=False)
    if not passages:
        return _Asked(question, passages, sure, because="no-passages")
    if least is not None and sure < least:
        return _Asked(question, passages, sure, because="confidence")
    return _Asked(question, passages, sure, prompt=render(manifest.prompt, passages, question))


def _counter(chat: ChatModel) -> Callable[[str], int]:
    """Tokens of a text; every text is counted once, and many questions find the same passages."""
    frame = chat.count_tokens([Message("user", "")])
    return cache(lambda text: chat.count_tokens([Message("user", text)]) - frame)


def _answer(asked: _Asked, written: Sequence[Completion], manifest: ReleaseManifest, release: str) -> Answer:
    """written: of each model that was asked. The tokens of all of them are counted, whoever is heard."""
    limit = manifest.limits.max_new_tokens
    cut_short = [one.completion_tokens >= limit for one in written]
    replies = [_settle(one.text, asked, manifest, cut_short=cut) for one, cut in zip(written, cut_short, strict=True)]
    heard = better_supported(replies, asked.passages)
    reply = replies[heard]
    return Answer(
        question=asked.question,
        text=reply.text,
        release=release,
        snapshot=manifest.snapshot.number,
        pattern=manifest.pattern,
        abstained=reply.because is not None,
        abstained_because=reply.because,
        raw=written[heard].text,
        citations=reply.citations,
        contexts=asked.passages,
        dangling_markers=reply.dangling,
        confidence=asked.confidence,
        prompt_tokens=sum(one.prompt_tokens for one in written),
        completion_tokens=sum(one.completion_tokens for one in written),
        cut_short=cut_short[heard],
    )


def _settle(text: str, asked: _Asked, manifest: ReleaseManifest, *, cut_short: bool = False) -> Reply:
    if asked.because is not None:
        return Reply(manifest.prompt.abstention, asked.because)
    return settle(
        text,
        asked.passages,
        abstention=manifest.prompt.abstention,
        require_support=manifest.require_support and asked.grounded,
        mend_citations=manifest.mend_citations,
        cut_short=cut_short,
    )


def _counted(text: str, prompt: Sequence[Message], chat: ChatModel) -> Completion:
    return Completion(text, chat.count_tokens(prompt), _counter(chat)(text))
