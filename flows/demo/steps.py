"""What each step of the demo does and says. The flows do the work; a step that finds its work done says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from flows.demo.breakages import with_half_an_adapter
from flows.demo.handbook_folder import (
    EDITED_LABELS,
    LABELS,
    as_edited,
    as_shipped,
    deleted_pages,
    mirror,
    without_directory,
)
from flows.demo.live_service import running_service
from flows.evaluate_release import EvaluateRequest, evaluate_release
from flows.promote_release import PromoteRequest, promote_release
from flows.reading import answer_as_text, manifest_to_ask
from flows.refresh_assistant import RefreshRequest, refresh_assistant
from flows.reingest_docs import ReingestRequest, reingest_docs
from flows.retrain_model import RetrainRequest, retrain_model
from flows.roll_back import RollBackRequest, roll_back
from flows.verdicts import acted_on_text, report_of
from tasks.answering import answer_one
from tasks.candidates import newest_snapshot
from tasks.core.candidates import on_snapshot
from tasks.core.errors import RatchetError
from tasks.labels import import_labels

if TYPE_CHECKING:
    from flows.demo.run import Demo
    from tasks.core.ingestion import IngestReport
    from tasks.evaluation import Evaluation
    from tasks.releases import ReleaseRow

LOST_DIRECTORY = "products"
BROKEN_ADAPTER = "demo: an adapter that lost half its tensors"
LOST_PAGES = f"demo: the directory {LOST_DIRECTORY}/ is missing"
WHO = "demo"
TELLING = ("better-*", "fresh", "no-harm-correct")  # gates that a reader wants to see although they passed


async def ingest_the_handbook(demo: Demo) -> None:
    """Step 1. The folder is what the snapshots so far say it should be, whatever a killed run left behind."""
    demo.tell.step("Ingest the handbook")
    snapshot = demo.bench.document_catalog.published(demo.assistant)
    edited = snapshot is not None and snapshot.number > 1
    mirror(as_edited() if edited else as_shipped(), demo.folder)
    report = await reingest_docs(ReingestRequest(assistant=demo.assistant, path=str(demo.folder)))
    demo.facts["ingest"] = report.as_json()
    _tell_ingest(demo, report)


async def import_the_labels(demo: Demo) -> None:
    """Step 2."""
    demo.tell.step("Import the labels")
    report = import_labels(demo.bench.labels, LABELS)
    counts = report.counts
    demo.facts["labels"] = report.as_json()
    demo.tell.say(
        f"{report.accepted} accepted, {report.duplicates} known already, {len(report.errors)} refused; "
        f"by page {counts.golden} golden, {counts.validation} validation, {counts.train} for training"
    )
    crossed = "crossed: a training is due" if counts.crossed else "not reached"
    demo.tell.say(f"{counts.new} new training labels, threshold {counts.threshold}: {crossed}")


async def promote_the_first_release(demo: Demo) -> None:
    """Step 3."""
    demo.tell.step("Release 1: the base model with three examples in its prompt, judged on floors alone")
    done = demo.served(lambda row: row.manifest.model.kind == "base")
    if done is None:
        report = await refresh_assistant(RefreshRequest(assistant=demo.assistant))
        done = demo.must_be_promoted(report.release, report.evaluation, report.promotion is not None)
    demo.facts["first"] = _tell_release(demo, done)


async def train_and_promote(demo: Demo) -> None:
    """Step 4."""
    demo.tell.step("Release 2: train a LoRA adapter on the labels, judge it against release 1")
    done = demo.served(lambda row: row.manifest.model.kind == "lora")
    if done is None:
        report = await retrain_model(RetrainRequest(assistant=demo.assistant))
        if report.training is not None:
            model = report.training
            demo.tell.say(f"{report.decision.reason} {model.examples} examples, {model.seconds:.0f} s of training")
        done = demo.must_be_promoted(report.release, report.evaluation, report.promotion is not None)
    else:
        demo.tell.say(
            f"trained before; {(await retrain_model(RetrainRequest(assistant=demo.assistant))).decision.reason}"
        )
    demo.facts["tuned"] = _tell_release(demo, done)


async def follow_the_documents(demo: Demo) -> None:
    """Step 5."""
    demo.tell.step("Release 3: three pages edited, one deleted, one added")
    await _undo_a_left_over_rollback(demo)
    mirror(as_edited(), demo.folder)
    import_labels(demo.bench.labels, EDITED_LABELS)
    done = demo.served(lambda row: row.manifest.model.kind == "lora" and row.manifest.snapshot.number > 1)
    if done is None:
        demo.tell.say(f"deleted: {', '.join(deleted_pages())}; labels whose answer changed are superseded")
        report = await refresh_assistant(RefreshRequest(assistant=demo.assistant))
        _tell_ingest(demo, report.ingest)
        done = demo.must_be_promoted(report.release, report.evaluation, report.promotion is not None)
    demo.facts["fresh"] = _tell_release(demo, done)


async def refuse_what_is_broken(demo: Demo) -> None:
    """Step 6."""
    demo.tell.step("Broken candidates are refused")
    refused = {}
    current = manifest_to_ask(demo.bench, None)
    broken = demo.bench.releases.register(with_half_an_adapter(demo.bench, current), BROKEN_ADAPTER)
    refused["adapter"] = await _judge_and_try(demo, broken)
    refused["directory"] = await _judge_and_try(demo, await _without_a_directory(demo))
    mirror({}, demo.folder)
    try:
        await reingest_docs(ReingestRequest(assistant=demo.assistant))
    except RatchetError as error:
        refused["empty"] = error.message
        demo.tell.say(f"an empty folder, as after a failed mount:\n  {type(error).__name__}: {error.message}")
    mirror(as_edited(), demo.folder)
    demo.facts["refused"] = refused


async def ask_and_roll_back(demo: Demo) -> None:
    """Step 7."""
    demo.tell.step("Ask, roll back, ask again, go forward again")
    newest = await _ask_all(demo)
    demo.facts["answers"] = newest
    back = await roll_back(RollBackRequest(assistant=demo.assistant, who=WHO, reason="demo: shows a rollback"))
    demo.tell.say(f"rolled back to {back.release}")
    demo.facts["after_rollback"] = await _ask_all(demo, only_first=True)
    await _undo_a_left_over_rollback(demo)


def say_where_everything_is(demo: Demo) -> None:
    """The end: places, and what to try next."""
    home = demo.bench.home
    demo.tell.say("")
    demo.tell.say(f"catalog    {home / 'catalog.sqlite'}")
    demo.tell.say(f"index      {home / 'index.sqlite'}")
    demo.tell.say(f"artifacts  {home / 'artifacts'}")
    demo.tell.say(f"report     {demo.facts.get('report', 'see ratchet evaluate')}")
    demo.tell.say(f"done in {demo.tell.seconds:.0f} s. Look around, then try your own documents:")
    for line in (
        f"ratchet status --assistant {demo.assistant}",
        f"ratchet releases --assistant {demo.assistant}",
        f'ratchet ask --assistant {demo.assistant} "How fast may the light tower be towed?"',
        'ratchet ingest ~/docs && .venv/bin/ratchet ask "..."',
        "ratchet serve",
    ):
        demo.tell.say(f"  .venv/bin/{line}")


def _tell_ingest(demo: Demo, report: IngestReport) -> None:
    docs, chunks = report.documents, report.chunks
    demo.tell.say(
        f"snapshot {report.snapshot}: {docs['added']} documents added, {docs['changed']} changed, {docs['deleted']} "
        f"deleted, {docs['unchanged']} unchanged, {docs['quarantined']} quarantined"
    )
    demo.tell.say(
        f"{chunks['born']} chunks born, {chunks['died']} died, {chunks['live']} live; {report.embeds} texts embedded, "
        f"{report.seconds:.1f} s"
    )


def _tell_release(demo: Demo, row: ReleaseRow) -> dict[str, object]:
    """The gate table of a release that was promoted, from its recorded evaluation."""
    evaluation = demo.bench.evaluations.latest(demo.assistant, row.id)
    if evaluation is not None:
        report = report_of(demo.bench, evaluation)
        demo.tell.say(acted_on_text(evaluation, report, TELLING))
        demo.facts["report"] = str(report)
    demo.tell.say(f"{row.id} was promoted: {row.cause}")
    return {"release": row.id, "snapshot": row.manifest.snapshot.manifest_hash, "evaluation": _id_of(evaluation)}


def _id_of(evaluation: Evaluation | None) -> str | None:
    return evaluation.id if evaluation else None


async def _undo_a_left_over_rollback(demo: Demo) -> None:
    """Forward again to the newest release this demo rolled back from, now or in a run that was killed."""
    history = demo.bench.releases.history(demo.assistant)
    if history and history[-1].kind == "rollback" and history[-1].who == WHO and history[-1].previous:
        forward = PromoteRequest(
            assistant=demo.assistant, release=history[-1].previous, who=WHO, reason="demo: forward again"
        )
        await promote_release(forward)
        demo.tell.say(f"forward again to {history[-1].previous}")


async def _without_a_directory(demo: Demo) -> ReleaseRow:
    """The release on a snapshot that lost a directory; the folder is whole again afterwards, at no embedding."""
    known = [row for row in demo.bench.releases.releases(demo.assistant) if row.cause == LOST_PAGES]
    if known:
        return known[0]
    mirror(without_directory(as_edited(), LOST_DIRECTORY), demo.folder)
    await reingest_docs(ReingestRequest(assistant=demo.assistant))
    current = manifest_to_ask(demo.bench, None)
    lost = on_snapshot(current, newest_snapshot(demo.bench.candidates))
    assert lost is not None  # the pages are gone
    row = demo.bench.releases.register(lost, LOST_PAGES)
    mirror(as_edited(), demo.folder)
    again = await reingest_docs(ReingestRequest(assistant=demo.assistant))
    demo.tell.say(f"{LOST_DIRECTORY}/ was lost and came back: {again.embeds} texts embedded")
    return row


async def _judge_and_try(demo: Demo, row: ReleaseRow) -> str:
    """Evaluates a broken release, then tries to promote it anyway; returns the refusal."""
    evaluation = await evaluate_release(EvaluateRequest(assistant=demo.assistant, release=row.id))
    try:
        await promote_release(PromoteRequest(assistant=demo.assistant, release=row.id, who=WHO))
    except RatchetError as error:
        demo.tell.say(f"{row.cause}: {evaluation.verdict}\n  {type(error).__name__}: {error.message}")
        return error.message
    raise AssertionError(f"{row.id} is broken ({row.cause}) and was promoted")


async def _ask_all(demo: Demo, *, only_first: bool = False) -> list[dict[str, object]]:
    """Answers to the demo's questions: the first through the running service, the others in process."""
    with running_service(demo.bench) as url:
        first = await asyncio.to_thread(_ask_service, demo, url, demo.questions[0])
    told = [first]
    for question in () if only_first else demo.questions[1:]:
        answer = await asyncio.to_thread(answer_one, question, manifest_to_ask(demo.bench, None), demo.bench.answering)
        demo.tell.say(f"\n{question}\n{answer_as_text(answer)}")
        told.append({"question": question, "answer": answer.text, "release": answer.release})
    return told


def _ask_service(demo: Demo, url: str, question: str) -> dict[str, object]:
    """As any program would: with the openai package."""
    import openai

    key = demo.settings.api_key.get_secret_value() if demo.settings.api_key else "none"
    with openai.OpenAI(base_url=url, api_key=key, timeout=120) as client:
        reply = client.chat.completions.create(
            model=demo.assistant, messages=[{"role": "user", "content": question}]
        ).model_dump()
    said, ratchet = reply["choices"][0]["message"]["content"], reply["ratchet"]
    cited = [f"  [{c['marker']}] {c['document']}: “{c['quote']}”" for c in ratchet["citations"]]
    lines = [f"{question}  (asked over HTTP)", said, *cited]
    demo.tell.say("\n" + "\n".join([*lines, f"  release {ratchet['release']}, snapshot {ratchet['snapshot']}"]))
    return {"question": question, "answer": said, "release": ratchet["release"]}
