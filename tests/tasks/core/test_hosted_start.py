"""What a vendor goes on from: the hosted model that is served, if it is of the configured base, else the base."""

from __future__ import annotations

import pytest

from tasks.core.errors import BadSetting
from tasks.core.hosted_start import hosted_start
from tasks.core.releases import ModelRef

BASE = "gpt-4.1-mini-2025-04-14"
LOCAL = ModelRef(kind="base", base="tiny", base_digest="sha256-0")
ADAPTER = ModelRef(kind="lora", base="tiny", base_digest="sha256-0", adapter="sha256-1")


def hosted(name: str) -> ModelRef:
    return ModelRef(kind="hosted", base=name, base_digest="")


def test_where_no_tuned_model_is_served_the_base_is_the_start() -> None:
    assert hosted_start(LOCAL, BASE, {}) is None
    assert hosted_start(hosted(BASE), BASE, {}) is None


@pytest.mark.parametrize("base", [BASE, "gpt-4.1-mini"])
def test_the_served_model_is_the_start_where_its_name_says_that_it_is_of_this_base(base: str) -> None:
    tuned = f"ft:{BASE}:acme:ratchet:1"
    assert hosted_start(hosted(tuned), base, {}) == tuned


def test_where_names_say_nothing_the_jobs_made_here_do() -> None:
    made_from = {"mini.ft-2": "mini.ft-1", "mini.ft-1": "my-deployment"}
    assert hosted_start(hosted("mini.ft-2"), "my-deployment", made_from) == "mini.ft-2"
    assert hosted_start(hosted("mini.ft-2"), "mini.ft-1", made_from) == "mini.ft-2"
    with pytest.raises(BadSetting, match="was not tuned from"):
        hosted_start(hosted("mini.ft-2"), "my-deployment", {})


@pytest.mark.parametrize("other", ["gpt-4o-mini", "gpt-4.1-mini-2026-01-01", "gpt-4.1", f"ft:{BASE}:acme:x:2"])
def test_a_served_model_of_another_base_is_refused(other: str) -> None:
    with pytest.raises(BadSetting, match=f"RATCHET_HOSTED_BASE_MODEL is {other}, which that was not tuned from"):
        hosted_start(hosted(f"ft:{BASE}:acme:ratchet:1"), other, {})


def test_a_base_that_was_itself_tuned_here_is_a_start_whose_labels_count() -> None:
    tuned = f"ft:{BASE}:acme:ratchet:1"
    assert hosted_start(LOCAL, tuned, {tuned: BASE}) == tuned


def test_a_served_adapter_is_refused_by_the_method_that_goes_on_from_it_here() -> None:
    with pytest.raises(BadSetting, match=r"no vendor has that\. Go on from it here: `ratchet train --method dpo`"):
        hosted_start(ADAPTER, BASE, {})


def test_a_record_that_goes_round_in_a_circle_ends() -> None:
    with pytest.raises(BadSetting):
        hosted_start(hosted("a"), BASE, {"a": "b", "b": "a"})
