"""Slices: golden questions that are also looked at by themselves, because a mean over all hides harm to a few."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tasks.core.comparison import Touch
from tasks.core.labels import Label
from tasks.core.policy import PAGE_CHANGED, UNANSWERABLE, Policy, Slice

NO_FOLDER = "no-folder"  # of documents that lie beside the folders
_MARGIN = 0.15  # of slices that no policy names

_NOT_A_LETTER = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class NamedSlice:
    """Some of the golden questions, and what is asked of them."""

    name: str
    label_ids: tuple[str, ...]  # sorted
    required: bool  # it must be shown not worse, not just not found to be worse
    margin: float  # how much of `right` it may at worst lose


def slices_of(
    labels: Sequence[Label], policy: Policy, touched: Mapping[str, Touch] | None = None
) -> tuple[NamedSlice, ...]:
    """The policy's slices in its order, then those that make themselves, by name.

    Those are the documents' top folders when there are two at least, `unanswerable`, and `page-changed`: questions
    around whose answer the page changed (touched: what the documents changed since the release being served). A slice
    of the policy takes the place of one of the same name, and is there even when no question belongs to it.
    """
    named = [
        NamedSlice(one.name, _ids(label for label in labels if _admits(one, label)), one.required, one.margin)
        for one in policy.slices
    ]
    taken = {one.name for one in named}
    made = sorted(_made(labels, policy, touched or {}).items())
    return (*named, *(NamedSlice(name, _ids(members), False, _MARGIN) for name, members in made if name not in taken))


def folders_of(label: Label) -> tuple[str, ...]:
    """The top folders of the label's documents, as slices are named; none for a label without a document.

    Folders whose names differ in case and punctuation alone are one slice. One that is called as a slice that makes
    itself is named `folder-unanswerable`.
    """
    return tuple(sorted({_folder(document) for document in label.documents}))


def _admits(one: Slice, label: Label) -> bool:
    """Every condition holds. In a glob of documents `*` stands for anything, slashes too."""
    named = any(fnmatchcase(document, glob) for document in label.documents for glob in one.documents)
    asked = one.question is None or re.search(one.question, label.question, re.IGNORECASE) is not None
    return (named or not one.documents) and asked and one.unanswerable in (None, label.unanswerable)


def _made(labels: Sequence[Label], policy: Policy, touched: Mapping[str, Touch]) -> dict[str, list[Label]]:
    made: dict[str, list[Label]] = defaultdict(list)
    for label in labels if policy.slice_by_folder else ():
        for folder in folders_of(label):
            made[folder].append(label)
    if len(made) < 2:
        made.clear()
    made[UNANSWERABLE] = [label for label in labels if label.unanswerable]
    made[PAGE_CHANGED] = [label for label in labels if touched.get(label.id) == "page"]
    return {name: members for name, members in made.items() if members}


def _folder(document: str) -> str:
    top, slash, _ = document.partition("/")
    name = (_NOT_A_LETTER.sub("-", top.casefold()).strip("-") if slash else "") or NO_FOLDER
    return f"folder-{name}" if name in (UNANSWERABLE, PAGE_CHANGED) else name


def _ids(labels: Iterator[Label] | Sequence[Label]) -> tuple[str, ...]:
    return tuple(sorted(label.id for label in labels))
