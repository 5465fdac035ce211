"""Answerers that understand nothing, scored on the same questions: what they reach, a release has to beat."""

from __future__ import annotations

from dataclasses import replace

from tasks.core.answers import Answer, Citation
from tasks.core.metrics.matching import sentences, without_markers

ALWAYS_ABSTAIN = "always-abstain"
COPY_FIRST_SENTENCE = "copy-first-sentence"


def always_abstain(answer: Answer, abstention: str) -> Answer:
    """Declines, whatever the passages say."""
    return replace(
        answer,
        text=abstention,
        raw=abstention,
        release=ALWAYS_ABSTAIN,
        abstained=True,
        abstained_because="model",
        citations=(),
        dangling_markers=(),
        completion_tokens=0,
        prompt_tokens=0,
    )


def copy_first_sentence(answer: Answer, abstention: str) -> Answer:
    """The first sentence of the top passage and its marker; declines when no passage was shown."""
    if not answer.contexts:
        return replace(always_abstain(answer, abstention), release=COPY_FIRST_SENTENCE, abstained_because="no-passages")
    top = answer.contexts[0]
    copied = _first_sentence(top.text)
    text = f"{copied} [{top.marker}]"
    return replace(
        answer,
        text=text,
        raw=text,
        release=COPY_FIRST_SENTENCE,
        abstained=False,
        abstained_because=None,
        citations=(Citation(top.marker, top.document, top.chunk, copied, top.score),),
        dangling_markers=(),
        completion_tokens=0,
        prompt_tokens=0,
    )


def _first_sentence(passage: str) -> str:
    """The first line that ends like a sentence, up to its end: headings stand on lines of their own."""
    found = sentences(without_markers(passage))
    return next((s for s in found if s.rstrip("\"'”’)").endswith((".", "!", "?"))), found[-1] if found else "")
