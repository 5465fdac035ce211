"""What a vendor needs to be set is told all at once: whoever sets it up asks once and not three times."""

import re
from dataclasses import replace

import pytest

from tasks.core.errors import BadSetting
from tasks.core.hosted_setup import HostedSetup, require_complete

NOTHING = HostedSetup(None, None, None, own_server=False, has_key=False)
BASE, BUDGET, PRICE = "RATCHET_HOSTED_BASE_MODEL", "RATCHET_HOSTED_BUDGET_USD", "RATCHET_HOSTED_USD_PER_MILLION_TOKENS"
KEY = "RATCHET_OPENAI_API_KEY"


def named(setup: HostedSetup) -> list[str]:
    with pytest.raises(BadSetting) as refused:
        require_complete(setup)
    return re.findall(r"^  (\w+)", refused.value.message, re.MULTILINE)


def test_with_nothing_set_all_of_it_is_named() -> None:
    assert named(NOTHING) == [BASE, BUDGET, PRICE, KEY]


@pytest.mark.parametrize(
    ("is_set", "rest"),
    [
        (replace(NOTHING, base="gpt-4.1-mini-2025-04-14"), [BUDGET, KEY]),  # its list price is known
        (replace(NOTHING, base="gpt-9"), [BUDGET, PRICE, KEY]),
        (replace(NOTHING, budget_usd=0.0), [BASE, PRICE, KEY]),
        (replace(NOTHING, usd_per_million_tokens=0.0), [BASE, BUDGET, KEY]),
        (replace(NOTHING, has_key=True), [BASE, BUDGET, PRICE]),
        (replace(NOTHING, own_server=True), [BASE, BUDGET, PRICE]),  # which may want no key
        (replace(NOTHING, own_server=True, base="gpt-4.1-mini"), [BUDGET, PRICE]),  # what it takes nobody knows
    ],
    ids=["base", "base without a price", "budget", "price", "key", "server", "server and base"],
)
def test_with_one_set_the_rest_is_named(is_set: HostedSetup, rest: list[str]) -> None:
    assert named(is_set) == rest


def test_what_is_missing_alone_is_said_of_one_setting() -> None:
    with pytest.raises(BadSetting, match=r"needs 1 more setting:\n  RATCHET_HOSTED_BUDGET_USD: .*such as 20\n"):
        require_complete(HostedSetup("gpt-4.1-mini", None, None, own_server=False, has_key=True))
