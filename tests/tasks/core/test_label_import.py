from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.errors import GoldenLeak, NotFound, UsageError
from tasks.core.label_import import LabelChanges, accept, import_rows, reject
from tasks.core.label_rows import LabelRow
from tasks.core.label_splits import SplitPolicy
from tasks.core.labels import Label, count_labels, golden_set
from tasks.core.near_duplicates import same_question_pairs, wording

POLICY = SplitPolicy(golden_fraction=0.3, validation_fraction=0.1)
SOON = SplitPolicy(golden_fraction=0.3, validation_fraction=0.3, golden_minimum=4)


class Shelf:
    """All labels, as a catalog would hold them."""

    def __init__(self, policy: SplitPolicy = POLICY) -> None:
        self.labels: list[Label] = []
        self.policy = policy

    def write(self, changes: LabelChanges) -> LabelChanges:
        new = {label.id: label for label in changes.updated}
        assert new.keys() <= {label.id for label in self.labels}
        self.labels = [new.get(label.id, label) for label in self.labels] + list(changes.added)
        assert len({label.id for label in self.labels}) == len(self.labels)
        return changes

    def take(self, *rows: LabelRow) -> LabelChanges:
        return self.write(import_rows(self.labels, rows, self.policy))

    def split(self, question: str) -> str | None:
        return next(x.split for x in self.labels if x.question == question and x.state == "accepted")

    def state(self, answer: str) -> tuple[str, str | None]:
        return next((x.state, x.reason) for x in self.labels if x.answer == answer)


def row(line: int, question: str, answer: str = "It is so.", *documents: str, **more: object) -> LabelRow:
    return LabelRow(line, question, answer, documents, **more)  # type: ignore[arg-type]


def test_the_same_label_again_is_a_duplicate_within_a_file_and_between_files() -> None:
    shelf = Shelf()
    assert shelf.take(row(1, "How hot?"), row(2, "How  hot?")).duplicates == 1
    assert shelf.take(row(1, "how hot", "it is so.")).duplicates == 1
    assert len(shelf.labels) == 1


def test_importing_twice_changes_nothing() -> None:
    shelf = Shelf()
    rows = [row(1, "A?", "1", "p", split="golden"), row(2, "B?", "2", "q"), row(3, "B?", "3", "q"), row(4, "B?", "4")]
    shelf.take(*rows)
    before = list(shelf.labels)
    again = shelf.take(*rows)
    assert (again.added, again.updated, again.duplicates) == ((), (), 4)
    assert shelf.labels == before


def test_another_answer_to_the_same_question_waits_for_review() -> None:
    shelf = Shelf()
    made = shelf.take(row(1, "How hot?", "60 °C"), row(2, "How hot?", "70 °C"))
    assert (made.accepted, made.pending) == (1, 1)
    state, reason = shelf.state("70 °C")
    assert state == "pending"
    assert reason is not None
    assert 'line 1 answers the same question differently ("60 °C")' in reason


def test_questions_that_differ_in_a_number_are_two_questions() -> None:
    made = Shelf().take(row(1, "How hot is the Halden 300?", "60 °C"), row(2, "How hot is the Halden 500?", "70 °C"))
    assert made.accepted == 2


def test_a_superseding_row_rejects_the_old_label_and_takes_its_split() -> None:
    shelf = Shelf()
    shelf.take(row(1, "How hot?", "60 °C", "p", split="golden"))
    made = shelf.take(row(1, "How hot?", "70 °C", "p", supersedes=True))
    assert made.accepted == 1
    assert shelf.state("60 °C") == ("rejected", f"superseded by {made.added[0].id}")
    assert made.added[0].split == "golden"
    assert shelf.take(row(1, "How hot?", "60 °C", "p", split="golden")).duplicates == 1  # the old file again


def test_a_pending_label_is_accepted_by_importing_it_with_supersedes() -> None:
    shelf = Shelf()
    shelf.take(row(1, "How hot?", "60 °C"), row(2, "How hot?", "70 °C"))
    shelf.take(row(1, "How hot?", "70 °C", supersedes=True))
    assert (shelf.state("60 °C")[0], shelf.state("70 °C")) == ("rejected", ("accepted", None))


