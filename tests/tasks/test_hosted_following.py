"""Hosted training step by step, on a vendor in memory and a clock that moves when somebody waits."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hosted_vendor import RETRY_AFTER, Fault, MemoryFineTuning, Refused
from hosted_world import INTENT, PRICE, Died, Interrupted, MemoryHostedJobs, World, rows

from tasks.core.errors import (
    BudgetExceeded,
    HostedJobCancelled,
    HostedJobFailed,
    HostedJobWaiting,
    HostedUnavailable,
    InvalidTrainingFile,
    NotFound,
    QuotaExhausted,
    RatchetError,
    RateLimited,
    Stopped,
    TrainingRetired,
    UsageError,
    WrongKey,
)
from tasks.core.hosted_cost import Price
from tasks.core.hosted_files import supervised_file
from tasks.core.hosted_jobs import HostedJob, Pace
from tasks.core.ports import Message
from tasks.core.preference_rows import PreferenceRow
from tasks.core.rating_rows import RatingRow
from tasks.core.taught_rows import opinion_intent
from tasks.hosted_following import tune
from tasks.hosted_trainer import HostedTrainer
from tasks.hosted_training import begin


@pytest.fixture
def world() -> World:
    return World()


def run(world: World, intent: str = INTENT, **changed: object) -> HostedJob:
    another = bool(changed.pop("another", False))
    return tune(world.bench(**changed), intent, world.training, another=another)


def row(world: World, intent: str = INTENT) -> HostedJob:
    found = world.jobs.job("default", intent)
    assert found is not None
    return found


def dying_at(world: World, operation: str, *, after: bool, times: int = 1) -> None:
    """Runs a process that dies at the `times`-th call of one operation."""

    class Dying(MemoryFineTuning):
        seen = itertools.count(1)

        def _ask(self, what: str, work: Callable[[], object]) -> object:
            hit = what == operation and next(self.seen) == times
            if hit and not after:
                raise Died
            result = super()._ask(what, work)
            if hit:
                raise Died
            return result

    with pytest.raises(Died):
        run(world, vendor=Dying(world.vendor))


# ── one job ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_become_a_model_with_its_checkpoints_numbers_and_bill(world: World) -> None:
    job = run(world)
    [made] = world.vendor.made
    assert (job.state, job.job, job.model) == ("succeeded", made.id, world.vendor.model_of(made))
    assert [one.step for one in job.checkpoints] == [1, 2, 3, 4]
    assert job.metrics["train_loss"] == 2.0 / 4
    assert job.trained_tokens == job.tokens == made.billed(world.clock())


def test_the_estimate_is_within_two_percent_of_the_bill(world: World) -> None:
    job = run(world)
    billed_usd = sum(one.billed(world.clock()) for one in world.vendor.paid) * PRICE / 1e6
    assert abs(job.cost_usd - billed_usd) <= 0.02 * billed_usd


def test_the_row_is_committed_before_the_vendor_is_asked_to_create(world: World) -> None:
    seen: list[HostedJob | None] = []

    class Watching(MemoryFineTuning):
        def create(self, request):  # type: ignore[no-untyped-def]
            seen.append(world.jobs.job("default", INTENT))
            return super().create(request)

    run(world, vendor=Watching(world.vendor))
    [at_create] = seen
    assert at_create is not None
    assert (at_create.state, at_create.creates) == ("submitting", 1)


def test_the_job_carries_its_mark_its_epochs_and_a_suffix(world: World) -> None:
    run(world)
    [made] = world.vendor.made
    assert made.body["metadata"] == {"release_key": "default.t-1.1"}
    assert made.body["method"] == {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}}
    assert len(made.body["suffix"]) <= 64


def test_a_second_run_of_what_has_succeeded_asks_the_vendor_nothing(world: World) -> None:
    first = run(world)
    world.vendor.calls.clear()
    assert run(world) == first
    assert world.vendor.calls == []


# ── never twice ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", ["lost-after", "500-after", "malformed", "html"])
@pytest.mark.parametrize("lag", [0.0, 170.0])
def test_a_job_whose_creation_nobody_heard_of_is_found_by_its_mark(world: World, fault: Fault, lag: float) -> None:
    world.vendor.list_lag, world.vendor.faults = lag, {"create": [fault]}
    assert run(world).job == "ftjob-1"
    assert len(world.vendor.made) == 1


@pytest.mark.parametrize("fault", ["lost-before", "500-before", "409"])
def test_a_job_that_was_not_created_is_created_once_the_list_has_settled(world: World, fault: Fault) -> None:
    world.vendor.faults, began = {"create": [fault]}, world.clock()
    assert run(world).state == "succeeded"
    [made] = world.vendor.made
    assert made.at - began >= world.pace.settle_seconds


@pytest.mark.parametrize("after", [False, True])
def test_a_process_that_dies_while_creating_leaves_one_job(world: World, after: bool) -> None:
    world.vendor.list_lag = 100.0
    dying_at(world, "create", after=after)
    assert row(world).state == "submitting"
    assert run(world).state == "succeeded"
    assert len(world.vendor.made) == 1


def test_a_job_that_is_listed_too_late_is_cancelled_before_it_is_paid_for(world: World) -> None:
    world.pace = Pace(settle_seconds=4.0, first_poll_seconds=0.5, longest_poll_seconds=1.0)
    world.vendor.list_lag, world.vendor.faults = 5.0, {"create": ["lost-after"]}
    run(world)
    world.vendor.to_the_end()
    assert len(world.vendor.made) == 2
    assert [job.id for job in world.vendor.paid] == [row(world).job]


def test_a_run_that_overtakes_one_asleep_leaves_one_paid_job(world: World) -> None:
    """The first has claimed the row and sleeps before it sends; the second waits, creates, and follows to the end."""

    class Asleep(MemoryFineTuning):
        def create(self, request):  # type: ignore[no-untyped-def]
            run(world)
            return super().create(request)

    assert run(world, vendor=Asleep(world.vendor)).job == "ftjob-1"
    world.vendor.to_the_end()
    assert [job.id for job in world.vendor.paid] == ["ftjob-1"]


def test_a_job_sent_late_beside_one_that_failed_is_cancelled(world: World) -> None:
    class Asleep(MemoryFineTuning):
        def create(self, request):  # type: ignore[no-untyped-def]
            world.vendor.ends = "invalid"
            with pytest.raises(HostedJobFailed):
                run(world)
            world.vendor.ends = "succeeded"
            return super().create(request)

    with pytest.raises(HostedJobFailed):
        run(world, vendor=Asleep(world.vendor))
    world.vendor.to_the_end()
    assert (len(world.vendor.made), world.vendor.paid) == (2, [])


def test_a_catalog_that_was_lost_finds_the_job_again(world: World) -> None:
    first = run(world)
    world.jobs = MemoryHostedJobs()
    assert run(world).model == first.model
    assert len(world.vendor.made) == 1


def test_a_server_that_keeps_no_metadata_is_asked_by_our_file(world: World) -> None:
    world.vendor.keeps_metadata, world.vendor.faults = False, {"create": ["lost-after"]}
    run(world)
    assert len(world.vendor.made) == 1


def test_a_create_that_is_never_answered_is_given_up_and_taken_up_again(world: World) -> None:
    world.vendor.faults = {"create": ["lost-before"] * 3}
    with pytest.raises(HostedUnavailable, match="3 times"):
        run(world)
    assert world.vendor.made == []
    assert run(world).state == "succeeded"


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_equal_files_are_uploaded_once_for_all_intents(world: World) -> None:
    run(world)
    run(world, "t-2")
    assert world.vendor.calls.count("upload") == 1
    assert len(world.vendor.made) == 2


def test_a_file_that_was_deleted_there_is_uploaded_again(world: World) -> None:
    run(world)
    world.vendor.files.clear()
    assert run(world, "t-2").state == "succeeded"


def test_a_file_whose_upload_nobody_noted_is_found(world: World) -> None:
    dying_at(world, "upload", after=True)
    assert run(world).state == "succeeded"
    assert len(world.vendor.files) == 1


def test_files_that_vanish_between_upload_and_job_are_sent_again(world: World) -> None:
    dying_at(world, "create", after=False)
    world.vendor.files.clear()
    with pytest.raises(InvalidTrainingFile):
        run(world)
    assert run(world).state == "succeeded"


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def untouched(world: World) -> bool:
    return world.vendor.made == [] and world.vendor.files == {} and world.jobs.jobs("default") == []


def test_over_the_budget_nothing_is_uploaded_and_no_row_is_left(world: World) -> None:
    world.budget_usd = 0.003671  # the job costs 1,224 tokens × $3 / 1,000,000 = $0.003672
    with pytest.raises(BudgetExceeded):
        run(world)
    assert untouched(world)
    world.budget_usd = 0.003672
    assert run(world).cost_usd == 0.003672


def test_two_intents_share_one_budget(world: World) -> None:
    world.budget_usd = 0.005
    run(world)
    with pytest.raises(BudgetExceeded, match="is spent or promised"):
        run(world, "t-2")


@pytest.mark.parametrize("another", [False, True])
def test_what_is_promised_while_one_is_checked_counts(world: World, another: bool) -> None:
    """Two runs pass the first check together; the second to write its row is refused."""
    if another:
        world.vendor.ends = "invalid"
        with pytest.raises(HostedJobFailed):
            run(world)
    world.budget_usd = 0.003672 * (2 if another else 1)

    class Slow(MemoryFineTuning):
        def check(self) -> None:
            begin(world.bench(), "t-2", world.training, None)

    with pytest.raises(BudgetExceeded):
        run(world, vendor=Slow(world.vendor), another=another)
    assert len(world.vendor.made) == (1 if another else 0)


def test_rows_that_break_the_rules_are_refused_before_anything_is_uploaded(world: World) -> None:
    world.training, world.golden = supervised_file(rows(9)), ("At how many bar does pump 3 run?",)
    with pytest.raises(InvalidTrainingFile, match="2 problems"):
        run(world)
    assert untouched(world)


def test_after_the_end_of_training_nothing_is_uploaded(world: World) -> None:
    world.clock.now = 1_799_193_600.0 + 86_400  # 6 January 2027
    with pytest.raises(TrainingRetired, match="2027-01-06"):
        run(world)
    assert untouched(world)
    assert run(world, at="other").state == "succeeded"  # a server of one's own goes on


def test_a_closed_account_is_a_state_that_stays_and_says_what_to_do(world: World) -> None:
    world.vendor.retired = True
    with pytest.raises(TrainingRetired, match="ratchet train --method lora"):
        run(world)
    assert row(world).state == "retired"
    asked = world.vendor.calls.count("create")
    with pytest.raises(TrainingRetired):
        run(world)
    assert world.vendor.calls.count("create") == asked
    world.vendor.retired = False
    assert run(world, another=True).state == "succeeded"


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (Refused(401, "no", "invalid_api_key"), WrongKey),
        (Refused(429, "no", "insufficient_quota"), QuotaExhausted),
        (Refused(404, "no", "model_not_found"), NotFound),
    ],
)
def test_a_refused_job_is_tried_again_by_the_next_run(
    world: World, refusal: Refused, error: type[RatchetError]
) -> None:
    world.vendor.refusals = {"create": [refusal]}
    with pytest.raises(error):
        run(world)
    assert (row(world).state, world.vendor.made) == ("intended", [])
    assert run(world).state == "succeeded"


def test_a_wrong_key_is_noticed_before_the_files_leave(world: World) -> None:
    world.vendor.refusals = {"jobs": [Refused(401, "no", "invalid_api_key")]}
    with pytest.raises(WrongKey):
        run(world)
    assert untouched(world)


def test_a_rate_limit_is_waited_for_as_long_as_it_asks(world: World) -> None:
    world.vendor.faults, began = {"create": ["429-wait"]}, world.clock()
    run(world)
    [made] = world.vendor.made
    assert made.at - began >= RETRY_AFTER


def test_a_rate_limit_that_stays_ends_the_run_and_not_the_intent(world: World) -> None:
    world.vendor.faults = {"create": ["429"] * 20}
    with pytest.raises(RateLimited):
        run(world)
    world.vendor.faults = {}
    assert run(world).state == "succeeded"


def test_a_failed_job_stays_failed_until_another_attempt_is_asked_for(world: World) -> None:
    world.vendor.ends = "invalid"
    for _ in range(2):
        with pytest.raises(HostedJobFailed, match="line 3 breaks a policy"):
            run(world)
    assert len(world.vendor.made) == 1
    world.vendor.ends = "succeeded"
    again = run(world, another=True)
    assert (again.attempt, again.job, len(world.vendor.files)) == (2, "ftjob-2", 1)


def test_every_attempt_counts_against_the_budget(world: World) -> None:
    world.budget_usd, world.vendor.ends = 0.005, "failed"
    with pytest.raises(HostedJobFailed):
        run(world)
    with pytest.raises(BudgetExceeded):
        run(world, another=True)
    assert len(world.vendor.made) == 1


def test_what_has_succeeded_is_never_attempted_again(world: World) -> None:
    first = run(world)
    assert run(world, another=True) == first
    assert len(world.vendor.made) == 1


# ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_looks_go_on_where_the_last_run_left_them(world: World) -> None:
    world.vendor.paused = 3_000.0
    dying_at(world, "job", after=True, times=12)  # looks are far apart by now
    left = row(world)
    looked = world.vendor.calls.count("job")
    stop_at = left.polled_at + 30.0

    def wait(seconds: float) -> None:
        world.clock.wait(seconds)
        if world.clock() >= stop_at:
            raise Stopped("enough")

    with pytest.raises(Stopped):
        run(world, wait=wait)
    assert world.vendor.calls.count("job") - looked <= 1
    assert row(world).polls >= left.polls > 5


def test_events_are_told_once_each_and_in_order_whoever_was_there(world: World) -> None:
    told: list[str] = []

    def tell(what: str, done: int, total: int) -> None:
        if "Step" in what:
            told.append(f"{what.split('Step ')[1].split(':')[0]} {done}/{total}")

    waits = itertools.count()

    def wait(seconds: float) -> None:
        world.clock.wait(seconds)
        if next(waits) == 4:
            raise Stopped("enough")

    with pytest.raises(Stopped):
        tune(world.bench(wait=wait), INTENT, world.training, None, tell)
    assert 0 < len(told) < 4
    tune(world.bench(), INTENT, world.training, None, tell)
    assert told == ["1/4 1/4", "2/4 2/4", "3/4 3/4", "4/4 4/4"]


def test_a_paused_job_is_waited_for(world: World) -> None:
    world.vendor.paused = 5_000.0
    seen: list[str] = []
    tune(world.bench(), INTENT, world.training, None, lambda what, _done, _total: seen.append(what))
    assert "hosted training: ftjob-1 is paused" in seen
    assert row(world).state == "succeeded"


def test_a_run_waits_only_so_long_and_the_next_goes_on(world: World) -> None:
    world.vendor.paused = 30 * 3600.0
    with pytest.raises(HostedJobWaiting, match=r"It goes on at vendor\.test"):
        run(world)
    assert row(world).state == "paused"
    assert run(world).job == "ftjob-1"


def test_an_outage_while_waiting_is_sat_out(world: World) -> None:
    world.vendor.faults = {"job": ["500-before"] * 5 + ["malformed"] * 3 + ["html"]}
    assert run(world).state == "succeeded"


def test_an_outage_that_lasts_ends_the_run_and_the_next_goes_on(world: World) -> None:
    world.vendor.faults, world.vendor.paused = {"job": ["500-before"] * 100}, 9_000.0
    with pytest.raises(HostedUnavailable):
        run(world)
    assert world.clock() - row(world).begun_at >= world.pace.outage_seconds / 2
    world.vendor.faults = {}
    assert run(world).job == "ftjob-1"


def test_a_job_the_vendor_no_longer_knows_is_not_taken_for_failed(world: World) -> None:
    dying_at(world, "job", after=True, times=2)
    world.clock.wait(world.pace.settle_seconds)
    kept = world.vendor.made[:]
    world.vendor.made.clear()
    with pytest.raises(NotFound, match="ratchet hosted cancel t-1"):
        run(world)
    world.vendor.made.extend(kept)
    assert run(world).state == "succeeded"


def test_a_job_somebody_cancelled_at_the_vendor_says_so(world: World) -> None:
    world.vendor.ends = "cancelled"
    with pytest.raises(HostedJobCancelled, match="--force"):
        run(world)


def test_a_death_at_any_call_leaves_one_paid_job() -> None:
    for n in range(60):
        for after in (False, True):
            world, counter = World(), itertools.count()
            world.vendor.list_lag = 30.0

            def die() -> None:
                raise Died

            strikes = {(n, after): die}
            vendor = Interrupted(MemoryFineTuning(world.vendor), counter, strikes)
            jobs = Interrupted(world.jobs, counter, strikes)
            try:
                run(world, vendor=vendor, jobs=jobs)
            except Died:
                assert run(world).state == "succeeded"
            assert len(world.vendor.made) == 1, (n, after)
            if strikes:
                return  # the run ended before its n-th call: every call has been a death
    pytest.fail("a run makes over 60 calls")


# ── as a trainer ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_trainer_gives_a_hosted_model_and_leaves_what_it_uploaded(world: World, tmp_path: Path) -> None:
    trained = HostedTrainer(world.bench()).train(rows(), rows(2, word="fan"), tmp_path / "t")
    assert (trained.model.kind, trained.model.base_digest, trained.model.adapter) == ("hosted", "", None)
    assert trained.model.base == world.vendor.model_of(world.vendor.made[0])
    assert trained.metrics["cost_usd"] == 1_224 * PRICE / 1e6
    sent = {file.content for file in world.vendor.files.values()}
    assert sent == {(tmp_path / "t" / f"{name}.jsonl").read_bytes() for name in ("training", "validation")}


def test_prices_budgets_and_keys_are_no_part_of_what_is_trained(world: World) -> None:
    bench = world.bench()
    dearer = replace(bench, plan=replace(bench.plan, budget_usd=99.0, price=Price(9.0)))
    longer = replace(bench, plan=replace(bench.plan, epochs=4))
    first = HostedTrainer(bench).fingerprint
    assert HostedTrainer(dearer, another=True).fingerprint == first != HostedTrainer(longer).fingerprint


PAIRS = [PreferenceRow(f"l-{n}", (Message("user", f"Question {n}?"),), "yes", "no") for n in range(12)]


def preferring(world: World, **changed: Any) -> HostedTrainer:
    bench = world.bench(**changed)
    return HostedTrainer(replace(bench, plan=replace(bench.plan, method="dpo", beta=0.2)))


def test_preferences_train_by_dpo_under_the_name_of_their_training(world: World, tmp_path: Path) -> None:
    trainer = preferring(world)
    assert trainer.prefer(PAIRS[:10], PAIRS[10:], tmp_path).model.kind == "hosted"
    [made] = world.vendor.made
    assert made.body["method"] == {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 3, "beta": 0.2}}}
    assert row(world, opinion_intent(PAIRS[:10], PAIRS[10:], trainer.fingerprint)).method == "dpo"
    sent = [file.content for file in world.vendor.files.values()]
    assert sent == [(tmp_path / f"{name}.jsonl").read_bytes() for name in ("training", "validation")]


def test_a_death_at_any_call_pays_for_preferences_once(tmp_path: Path) -> None:
    deaths = 0
    for at, after in itertools.product(range(40), (False, True)):
        world = World()

        def die() -> None:
            raise Died

        strikes = {(at, after): die}
        vendor = Interrupted(MemoryFineTuning(world.vendor), itertools.count(), strikes)
        with suppress(Died):
            preferring(world, vendor=vendor).prefer(PAIRS, [], tmp_path)
        deaths += not strikes
        model = preferring(world).prefer(PAIRS, [], tmp_path).model
        world.vendor.to_the_end()
        assert [world.vendor.model_of(job) for job in world.vendor.paid] == [model.base], (at, after)
        assert len(world.vendor.files) == 1
    assert deaths > 30


def test_ratings_are_no_file_for_a_vendor(world: World, tmp_path: Path) -> None:
    rated = RatingRow("v-1", PAIRS[0].prompt, "yes", good=True)
    with pytest.raises(UsageError, match="`ratchet train --method kto`"):
        preferring(world).prefer([*PAIRS, rated], [], tmp_path)
    assert world.vendor.calls == []


def test_what_ends_the_training_of_preferences_names_the_methods_that_go_on(world: World, tmp_path: Path) -> None:
    world.clock.now = datetime(2027, 1, 7, tzinfo=UTC).timestamp()
    with pytest.raises(TrainingRetired, match=r"Train here: `ratchet train --method dpo`"):
        preferring(world).prefer(PAIRS, [], tmp_path)
