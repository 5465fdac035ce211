"""One machine trains and promotes, another serves: they share a catalog and a bucket, and no folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from document_fakes import ingest
from judged_releases import GOLDEN, LABELS, judged
from service_fakes import running
from source_places import s3_server
from tiny_llama import tiny_llama

from infra.adapters.catalog.labels import CatalogLabels
from infra.adapters.lora_settings import LoraSettings
from infra.service.open_service import service_of
from infra.settings import Settings
from infra.workbench import Workbench, open_workbench
from tasks.core.candidates import reference
from tasks.core.label_import import LabelChanges
from tasks.core.labels import Label
from tasks.core.prompts import default_prompt
from tasks.core.releases import RetrievalSettings
from tasks.datasets import Dataset, export_dataset
from tasks.releases import promote
from tasks.training import freeze_labels, render_rows, tuned_prompt
from tasks.training_runs import train_and_register

pytestmark = pytest.mark.long

PAGES = {f"saw-{n}.md": f"# Saw {n}\n\nThe blade of saw {n} is {n}0 millimetres wide.\n" for n in range(1, 5)}
TAUGHT = tuple(
    Label(
        f"t-{n}",
        f"How wide is the blade of saw {n}?",
        f"The blade of saw {n} is {n}0 millimetres wide.",
        (f"saw-{n}.md",),
        unanswerable=False,
        facts=(f"{n}0 millimetres",),
        split="train",
        state="accepted",
    )
    for n in range(1, 5)
)
Machine = Callable[[str], Workbench]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Opens the workbench of a machine by name, whose home is a folder of that name."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    (tmp_path / "docs").mkdir()
    for name, text in {"pump.md": "# Bilge pump\n\nIt moves 90 litres. It weighs 7 kg.\n", **PAGES}.items():
        (tmp_path / "docs" / name).write_text(text)
    base, opened = str(tiny_llama(tmp_path / "base")), []
    with s3_server() as s3:
        s3.client.create_bucket(Bucket="shared")

        def machine(name: str) -> Workbench:
            settings = Settings(
                home=tmp_path / name,
                database_url=f"sqlite:///{tmp_path / 'catalog.sqlite'}",
                artifacts_uri="s3://shared/ratchet",
                s3_endpoint_url=s3.url,
                base_model=base,
                lora=LoraSettings(rank=4, alpha=8, checkpoint_steps=2),
            )
            opened.append(open_workbench("default", settings))
            return opened[-1]

        yield machine
        for bench in opened:
            bench.close()


def test_what_one_machine_trains_and_promotes_another_serves(machine: Machine, tmp_path: Path) -> None:
    trainer = machine("trainer")
    ingest(trainer.documents, str(tmp_path / "docs"))
    snapshot = trainer.document_catalog.published("default")
    assert snapshot is not None
    CatalogLabels(trainer.engine).change("default", lambda _: LabelChanges(added=(*LABELS, *TAUGHT)))
    prompt = tuned_prompt(default_prompt())
    rows = render_rows(
        trainer.training, freeze_labels(trainer.training), reference(snapshot), prompt, RetrievalSettings(k=1)
    )
    made = train_and_register(trainer.training, rows).model
    release = judged(trainer, made.ref, said_by=made.ref, prompt=prompt)

    server = machine("server")
    ingest(server.documents, str(tmp_path / "docs"))  # its index is its own: filled from the catalog
    with running(service_of(server)) as address:
        asking = open_workbench("default", trainer.settings.model_copy(update={"service_url": address}))
        promotion = promote(asking.release_bench, release, golden_set=GOLDEN, who="ann")
        assert promotion is not None
        assert promotion.rehearsal is not None
        assert promotion.rehearsal.agreed == len(LABELS)
        shutil.rmtree(tmp_path / "trainer")  # the machine that trained is gone
        question = {"role": "user", "content": LABELS[0].question}
        said = httpx.post(f"{address}/v1/chat/completions", json={"model": "default", "messages": [question]})
    assert said.status_code == 200
    assert said.json()["ratchet"]["release"] == release
    assert made.ref.adapter is not None
    assert {path.name for path in (tmp_path / "server" / "artifacts").iterdir()} == {made.ref.adapter}

    auditor = machine("auditor")  # evidence, training rows and record are there for whoever comes later
    evaluation = auditor.evaluations.latest("default", release)
    assert evaluation is not None
    assert (auditor.artifacts.path(evaluation.id) / "verdict.json").is_file()
    lineage = auditor.trainings.models("default")[0].lineage
    assert lineage.dataset is not None
    assert lineage.dataset_artifact is not None
    assert lineage.record is not None
    kept = Dataset(lineage.dataset, lineage.dataset_artifact)
    assert export_dataset(auditor.artifacts, kept, tmp_path / "rows.jsonl") == len(rows.train) + len(rows.validation)
    assert (auditor.artifacts.path(lineage.record) / "manifest.json").is_file()
