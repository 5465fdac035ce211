"""What changed, and when that is not believed."""

from __future__ import annotations

import pytest

from tasks.core.changes import Changes, check_deletions, vanished, what_changed
from tasks.core.errors import TooManyDeletions


def test_nothing_changed_is_told_from_something() -> None:
    assert what_changed({"a": "1"}, {"a": "1"}).nothing
    assert not what_changed({"a": "1"}, {"a": "2"}).nothing


def test_a_renamed_document_has_not_vanished() -> None:
    live, found = {"old": "1", "gone": "2"}, {"new": "1"}
    assert vanished(live, found, what_changed(live, found)) == ("gone",)


def test_one_copy_accounts_for_one_deleted_document() -> None:
    live, found = {"a": "1", "b": "1", "c": "1"}, {"d": "1"}
    assert vanished(live, found, what_changed(live, found)) == ("b", "c")


@pytest.mark.parametrize(("lost", "live", "limit"), [(2, 10, 0.2), (0, 0, 0.0), (0, 5, 0.0), (5, 5, 1.0)])
def test_losing_as_many_as_the_limit_goes_on(lost: int, live: int, limit: float) -> None:
    check_deletions(lost, live, limit)


def test_losing_more_stops_with_the_numbers_the_limit_and_what_to_do() -> None:
    with pytest.raises(
        TooManyDeletions, match=r"412 of 420 indexed documents \(98%\); the limit is 20%.*mounted"
    ) as stop:
        check_deletions(412, 420, 0.2)
    assert stop.value.values["deleted"] == 412


def test_changes_are_sorted() -> None:
    assert what_changed({}, {"b": "1", "a": "1"}) == Changes(added=("a", "b"))
