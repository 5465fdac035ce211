"""The composition root: settings in, what one assistant's steps take out, each made when first used. No Prefect."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from infra.own_policy import with_own_policy
from infra.settings import Settings, load_settings
from infra.toolbox import Toolbox

if TYPE_CHECKING:
    from tasks.anchors import AnchorBench
    from tasks.answering import AnsweringBench
    from tasks.candidates import CandidateBench
    from tasks.comments import CommentBench
    from tasks.core.releases import ModelRef
    from tasks.core.taught_rows import OpinionMethod
    from tasks.documents import DocumentsBench
    from tasks.evaluation import EvaluationBench
    from tasks.hosted_training import HostedBench
    from tasks.labels import LabelBench
    from tasks.preferences import PreferenceBench
    from tasks.probes import ProbeBench
    from tasks.releases import ReleaseBench
    from tasks.retrieval import RetrievalBench
    from tasks.training import TrainingBench
    from tasks.training_choice import ChoiceBench
    from tasks.vacuum import VacuumBench


class Workbench(Toolbox):
    """The adapters of one assistant, and a bench for each of its steps. Making one opens nothing.

    A training's benches are made in `infra/training_benches.py`, an evaluation's in `infra/evaluation_bench.py`.
    """

    # ── documents and answers ────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def documents(self) -> DocumentsBench:
        """For tasks.documents and tasks.snapshots."""
        from infra.adapters.catalog.document_cache import CatalogDocumentCache
        from tasks.documents import DocumentsBench

        return DocumentsBench(
            assistant=self.assistant,
            catalog=self.document_catalog,
            cache=CatalogDocumentCache(self.engine),
            leases=self.leases,
            index=self.index,
            parser=self.parser,
            embedder=self.embedder,
            open_source=self.open_source,
            max_delete_fraction=self.settings.max_delete_fraction,
            lease_seconds=max(120.0, 2 * self.settings.parse_timeout_seconds),
        )

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

    # ── labels and training ──────────────────────────────────────────────────────────────────────────────────────────

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
    def comments(self) -> CommentBench:
        """For tasks.comments."""
        from infra.adapters.catalog.comments import CatalogComments
        from tasks.comments import CommentBench

        return CommentBench(self.assistant, CatalogComments(self.engine))

    def golden_set_id(self) -> str | None:
        """Today's golden set; None while there is none."""
        from tasks.core.labels import golden_set

        golden = golden_set(self.label_catalog.labels(self.assistant))
        return golden.id if golden else None

    @cached_property
    def training(self) -> TrainingBench:
        """For tasks.training."""
        from infra.training_benches import training_bench

        return training_bench(self)

    @cached_property
    def hosted(self) -> HostedBench:
        """For tasks.hosted_training. Raises BadSetting where no vendor is configured."""
        from infra.training_benches import hosted_bench

        return hosted_bench(self)

    def training_by(self, method: str, *, another: bool = False) -> TrainingBench:
        """`training`, or the same at the vendor. another: a new attempt where the last ended without a model."""
        from infra.training_benches import bench_at_the_vendor

        return bench_at_the_vendor(self, another=another) if method == "openai" else self.training

    def preferring(self, start: ModelRef, method: OpinionMethod = "dpo") -> PreferenceBench:
        """For tasks.preferences. start: the model to begin with. Raises BadSetting for one that is not of this base."""
        from infra.training_benches import preference_bench

        return preference_bench(self, start, method)

    def preferring_hosted(self, start: ModelRef, *, another: bool = False) -> PreferenceBench:
        """The same at the vendor. another: a new attempt where the last ended without a model."""
        from tasks.preferences import at_vendor

        return at_vendor(self.training, self.hosted, start, self.settings.hosted_beta, another=another)

    @cached_property
    def choice(self) -> ChoiceBench:
        """For tasks.training_choice."""
        from infra.training_benches import choice_bench

        return choice_bench(self)

    # ── releases ─────────────────────────────────────────────────────────────────────────────────────────────────────

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
            pattern=self.settings.pattern,
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
    def evaluation(self) -> EvaluationBench:
        """For tasks.evaluation. Raises BadSetting when the policy's judge could not be asked."""
        from infra.evaluation_bench import evaluation_bench

        return evaluation_bench(self)

    @cached_property
    def anchoring(self) -> AnchorBench:
        """For tasks.anchors."""
        from tasks.anchors import AnchorBench

        return AnchorBench(self.assistant, self.releases, self.evaluations, self.anchors)

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


def open_workbench(assistant: str, settings: Settings | None = None) -> Workbench:
    """The workbench of an assistant; without settings, by those in force and its own policy. Raises BadSetting."""
    return Workbench(assistant, settings or with_own_policy(load_settings(), assistant))
