"""The composition root: settings in, one assistant's adapters out, each opened when it is first used. No Prefect."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from infra.own_policy import with_own_policy
from infra.settings import Settings, load_settings
from tasks.core.ports import Progress

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.adapters.base_models import BaseModel
    from infra.adapters.catalog.anchors import CatalogAnchors
    from infra.adapters.catalog.documents import CatalogDocuments
    from infra.adapters.catalog.evaluations import CatalogEvaluations
    from infra.adapters.catalog.hosted_jobs import CatalogHostedJobs
    from infra.adapters.catalog.labels import CatalogLabels
    from infra.adapters.catalog.outbox import CatalogOutbox
    from infra.adapters.catalog.releases import CatalogReleases
    from infra.adapters.catalog.training import CatalogTrainings
    from infra.adapters.unstructured_parser import UnstructuredParser
    from tasks.anchors import AnchorBench
    from tasks.answering import AnsweringBench
    from tasks.candidates import CandidateBench
    from tasks.core.answers import Answer
    from tasks.core.document_catalog import RegisteredSource
    from tasks.core.labels import Label
    from tasks.core.pace import Blessing, Rehearsal
    from tasks.core.ports import ArtifactStore, ChatModels, Embedder, Reranker, Source, VectorIndex
    from tasks.core.releases import ModelRef, ReleaseManifest
    from tasks.core.taught_rows import OpinionMethod
    from tasks.documents import DocumentsBench
    from tasks.evaluation import EvaluationBench, Judge
    from tasks.hosted_training import HostedBench
    from tasks.label_files import LabelFile
    from tasks.labels import LabelBench
    from tasks.preferences import PreferenceBench
    from tasks.probes import ProbeBench
    from tasks.releases import ReleaseBench
    from tasks.retrieval import RetrievalBench
    from tasks.training import TrainingBench
    from tasks.training_choice import ChoiceBench
    from tasks.vacuum import VacuumBench

_shown: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def showing(progress: Progress) -> Iterator[None]:
    """Work that is begun inside reports how far it is to `progress`."""
    token = _shown.set(progress)
    try:
        yield
    finally:
        _shown.reset(token)


def shown_progress() -> Progress | None:
    """Whom to tell how far the work is."""
    return _shown.get()


class Workbench:
    """Everything one assistant is kept current with. Making one opens nothing; every adapter opens at first use."""

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

    # ── stores and models ────────────────────────────────────────────────────────────────────────────────────────────

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

    # ── what the steps take ──────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def documents(self) -> DocumentsBench:
        """For tasks.documents and tasks.snapshots."""
        from infra.adapters.catalog.document_cache import CatalogDocumentCache
        from infra.adapters.catalog.leases import CatalogLeases
        from tasks.documents import DocumentsBench

        return DocumentsBench(
            assistant=self.assistant,
            catalog=self.document_catalog,
            cache=CatalogDocumentCache(self.engine),
            leases=CatalogLeases(self.engine),
            index=self.index,
            parser=self.parser,
            embedder=self.embedder,
            open_source=self.open_source,
            max_delete_fraction=self.settings.max_delete_fraction,
            lease_seconds=max(120.0, 2 * self.settings.parse_timeout_seconds),
        )

    @cached_property
    def training(self) -> TrainingBench:
        """For tasks.training."""
        from infra.adapters.lora_trainer import LoraTrainer
        from infra.adapters.training_process import ChildFitting
        from tasks.core.retraining import RetrainTiming
        from tasks.core.training_rows import RowSettings
        from tasks.training import TrainingBench

        trainer = LoraTrainer(
            self.base_model,
            self.artifacts,
            self.settings.lora,
            threads=self.settings.torch_threads,
            fitting=ChildFitting(self.settings.training_python),
        )
        return TrainingBench(
            assistant=self.assistant,
            labels=self.label_catalog,
            trainings=self.trainings,
            retrieval=self.retrieval,
            trainer=trainer,
            workdir=self.home / "trainings",
            threshold=self.settings.retrain_threshold,
            timing=RetrainTiming(
                min_interval_hours=self.settings.retrain_min_interval_hours,
                max_age_days=self.settings.retrain_max_age_days,
            ),
            rows=RowSettings(closed_book_fraction=self.settings.closed_book_fraction),
            replay_fraction=self.settings.replay_fraction,
            artifacts=self.artifacts,
        )

    @cached_property
    def hosted(self) -> HostedBench:
        """For tasks.hosted_training. Raises BadSetting where no vendor is configured."""
        from infra.adapters.open_hosted import hosted_bench

        def golden() -> list[str]:
            return [x.asked for x in self.label_catalog.labels(self.assistant) if x.split == "golden"]

        return hosted_bench(self.settings, self.engine, assistant=self.assistant, golden=golden)

    def preferring(self, start: ModelRef, method: OpinionMethod = "dpo") -> PreferenceBench:
        """For tasks.preferences. start: the model to begin with. Raises BadSetting for one that is not of this base."""
        from infra.adapters.preference_trainer import PreferenceTrainer
        from infra.adapters.training_process import ChildPreferenceFitting
        from tasks.core.errors import BadSetting
        from tasks.preferences import PreferenceBench

        if start.kind == "hosted" or start.base_digest != self.base_model.digest:
            raise BadSetting(
                f"Preferences are learned here by the base model {self.base_model.name} or an adapter on it, and "
                f"{start.base} is served. Train one first (`ratchet train --method lora`), or set RATCHET_BASE_MODEL."
            )
        trainer = PreferenceTrainer(
            self.base_model,
            self.artifacts,
            start.adapter,
            self.settings.preferences,
            self.settings.lora,
            method=method,
            threads=self.settings.torch_threads,
            fitting=ChildPreferenceFitting(self.settings.training_python),
        )
        return PreferenceBench(self.training, trainer, start.adapter, method)

    def preferring_hosted(self, start: ModelRef, *, another: bool = False) -> PreferenceBench:
        """The same at the vendor. another: a new attempt where the last ended without a model."""
        from tasks.preferences import at_vendor

        return at_vendor(self.training, self.hosted, start, self.settings.hosted_beta, another=another)

    def training_by(self, method: str, *, another: bool = False) -> TrainingBench:
        """`training`, or the same at the vendor. another: a new attempt where the last ended without a model."""
        from tasks.hosted_trainer import HostedTrainer

        hosted = method == "openai"
        return replace(self.training, trainer=HostedTrainer(self.hosted, another)) if hosted else self.training

    @cached_property
    def choice(self) -> ChoiceBench:
        """For tasks.training_choice."""
        from tasks.core.training_method import MethodLimits
        from tasks.training_choice import ChoiceBench

        return ChoiceBench(
            open_hosted=lambda: self.hosted if self.settings.hosted_base_model else None,
            models=lambda: self.trainings.models(self.assistant),
            answered=self._answered,
            limits=MethodLimits(self.settings.train_here_seconds, self.settings.answer_here_seconds),
            now=time.time,
        )

    def _answered(self) -> list[tuple[str, Blessing]]:
        kinds = {row.id: row.manifest.model.kind for row in self.releases.releases(self.assistant)}
        newest_first = self.releases.history(self.assistant)[::-1]
        return [(kinds[one.release], one.rehearsal) for one in newest_first if one.rehearsal is not None]

    @cached_property
    def labels(self) -> LabelBench:
        """For tasks.labels."""
        from tasks.core.label_splits import SplitPolicy
        from tasks.labels import LabelBench

        policy = SplitPolicy(
            golden_fraction=self.settings.golden_fraction,
            validation_fraction=self.settings.validation_fraction,
            max_share_per_contributor=self.settings.max_share_per_contributor,
        )
        return LabelBench(self.assistant, self.label_catalog, policy, self.settings.retrain_threshold)

    @cached_property
    def outbox(self) -> CatalogOutbox:
        """What has to be told to others."""
        from infra.adapters.catalog.outbox import CatalogOutbox

        return CatalogOutbox(self.engine)

    def label_files(self, place: str) -> Sequence[LabelFile]:
        """The label files at a path, in a folder, or on S3; nothing is read before one is opened."""
        from infra.adapters.label_places import label_files

        return label_files(place, s3_endpoint_url=self.settings.s3_endpoint_url)

    @cached_property
    def retrieval(self) -> RetrievalBench:
        """For tasks.retrieval."""
        from tasks.retrieval import RetrievalBench

        return RetrievalBench(self.assistant, self.index, self.document_catalog, self.embedder, self.reranker)

    @cached_property
    def answering(self) -> AnsweringBench:
        """For tasks.answering."""
        from infra.adapters.catalog.completions import CatalogCompletions
        from tasks.answering import AnsweringBench

        return AnsweringBench(self.retrieval, self.chat, CatalogCompletions(self.engine))

    @cached_property
    def candidates(self) -> CandidateBench:
        """For tasks.candidates."""
        from tasks.candidates import CandidateBench

        return CandidateBench(
            assistant=self.assistant,
            documents=self.document_catalog,
            releases=self.releases,
            labels=self.label_catalog,
            retrieval=self.retrieval,
            chat=self.chat,
            wished=self.settings.retrieval,
        )

    @cached_property
    def release_bench(self) -> ReleaseBench:
        """For tasks.releases."""
        from infra.adapters.answering_process import open_processes
        from tasks.releases import ReleaseBench

        return ReleaseBench(
            assistant=self.assistant,
            releases=self.releases,
            judgements=self.evaluations,
            documents=self.document_catalog,
            index=self.index,
            open_chat=lambda: self.chat,
            policy=self.settings.policy,
            artifacts=self.artifacts,
            open_processes=lambda: open_processes(self.settings),
        )

    @cached_property
    def anchoring(self) -> AnchorBench:
        """For tasks.anchors."""
        from tasks.anchors import AnchorBench

        return AnchorBench(self.assistant, self.releases, self.evaluations, self.anchors)

    @cached_property
    def evaluation(self) -> EvaluationBench:
        """For tasks.evaluation. Raises BadSetting when the policy's judge could not be asked."""
        from tasks.evaluation import EvaluationBench
        from tasks.releases import check_bundle

        return EvaluationBench(
            assistant=self.assistant,
            policy=self.settings.policy,
            ask=self._ask,
            check=lambda manifest: check_bundle(self.release_bench, manifest),
            labels=self.label_catalog,
            training=self.trainings,
            documents=self.document_catalog,
            artifacts=self.artifacts,
            log=self.evaluations,
            anchor=self._anchor,
            rehearse=self._rehearse,
            judge=self._judge(),
        )

    @cached_property
    def probes(self) -> ProbeBench:
        """For tasks.probes."""
        from infra.adapters.catalog.probes import CatalogProbes
        from tasks.probes import ProbeBench

        return ProbeBench(
            assistant=self.assistant,
            releases=self.releases,
            documents=self.document_catalog,
            labels=self.label_catalog,
            probes=CatalogProbes(self.engine),
            retrieval=self.retrieval,
            anchors=self.anchors,
            keep_releases=self.settings.keep_releases,
        )

    @cached_property
    def vacuum(self) -> VacuumBench:
        """For tasks.vacuum."""
        from infra.adapters.catalog.retention import CatalogRetention
        from infra.adapters.open_artifacts import open_leftovers
        from tasks.vacuum import VacuumBench

        return VacuumBench(
            documents=self.documents,
            releases=self.releases,
            retention=CatalogRetention(self.engine),
            leftovers=open_leftovers(self.settings, self.home, self.document_catalog.identity),
            anchors=self.anchors,
            keep_releases=self.settings.keep_releases,
        )

    def _ask(
        self, questions: Sequence[str], manifest: ReleaseManifest, *, progress: Progress | None = None
    ) -> list[Answer]:
        from tasks.answering import answer

        return answer(questions, manifest, self.answering, progress)

    def _anchor(self) -> ReleaseManifest | None:
        release = self.anchors.anchor(self.assistant)
        return self.releases.release(self.assistant, release).manifest if release else None

    def _rehearse(
        self,
        labels: Sequence[Label],
        candidate: ReleaseManifest,
        baseline: ReleaseManifest | None,
        progress: Progress | None = None,
    ) -> Rehearsal:
        from tasks.answering import AnsweringBench, answer_one
        from tasks.rehearsal import RehearsalBench, rehearse

        alone = AnsweringBench(self.retrieval, self.chat, completions=None)
        bench = RehearsalBench(lambda question, manifest: answer_one(question, manifest, alone), time.perf_counter)
        return rehearse(bench, labels, candidate, baseline, progress)

    def _judge(self) -> Judge | None:
        from infra.adapters.open_judge import open_judge

        policy = self.settings.policy
        return open_judge(self.settings, policy, self.engine, assistant=self.assistant, progress=shown_progress())

    def golden_set_id(self) -> str | None:
        """Today's golden set; None while there is none."""
        from tasks.core.labels import golden_set

        golden = golden_set(self.label_catalog.labels(self.assistant))
        return golden.id if golden else None

    def close(self) -> None:
        """Stops the parsing processes and closes the index's connection, where they were opened."""
        for name in ("parser", "index"):
            close = getattr(self.__dict__.get(name), "close", None)
            if close is not None:
                close()


def open_workbench(assistant: str, settings: Settings | None = None) -> Workbench:
    """The workbench of an assistant; without settings, by those in force and its own policy. Raises BadSetting."""
    return Workbench(assistant, settings or with_own_policy(load_settings(), assistant))
