"""A promotion that waits for a person, on a real Prefect server: suspended, its process gone, resumed by the form."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from approval_world import (
    artifacts_of,
    deployed,
    filled_in,
    judged,
    runs,
    runs_elsewhere,
    shown_form,
    state_of,
    steps_of,
)
from prefect.client.orchestration import get_client
from prefect.states import Scheduled
from service_fakes import running

from flows.evaluate_release import evaluate
from flows.promote_release import promote, promote_release
from flows.refresh_assistant import RefreshRequest, refresh, refresh_assistant
from flows.retrain_model import left_unjudged, retrain_model
from flows.serving import service_of
from infra.workbench import Workbench, open_workbench
from tasks.core.errors import PromotionRefused, StaleComparison, UsageError
from tasks.core.promotion import VerdictWord
from tasks.evaluation import Evaluation
from tasks.labels import import_labels

pytestmark = pytest.mark.xdist_group("prefect")

PAGES = {
    "pump.md": "# Bilge pump\n\n## Flow\n\nThe bilge pump moves 90 litres of water per minute.\n",
    "saw.md": "# Band saw\n\n## Blade\n\nThe blade of the band saw is 27 millimetres wide.\n",
    "crane.md": "# Crane\n\n## Load\n\nThe crane lifts 4 tonnes.\n",
    "mast.md": "# Light mast\n\n## Height\n\nThe light mast stands 9 metres tall.\n",
}
GOLDEN = [
    {"question": "How much water does the bilge pump move?", "answer": "It moves 90 litres.", "documents": ["pump.md"]},
    {"question": "How wide is the blade?", "answer": "It is 27 millimetres wide.", "documents": ["saw.md"]},
]
LENIENT: dict[str, Any] = {"floors": {}, "minimum_questions": 2, "pace": {"questions": 0, "least_agreement": 0}}
ADA_MAY = {"override": {"gates": ["*"], "who": ["Ada", "Grace"]}}


@dataclass
class World:
    """An assistant that serves an unproven release, with a golden set, and a verdict on it to make others like."""

    docs: Path
    like: Evaluation
    monkeypatch: pytest.MonkeyPatch
    numbers: Iterator[int]
    open: ExitStack

    def under(self, ask: str, timeout_hours: float = 24, **policy: object) -> Workbench:
        """The assistant's workbench under a policy that asks; flow runs have the same."""
        said = LENIENT | {"approval": {"ask": ask, "timeout_hours": timeout_hours}} | policy
        self.monkeypatch.setenv("RATCHET_POLICY", json.dumps(said))
        bench = open_workbench("default")
        self.open.callback(bench.close)
        return bench

    def candidate(self, bench: Workbench, verdict: VerdictWord = "PROMOTE", *doubts: str) -> str:
        """A release that was judged so against what is being served."""
        return judged(bench, self.like, next(self.numbers), verdict, doubts).release


def served(bench: Workbench) -> str | None:
    return bench.releases.standing("default").release


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_base_model: Path, prefect_server: None) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    docs = folder / "docs"
    docs.mkdir()
    for name, text in PAGES.items():
        (docs / name).write_text(text)
    with pytest.MonkeyPatch.context() as monkeypatch, ExitStack() as opened:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("RATCHET_HOME", str(folder / "home"))
        monkeypatch.setenv("RATCHET_BASE_MODEL", str(tiny_base_model))
        monkeypatch.setenv("RATCHET_POLICY", json.dumps(LENIENT))
        bench = open_workbench("default")
        opened.callback(bench.close)
        with running(service_of(bench)) as url:
            monkeypatch.setenv("RATCHET_SERVICE_URL", url)
            yield World(docs, asyncio.run(first_verdict(bench, docs)), monkeypatch, count(20), opened)


async def first_verdict(bench: Workbench, docs: Path) -> Evaluation:
    report = await refresh(bench, RefreshRequest(path=str(docs)))
    assert report.release is not None
    labels = docs.parent / "labels.jsonl"
    labels.write_text("\n".join(json.dumps(label | {"split": "golden"}) for label in GOLDEN))
    import_labels(bench.labels, labels)
    return await evaluate(bench, report.release.id)


