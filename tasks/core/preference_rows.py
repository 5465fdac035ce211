"""Preference rows: a question as it would be served now, the answer people prefer to it, and the one they do not.

The passages are those that retrieval shows, in its order, without golden pages. A preferred answer that none of them
holds makes no row: who is served these passages should abstain. Markers are written as training rows write them, by
the passage that holds the answer. A worse answer that no passage holds gets the marker of the better one, so that what
is learned is the wording and not the marker. An answer that holds the words by which prompts wake the adapter makes no
row either: TRL reads prompt and answer as one, and the adapter would sleep until there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.core.documents import Chunk, Hit
from tasks.core.labels import squeezed
from tasks.core.opinions import Opinion, Preference, as_label
from tasks.core.passages import as_passage, text_of
from tasks.core.ports import Message
from tasks.core.prompts import INVOCATION, render
from tasks.core.releases import PromptSpec
from tasks.core.training_rows import answering_chunk


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """One prompt as served, the answer people prefer and the one they do not."""

    label_id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str

    @property
    def answers(self) -> Mapping[str, str]:
        """What is taught, by name."""
        return {"chosen": self.chosen, "rejected": self.rejected}


def preference_row(preference: Preference, hits: Sequence[Hit], prompt: PromptSpec) -> PreferenceRow | None:
    """The row of a preference on the passages shown; None where it cannot be taught on them."""
    chosen, rejected = (held_by(preference, answer, hits) for answer in (preference.chosen, preference.rejected))
    silent = abstains(preference.chosen, prompt)
    if not hits or (chosen is None and not silent):
        return None
    if any(INVOCATION in answer for answer in (preference.chosen, preference.rejected)):
        return None
    place = {hit.chunk.id: marker for marker, hit in enumerate(hits, start=1)}
    first = place[chosen.id] if chosen else 1
    texts = (
        prompt.abstention if silent else f"{preference.chosen} [{first}]",
        prompt.abstention
        if abstains(preference.rejected, prompt)
        else f"{preference.rejected} [{place[rejected.id] if rejected else first}]",
    )
    passages = [as_passage(marker, hit, text_of(hit)) for marker, hit in enumerate(hits, start=1)]
    if texts[0] == texts[1]:  # two spellings of the abstention
        return None
    return PreferenceRow(preference.id, render(prompt, passages, preference.question), *texts)


def abstains(answer: str, prompt: PromptSpec) -> bool:
    """Whether the answer is the prompt's abstention, however it is spaced and capitalised."""
    return squeezed(answer).casefold() == squeezed(prompt.abstention).casefold()


def held_by(opinion: Opinion, answer: str, hits: Sequence[Hit]) -> Chunk | None:
    """The chunk that holds the answer. An opinion that names no documents may be answered from any."""
    documents = opinion.documents or tuple(hit.chunk.document for hit in hits)
    return answering_chunk(replace(as_label(opinion), answer=answer, documents=documents), hits)
