"""Settings: `RATCHET_*` environment variables, then `ratchet.toml` in the working directory, then these defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from infra.adapters.lora_settings import LoraSettings
from infra.adapters.preference_settings import PreferenceSettings
from tasks.core.errors import BadSetting
from tasks.core.policy import Policy
from tasks.core.releases import RetrievalSettings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


SHORTEST_SECRET = 16  # characters


class WebhookSecrets(BaseModel):
    """Secrets that webhooks are signed with, or show. Several, with spaces between, while one is exchanged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    github: SecretStr | None = Field(default=None, description="Signs pushes of GitHub, Gitea and Forgejo")
    gitlab: SecretStr | None = Field(default=None, description="GitLab's signing token (whsec_…) or secret token")
    eventbridge: SecretStr | None = Field(default=None, description="Shown by an API destination, in X-Ratchet-Token")
    generic: SecretStr | None = Field(default=None, description="Signs everything else, as of standardwebhooks.com")

    @field_validator("*")
    @classmethod
    def _is_a_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and any(len(one) < SHORTEST_SECRET for one in value.get_secret_value().split() or [""]):
            raise ValueError(
                f"a webhook secret has {SHORTEST_SECRET} characters or more; make one: openssl rand -hex 32"
            )
        return value

    def of(self, sender: str) -> tuple[str, ...]:
        """Every secret in force for a sender; none: nothing from there is taken."""
        value: SecretStr | None = getattr(self, sender)
        return () if value is None else tuple(value.get_secret_value().split())