async def test_nothing_is_served_until_a_person_says_so_and_the_process_that_asked_is_long_gone(world: World) -> None:
    bench = world.under("always")
    release, before = world.candidate(bench), served(bench)
    run = await deployed(promote_release, {"release": release})
    logged = await asyncio.to_thread(runs_elsewhere, run)
    waiting = await state_of(run)
    assert waiting.state_name == "Suspended", logged
    assert served(bench) == before
    text, form = await shown_form(run)
    assert f"Shall **{release}** be served" in text
    assert "What the report says." in text
    assert set(form["required"]) == {"decision", "who"}
    assert await artifacts_of(run) == {"default-evaluation", "default-evaluation-gates", "default-evaluation-page"}
    assert "is a required property" in await filled_in(run)
    assert "does not match" in await filled_in(run, decision="approve", who=" ")
    assert (await state_of(run)).state_name == "Suspended"
    assert await filled_in(run, decision="approve", who="Ada", reason="Reads well") == "ACCEPT"
    promotion = await runs(promote_release, run)
    assert served(bench) == release
    assert (promotion.approved_by, promotion.reason, promotion.overridden) == ("Ada", "Reads well", ())
    assert await runs(promote_release, await deployed(promote_release, {"release": release})) is None  # served already


async def test_a_refusal_leaves_what_is_served_and_names_who_refused(world: World) -> None:
    bench = world.under("always")
    release, before = world.candidate(bench), served(bench)
    run = await deployed(promote_release, {"release": release})
    await runs(promote_release, run)
    await filled_in(run, decision="refuse", who="Grace", reason="Too terse")
    with pytest.raises(PromotionRefused, match=f"Grace refused {release}: Too terse. What is served stays."):
        await runs(promote_release, run)
    assert served(bench) == before


async def test_no_decision_in_time_is_no_promotion_and_a_run_tried_again_asks_again(world: World) -> None:
    bench = world.under("always", timeout_hours=1 / 3600)
    release, before = world.candidate(bench), served(bench)
    run = await deployed(promote_release, {"release": release})
    await runs(promote_release, run)
    over, _ = await shown_form(run)
    await asyncio.sleep(1.1)
    assert await filled_in(run, decision="approve", who="Ada") != "ACCEPT"
    late = await state_of(run)
    assert late.state is not None
    assert (late.state_name, late.state.message) == ("Failed", "The flow was resuming and never resumed.")
    assert served(bench) == before
    world.under("always")
    async with get_client() as client:
        await client.set_flow_run_state(run, Scheduled())
    await runs(promote_release, run)
    again, _ = await shown_form(run)
    assert again != over  # it names another hour
    await filled_in(run, decision="approve", who="Ada")
    await runs(promote_release, run)
    assert served(bench) == release


async def test_an_approval_does_not_replace_a_release_that_came_while_it_waited(world: World) -> None:
    bench = world.under("always")
    release, other = world.candidate(bench), world.candidate(bench)
    run = await deployed(promote_release, {"release": release})
    await runs(promote_release, run)
    await promote(bench, other, who="Grace")
    await filled_in(run, decision="approve", who="Ada")
    with pytest.raises(StaleComparison, match=f"but {other} is being served now"):
        await runs(promote_release, run)
    assert served(bench) == other


async def test_an_approval_is_worth_nothing_for_a_verdict_the_person_did_not_see(world: World) -> None:
    bench = world.under("always", **ADA_MAY)
    number, before = next(world.numbers), served(bench)
    release = judged(bench, world.like, number, "PROMOTE").release
    run = await deployed(promote_release, {"release": release})
    await runs(promote_release, run)
    judged(bench, world.like, number, "HOLD", ["no-harm-correct"])
    await filled_in(run, decision="approve", who="Ada")
    with pytest.raises(StaleComparison, match="was judged HOLD after a person was asked about a verdict of PROMOTE"):
        await runs(promote_release, run)
    assert served(bench) == before


async def test_doubts_are_accepted_only_by_those_the_policy_names_and_with_a_reason(world: World) -> None:
    bench = world.under("held", **ADA_MAY)
    release = world.candidate(bench, "HOLD", "no-harm-correct", "fresh")
    run = await deployed(promote_release, {"release": release})
    await runs(promote_release, run)
    text, form = await shown_form(run)
    assert "Approving accepts these doubts: `no-harm-correct`, `fresh`." in text
    assert set(form["required"]) == {"decision", "who", "reason"}
    assert await filled_in(run, decision="approve", who="Mallory", reason="Trust me") != "ACCEPT"
    assert await filled_in(run, decision="approve", who="Ada") != "ACCEPT"
    assert await filled_in(run, decision="approve", who="Ada", reason="A typo in one page") == "ACCEPT"
    promotion = await runs(promote_release, run)
    assert served(bench) == release
    assert (promotion.overridden, promotion.approved_by) == (("no-harm-correct", "fresh"), "Ada")


