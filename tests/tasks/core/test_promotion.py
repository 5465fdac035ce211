from dataclasses import replace

import pytest

from tasks.core.errors import NotFound, PromotionRefused, StaleComparison
from tasks.core.policy import NEVER_OVERRIDDEN, HoldOverride
from tasks.core.promotion import (
    Judgement,
    Promotion,
    Standing,
    require_promotable,
    rollback_line,
    rollback_target,
    was_rolled_back,
)


def judged(verdict: str = "PROMOTE", baseline: str | None = "r-1", golden_set: str | None = "g-1") -> Judgement:
    return Judgement("e-1", "r-2", baseline, verdict, golden_set, ("style: 0.40 is under the floor 0.60.",))  # type: ignore[arg-type]


def moves(*releases: str) -> list[Promotion]:
    """A history: "r-1" is a promotion, "-r-1" a rollback to it."""
    rows: list[Promotion] = []
    for seq, name in enumerate(releases, 1):
        kind = "rollback" if name.startswith("-") else "promote"
        previous = rows[-1].release if rows else None
        rows.append(Promotion(seq, name.lstrip("-"), previous, kind, "e", False, "ann", "why", "now"))  # type: ignore[arg-type]
    return rows


def test_a_promote_verdict_against_the_served_release_may_go_live() -> None:
    served = Standing("r-1", False)
    require_promotable("r-2", served, judged(), moves("r-1"), golden_set="g-1", reason=None)
    with pytest.raises(PromotionRefused):  # and it is the verdict that opens the door
        require_promotable("r-2", served, judged("HOLD"), moves("r-1"), golden_set="g-1", reason=None)


def test_a_release_without_an_evaluation_is_refused() -> None:
    with pytest.raises(PromotionRefused, match="has not been evaluated") as refused:
        require_promotable("r-2", Standing("r-1", False), None, [], golden_set="g-1", reason=None)
    assert refused.value.values == {"release": "r-2"}


@pytest.mark.parametrize("verdict", ["HOLD", "REJECT"])
def test_only_promote_promotes_and_the_refusal_carries_the_gates_reasons(verdict: str) -> None:
    with pytest.raises(PromotionRefused, match=rf"judged {verdict}, not PROMOTE\.\n  .*under the floor"):
        require_promotable("r-2", Standing("r-1", False), judged(verdict), [], golden_set="g-1", reason=None)


def test_a_verdict_against_a_release_no_longer_served_is_stale() -> None:
    with pytest.raises(StaleComparison, match="compared with r-1, but r-9 is being served"):
        require_promotable("r-2", Standing("r-9", False), judged(), [], golden_set="g-1", reason=None)


def test_a_verdict_on_floors_alone_is_stale_once_a_proven_release_is_served() -> None:
    first = judged(baseline=None)
    require_promotable("r-2", Standing(None, False), first, [], golden_set="g-1", reason=None)
    require_promotable("r-2", Standing("r-0", True), first, [], golden_set="g-1", reason=None)
    with pytest.raises(StaleComparison):
        require_promotable("r-2", Standing("r-1", False), first, [], golden_set="g-1", reason=None)


def test_a_verdict_on_an_older_golden_set_is_stale() -> None:
    with pytest.raises(StaleComparison, match="golden set") as stale:
        require_promotable("r-2", Standing("r-1", False), judged(), [], golden_set="g-2", reason=None)
    assert stale.value.values == {"release": "r-2"}


def test_a_release_that_a_rollback_went_past_was_rolled_back_too() -> None:
    past = moves("r-0", "r-1", "r-2", "r-3", "-r-1")
    assert [was_rolled_back(release, past) for release in ("r-0", "r-1", "r-2", "r-3")] == [False, False, True, True]
    forward = moves("r-0", "r-1", "r-2", "-r-1", "-r-2")  # a person went back to what was left
    assert [was_rolled_back(release, forward) for release in ("r-0", "r-1", "r-2")] == [False, True, True]