class DocumentSource(BaseModel):
    """A place that documents come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(
        min_length=1,
        title="Path",
        description="Folder, s3://bucket/prefix, or git+repository@ref such as git+PATH@main",
    )
    name: str | None = Field(default=None, title="Name", description="Keeps its documents when the path changes")
    include: tuple[str, ...] | None = Field(
        default=None, title="Include", description="Globs of the paths to read, such as guides/**/*.md; default: all"
    )
    exclude: tuple[str, ...] | None = Field(
        default=None, title="Exclude", description="Globs of paths to leave out, whatever is included"
    )


class Settings(BaseSettings):
    """Everything that can be set. `RATCHET_HOME=/data ratchet status` sets `home`; an empty variable sets nothing."""

    model_config = SettingsConfigDict(
        env_prefix="RATCHET_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        toml_file="ratchet.toml",
        extra="forbid",
        frozen=True,
    )

    home: Path = Field(default=Path(".ratchet"), description="Where the catalog, index, artifacts and models live")
    database_url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL of the catalog; default: a file in home"
    )
    artifacts_uri: str | None = Field(
        default=None,
        pattern="^s3://.",
        description="s3://bucket/prefix of adapters, evidence and training rows, for several machines; default: home",
    )
    base_model: str = Field(
        default="smollm2-135m-instruct",
        description="The packaged SmolLM2, or any Hugging Face causal model by name or folder",
    )
    torch_threads: int = Field(default=0, ge=0, description="Threads for the chat model and training; 0: every core")

    weaviate_url: str | None = Field(
        default=None, description="Weaviate server, such as http://127.0.0.1:8080; none: the embedded index in home"
    )
    weaviate_grpc_port: int = Field(default=50051, ge=1, le=65535, description="Weaviate's gRPC port on the same host")
    weaviate_api_key: SecretStr | None = Field(default=None, description="Weaviate's API key; none: anonymous")

    embedder: str = Field(
        default="minilm",
        description="minilm (packaged), openai:MODEL, or a sentence-transformers model by name or folder; "
        "another one is a planned rebuild of the index",
    )
    openai_base_url: str | None = Field(default=None, description="Another server that speaks OpenAI's protocol")
    openai_api_key: SecretStr | None = Field(default=None, description="Its key; none: OPENAI_API_KEY")
    judge_api_key: SecretStr | None = Field(
        default=None, description="Key of the policy's judge; none: the key above, where it is the same server"
    )
    embedding_usd_per_million_tokens: float | None = Field(
        default=None, ge=0, description="What the embedder costs, where it is not a model whose price is known"
    )
    embedding_dimensions: int | None = Field(
        default=None, ge=1, description="Shorter vectors, where an OpenAI model offers them"
    )
    embedding_tokenizer: Path | None = Field(
        default=None, description="tokenizer.json of an OpenAI embedder: counts tokens, and so cost, exactly"
    )
    embedding_query_prompt: str | None = Field(
        default=None, description="What a sentence-transformers model wants before a question, such as `query: `"
    )
    embedding_passage_prompt: str | None = Field(default=None, description="And before a passage")
    retrieval: RetrievalSettings | None = Field(
        default=None, description="How new releases find passages; none: as the release being served does"
    )
    pattern: Literal["sequential", "tuned", "parallel", "routed"] | None = Field(
        default=None, description="How new releases of a tuned model answer; none: as the release being served does"
    )
    s3_endpoint_url: str | None = Field(default=None, description="An S3-compatible store instead of AWS")
    sources: tuple[DocumentSource, ...] = Field(
        default=(), description="Where documents come from, read by every run that names no path"
    )

    max_delete_fraction: float = Field(
        default=0.2, ge=0, le=1, description="A run that would delete more of the documents than this stops"
    )
    parse_timeout_seconds: float = Field(default=60, gt=0, description="Wall-clock limit for parsing one document")
    parse_processes: int = Field(default=0, ge=0, le=64, description="Parsing processes; 0: one per core, at most 4")
    parse_memory_mib: int = Field(default=2048, ge=256, description="Address-space growth one parsing process may take")
    max_document_mib: float = Field(default=32, gt=0, description="A larger file is quarantined without being read")
    max_document_characters: int = Field(
        default=4_000_000,
        gt=0,
        description="A longer document is quarantined: this is about 4,000 chunks, which MiniLM embeds in 5 minutes",
    )

    fan_out: Literal["none", "threads", "dask", "ray"] = Field(
        default="threads",
        description="Who parses and embeds the portions of a large run: this process, or the workers of Dask or Ray",
    )
    fan_out_address: str | None = Field(
        default=None, description="Scheduler of a running Dask or Ray cluster; none: one is started on this machine"
    )
    fan_out_workers: int = Field(
        default=0, ge=0, le=256, description="Threads, or workers of a cluster that is started; 0: one per core"
    )
    fan_out_documents: int = Field(
        default=200, ge=1, description="Documents a portion, texts by eight times as many; no more are not divided"
    )

    retrain_threshold: int = Field(default=100, ge=1, description="New accepted training labels that start a training")
    training_python: str | None = Field(
        default=None, description="Interpreter of the training process, with Ratchet installed; none: this one"
    )
    replay_fraction: float | None = Field(
        default=None, ge=0, lt=1, description="Train on new labels and this share of older ones; none: on every label"
    )
    closed_book_fraction: float = Field(
        default=0, ge=0, lt=1, description="Share of training rows that ask without passages, for the pattern tuned"
    )
    lora: LoraSettings = Field(default_factory=LoraSettings, description="How an adapter is trained here")
    preferences: PreferenceSettings = Field(
        default_factory=PreferenceSettings,
        description="How an adapter learns preferences and ratings here, by DPO and KTO",
    )
    hosted_base_model: str | None = Field(
        default=None, description="What is tuned at a vendor, such as gpt-4.1-mini-2025-04-14; none: nothing is"
    )
    hosted_base_url: str | None = Field(default=None, description="Another server that fine-tunes by OpenAI's protocol")
    hosted_api_key: SecretStr | None = Field(default=None, description="Its key; none: the key of OpenAI, at OpenAI")
    hosted_budget_usd: float | None = Field(
        default=None, ge=0, description="What one assistant's hosted trainings may cost in 30 days, at most"
    )
    hosted_usd_per_million_tokens: float | None = Field(
        default=None,
        ge=0,
        description="What training costs; none: OpenAI's list price, as it was when it was written down here",
    )
    hosted_tokenizer: Path | None = Field(
        default=None, description="tokenizer.json of the hosted model: counts tokens, and so cost, exactly"
    )
    hosted_epochs: int = Field(default=3, ge=1, le=50, description="Passes over the examples, each of them paid for")
    hosted_beta: float | None = Field(
        default=None,
        gt=0,
        le=2,
        description="How strongly a model is held to what it was by DPO at a vendor; none: as the vendor sets it",
    )
    hosted_poll_seconds: float = Field(default=60, gt=0, description="Longest time between two looks at a job")
    hosted_settle_seconds: float = Field(
        default=180, ge=90, description="A job that is not listed this long after it was asked for does not exist"
    )
    hosted_wait_hours: float = Field(default=24, gt=0, description="How long one run waits for a job that goes on")
    hosted_webhook_secret: SecretStr | None = Field(
        default=None, description="Signs the vendor's webhooks (whsec_…); they only shorten the wait"
    )
    train_here_seconds: float = Field(
        default=3600, gt=0, description="Method auto goes to the vendor when LoRA here would take longer"
    )
    answer_here_seconds: float | None = Field(
        default=None, gt=0, description="Method auto goes to the vendor when an answer here takes longer; none: never"
    )

    retrain_max_age_days: float | None = Field(
        default=None, gt=0, description="Train on fewer new labels once one has waited so long; none: never"
    )
    retrain_min_interval_hours: float = Field(
        default=0, ge=0, description="Train no sooner than this after a training that succeeded"
    )
    max_share_per_contributor: float = Field(
        default=1,
        gt=0,
        le=1,
        description="Most that one contributor may give of accepted labels, and of what DPO and KTO learn",
    )
    label_sources: tuple[str, ...] = Field(
        default=(), description="Label files, folders of them, s3://bucket/key or prefix/, that collect-labels imports"
    )
    golden_fraction: float = Field(default=0.3, ge=0, lt=1, description="Share of label clusters reserved as golden")
    validation_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="Share of clusters used to choose and calibrate"
    )

    keep_releases: int = Field(
        default=5, ge=1, description="Releases a rollback can return to, and candidates that wait, whose documents stay"
    )
    vacuum_grace_hours: float = Field(
        default=24, ge=0, description="Artifacts and training folders younger than this are never vacuumed"
    )

    turn_wait_seconds: float = Field(
        default=1800,
        ge=0,
        description="How long a deployment's run waits while another run of its assistant builds; 0: it fails at once",
    )
    work_pools: Literal["process", "kubernetes"] = Field(
        default="process", description="How `ratchet deploy` has runs done: by workers themselves, or each in a job"
    )
    run_command: str | None = Field(
        default=None,
        description="What a worker starts for a run, such as `python -m prefect.engine` with a `python` on its path; "
        "default: Prefect's way, which starts another interpreter first to look for a workspace",
    )

    policy: Policy = Field(default_factory=Policy, description="What a release must prove")
    allow_unproven: bool = Field(default=True, description="Serve snapshots before a golden set exists, and say so")
    service_url: str | None = Field(
        default=None,
        description="Running answer services, comma-separated, that must answer a release before it becomes current; "
        "none: a process is started for that",
    )
    service_host: str = "127.0.0.1"
    service_port: int = Field(default=8321, ge=0, le=65535)
    api_key: SecretStr | None = Field(default=None, description="Bearer key of the answer service; none: open")
    remembered_responses: int = Field(
        default=10_000, ge=0, description="Latest answers, questions included, that feedback can be given on; 0: none"
    )

    webhook_secrets: WebhookSecrets = Field(
        default_factory=WebhookSecrets, description="Without one for it, a sender's webhooks are refused"
    )
    webhook_sns_topics: tuple[str, ...] = Field(
        default=(), description="ARNs of the SNS topics whose notifications about S3 are taken; others are refused"
    )
    webhook_host: str = "127.0.0.1"
    webhook_port: int = Field(default=8322, ge=0, le=65535)
    webhook_max_body_mib: float = Field(
        default=25, gt=0, le=256, description="A larger webhook is refused; GitHub sends up to 25 MB"
    )
    webhook_debounce_seconds: float = Field(
        default=0.5, ge=0, le=60, description="Changes that follow each other this closely are told as one"
    )
    webhook_memory_days: float = Field(
        default=7, ge=1, le=90, description="How long deliveries are remembered; older ones are refused"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def catalog_url(self) -> str:
        """The catalog's SQLAlchemy URL."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home.resolve() / 'catalog.sqlite'}"


