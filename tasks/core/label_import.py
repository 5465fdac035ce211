"""What importing rows changes: which become labels, which are duplicates, conflicts or leaks, and who leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tasks.core.contributors import over_their_share
from tasks.core.errors import GoldenLeak, NotFound, UsageError
from tasks.core.label_rows import LabelRow, Row
from tasks.core.label_splits import Clusters, Link, SplitPolicy, allocate
from tasks.core.labels import Label, squeezed
from tasks.core.opinion_import import OpinionIntake
from tasks.core.opinion_rows import OpinionRow
from tasks.core.opinions import Opinion
from tasks.core.questions import Questions
from tasks.core.row_shapes import RowError


@dataclass(frozen=True, slots=True)
class Holdings:
    """All labels and opinions of an assistant, in any state, in the order of import."""

    labels: Sequence[Label] = ()
    opinions: Sequence[Opinion] = ()


@dataclass(frozen=True, slots=True)
class LabelChanges:
    """What to write, and what happened to each row."""

    added: tuple[Label, ...] = ()
    updated: tuple[Label, ...] = ()  # labels that were there, with their new state, split or reason
    accepted: int = 0
    pending: int = 0
    duplicates: int = 0
    errors: tuple[RowError, ...] = ()
    opinions_added: tuple[Opinion, ...] = ()
    opinions_updated: tuple[Opinion, ...] = ()


def import_rows(
    labels: Sequence[Label], rows: Sequence[Row], policy: SplitPolicy, opinions: Sequence[Opinion] = ()
) -> LabelChanges:
    """Decides for each row, in the order of the file, what becomes of it. `labels`, `opinions`: all, in any state.

    The same label again is a duplicate in whatever state it is, so that repeating an import never undoes a review;
    `supersedes` only lifts it out of *pending*. Rows that say nothing get their split last, by cluster. What one
    contributor gives beyond their share of the accepted labels stays pending, the last of the file first.
    """
    held: dict[str, str] = {}
    while True:
        intake = _Intake(Holdings(labels, opinions), rows, held)
        intake.take_all(policy)
        over = over_their_share(intake.accepted(), intake.can_wait(), policy)
        if not over:
            return intake.changes()
        held |= over


def accept(
    labels: Sequence[Label], label_id: str, policy: SplitPolicy, opinions: Sequence[Opinion] = ()
) -> LabelChanges:
    """Accepts a pending or rejected label or opinion; labels it contradicts become rejected and it takes their split.

    Whoever gave it: a person has decided. Raises NotFound, UsageError when an accepted label says the same,
    GoldenLeak when no split can hold it.
    """
    found = _find(labels, opinions, label_id)
    if found.state == "accepted":
        return LabelChanges()
    others = Holdings([x for x in labels if x.id != label_id], [x for x in opinions if x.id != label_id])
    intake = _Intake(others, [_as_row(found) if isinstance(found, Label) else found], {})
    intake.take_all(policy)
    made = intake.changes()
    if made.errors:
        raise GoldenLeak(f"{label_id} {made.errors[0].reason}.", label=label_id)
    if made.duplicates:
        raise UsageError(f"Label {label_id} says what an accepted label says already; reject it.", label=label_id)
    return replace(
        made,
        added=(),
        updated=made.updated + made.added,
        opinions_added=(),
        opinions_updated=made.opinions_updated + made.opinions_added,
    )


def _as_row(label: Label) -> LabelRow:
    return LabelRow(
        line=0,
        question=label.question,
        answer=label.answer,
        documents=label.documents,
        facts=label.facts,
        unanswerable=label.unanswerable,
        split=label.split,
        supersedes=True,
        messages=label.messages,
        contributor=label.contributor,
    )


def reject(labels: Sequence[Label], label_id: str, reason: str, opinions: Sequence[Opinion] = ()) -> LabelChanges:
    """Takes a label or an opinion out, in whatever state it is. Raises NotFound."""
    found = _find(labels, opinions, label_id)
    if isinstance(found, Label):
        return LabelChanges(updated=(replace(found, state="rejected", reason=reason),))
    return LabelChanges(opinions_updated=(replace(found, state="rejected", reason=reason),))


def _find(labels: Sequence[Label], opinions: Sequence[Opinion], wanted: str) -> Label | Opinion:
    for one in (*labels, *opinions):
        if one.id == wanted:
            return one
    raise NotFound(f"There is no label, preference or rating {wanted}. See `ratchet labels review`.", label=wanted)


@dataclass(slots=True)
class _Entry:
    """An accepted label: one that was there, or one that this import makes."""

    label: Label
    where: str  # "line 3", "label l-…"
    question: int  # the number of its wording


@dataclass(slots=True)
class _Outcome:
    pending: int = 0
    duplicates: int = 0
    errors: list[RowError] = field(default_factory=list)
    accepted: int = 0


class _Intake:
    """One import: accepted labels so far, and the clusters they form, opinions included. held: why, by label id."""

    def __init__(self, there: Holdings, rows: Sequence[Row | Opinion], held: Mapping[str, str]) -> None:
        self._before = {label.id: label for label in there.labels}
        self._after: dict[str, Label] = {}  # everything new or changed
        self._held = held
        self._outcome = _Outcome()
        self._clusters = Clusters()
        self._entries: dict[int, list[_Entry]] = {}  # by question
        self._opinions = OpinionIntake(there.opinions, self._clusters)
        labels = [label for label in there.labels if label.state == "accepted"]
        opinions = self._opinions.accepted()
        self._questions = Questions([_asked(item) for item in (*labels, *opinions, *rows)])
        numbers = iter(self._questions.of)
        for label in labels:
            self._enter(label, f"label {label.id}", next(numbers))
        for opinion in opinions:
            question = next(numbers)
            self._opinions.enter(opinion, question, self._links(opinion.documents, question))
        self._rows = list(zip(rows, numbers, strict=True))

    def take_all(self, policy: SplitPolicy) -> None:
        """Decides every row, then the splits."""
        for row, question in self._rows:
            if isinstance(row, LabelRow):
                self._take(row, question)
            else:
                self._take_opinion(row, question)
        self._assign_splits(policy)
        golden = any(label.split == "golden" for label in self.accepted())
        self._opinions.assign_splits(decided=golden or policy.golden_fraction == 0)

    def accepted(self) -> list[Label]:
        """Every accepted label, as it is now."""
        ids = [entry.label.id for entries in self._entries.values() for entry in entries]
        return [self._after.get(one) or self._before[one] for one in ids]

    def can_wait(self) -> list[str]:
        """Ids of the labels that this import accepted and that replace nothing, in the order of the file."""
        rows = (row for row, _ in self._rows if isinstance(row, LabelRow) and not row.supersedes)
        made = {label.id for label in self.accepted() if label.id not in self._before}
        return [one for one in dict.fromkeys(row.id for row in rows) if one in made]

    def _take(self, row: LabelRow, question: int) -> None:
        known = self._after.get(row.id) or self._before.get(row.id)
        if known is not None and not (known.state == "pending" and row.supersedes):
            return self._duplicate(row, known)
        twins = self._twins(question)
        for twin in twins:
            if squeezed(twin.label.answer).casefold() == squeezed(row.answer).casefold():
                return self._duplicate(row, twin.label)
        if row.id in self._held:
            return self._wait(row, self._held[row.id])
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
            pending=self._outcome.pending,
            duplicates=self._outcome.duplicates,
            errors=tuple(self._outcome.errors),
            opinions_added=self._opinions.added(),
            opinions_updated=self._opinions.updated(),
        )

    def _take_opinion(self, row: OpinionRow | Opinion, question: int) -> None:
        links = self._links(row.documents, question)
        if isinstance(row, Opinion):
            outcome = self._opinions.accept(row, question, links)
        else:
            outcome = self._opinions.take(row, question, self._questions.same(question), links)
        self._outcome.accepted += outcome == "accepted"
        self._outcome.pending += outcome == "pending"
        self._outcome.duplicates += outcome == "duplicate"
        if isinstance(outcome, RowError):
            self._outcome.errors.append(outcome)

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
        self._wait(row, reason)

    def _wait(self, row: LabelRow, reason: str) -> None:
        self._after[row.id] = row.label("pending", row.split, reason)
        self._outcome.pending += 1

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
        return [entry for same in self._questions.same(question) for entry in self._entries.get(same, ())]

    def _links(self, documents: Sequence[str], question: int) -> list[Link]:
        pages = [Link(f"page {document}", f"its page {document}") for document in documents]
        twins = [Link(t.label.id, f"the same question ({t.where})") for t in self._twins(question)]
        return [*pages, *twins, *self._opinions.links(self._questions.same(question))]


def _asked(item: Label | Row | Opinion) -> str:
    return item.asked if isinstance(item, Label | LabelRow) else item.question