def test_a_verdict_under_another_policy_is_stale() -> None:
    def under(judged_under: str, in_force: str) -> None:
        verdict = replace(judged(), policy=judged_under)
        require_promotable("r-2", Standing("r-1", False), verdict, [], golden_set="g-1", reason=None, policy=in_force)

    under("p-1", "p-1")
    under("", "p-1")  # of a time when it was not recorded
    with pytest.raises(
        StaleComparison, match=r"reached under policy p-1, in force is p-2\. Run `ratchet evaluate r-2`"
    ) as stale:
        under("p-1", "p-2")
    assert stale.value.values == {"release": "r-2", "judged_under": "p-1", "policy": "p-2"}
    with pytest.raises(StaleComparison):  # a caller that names none proves nothing
        under("p-1", "")


def test_a_rolled_back_release_needs_a_new_reason() -> None:
    history = moves("r-1", "r-2", "-r-1")
    with pytest.raises(PromotionRefused, match="rolled back before") as refused:
        require_promotable("r-2", Standing("r-1", False), judged(), history, golden_set="g-1", reason=None)
    assert refused.value.values == {"release": "r-2"}
    require_promotable("r-2", Standing("r-1", False), judged(), history, golden_set="g-1", reason="fixed upstream")


@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_reason_is_none(blank: str) -> None:
    with pytest.raises(PromotionRefused, match="only with a new reason"):
        require_promotable(
            "r-2", Standing("r-1", False), judged(), moves("r-1", "r-2", "-r-1"), golden_set="g-1", reason=blank
        )


# ── a HOLD whose doubts a person accepts ─────────────────────────────────────────────────────────────────────────────

ADA_MAY = HoldOverride(gates=("no-harm-*", "fresh"), who=("Ada", "Grace"))
EVERYTHING = HoldOverride(gates=("*",), who=("*",))


def accepting(
    *doubts: str,
    who: str = "Ada",
    reason: str | None = "The pages are new.",
    override: HoldOverride = ADA_MAY,
    verdict: str = "HOLD",
    served: str = "r-1",
) -> tuple[str, ...]:
    held = replace(judged(verdict), doubts=doubts)
    return require_promotable(
        "r-2", Standing(served, False), held, moves("r-1"), golden_set="g-1", reason=reason, who=who, override=override
    )


def test_whom_the_policy_names_may_accept_the_doubts_that_it_names() -> None:
    assert accepting("no-harm-correct", "fresh") == ("no-harm-correct", "fresh")
    assert accepting("no-harm-correct", who="Grace") == ("no-harm-correct",)
    assert accepting("pace", who="Eve", override=EVERYTHING) == ("pace",)


@pytest.mark.parametrize(
    ("who", "override", "said"),
    [
        ("Eve", ADA_MAY, "accepted by Ada or Grace, not by Eve."),
        ("ada", ADA_MAY, "accepted by Ada or Grace, not by ada."),
        ("", ADA_MAY, "accepted by Ada or Grace, not by an unnamed person."),
        (" ", EVERYTHING, "accepted by anybody who gives a name, not by an unnamed person."),
        ("Ada", HoldOverride(gates=("*",)), "accepted by nobody, not by Ada."),
    ],
)
def test_nobody_else_may(who: str, override: HoldOverride, said: str) -> None:
    with pytest.raises(PromotionRefused) as refused:
        accepting("fresh", who=who, override=override)
    assert said in refused.value.message
    assert refused.value.values == {"release": "r-2", "verdict": "HOLD", "doubts": ("fresh",)}


@pytest.mark.parametrize("reason", [None, "", " "])
def test_a_doubt_is_accepted_only_for_a_reason(reason: str | None) -> None:
    with pytest.raises(PromotionRefused, match="only with a reason, which is recorded"):
        accepting("fresh", reason=reason)