def test_an_explicit_split_holds_for_the_whole_cluster_wherever_it_stands_in_the_file() -> None:
    shelf = Shelf()
    shelf.take(row(1, "A?", "1", "p"), row(2, "B?", "2", "p", "q"), row(3, "C?", "3", "q", split="golden"))
    assert [shelf.split(q) for q in ("A?", "B?", "C?")] == ["golden"] * 3


def test_a_later_row_about_a_golden_page_is_golden() -> None:
    shelf = Shelf()
    shelf.take(row(1, "A?", "1", "p", split="golden"), row(2, "B?", "2", "q"))
    shelf.take(row(1, "C?", "3", "p"), row(2, "D?", "4", "q"))
    assert (shelf.split("C?"), shelf.split("D?")) == ("golden", shelf.split("B?"))


def test_training_on_a_golden_page_is_refused_and_both_lines_are_named() -> None:
    made = Shelf().take(row(3, "A?", "1", "p", split="golden"), row(8, "B?", "2", "p", split="train"), row(9, "C?"))
    assert made.accepted == 2
    [error] = made.errors
    assert error.line == 8
    assert error.reason == "asks for train, but its page p is golden (line 3), and a split never moves"


def test_a_row_between_a_golden_and_a_training_page_is_refused() -> None:
    shelf = Shelf()
    shelf.take(row(1, "A?", "1", "p", split="golden"), row(2, "B?", "2", "q", split="train"))
    [error] = shelf.take(row(5, "C?", "3", "p", "q")).errors
    assert "its page p is golden (label l-" in error.reason
    assert "but its page q is in train (label l-" in error.reason


def test_what_was_trained_on_never_becomes_golden() -> None:
    shelf = Shelf()
    shelf.take(row(1, "A?", "1", "p", split="train"))
    assert shelf.take(row(1, "A?", "1", "p", split="golden")).errors  # the same row, asking for golden now
    assert shelf.take(row(2, "a", "2", "r", split="golden", supersedes=True)).errors  # the same question
    assert shelf.split("A?") == "train"  # and the refused row superseded nothing


def test_a_duplicate_that_asks_for_golden_reserves_a_cluster_that_was_waiting() -> None:
    shelf = Shelf()
    shelf.take(row(1, "A?", "1", "p"), row(2, "B?", "2", "q"))
    assert shelf.split("A?") is None  # too few for a golden set, and nothing may be trained on before there is one
    shelf.take(row(1, "A?", "1", "p", split="golden"))
    assert shelf.split("A?") == "golden"
    assert shelf.split("B?") in ("train", "validation")


def test_the_fortieth_label_makes_a_golden_set() -> None:
    shelf = Shelf()
    shelf.take(*(row(n, f"Question {n}?", f"{n}", f"page {n}") for n in range(39)))
    assert golden_set(shelf.labels) is None
    shelf.take(row(40, "Question 40?", "40", "page 40"))
    counts = count_labels(shelf.labels, frozenset(), threshold=24)
    # .3 x 40 = 12 golden; .1 x 28 = 2.8 validate, rounded to 3 whole pages of one label; 25 train
    assert (counts.golden, counts.validation, counts.train, counts.unassigned) == (12, 2 + 1, 25, 0)
    assert counts.crossed


def test_only_training_labels_that_no_training_consumed_are_new() -> None:
    shelf = Shelf()
    shelf.take(row(1, "A?", split="train"), row(2, "B?", "2", split="train"), row(3, "C?", "3", split="golden"))
    consumed = frozenset({shelf.labels[0].id, shelf.labels[2].id})
    assert count_labels(shelf.labels, consumed, threshold=1).new == 1


def test_accepting_a_pending_label_replaces_what_it_contradicts() -> None:
    shelf = Shelf()
    shelf.take(row(1, "How hot?", "60 °C", split="golden"), row(2, "How hot?", "70 °C"))
    shelf.write(accept(shelf.labels, shelf.labels[1].id, POLICY))
    assert [(x.state, x.split) for x in shelf.labels] == [("rejected", "golden"), ("accepted", "golden")]


