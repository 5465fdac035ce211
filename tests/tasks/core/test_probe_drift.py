"""Probe questions, and how far an answer is from what it was."""

from evaluation_fakes import golden_label

from tasks.core.documents import Chunk
from tasks.core.probes import (
    DriftReport,
    Probe,
    Reasked,
    ReleaseDrift,
    evenly_spaced,
    golden_questions,
    questions_about,
)


def reasked(before: str, now: str, question: str = "q") -> Reasked:
    return Reasked(Probe(question, tuple(before)), tuple(now))


def test_the_same_chunks_in_the_same_order_are_identical() -> None:
    assert reasked("abc", "abc").identical
    assert not reasked("abc", "acb").identical


def test_overlap_is_of_the_sets() -> None:
    assert reasked("abc", "cba").overlap == 1.0
    assert reasked("abc", "abd").overlap == 2 / 4
    assert reasked("ab", "cd").overlap == 0 / 4
    assert reasked("", "").overlap == 1.0


def test_the_best_chunk_counts_by_itself() -> None:
    assert reasked("abc", "axy").same_best
    assert not reasked("abc", "bac").same_best
    assert reasked("", "").same_best


def test_a_release_is_summed_up_over_its_probes() -> None:
    drift = ReleaseDrift("r", 1, (reasked("ab", "ab"), reasked("ab", "ba"), reasked("ab", "bc"), reasked("ab", "cd")))
    assert (drift.identical, drift.drifted, drift.same_best) == (1, 3, 1)
    assert drift.mean_overlap == (1 + 1 + 1 / 3 + 0) / 4
    assert [one.found for one in drift.worst] == [tuple("cd"), tuple("bc"), tuple("ba")]


def test_drift_alarms_only_where_it_cannot_be() -> None:
    drifted = ReleaseDrift("r", 1, (reasked("ab", "ab"), reasked("ab", "ba")))
    assert DriftReport(True, (drifted,)).alarming
    assert "Its storage was altered" in DriftReport(True, (drifted,)).sentence
    assert not DriftReport(False, (drifted,)).alarming
    assert "statistics of every chunk" in DriftReport(False, (drifted,)).sentence
    same = DriftReport(True, (ReleaseDrift("r", 1, (reasked("ab", "ab"),)),))
    assert not same.alarming
    assert same.sentence == "1 probes of 1 retained releases found what they always found."


def test_golden_questions_come_by_label_id_and_at_most_fifty() -> None:
    labels = [golden_label(n) for n in range(60)]
    assert golden_questions(labels[::-1]) == tuple(label.question for label in labels[:50])
    assert golden_questions([]) == ()


def test_a_chunk_is_asked_for_by_its_headings_else_by_its_first_sentence() -> None:
    titled = Chunk("a", "p.md", ("Pumps", "Flow"), "It flows.")
    plain = Chunk("b", "p.md", (), "The pump hums. Then it stops.")
    twin = Chunk("c", "p.md", ("Pumps", "Flow"), "And flows.")
    assert questions_about([titled, plain, twin]) == ("Pumps Flow", "The pump hums.")


def test_items_are_taken_at_equal_distances() -> None:
    items = [str(n) for n in range(100)]
    assert evenly_spaced(items, 20) == tuple(str(n) for n in range(0, 100, 5))
    assert evenly_spaced([], 20) == ()