@pytest.mark.parametrize(
    ("doubts", "override", "said"),
    [
        (("fresh", "pace"), ADA_MAY, "accept only no-harm-*, fresh, not pace.\n  style: 0.40"),
        (("fresh",), HoldOverride(who=("Ada",)), "accept no doubt at all, not fresh.\n  style: 0.40"),
        ((), EVERYTHING, "Its doubts are not recorded: run `ratchet evaluate r-2` again."),
    ],
)
def test_one_doubt_that_may_not_be_accepted_holds_the_release(
    doubts: tuple[str, ...], override: HoldOverride, said: str
) -> None:
    with pytest.raises(PromotionRefused) as refused:
        accepting(*doubts, override=override)
    assert said in refused.value.message


@pytest.mark.parametrize("never", NEVER_OVERRIDDEN)
def test_a_doubt_about_whether_the_numbers_may_be_believed_is_accepted_by_nobody(never: str) -> None:
    with pytest.raises(PromotionRefused, match=rf"Nobody may accept a doubt about {never}\.\n  style: 0.40"):
        accepting("fresh", never, override=EVERYTHING)


def test_a_failure_is_accepted_by_nobody_and_after_promote_there_is_nothing_to_accept() -> None:
    with pytest.raises(PromotionRefused, match="judged REJECT, not PROMOTE"):
        accepting("fresh", override=EVERYTHING, verdict="REJECT")
    assert accepting(override=EVERYTHING, verdict="PROMOTE") == ()


def test_an_accepted_doubt_about_another_comparison_is_stale() -> None:
    with pytest.raises(StaleComparison) as stale:
        accepting("fresh", served="r-9")
    assert stale.value.values == {"release": "r-2", "baseline": "r-1", "current": "r-9"}


def test_rolling_back_twice_goes_back_two_releases() -> None:
    assert rollback_target(moves("r-1", "r-2", "r-3")).release == "r-2"
    assert rollback_target(moves("r-1", "r-2", "r-3", "-r-2")).release == "r-1"
    assert rollback_target(moves("r-1", "r-2", "-r-1", "r-3")).release == "r-1"


def test_after_going_forward_again_the_way_back_is_what_it_was() -> None:
    forward = moves("r-1", "r-2", "r-3", "-r-2", "-r-3")
    assert rollback_target(forward).release == "r-2"
    assert rollback_target([*forward, *moves("-r-2")]).release == "r-1"
    further = moves("r-1", "r-2", "r-3", "-r-1", "-r-3", "r-4")
    assert [move.release for move in rollback_line(further)] == ["r-1", "r-2", "r-3", "r-4"]


def test_going_back_step_by_step_never_returns_to_what_was_just_left() -> None:
    history = moves("r-1", "r-2", "r-1", "r-3", "-r-2", "-r-1")
    assert [move.seq for move in rollback_line(history)] == [1]
    with pytest.raises(NotFound, match="no earlier release"):
        rollback_target(history)


def test_the_way_back_is_cut_where_it_was_last_at_the_release() -> None:
    history = moves("r-1", "r-2", "r-1", "r-3", "-r-1")
    assert [move.release for move in rollback_line(history)] == ["r-1", "r-2", "r-1"]
    assert [move.seq for move in rollback_line(moves("r-1", "r-2", "-r-1"))] == [1]


def test_there_is_no_rollback_before_the_first_release() -> None:
    with pytest.raises(NotFound, match="no earlier release"):
        rollback_target(moves("r-1"))


def test_rollback_to_a_release_that_was_never_current_is_refused() -> None:
    with pytest.raises(NotFound, match="never current") as refused:
        rollback_target(moves("r-1", "r-2"), "r-7")
    assert refused.value.values == {"release": "r-7"}
    assert rollback_target(moves("r-1", "r-2", "r-3"), "r-1").release == "r-1"
    assert rollback_target(moves("r-1", "r-2", "r-1", "r-3"), "r-1").seq == 3  # as it was promoted last
