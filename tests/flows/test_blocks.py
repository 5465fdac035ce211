"""Blocks: what is set in a form is in force, secrets stay secret, and what was saved by older versions loads."""

import re
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.core import Block
from prefect.utilities.dispatch import register_type
from pydantic import Field, SecretStr

import blocks
from blocks import RatchetAssistant, RatchetGatePolicy, RatchetSources, RatchetWeaviate
from blocks.assistant import open_assistant
from blocks.chosen import SettingsBlock
from flows.reingest_docs import ReingestRequest, reingest_docs
from infra.settings import DocumentSource, Settings

ROOT = Path(__file__).parents[2]
OURS: list[type[Block]] = [getattr(blocks, name) for name in blocks.__all__]
PARTS = [block for block in OURS if issubclass(block, SettingsBlock)]

FLAT: dict[str, Any] = {  # as 0.1 saved it before parts were blocks of their own
    "assistant": "handbook",
    "home": "/srv/ratchet",
    "database_url": "sqlite:////srv/ratchet/other.sqlite",
    "weaviate": {"url": "http://w:8080", "grpc_port": 50052, "api_key": "k"},
    "embedder": "openai:text-embedding-3-small",
    "s3_endpoint_url": "http://s3:9000",
    "base_model": "/models/small",
    "max_delete_fraction": 0.5,
    "retrain_threshold": 7,
    "policy": {"floors": {"correct": 0.3}},
    "allow_unproven": False,
}
IN_FORCE: dict[str, Any] = {
    "home": Path("/srv/ratchet"),
    "database_url": SecretStr("sqlite:////srv/ratchet/other.sqlite"),
    "weaviate_url": "http://w:8080",
    "weaviate_grpc_port": 50052,
    "weaviate_api_key": SecretStr("k"),
    "embedder": "openai:text-embedding-3-small",
    "s3_endpoint_url": "http://s3:9000",
    "base_model": "/models/small",
    "max_delete_fraction": 0.5,
    "retrain_threshold": 7,
    "allow_unproven": False,
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def part_of(block: type[Block]) -> str:
    """The field of the assistant that holds it."""
    [name] = [n for n, field in RatchetAssistant.model_fields.items() if block.__name__ in str(field.annotation)]
    return name


def other_than(setting: str) -> Any:
    """A valid value of the setting that is not its default."""
    special: dict[str, Any] = {
        "sources": [{"path": "/srv/docs", "name": "docs"}],
        "label_sources": ["s3://labels/"],
        "weaviate_url": "http://w:8080",
        "home": "/srv/ratchet",
        "artifacts_uri": "s3://kept/artifacts",
    }
    *part, name = setting.split(".")
    model: Any = Settings.model_fields[part[0]].annotation if part else Settings
    default, kind = model.model_fields[name].default, str(model.model_fields[name].annotation)
    if setting in special:
        return special[setting]
    if "int" in kind:
        return 3 if default != 3 else 4
    return 0.05 if "float" in kind else "something-else"


@pytest.mark.parametrize("block", PARTS, ids=lambda b: b.__name__)
def test_every_field_of_a_part_is_a_setting_that_is_in_force_and_used(block: type[SettingsBlock]) -> None:
    fields = {name: block._sets.get(name, name) for name in block._own_fields()}
    chosen = {name: other_than(setting) for name, setting in fields.items()}
    assistant = RatchetAssistant.model_validate({"assistant": "handbook", part_of(block): chosen})
    settings, default = assistant.settings(), Settings()
    reading = "\n".join(
        file.read_text()
        for folder in ("infra", "flows")
        for file in (ROOT / folder).rglob("*.py")
        if file.name != "settings.py"
    )
    for setting in fields.values():
        is_at = attrgetter(setting)
        assert is_at(settings) != is_at(default), setting
        name = setting.rpartition(".")[2]
        assert re.search(rf"(settings|chosen)\.{name}\b", reading) or setting == "database_url", setting


@pytest.mark.parametrize("block", OURS, ids=lambda b: b.__name__)
def test_every_field_has_a_title_and_a_description_and_every_block_an_example_that_runs(block: type[Block]) -> None:
    for name, field in block.model_fields.items():
        if name in block.model_json_schema()["properties"]:
            shown = block.model_json_schema()["properties"][name]
            assert shown.get("title") or "$ref" in shown, name
            assert field.description or name in {"override", "judge", "resamples", "pace", "approval"}, name
    assert block.get_description()
    example = block.get_code_example()
    assert example is not None
    code = re.search(r"```python\n(.*?)```", example, re.S)
    assert code is not None
    saved: list[str] = []
    source = re.sub(r"await (.*)\.save\((.*)\)", r"saved.append((\1, \2)[1])", code[1])
    exec(source, {"saved": saved})
    assert saved


def test_a_secret_is_not_shown() -> None:
    secrets = {
        "stores": {"database_url": "pg-word"},
        "embedder": {"api_key": "e-word"},
        "hosted": {"api_key": "h-word"},
    }
    block = RatchetAssistant.model_validate(secrets)
    assert "word" not in repr(block) + repr(block.settings())
    for name in ("stores", "embedder", "hosted"):
        assert type(getattr(block, name)).model_json_schema()["secret_fields"]


def test_the_form_of_an_assistant_may_be_sent_empty() -> None:
    sent: dict[str, Any] = {name: {} for name in RatchetAssistant.model_fields} | {"assistant": "handbook"}
    sent |= {"max_delete_fraction": None, "allow_unproven": None}
    fields = {name: value for name, value in sent.items() if not name.startswith("_")}
    assert RatchetAssistant.model_validate(fields).settings() == Settings()


def test_an_assistant_that_was_saved_as_one_flat_form_loads_and_means_the_same() -> None:
    settings = RatchetAssistant.model_validate(FLAT).settings()
    assert {name: getattr(settings, name) for name in IN_FORCE} == IN_FORCE
    assert settings.policy.floors == {"correct": 0.3}


@pytest.mark.filterwarnings("ignore:Type '(Flat|Ratchet)Assistant' .* matches existing:UserWarning")
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.xdist_group("prefect")
async def test_a_flat_assistant_on_a_server_loads_with_its_nested_blocks_and_is_saved_in_the_new_shape() -> None:
    class FlatAssistant(Block):
        _block_type_name = "Ratchet assistant"
        _block_type_slug = "ratchet-assistant"

        assistant: str = Field(default="default")
        home: str | None = None
        database_url: SecretStr | None = None
        weaviate: RatchetWeaviate | None = None
        embedder: str | None = None
        s3_endpoint_url: str | None = None
        base_model: str | None = None
        max_delete_fraction: float | None = None
        retrain_threshold: int | None = None
        policy: RatchetGatePolicy | None = None
        allow_unproven: bool | None = None

    register_type(RatchetAssistant)  # the one of before is only written here
    server = RatchetWeaviate(url="http://w:8080", grpc_port=50052, api_key=SecretStr("k"))
    await server.save("flat-weaviate", overwrite=True)
    old = FlatAssistant.model_validate(FLAT | {"weaviate": server})
    await old.save("flat", overwrite=True)

    loaded = await RatchetAssistant.aload("flat", validate=False)
    assert {name: getattr(loaded.settings(), name) for name in IN_FORCE} == IN_FORCE
    await loaded.save("flat", overwrite=True)
    again = await RatchetAssistant.aload("flat")
    assert {name: getattr(again.settings(), name) for name in IN_FORCE} == IN_FORCE


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.xdist_group("prefect")
async def test_a_run_started_with_a_block_reads_its_sources_and_writes_to_its_stores(home: Path, docs: Path) -> None:
    elsewhere = home.parent / "elsewhere"
    sources = RatchetSources(sources=[DocumentSource(path=str(docs), exclude=("mast.*",))])
    await sources.save("handbook-docs", overwrite=True)
    assistant = RatchetAssistant.model_validate({"assistant": "handbook", "stores": {"home": str(elsewhere)}})
    assistant.sources = sources
    await assistant.save("with-sources", overwrite=True)

    report = await reingest_docs(ReingestRequest(assistant="handbook", block="with-sources"))
    assert report.documents["added"] == 2
    assert (elsewhere / "catalog.sqlite").exists()
    assert not (home / "catalog.sqlite").exists()

    more = docs.parent / "more"
    more.mkdir()
    (more / "winch.md").write_text("# Winch\n\nThe winch pulls 900 kilograms.\n")
    await RatchetSources(sources=[*sources.sources, DocumentSource(path=str(more))]).save(
        "handbook-docs", overwrite=True
    )
    again = await reingest_docs(ReingestRequest(assistant="handbook", block="with-sources"))
    assert (again.documents["added"], again.documents["deleted"]) == (1, 0)
    async with open_assistant("handbook", "with-sources") as bench:
        assert {source.name for source in bench.document_catalog.sources("handbook")} == {"docs", "more"}