async def test_a_doubt_that_nobody_may_accept_is_not_put_to_anybody(world: World) -> None:
    bench = world.under("held", **ADA_MAY)
    run = await deployed(promote_release, {"release": world.candidate(bench, "HOLD", "no-leak")})
    with pytest.raises(PromotionRefused, match="judged HOLD"):
        await runs(promote_release, run)


async def test_at_a_terminal_whoever_gives_a_name_is_the_approval(world: World) -> None:
    bench = world.under("always")
    release, before = world.candidate(bench), served(bench)
    with pytest.raises(UsageError, match=f"ratchet promote {release} --who NAME"):
        await promote(bench, release)
    assert served(bench) == before
    promotion = await promote(bench, release, who="Ada")
    assert promotion is not None
    assert (promotion.who, promotion.approved_by) == ("Ada", "Ada")


async def test_who_overrides_at_a_terminal_is_asked_nothing_more(world: World) -> None:
    bench = world.under("held", **ADA_MAY)
    release = world.candidate(bench, "HOLD", "fresh")
    with pytest.raises(PromotionRefused, match="judged HOLD"):
        await promote(bench, release, who="Ada", reason="Known")
    promotion = await promote(bench, release, who="Ada", reason="Known", override=True)
    assert promotion is not None
    assert (promotion.overridden, promotion.approved_by) == (("fresh",), "Ada")


async def test_a_model_of_the_same_kind_is_not_a_new_one(world: World) -> None:
    bench = world.under("new-model")
    release = world.candidate(bench)
    promotion = await promote(bench, release)
    assert promotion is not None
    assert promotion.approved_by is None


async def test_a_refresh_promotes_what_was_seen_although_the_documents_went_on(world: World) -> None:
    bench = world.under("held", **ADA_MAY)
    (world.docs / "saw.md").write_text("# Band saw\n\n## Blade\n\nThe blade of the band saw is 31 millimetres wide.\n")
    outside = await refresh(bench, RefreshRequest())
    assert (outside.evaluation.verdict if outside.evaluation else None, outside.promotion) == ("HOLD", None)
    run = await deployed(refresh_assistant, {})
    await runs(refresh_assistant, run)
    assert (await state_of(run)).state_name == "Suspended"
    second = await runs(refresh_assistant, await deployed(refresh_assistant, {}))
    assert (second.evaluation, second.promotion) == (None, None)
    assert f"Run {run}" in second.approval
    (world.docs / "saw.md").write_text("# Band saw\n\nGone.\n")
    newest = bench.document_catalog.published("default")
    await filled_in(run, decision="approve", who="Ada", reason="Seen")
    report = await runs(refresh_assistant, run)
    assert report.promotion.release == report.release.id == served(bench)
    assert report.approval == f"Ada approved {report.release.id}: Seen"
    assert report.ingest.snapshot == report.release.manifest.snapshot.number
    assert bench.document_catalog.published("default") == newest


@pytest.mark.long
async def test_a_model_is_trained_once_however_long_it_waits_and_a_refused_one_stays_so(world: World) -> None:
    bench = world.under("held", **ADA_MAY)
    to_learn(bench, world, "How tall is the light mast?", "It stands 9 metres tall.", "mast.md")
    before = served(bench)
    run = await deployed(retrain_model, {"force": True})
    await runs(retrain_model, run)
    assert (await state_of(run)).state_name == "Suspended"
    (model,) = bench.trainings.models("default")
    to_learn(bench, world, "How much does the crane lift?", "It lifts 4 tonnes.", "crane.md")
    await filled_in(run, decision="refuse", who="Grace", reason="Not yet")
    report = await runs(retrain_model, run)
    assert (report.promotion, report.approval) == (None, f"Grace refused {report.release.id}: Not yet")
    assert report.training.model == model
    assert (await steps_of(run)).count("train-and-register") == 1
    assert served(bench) == before
    passed = replace(report.evaluation, id="sha256-passed", verdict="PROMOTE")
    bench.evaluations.record("default", passed)
    assert not left_unjudged(world.under("new-model"))
    assert left_unjudged(world.under("never"))


def to_learn(bench: Workbench, world: World, question: str, answer: str, page: str) -> None:
    labels = world.docs.parent / "train.jsonl"
    labels.write_text(json.dumps({"question": question, "answer": answer, "documents": [page], "split": "train"}))
    import_labels(bench.labels, labels)
