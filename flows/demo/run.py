"""The demo, step by step. Every step does only what is missing, so it can be killed anywhere and run again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from flows.demo.narrator import Narrator
from flows.terminal import ProgressLines, Shown
from infra.own_policy import own_policy_file
from infra.settings import Settings, load_settings
from infra.showing import showing
from infra.workbench import Workbench, open_workbench
from tasks.core.errors import PromotionRefused
from tasks.evaluation import Evaluation
from tasks.releases import ReleaseRow

POLICY = Path(__file__).with_name("policy.toml")
QUESTIONS = (
    "What pressure does the Halden 300 run at?",
    "How many pallets does the north warehouse hold?",
    "What is the engine power of the Halden 300 in kilowatts?",
)


@dataclass(slots=True)
class Demo:
    """What the steps share."""

    settings: Settings
    bench: Workbench
    tell: Narrator
    questions: tuple[str, ...] = QUESTIONS
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def assistant(self) -> str:
        """Its name."""
        return self.bench.assistant

    @property
    def folder(self) -> Path:
        """The working copy of the handbook."""
        return self.bench.home / "demo" / "handbook"

    def served(self, wanted: Callable[[ReleaseRow], bool]) -> ReleaseRow | None:
        """The first release that was ever promoted and is what is wanted."""
        for promotion in self.bench.releases.history(self.assistant):
            row = self.bench.releases.release(self.assistant, promotion.release)
            if not promotion.unproven and wanted(row):
                return row
        return None

    def must_be_promoted(self, row: ReleaseRow | None, evaluation: Evaluation | None, promoted: bool) -> ReleaseRow:
        """The release. The demo cannot go on without it: raises PromotionRefused, with the gates' reasons."""
        if row is not None and promoted:
            return row
        verdict = evaluation.verdict if evaluation else "no verdict"
        reasons = " ".join(evaluation.judgement.reasons) if evaluation else "There was nothing to judge."
        raise PromotionRefused(f"The demo stops here, because its release was not promoted: {verdict}. {reasons}")


def run_demo(assistant: str, *, as_json: bool = False) -> Shown:
    """Runs every step; the JSON object holds what each of them found."""
    settings = load_settings()
    use_a_private_prefect(settings)
    keep_its_policy(settings, assistant)
    demo = Demo(settings, open_workbench(assistant), Narrator(7, to_stderr=as_json))
    with showing(ProgressLines()):
        try:
            asyncio.run(_steps(demo))
        finally:
            demo.bench.close()
    return Shown({**demo.facts, "seconds": round(demo.tell.seconds, 1)}, "")


def use_a_private_prefect(settings: Settings) -> None:
    """Flows run against the configured Prefect API; without one, against a private server started for this run."""
    home = settings.home.resolve() / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PREFECT_HOME", str(home))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # refusals are part of the demo
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")


def keep_its_policy(settings: Settings, assistant: str) -> None:
    """Gives the assistant the demo's policy, unless it has one of its own."""
    file = own_policy_file(settings.home, assistant)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(POLICY.read_text(encoding="utf-8"), encoding="utf-8")


async def _steps(demo: Demo) -> None:
    from flows.demo import steps

    for step in (
        steps.ingest_the_handbook,
        steps.import_the_labels,
        steps.promote_the_first_release,
        steps.train_and_promote,
        steps.follow_the_documents,
        steps.refuse_what_is_broken,
        steps.ask_and_roll_back,
    ):
        await step(demo)
    steps.say_where_everything_is(demo)
