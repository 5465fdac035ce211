"""Feedback is joined to the answer it is on, counted once, and becomes what a person then reviews."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Engine, func, select

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.comments import CatalogComments
from infra.adapters.catalog.feedback import MAX_PER_RESPONSE, CatalogFeedback
from infra.adapters.catalog.labels import CatalogLabels
from tasks.comments import CommentBench, all_comments, put_away, put_away_beside
from tasks.core.errors import NotFound, UsageError
from tasks.core.feedback import Feedback, Response
from tasks.core.label_splits import SplitPolicy
from tasks.core.opinions import Rating
from tasks.labels import LabelBench, accept_label, label_status, labels_to_review, opinions_to_review

GIVEN = Response(
    "chatcmpl-1", "default", "r-1", 7, "sequential", "How hot does it get?", "It gets 60 °C hot. [1]", ("sauna.md",)
)


@pytest.fixture
def engine(catalog_engine: Engine) -> Engine:
    return catalog_engine


@pytest.fixture
def feedback(engine: Engine) -> CatalogFeedback:
    feedback = CatalogFeedback(engine, keep=3)
    feedback.remember(GIVEN)
    return feedback


@pytest.fixture
def bench(engine: Engine) -> LabelBench:
    return LabelBench("default", CatalogLabels(engine), SplitPolicy(golden_fraction=0, validation_fraction=0), 1)


def rows(engine: Engine) -> list[tuple[object, ...]]:
    row = t.feedback.c
    with engine.begin() as connection:
        columns = (row.response, row.release, row.snapshot, row.pattern, row.kind, row.value, row.contributor)
        return [tuple(found) for found in connection.execute(select(*columns))]


def ratings(bench: LabelBench) -> list[Rating]:
    return [x for x in bench.catalog.opinions("default") if isinstance(x, Rating)]


def test_feedback_is_joined_to_release_snapshot_and_pattern(feedback: CatalogFeedback, engine: Engine) -> None:
    taken = feedback.take(Feedback(GIVEN.id, "boolean", True, "ann"))
    assert (taken.counted, taken.response) == (True, GIVEN)
    assert rows(engine) == [(GIVEN.id, "r-1", 7, "sequential", "boolean", True, "ann")]


def test_the_same_feedback_counts_once_and_another_persons_counts_too(
    feedback: CatalogFeedback, engine: Engine
) -> None:
    said = [Feedback(GIVEN.id, "float", 0.5, who) for who in ("ann", "ann", "bob", None, None)]
    assert [feedback.take(one).counted for one in said] == [True, False, True, True, False]
    assert len(rows(engine)) == 3


def test_the_same_feedback_from_several_threads_at_once_counts_once(feedback: CatalogFeedback) -> None:
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: feedback.take(Feedback(GIVEN.id, "comment", "Too hot.")), range(8)))
    assert sum(one.counted for one in taken) == 1


def test_a_demonstration_becomes_a_pending_label_on_the_cited_pages_and_review_accepts_it(
    feedback: CatalogFeedback, bench: LabelBench
) -> None:
    taken = feedback.take(Feedback(GIVEN.id, "demonstration", "It gets 90 °C hot.", "ann"))
    [label] = labels_to_review(bench)
    assert (label.id, label.question, label.answer) == (taken.became, "How hot does it get?", "It gets 90 °C hot.")
    assert (label.documents, label.contributor) == (("sauna.md",), "ann")
    assert label.reason == "ann wrote this instead of the answer of release r-1"
    assert label_status(bench).new == 0
    accept_label(bench, label.id)
    assert label_status(bench).new == 1
    assert feedback.take(Feedback(GIVEN.id, "demonstration", "It gets 90 °C hot.", "bob")).became == label.id
    assert label_status(bench).accepted == 1  # and the review stands


def test_a_thumb_becomes_a_pending_rating_without_the_markers_of_its_passages(
    feedback: CatalogFeedback, bench: LabelBench
) -> None:
    taken = feedback.take(Feedback(GIVEN.id, "boolean", False, "ann"))
    [rating] = opinions_to_review(bench)
    assert isinstance(rating, Rating)
    assert (rating.id, rating.answer, rating.value, rating.release) == (taken.became, "It gets 60 °C hot.", 0.0, "r-1")
    accept_label(bench, rating.id)
    assert (label_status(bench).ratings, ratings(bench)[0].split) == (1, "train")


def test_who_changes_their_mind_is_counted_once_and_reviewed_anew(feedback: CatalogFeedback, bench: LabelBench) -> None:
    first = feedback.take(Feedback(GIVEN.id, "boolean", True, "ann")).became
    assert first is not None
    accept_label(bench, first)
    assert feedback.take(Feedback(GIVEN.id, "boolean", False, "ann")).became == first
    [rating] = ratings(bench)
    assert (rating.value, rating.state) == (0.0, "pending")


@pytest.mark.parametrize("comment_first", [True, False])
def test_a_comment_stands_beside_the_rating_of_the_same_person(
    feedback: CatalogFeedback, bench: LabelBench, comment_first: bool
) -> None:
    said = [Feedback(GIVEN.id, "comment", "Too hot.", "ann"), Feedback(GIVEN.id, "float", 0.25, "ann")]
    for one in said if comment_first else reversed(said):
        feedback.take(one)
    feedback.take(Feedback(GIVEN.id, "comment", "Fine.", "bob"))
    assert [(x.value, x.comment) for x in ratings(bench)] == [(0.25, "Too hot.")]


def test_an_unread_comment_keeps_its_answer_and_names_what_the_answer_made(
    feedback: CatalogFeedback, engine: Engine
) -> None:
    comments = CommentBench("default", CatalogComments(engine))
    first = feedback.take(Feedback(GIVEN.id, "comment", "Too hot.", "ann")).id
    rating = feedback.take(Feedback(GIVEN.id, "boolean", False, "bob")).became
    another = replace(GIVEN, id="chatcmpl-other", assistant="other")
    for n in range(5):
        feedback.remember(replace(another, id=f"chatcmpl-{n}"))
    [kept] = all_comments(comments)
    assert (kept.id, kept.text, kept.who, kept.question) == (first, "Too hot.", "ann", GIVEN.question)
    assert (kept.made, kept.read) == ({rating}, False)
    assert [one.id for one in put_away_beside(comments, str(rating))] == [first]
    assert put_away_beside(comments, str(rating)) == ()
    feedback.remember(another)
    [read] = all_comments(comments)
    assert (read.read, read.question, read.text) == (True, None, "Too hot.")
    with pytest.raises(NotFound):
        put_away(CommentBench("other", comments.catalog), first)


def test_unread_comments_keep_ten_times_as_many_answers_at_most(feedback: CatalogFeedback, engine: Engine) -> None:
    for n in range(40):
        feedback.remember(replace(GIVEN, id=f"chatcmpl-{n}"))
        feedback.take(Feedback(f"chatcmpl-{n}", "comment", f"Too hot, {n} times.", "ann"))
    kept = [one.question is not None for one in all_comments(CommentBench("default", CatalogComments(engine)))]
    assert kept == [False] * 10 + [True] * 30


def test_an_answer_that_is_not_remembered_is_not_found_and_only_so_many_are(
    feedback: CatalogFeedback, engine: Engine
) -> None:
    with pytest.raises(NotFound, match="no response chatcmpl-none"):
        feedback.take(Feedback("chatcmpl-none", "boolean", True))
    for n in range(2, 5):
        feedback.remember(Response(f"chatcmpl-{n}", "default", "r-1", 7, "rag", "Q?", "A.", ()))
    with pytest.raises(NotFound):
        feedback.take(Feedback(GIVEN.id, "boolean", True))
    assert feedback.take(Feedback("chatcmpl-2", "boolean", True)).counted
    with engine.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(t.responses)) == 3


def test_remembering_again_changes_nothing_and_with_a_limit_of_none_nothing_is_kept(
    feedback: CatalogFeedback, engine: Engine
) -> None:
    feedback.remember(GIVEN)
    assert feedback.take(Feedback(GIVEN.id, "boolean", True)).counted
    CatalogFeedback(engine, keep=0).remember(GIVEN)
    with pytest.raises(NotFound):
        feedback.take(Feedback(GIVEN.id, "boolean", True))


def test_one_answer_takes_only_so_much_feedback(feedback: CatalogFeedback) -> None:
    for n in range(MAX_PER_RESPONSE):
        feedback.take(Feedback(GIVEN.id, "comment", f"Comment {n}"))
    with pytest.raises(UsageError, match="100 pieces of feedback"):
        feedback.take(Feedback(GIVEN.id, "comment", "One more"))
    assert not feedback.take(Feedback(GIVEN.id, "comment", "Comment 0")).counted