def test_accepting_is_refused_when_it_would_leak_or_repeat() -> None:
    shelf = Shelf()
    shelf.take(row(1, "A?", "1", "p", split="golden"), row(2, "A?", "2", "q"))
    shelf.take(row(1, "B?", "3", "q", split="train"))
    with pytest.raises(GoldenLeak, match="no split can hold"):
        accept(shelf.labels, shelf.labels[1].id, POLICY)
    shelf.write(reject(shelf.labels, shelf.labels[1].id, "wrong"))
    shelf.write(reject(shelf.labels, shelf.labels[0].id, "old"))
    shelf.take(row(1, "a", "1", split="golden"))
    with pytest.raises(UsageError, match="says already"):
        accept(shelf.labels, shelf.labels[0].id, POLICY)
    with pytest.raises(NotFound):
        reject(shelf.labels, "l-0", "none")


def test_a_golden_set_is_another_one_when_its_members_change() -> None:
    shelf = Shelf()
    shelf.take(row(1, "A?", "1", split="golden"))
    first = golden_set(shelf.labels)
    shelf.take(row(2, "B?", "2", split="train"))
    assert golden_set(shelf.labels) == first
    shelf.take(row(3, "C?", "3", split="golden"))
    second = golden_set(shelf.labels)
    assert first is not None
    assert second is not None
    assert (len(first.label_ids), len(second.label_ids)) == (1, 2)
    assert first.id != second.id


# ── after any sequence of imports and reviews ────────────────────────────────────────────────────────────────────────

QUESTIONS = [
    "How hot is the Halden 300?",
    "how hot is Halden 300",
    "How hot is the Halden 500?",
    "Who pays?",
    "When?",
    "Why?",
]
ROWS = st.builds(
    LabelRow,
    line=st.integers(1, 99),
    question=st.sampled_from(QUESTIONS),
    answer=st.sampled_from(["One.", "Two.", "Three."]),
    documents=st.lists(st.sampled_from("abcdefg"), max_size=2, unique=True).map(lambda d: tuple(sorted(d))),
    split=st.sampled_from([None, None, None, "golden", "train", "validation"]),
    supersedes=st.booleans(),
)
STEPS = st.lists(st.one_of(st.lists(ROWS, max_size=8), st.tuples(st.booleans(), st.integers(0, 30))), max_size=6)


def leaks(labels: Sequence[Label]) -> list[str]:
    accepted = [label for label in labels if label.state == "accepted"]
    golden = {page for x in accepted if x.split == "golden" for page in x.documents}
    study = {page for x in accepted if x.split in ("train", "validation") for page in x.documents}
    found = sorted(golden & study)
    for a, b in same_question_pairs([wording(label.asked) for label in accepted]):
        if len({x.split == "golden" for x in (accepted[a], accepted[b]) if x.split}) == 2:
            found.append(accepted[a].question)
    return found


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_nothing_golden_is_ever_in_training_and_no_split_moves_after_any_sequence(
    steps: list[list[LabelRow] | tuple[bool, int]],
) -> None:
    shelf = Shelf(SOON)
    given: dict[str, str] = {}
    for step in steps:
        if isinstance(step, list):
            shelf.take(*step)
        elif shelf.labels:
            review(shelf, step[0], shelf.labels[step[1] % len(shelf.labels)].id)
        assert leaks(shelf.labels) == []
        now = {x.id: x.split for x in shelf.labels if x.state == "accepted" and x.split}
        assert all(now.get(label, split) == split for label, split in given.items())
        given.update(now)
        answers = [(wording(x.asked).words, x.answer) for x in shelf.labels if x.state == "accepted"]
        assert len({question for question, _ in answers}) == len(answers)  # one answer per question


def review(shelf: Shelf, good: bool, label: str) -> None:
    with suppress(GoldenLeak, UsageError):
        shelf.write(accept(shelf.labels, label, SOON) if good else reject(shelf.labels, label, "wrong"))
