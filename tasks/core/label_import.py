"""What importing rows changes: which become labels, which are duplicates, conflicts or leaks, and who leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tasks.core.errors import GoldenLeak, NotFound, UsageError
from tasks.core.label_rows import LabelRow, RowError
from tasks.core.label_splits import Clusters, Link, SplitPolicy, allocate
from tasks.core.labels import Label, squeezed
from tasks.core.near_duplicates import Wording, same_question_pairs, wording


@dataclass(frozen=True, slots=True)
class LabelChanges:
    """What to write, and what happened to each row."""

    added: tuple[Label, ...] = ()
    updated: tuple[Label, ...] = ()  # labels that were there, with their new state, split or reason
    accepted: int = 0
    pending: int = 0
    duplicates: int = 0
    errors: tuple[RowError, ...] = ()


def import_rows(labels: Sequence[Label], rows: Sequence[LabelRow], policy: SplitPolicy) -> LabelChanges:
    """Decides for each row, in the order of the file, what becomes of it. `labels`: all there are, in any state.

    The same label again is a duplicate in whatever state it is, so that repeating an import never undoes a review;
    `supersedes` only lifts it out of *pending*. Rows that say nothing get their split last, by cluster.
    """
    intake = _Intake(labels, rows)
    intake.take_all(policy)
    return intake.changes()


def accept(labels: Sequence[Label], label_id: str, policy: SplitPolicy) -> LabelChanges:
    """Accepts a pending or rejected label; those it contradicts become rejected and it takes their split.

    Raises NotFound, UsageError when an accepted label says the same, GoldenLeak when no split can hold it.
    """
    label = _find(labels, label_id)
    if label.state == "accepted":
        return LabelChanges()
    row = LabelRow(
        line=0,
        question=label.question,
        answer=label.answer,
        documents=label.documents,
        facts=label.facts,
        unanswerable=label.unanswerable,
        split=label.split,
        supersedes=True,
        messages=label.messages,
    )
    intake = _Intake([other for other in labels if other.id != label_id], [row])
    intake.take_all(policy)
    made = intake.changes()
    if made.errors:
        raise GoldenLeak(f"Label {label_id} {made.errors[0].reason}.", label=label_id)
    if made.duplicates:
        raise UsageError(f"Label {label_id} says what an accepted label says already; reject it.", label=label_id)
    return replace(made, added=(), updated=made.updated + made.added)


def reject(labels: Sequence[Label], label_id: str, reason: str) -> LabelChanges:
    """Takes a label out, in whatever state it is. Raises NotFound."""
    return LabelChanges(updated=(replace(_find(labels, label_id), state="rejected", reason=reason),))


def _find(labels: Sequence[Label], label_id: str) -> Label:
    for label in labels:
        if label.id == label_id:
            return label
    raise NotFound(f"There is no label {label_id}. See `ratchet labels review`.", label=label_id)


@dataclass(slots=True)
class _Entry:
    """An accepted label: one that was there, or one that this import makes."""

    label: Label
    where: str  # "line 3", "label l-…"
    question: int  # the number of its wording


@dataclass(slots=True)
class _Outcome:
    pending: list[Label] = field(default_factory=list)
    duplicates: int = 0
    errors: list[RowError] = field(default_factory=list)
    accepted: int = 0


class _Intake:
    """One import: accepted labels so far, and the clusters they form."""

    def __init__(self, labels: Sequence[Label], rows: Sequence[LabelRow]) -> None:
        self._before = {label.id: label for label in labels}
        self._after: dict[str, Label] = {}  # everything new or changed
        self._outcome = _Outcome()
        self._clusters = Clusters()
        self._entries: dict[int, list[_Entry]] = {}  # by question
        accepted = [label for label in labels if label.state == "accepted"]
        questions, self._same = _questions([*accepted, *rows])
        for label, question in zip(accepted, questions, strict=False):
            self._enter(label, f"label {label.id}", question)
        self._rows = list(zip(rows, questions[len(accepted) :], strict=True))

    def take_all(self, policy: SplitPolicy) -> None:
        """Decides every row, then the splits."""
        for row, question in self._rows:
            self._take(row, question)
        self._assign_splits(policy)

    def _take(self, row: LabelRow, question: int) -> None:
        known = self._after.get(row.id) or self._before.get(row.id)
        if known is not None and not (known.state == "pending" and row.supersedes):
            return self._duplicate(row, known)
        twins = self._twins(question)
        for twin in twins:
            if squeezed(twin.label.answer).casefold() == squeezed(row.answer).casefold():
                return self._duplicate(row, twin.label)
        return self._accept(row, question, twins) if row.supersedes or not twins else self._hold(row, twins[0])

    def _assign_splits(self, policy: SplitPolicy) -> None:
        """Gives every accepted label without a split that of its cluster, deciding clusters where needed."""
        accepted = [entry.label for entries in self._entries.values() for entry in entries]
        have = [label.split for label in accepted]
        waiting = [label for label in accepted if label.split is None]
        self._clusters.decide({label.id: split for label in waiting if (split := self._clusters.split_of(label.id))})
        have += [self._clusters.split_of(label.id) for label in waiting]
        self._clusters.decide(
            allocate(
                self._clusters.undecided(label.id for label in waiting),
                policy,
                golden=have.count("golden"),
                validation=have.count("validation"),
                train=have.count("train"),
            )
        )
        for label in waiting:
            if split := self._clusters.split_of(label.id):
                self._after[label.id] = replace(label, split=split)

    def changes(self) -> LabelChanges:
        """Everything decided so far."""
        changed = self._after.values()
        return LabelChanges(
            added=tuple(label for label in changed if label.id not in self._before),
            updated=tuple(label for label in changed if label.id in self._before),
            accepted=self._outcome.accepted,
            pending=len(self._outcome.pending),
            duplicates=self._outcome.duplicates,
            errors=tuple(self._outcome.errors),
        )

    def _accept(self, row: LabelRow, question: int, twins: Sequence[_Entry]) -> None:
        inherited = next((twin.label.split for twin in twins if twin.label.split), None)
        links = self._links(row.documents, question)
        if refusal := self._clusters.refusal(links, row.split):
            self._outcome.errors.append(RowError(row.line, refusal))
            return
        for twin in twins:
            left = replace(twin.label, state="rejected", reason=f"superseded by {row.id}")
            self._after[left.id] = left
            self._entries[twin.question].remove(twin)
        label = row.label("accepted", inherited or row.split)
        self._after[label.id] = label
        self._outcome.accepted += 1
        self._enter(label, f"line {row.line}", question)

    def _hold(self, row: LabelRow, twin: _Entry) -> None:
        reason = (
            f'{twin.where} answers the same question differently ("{twin.label.answer}"); accept this one in '
            '`ratchet labels review`, or import it with "supersedes": true, to replace it'
        )
        self._after[row.id] = row.label("pending", row.split, reason)
        self._outcome.pending.append(self._after[row.id])

    def _duplicate(self, row: LabelRow, label: Label) -> None:
        """Still, what the row says about its split holds for the whole cluster, or is refused."""
        links = [Link(label.id, f"label {label.id}")]
        explicit = row.split if label.state == "accepted" else None
        if explicit and (refusal := self._clusters.refusal(links, explicit)):
            self._outcome.errors.append(RowError(row.line, refusal))
            return
        self._outcome.duplicates += 1
        if explicit:
            self._clusters.join(label.id, links, explicit, f"line {row.line}")

    def _enter(self, label: Label, where: str, question: int) -> None:
        links = self._links(label.documents, question)
        self._entries.setdefault(question, []).append(_Entry(label, where, question))
        self._clusters.join(label.id, links, label.split, where)

    def _twins(self, question: int) -> list[_Entry]:
        return [entry for same in self._same[question] for entry in self._entries.get(same, ())]

    def _links(self, documents: Sequence[str], question: int) -> list[Link]:
        pages = [Link(f"page {document}", f"its page {document}") for document in documents]
        return pages + [Link(t.label.id, f"the same question ({t.where})") for t in self._twins(question)]


def _questions(items: Sequence[Label | LabelRow]) -> tuple[list[int], dict[int, list[int]]]:
    """A number per item, equal for equal wordings, and for every number those that ask the same, itself included."""
    numbers: dict[tuple[str, ...], int] = {}
    distinct: list[Wording] = []
    of: list[int] = []
    for item in items:
        worded = wording(item.asked)
        number = numbers.setdefault(worded.words, len(distinct))
        if number == len(distinct):
            distinct.append(worded)
        of.append(number)
    same = {number: [number] for number in range(len(distinct))}
    for a, b in same_question_pairs(distinct):
        same[a].append(b)
        same[b].append(a)
    return of, same
