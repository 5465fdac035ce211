"""Releases that passed their evaluation, with its evidence in the artifact store."""

from infra.workbench import Workbench
from tasks.answering import answer
from tasks.bundles import keep
from tasks.core.candidates import reference
from tasks.core.evidence import Evidence, bundle, case_of
from tasks.core.integrity import Integrity
from tasks.core.labels import Label
from tasks.core.policy import Policy
from tasks.core.prompts import default_prompt
from tasks.core.releases import Limits, ModelRef, PromptSpec, ReleaseManifest, RetrievalSettings
from tasks.core.verdict import Verdict
from tasks.evaluation import Evaluation

PROMPT = default_prompt()
GOLDEN = "g-1"
LABELS = tuple(
    Label(f"l-{n:016x}", question, said, ("pump.md",), False, (), "golden", "accepted")
    for n, (question, said) in enumerate(
        [("How much water does it move?", "90 litres."), ("What is it for?", "Bilges."), ("How heavy is it?", "7 kg.")]
    )
)


def judged(
    bench: Workbench, model: ModelRef, *, words: int = 12, said_by: ModelRef | None = None, prompt: PromptSpec = PROMPT
) -> str:
    """A release with a PROMOTE verdict on what `said_by`, or the base model, says."""
    snapshot = bench.document_catalog.published("default")
    assert snapshot is not None
    manifest = ReleaseManifest(
        assistant="default",
        snapshot=reference(snapshot),
        model=said_by or bench.chat.base(),
        prompt=prompt,
        retrieval=RetrievalSettings(k=1),
        pattern="rag",
        require_support=False,  # a random model supports nothing
        limits=Limits(max_new_tokens=words),
    )
    answers = tuple(answer([label.question for label in LABELS], manifest, bench.answering))
    manifest = manifest.model_copy(update={"model": model})
    evidence = Evidence(Policy(), manifest, None, LABELS, answers, (), Integrity(GOLDEN), {}, {})
    verdict = Verdict("PROMOTE", ())
    kept = keep(bundle(evidence, case_of(evidence), verdict, {"report.md": "It passed."}), bench.artifacts)
    release = bench.releases.register(manifest, "a test").id
    baseline = bench.releases.standing("default").release
    bench.evaluations.record(
        "default", Evaluation(kept, release, baseline, GOLDEN, "PROMOTE", len(LABELS), verdict.gates)
    )
    return release