NOT_SETTINGS = ("RATCHET_TEST_", "RATCHET_WEAVIATE_BINARY")  # variables of the same prefix that are read elsewhere


def load_settings(**overrides: object) -> Settings:
    """The settings in force. Raises BadSetting naming each wrong one, and variables that are none."""
    _refuse_unknown(os.environ)
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = "; ".join(map(_said, error.errors())).removesuffix(".")
        raise BadSetting(f"Settings are wrong: {lines}. Check RATCHET_* variables and ratchet.toml.") from error
    except SettingsError as error:
        raise BadSetting(f"Settings are wrong: {error}. A variable for a list or a table holds JSON.") from error
    except TOMLDecodeError as error:
        raise BadSetting(f"ratchet.toml cannot be read: {error}.") from error


def _said(wrong: ErrorDetails) -> str:
    name = ".".join(map(str, wrong["loc"]))
    if wrong["type"] != "extra_forbidden":
        return f"{name}: {wrong['msg']}"
    schema = Settings.model_json_schema()
    known = {field for part in (schema, *schema["$defs"].values()) for field in part.get("properties", ())}
    near = get_close_matches(str(wrong["loc"][-1]), sorted(known), n=1)
    return f"{name} is no setting{f' (did you mean {near[0]}?)' if near else ''}"


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    """A misspelt variable would be ignored without a word: the index in a file instead of on the server."""
    known = Settings.model_fields.keys()
    ours = (name for name in environ if name.upper().startswith("RATCHET_") and not name.startswith(NOT_SETTINGS))
    unknown = sorted(name for name in ours if name.upper()[len("RATCHET_") :].lower().split("__")[0] not in known)
    if unknown:
        raise BadSetting(f"There is no setting {', '.join(unknown)}. infra/settings.py lists those there are.")
