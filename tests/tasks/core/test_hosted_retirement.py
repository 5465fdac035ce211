"""The end of hosted fine-tuning as dates: what is still possible on a day, and what has to be told."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tasks.core.errors import TrainingRetired
from tasks.core.hosted_retirement import alarms, outlook, proposal, require_open, retirement_of

TUNED = "ft:gpt-4o-mini-2024-07-18:acme:pumps:9xYz"
STOPS = date(2027, 1, 14)


def days_before(days: int) -> date:
    return STOPS - timedelta(days=days)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini"])
def test_the_models_that_openai_tunes_stop_in_january_2027_and_so_does_what_was_tuned(model: str) -> None:
    for name in (model, f"{model}-2025-04-14", f"ft:{model}-2025-04-14:acme::1"):
        known = retirement_of(name, "openai")
        assert known is not None
        assert known.stops == STOPS


@pytest.mark.parametrize(("model", "vendor"), [("gpt-4.1-nano", "openai"), ("gpt-4o", "other"), ("qwen", "openai")])
def test_of_others_nothing_is_known(model: str, vendor: str) -> None:
    assert retirement_of(model, vendor) is None  # type: ignore[arg-type]
    assert alarms([model], vendor, STOPS) == []  # type: ignore[arg-type]


def test_the_last_day_to_create_a_job_at_openai_is_5_january_2027() -> None:
    require_open("gpt-4o", "openai", date(2027, 1, 5))
    with pytest.raises(TrainingRetired, match=r"2027-01-06.*--method lora"):
        require_open("gpt-4o", "openai", date(2027, 1, 6))
    require_open("qwen", "other", date(2030, 1, 1))


@pytest.mark.parametrize(
    ("today", "says", "does_not_say"),
    [
        (date(2026, 5, 6), "from 2027-01-06", "organisations"),
        (date(2026, 5, 7), "new organisations cannot now", "active"),
        (date(2026, 7, 2), "only organisations active since before 2026-07-02", "new organisations"),
    ],
)
def test_the_outlook_of_a_day_says_who_is_shut_out_by_then(today: date, says: str, does_not_say: str) -> None:
    said = outlook("gpt-4o-mini", "openai", today)
    assert said is not None
    assert says in said
    assert does_not_say not in said
    assert "answers until 2027-01-14" in said


def test_azures_dates_are_said_to_be_about() -> None:
    said = outlook("gpt-4o", "azure", date(2026, 11, 1))
    assert said is not None
    assert "about 2027-04-01" in said
    assert "about 2027-10-01" in said
    assert outlook("qwen", "other", date(2026, 11, 1)) is None


@pytest.mark.parametrize(
    ("days", "within"), [(91, None), (90, 90), (31, 90), (30, 30), (8, 30), (7, 7), (1, 7), (0, 0), (-5, 0)]
)
def test_an_alarm_comes_90_30_and_7_days_before_and_when_it_is_over(days: int, within: int | None) -> None:
    found = alarms([TUNED], "openai", days_before(days))
    assert [alarm.within_days for alarm in found] == ([] if within is None else [within])
    assert [alarm.days_left for alarm in found] == ([] if within is None else [days])


def test_one_level_has_one_key_on_all_its_days() -> None:
    def keys(first: int, last: int) -> set[str]:
        return {alarm.key for days in range(first, last) for alarm in alarms([TUNED], "openai", days_before(days))}

    assert len(keys(31, 91)) == len(keys(8, 31)) == len(keys(1, 8)) == 1
    assert len(keys(1, 91)) == 3


def test_the_most_pressing_comes_first_and_each_model_once() -> None:
    found = alarms([TUNED, "gpt-4.1", TUNED], "openai", days_before(10))
    assert [alarm.model for alarm in found] == sorted([TUNED, "gpt-4.1"])
    assert "in 10 days, on 2027-01-14" in found[0].sentence


def test_the_proposal_names_what_is_kept_and_the_local_successor() -> None:
    said = proposal(TUNED, STOPS, 240, "sha256-abc")
    assert "2027-01-14" in said
    assert "kept in sha256-abc" in said
    assert "240 accepted labels" in said
    assert "ratchet train --method lora --force" in said
    assert "ratchet hosted save-answers" in proposal(TUNED, STOPS, 240, None)
