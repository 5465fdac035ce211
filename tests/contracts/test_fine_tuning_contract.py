"""What every FineTuning promises. A new adapter joins by adding itself to `ADAPTERS`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hosted_vendor import AFTER, FAULTS, RETRY_AFTER, Fault, MemoryFineTuning, Refused, Vendor
from hosted_world import rows
from openai_embeddings_fake import KEY
from openai_hosted_fake import HostedServer, hosted_server
from pydantic import SecretStr

from infra.adapters.openai_fine_tuning import OpenAiFineTuning
from tasks.core.errors import (
    HostedUnavailable,
    InvalidTrainingFile,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    QuotaExhausted,
    RatchetError,
    RateLimited,
    TrainingRetired,
    UsageError,
    WrongKey,
)
from tasks.core.hosted_files import supervised_file
from tasks.core.hosted_jobs import JobRequest
from tasks.core.ports import FineTuning

ADAPTERS = ["memory", "openai"]
CONTENT = supervised_file(rows()).content


@dataclass
class Given:
    port: FineTuning
    vendor: Vendor
    server: HostedServer | None

    def request(self, mark: str = "default.t-1.1", file: str | None = None) -> JobRequest:
        return JobRequest("tiny-base", "supervised", file or self.file, None, 3, 0, mark, "ratchet")

    @property
    def file(self) -> str:
        return next(iter(self.vendor.files), None) or self.port.upload("a.jsonl", CONTENT)


@pytest.fixture(params=ADAPTERS)
def given(request: pytest.FixtureRequest) -> Iterator[Given]:
    """The adapter; whatever went over HTTP must have been as the API is described."""
    if request.param == "memory":
        vendor = Vendor()
        yield Given(MemoryFineTuning(vendor), vendor, None)
        return
    with hosted_server() as server:
        server.page = 2  # so that everything that is listed has pages
        port = OpenAiFineTuning(api_key=SecretStr(KEY), base_url=server.url)
        yield Given(port, server.vendor, server)
        assert server.violations == []


def test_an_uploaded_file_is_there_is_found_and_is_gone_when_deleted(given: Given) -> None:
    port = given.port
    ids = [port.upload(f"{n}.jsonl", CONTENT) for n in range(5)]
    assert given.vendor.files[ids[0]].content == CONTENT
    assert port.has_file(ids[0])
    assert port.find_file("0.jsonl", len(CONTENT)) == ids[0]
    assert port.find_file("0.jsonl", len(CONTENT) - 1) is None
    port.delete_file(ids[0])
    assert not port.has_file(ids[0])
    assert port.find_file("0.jsonl", len(CONTENT)) is None
    port.delete_file(ids[0])  # no error


def test_a_job_is_as_it_was_asked_for(given: Given) -> None:
    request = given.request()
    job = given.port.create(request)
    assert (job.status, job.mark, job.training_file, job.model) == (
        "validating_files",
        request.mark,
        request.training_file,
        None,
    )
    [made] = given.vendor.made
    assert made.epochs == request.epochs
    assert given.port.job(job.id) == job


def test_jobs_are_listed_by_their_mark_even_over_pages(given: Given) -> None:
    for n in range(7):
        given.port.create(given.request(f"default.t-{n % 2}.1"))
    assert len(given.port.jobs("default.t-0.1", 0.0)) == 4
    assert {job.mark for job in given.port.jobs("default.t-1.1", 0.0)} == {"default.t-1.1"}
    assert given.port.jobs("default.t-9.1", 0.0) == []


def test_older_jobs_are_not_listed(given: Given) -> None:
    given.port.create(given.request())
    given.vendor.clock.wait(10.0)
    newer = given.port.create(given.request())
    assert [job.id for job in given.port.jobs(newer.mark or "", newer.created_at)] == [newer.id]


@pytest.mark.parametrize("keeps", [True, False])
def test_a_server_that_does_not_filter_or_keep_metadata_still_lists_what_may_be_ours(given: Given, keeps: bool) -> None:
    given.vendor.ignores_filter, given.vendor.keeps_metadata = keeps, keeps
    job = given.port.create(given.request())
    given.port.create(given.request("default.t-2.1"))
    listed = given.port.jobs("default.t-1.1", 0.0)
    assert job.id in {one.id for one in listed}
    assert {one.mark for one in listed} == ({"default.t-1.1"} if keeps else {None})


def test_a_job_goes_through_its_states_to_a_model_and_a_bill(given: Given) -> None:
    given.vendor.paused = 50.0
    job, seen = given.port.create(given.request()), []
    for _ in range(100):
        told = given.port.job(job.id)
        seen += [told.status] if told.status not in seen else []
        given.vendor.clock.wait(1.0)
    assert seen == ["validating_files", "queued", "running", "paused", "succeeded"]
    assert told.model == given.vendor.model_of(given.vendor.made[0])
    assert told.trained_tokens == given.vendor.made[0].billed(given.vendor.clock())


def test_a_failed_job_tells_code_message_and_param(given: Given) -> None:
    given.vendor.ends = "invalid"
    job = given.port.create(given.request())
    given.vendor.clock.wait(100.0)
    error = given.port.job(job.id).error
    assert error is not None
    assert (error.code, error.param) == ("invalid_training_file", "training_file")
    assert "line 3" in error.message


def test_a_job_is_cancelled_and_one_that_has_ended_stays_as_it_is(given: Given) -> None:
    first, second = given.port.create(given.request()), given.port.create(given.request())
    assert given.port.cancel(first.id).status == "cancelled"
    assert given.port.cancel(first.id).status == "cancelled"
    given.vendor.clock.wait(1_000.0)
    assert given.port.cancel(second.id).status == "succeeded"


def test_events_come_oldest_first_and_from_where_one_was(given: Given) -> None:
    job = given.port.create(given.request())
    given.vendor.clock.wait(20.0)
    first = given.port.events(job.id, None)
    assert [event.message.split(":")[0] for event in first] == ["Created fine-tuning job", "Step 1/4", "Step 2/4"]
    assert first[1].progress == (1, 4)
    given.vendor.clock.wait(1_000.0)
    later = given.port.events(job.id, first[-1].id)
    assert [event.message.split(":")[0] for event in later] == ["Step 3/4", "Step 4/4", "The job has succeeded"]
    assert given.port.events(job.id, later[-1].id) == []


def test_checkpoints_come_by_step_with_their_numbers(given: Given) -> None:
    job = given.port.create(given.request())
    given.vendor.clock.wait(1_000.0)
    kept = given.port.checkpoints(job.id)
    assert [one.step for one in kept] == [1, 2, 3, 4]
    assert kept[-1].metrics["valid_loss"] == 3.0 / 4
    assert kept[0].model.endswith(":ckpt-step-1")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_while_creating_says_whether_a_job_may_be_there(given: Given, fault: Fault) -> None:
    request = given.request()
    given.vendor.faults = {"create": [fault]}
    with pytest.raises(RateLimited if fault.startswith("429") else OutcomeUnknown):
        given.port.create(request)
    assert len(given.vendor.made) == (fault in AFTER)
    assert given.vendor.calls.count("create") == 1


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("operation", ["upload", "files", "file", "delete", "jobs", "job", "cancel", "events"])
def test_a_fault_elsewhere_is_worth_another_try_and_none_is_made_here(
    given: Given, fault: Fault, operation: str
) -> None:
    job, port = given.port.create(given.request()), given.port
    calls = {
        "upload": lambda: port.upload("b.jsonl", CONTENT),
        "files": lambda: port.find_file("b.jsonl", 1),
        "file": lambda: port.has_file("file-1"),
        "delete": lambda: port.delete_file("file-1"),
        "jobs": lambda: port.jobs("m", 0.0),
        "job": lambda: port.job(job.id),
        "cancel": lambda: port.cancel(job.id),
        "events": lambda: port.events(job.id, None),
    }
    given.vendor.calls.clear()
    given.vendor.faults = {operation: [fault]}
    with pytest.raises(HostedUnavailable) as raised:
        calls[operation]()
    assert not isinstance(raised.value, OutcomeUnknown)
    assert given.vendor.calls == [operation]


def test_a_wait_the_vendor_asks_for_is_told(given: Given) -> None:
    request = given.request()
    given.vendor.faults = {"create": ["429-wait"]}
    with pytest.raises(RateLimited) as raised:
        given.port.create(request)
    assert raised.value.values["wait_seconds"] == RETRY_AFTER


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (Refused(401, "no", "invalid_api_key"), WrongKey),
        (Refused(403, "no", "training_not_available"), TrainingRetired),
        (Refused(403, "no"), NotAllowed),
        (Refused(429, "no", "insufficient_quota"), QuotaExhausted),
        (Refused(404, "no", "model_not_found"), NotFound),
        (Refused(400, "no", "invalid_file", "training_file"), InvalidTrainingFile),
        (Refused(400, "no", None, "suffix"), UsageError),
    ],
)
def test_a_refusal_is_named_and_creates_nothing(given: Given, refusal: Refused, error: type[RatchetError]) -> None:
    request = given.request()
    given.vendor.refusals = {"create": [refusal]}
    with pytest.raises(RatchetError) as raised:
        given.port.create(request)
    assert type(raised.value) is error
    assert given.vendor.made == []


def test_a_wrong_key_is_noticed_by_the_check_which_creates_nothing(given: Given) -> None:
    given.port.check()
    given.vendor.refusals = {"jobs": [Refused(401, "no", "invalid_api_key")]}
    with pytest.raises(WrongKey):
        given.port.check()
    assert given.vendor.made == []


def test_an_unknown_job_is_not_found(given: Given) -> None:
    for call in (given.port.job, given.port.cancel, given.port.checkpoints):
        with pytest.raises(NotFound):
            call("ftjob-99")
