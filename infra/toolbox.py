"""The adapters of one assistant: settings in, everything outside out, each opened when it is first used. No Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from infra.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.adapters.base_models import BaseModel
    from infra.adapters.catalog.anchors import CatalogAnchors
    from infra.adapters.catalog.documents import CatalogDocuments
    from infra.adapters.catalog.evaluations import CatalogEvaluations
    from infra.adapters.catalog.hosted_jobs import CatalogHostedJobs
    from infra.adapters.catalog.labels import CatalogLabels
    from infra.adapters.catalog.leases import CatalogLeases
    from infra.adapters.catalog.outbox import CatalogOutbox
    from infra.adapters.catalog.releases import CatalogReleases
    from infra.adapters.catalog.training import CatalogTrainings
    from infra.adapters.unstructured_parser import UnstructuredParser
    from tasks.core.document_catalog import RegisteredSource
    from tasks.core.ports import ArtifactStore, ChatModels, Embedder, Reranker, Source, VectorIndex
    from tasks.label_files import LabelFile


class Toolbox:
    """Everything outside that one assistant is kept current with. Making one opens nothing."""

    def __init__(self, assistant: str, settings: Settings) -> None:
        self.assistant = assistant
        self.settings = settings
        self._rerankers: dict[str, Reranker] = {}

    @property
    def home(self) -> Path:
        """Where state lives; absolute."""
        return self.settings.home.expanduser().resolve()

    # ── the catalog ──────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def engine(self) -> Engine:
        """The catalog's engine, at this version's schema."""
        from infra.adapters.catalog.database import engine_for
        from infra.adapters.catalog.migrate import migrate

        engine = engine_for(self.settings.catalog_url)
        migrate(engine)
        return engine

    @cached_property
    def leases(self) -> CatalogLeases:
        """Who is at work on what."""
        from infra.adapters.catalog.leases import CatalogLeases

        return CatalogLeases(self.engine)

    @cached_property
    def document_catalog(self) -> CatalogDocuments:
        """Sources, documents and snapshots."""
        from infra.adapters.catalog.documents import CatalogDocuments

        return CatalogDocuments(self.engine)

    @cached_property
    def label_catalog(self) -> CatalogLabels:
        """Labels and golden sets."""
        from infra.adapters.catalog.labels import CatalogLabels

        return CatalogLabels(self.engine)

    @cached_property
    def releases(self) -> CatalogReleases:
        """Releases, the current pointer and its history."""
        from infra.adapters.catalog.releases import CatalogReleases

        return CatalogReleases(self.engine)

    @cached_property
    def trainings(self) -> CatalogTrainings:
        """Trainings and models."""
        from infra.adapters.catalog.training import CatalogTrainings

        return CatalogTrainings(self.engine)

    @cached_property
    def hosted_jobs(self) -> CatalogHostedJobs:
        """A vendor's fine-tuning jobs."""
        from infra.adapters.catalog.hosted_jobs import CatalogHostedJobs

        return CatalogHostedJobs(self.engine)

    @cached_property
    def evaluations(self) -> CatalogEvaluations:
        """Verdicts."""
        from infra.adapters.catalog.evaluations import CatalogEvaluations

        return CatalogEvaluations(self.engine)

    @cached_property
    def anchors(self) -> CatalogAnchors:
        """The releases that later ones are measured against."""
        from infra.adapters.catalog.anchors import CatalogAnchors

        return CatalogAnchors(self.engine)

    @cached_property
    def outbox(self) -> CatalogOutbox:
        """What has to be told to others."""
        from infra.adapters.catalog.outbox import CatalogOutbox

        return CatalogOutbox(self.engine)

    # ── what is read ─────────────────────────────────────────────────────────────────────────────────────────────────

    def open_source(self, registered: RegisteredSource) -> Source:
        """Where a source's documents come from; nothing is fetched before its files are asked for."""
        from infra.adapters.open_source import open_source

        return open_source(
            registered.uri,
            include=registered.include,
            exclude=registered.exclude,
            cache_folder=self.home / "repositories",
            s3_endpoint_url=self.settings.s3_endpoint_url,
        )

    def label_files(self, place: str) -> Sequence[LabelFile]:
        """The label files at a path, in a folder, or on S3; nothing is read before one is opened."""
        from infra.adapters.label_places import label_files

        return label_files(place, s3_endpoint_url=self.settings.s3_endpoint_url)

    @cached_property
    def parser(self) -> UnstructuredParser:
        """Files to elements, in a child process that ends with this one, or at `close`."""
        from infra.adapters.unstructured_parser import UnstructuredParser

        return UnstructuredParser(
            timeout_seconds=self.settings.parse_timeout_seconds,
            memory_mib=self.settings.parse_memory_mib,
            max_document_mib=self.settings.max_document_mib,
            max_characters=self.settings.max_document_characters,
            processes=self.settings.parse_processes or None,
        )

    # ── stores ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def index(self) -> VectorIndex:
        """The vector index: Weaviate where one is named, else a file in home."""
        if self.settings.weaviate_url is None:
            from infra.adapters.embedded_index import EmbeddedIndex

            return EmbeddedIndex(self.home / "index.sqlite")
        from infra.adapters.weaviate_connection import WeaviateServer
        from infra.adapters.weaviate_index import WeaviateIndex

        where = WeaviateServer(
            self.settings.weaviate_url, self.settings.weaviate_grpc_port, self.settings.weaviate_api_key
        )
        return WeaviateIndex(where, self.document_catalog.identity())

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """Adapters and evidence, by the digest of what they hold: in a bucket where one is named, else in home."""
        from infra.adapters.open_artifacts import open_artifacts

        return open_artifacts(self.settings, self.home, lambda: self.document_catalog.identity())

    # ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def embedder(self) -> Embedder:
        """The packaged MiniLM, or the one that the settings name."""
        from infra.adapters.open_embedder import open_embedder

        return open_embedder(
            self.settings.embedder,
            threads=self.settings.torch_threads,
            openai_base_url=self.settings.openai_base_url,
            openai_api_key=self.settings.openai_api_key,
            dimensions=self.settings.embedding_dimensions,
            usd_per_million_tokens=self.settings.embedding_usd_per_million_tokens,
            tokenizer=self.settings.embedding_tokenizer,
            query_prompt=self.settings.embedding_query_prompt,
            passage_prompt=self.settings.embedding_passage_prompt,
        )

    def reranker(self, name: str) -> Reranker:
        """A cross-encoder by name or folder, loaded at first use and kept."""
        from infra.adapters.cross_encoder import CrossEncoderReranker

        if name not in self._rerankers:
            self._rerankers[name] = CrossEncoderReranker(name, threads=self.settings.torch_threads)
        return self._rerankers[name]

    @cached_property
    def base_model(self) -> BaseModel:
        """The configured base model; the packaged one is unpacked the first time."""
        from infra.adapters.base_models import find_base_model

        return find_base_model(self.settings.base_model, self.home)

    @cached_property
    def chat(self) -> ChatModels:
        """The base model and its adapters here, and hosted models where they are."""
        from infra.adapters.chat_by_kind import ChatByKind
        from infra.adapters.open_hosted import hosted_chat
        from infra.adapters.transformers_chat import TransformersChat

        def here() -> ChatModels:
            return TransformersChat(self.base_model, self.artifacts, threads=self.settings.torch_threads)

        return ChatByKind(here, lambda: hosted_chat(self.settings))

    def close(self) -> None:
        """Stops the parsing processes and closes the index's connection, where they were opened."""
        for name in ("parser", "index"):
            close = getattr(self.__dict__.get(name), "close", None)
            if close is not None:
                close()
