"""The commands that need no flow: what stands where, answers, passages."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from textwrap import indent, shorten
from typing import TYPE_CHECKING, Any

from flows.terminal import Shown, minute, table
from tasks.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.adapters.prefect_last_runs import LastRuns
    from infra.workbench import Workbench
    from tasks.core.answers import AbstainedBecause, Answer, Passage
    from tasks.core.document_catalog import Quarantined
    from tasks.core.releases import ReleaseManifest
    from tasks.probes import LastCheck


NO_PREFECT = "PREFECT_API_URL is not set."
WHY_NONE: Mapping[AbstainedBecause, str] = {
    "model": "the model declined, having read what was found",
    "confidence": "nothing that was found fits the question well enough",
    "support": "what the model wrote is not in what was found, and is withheld",
    "no-passages": "nothing was found",
}
DEBT_SHOWN = 20  # lines of quarantine that still read well


def show_status(bench: Workbench) -> Shown:
    """Everything at a glance: from the catalog, and the last runs from Prefect where one is named and answers."""
    from flows.hosted_jobs import retirements
    from infra.adapters.catalog.happenings import last_happenings, last_published
    from infra.adapters.catalog.probes import CatalogProbes
    from tasks.labels import label_status
    from tasks.releases import candidate

    snapshot = bench.document_catalog.published(bench.assistant)
    standing = bench.releases.standing(bench.assistant)
    quarantined = bench.document_catalog.quarantined(bench.assistant)
    sources = bench.document_catalog.sources(bench.assistant)
    counts = label_status(bench.labels)
    waiting = candidate(bench.releases.releases(bench.assistant), bench.releases.history(bench.assistant))
    judged = bench.evaluations.latest(bench.assistant)
    probed = CatalogProbes(bench.engine).last_check(bench.assistant)
    anchor = bench.anchors.anchor(bench.assistant)
    last, retiring = last_happenings(bench.engine, bench.assistant), retirements(bench)
    published = last_published(bench.engine, bench.assistant)
    ran = _last_runs(bench.assistant)
    data: dict[str, Any] = {
        "assistant": bench.assistant,
        "release": standing.release,
        "unproven": standing.unproven,
        "snapshot": snapshot.number if snapshot else None,
        "documents": snapshot.documents if snapshot else 0,
        "chunks": snapshot.chunks if snapshot else 0,
        "quarantined": len(quarantined),
        "quarantine": [
            {"document": q.uri, "reason": q.reason, "tries": q.tries, "retry_at": _moment(q.retry_at)}
            for q in quarantined
        ],
        "sources": [{"name": s.name, "uri": s.uri, "include": s.include, "exclude": s.exclude} for s in sources],
        "labels": {"accepted": counts.accepted, "new": counts.new, "threshold": counts.threshold},
        "anchor": anchor,
        "candidate": waiting.id if waiting else None,
        "verdict": judged.verdict if judged else None,
        "probes": {
            "checked": probed.checked if probed else 0,
            "identical": probed.identical if probed else 0,
            "drifted": probed.checked - probed.identical if probed else 0,
        },
        "snapshot_at": published,
        "last": [{"at": one.at, "what": one.what, "outcome": one.outcome} for one in last],
        "runs": None if ran.unknown else [asdict(one) for one in ran.runs],
        "runs_unknown": ran.unknown,
        "retiring": [
            {"model": one.model, "stops": one.stops.isoformat(), "days_left": one.days_left} for one in retiring
        ],
    }
    served = standing.release
    if served is not None:
        from_snapshot = bench.releases.release(bench.assistant, served).manifest.snapshot.number
        served = f"{served} on snapshot {from_snapshot}{' (unproven)' if standing.unproven else ''}"
    lines = [
        f"assistant   {bench.assistant}",
        f"release     {served or 'none yet: ratchet ingest PATH'}",
        f"snapshot    {data['snapshot'] or 'none yet'}: {data['documents']:,} documents, {data['chunks']:,} chunks"
        + (f", published {_ago(published)}" if published else ""),
        f"labels      {counts.accepted:,} accepted, {counts.new:,} new of {counts.threshold:,} that start a training",
        f"anchor      {anchor or 'none: the first release that proves itself becomes it'}",
        f"candidate   {waiting.id if waiting else 'none'}",
        f"verdict     {data['verdict'] or 'none'}" + (f" on {judged.release}" if judged else ""),
        *(f"{'sources' if n == 0 else '':<11} {source.name}: {source.uri}" for n, source in enumerate(sources)),
        f"probes      {_probed(probed)}",
        *(f"{'retiring' if n == 0 else '':<11} {one.sentence}" for n, one in enumerate(retiring)),
        *(f"{'last' if n == 0 else '':<11} {minute(one.at)}  {one.what}: {one.outcome}" for n, one in enumerate(last)),
        *(f"{'runs' if n == 0 else '':<11} {line}" for n, line in enumerate(_ran(ran))),
        f"quarantine  {len(quarantined):,} documents",
        *(f"            {q.uri}: {q.reason}{_next_try(q)}" for q in quarantined[:DEBT_SHOWN]),
    ]
    if len(quarantined) > DEBT_SHOWN:
        lines.append(f"            and {len(quarantined) - DEBT_SHOWN:,} more: ratchet status --json")
    return Shown(data, "\n".join(lines))


def _last_runs(assistant: str) -> LastRuns:
    from infra.adapters.prefect_last_runs import LastRuns, last_runs
    from infra.adapters.prefect_runs import prefect_of

    prefect = prefect_of()
    return LastRuns(unknown=NO_PREFECT) if prefect is None else last_runs(prefect, assistant)


def _ran(last: LastRuns) -> list[str]:
    """A line per run, or why there is none; nothing to whoever uses no Prefect."""
    if last.unknown == NO_PREFECT:
        return []
    if last.unknown:
        return [f"not known: {last.unknown}"]
    lines = [f"{minute(one.at)}  {one.flow}: {one.state}  ({one.name})" for one in last.runs]
    return lines or ["none on this Prefect server"]


def _ago(at: str) -> str:
    """How long ago, in the largest unit that says something."""
    minutes = int((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds() // 60)
    for size, unit in ((1440, "days"), (60, "hours"), (1, "minutes")):
        if minutes >= 2 * size:
            return f"{minutes // size} {unit} ago"
    return "just now"


def _next_try(refused: Quarantined) -> str:
    when = _moment(refused.retry_at)
    return f" (tried {refused.tries} times, again after {when})" if when else ""


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _probed(last: LastCheck | None) -> str:
    if last is None:
        return "never asked again"
    return f"{last.identical:,} of {last.checked:,} found what they always found, {minute(last.at)}"


def show_releases(bench: Workbench) -> Shown:
    """Every release, newest first."""
    from tasks.releases import states

    rows, history = bench.releases.releases(bench.assistant), bench.releases.history(bench.assistant)
    reclaimed = bench.document_catalog.reclaimed(bench.assistant)
    words = states(rows, bench.releases.standing(bench.assistant), history, reclaimed)
    promoted = {p.release: p.at for p in history}
    listed = [
        {
            "release": row.id,
            "state": words[row.id],
            "snapshot": row.manifest.snapshot.number,
            "model": row.manifest.model.adapter or row.manifest.model.base,
            "pattern": row.manifest.pattern,
            "created": row.created_at,
            "promoted": promoted.get(row.id),
            "cause": row.cause,
        }
        for row in rows
    ]
    shown = [
        (r["release"], r["state"], r["snapshot"], str(r["model"])[:22], r["pattern"], str(r["promoted"] or "")[:19])
        for r in listed
    ]
    text = table(("release", "state", "snapshot", "model", "pattern", "promoted"), shown)
    return Shown({"releases": listed}, text if listed else "No releases yet. Start with `ratchet ingest PATH`.")


def show_answer(
    bench: Workbench, question: str, release: str | None, pattern: str | None, say: Callable[[str], None]
) -> Shown:
    """One answer, with what it cites and which release gave it. say: is told what there is to wait for."""
    from tasks.answering import answer_one
    from tasks.core.patterns import models_asked, require_learned

    if not question.strip():
        raise UsageError("The question is empty.")
    own = manifest_to_ask(bench, release)
    manifest = own
    if pattern is not None:
        manifest = own.model_copy(update={"pattern": pattern})
        require_learned(manifest.pattern, manifest.model)
    say("  opening the model …")
    for model in models_asked(manifest.pattern, manifest.model):
        bench.chat.open(model)  # it stays open for the answer
    say("  answering …")
    answer = answer_one(question, manifest, bench.answering)
    standing = bench.releases.standing(bench.assistant)
    unproven = standing.unproven and answer.release == standing.release
    proof = ", unproven: no golden set has judged it" if unproven else ""
    if manifest != own:  # a release of its own, that nobody has registered
        unproven, proof = True, f", that is {own.id} by the pattern {pattern}, which nobody has judged"
    return Shown(answer_as_json(answer) | {"unproven": unproven}, answer_as_text(answer, proof))


def answer_as_json(answer: Answer) -> dict[str, Any]:
    """The object of `ratchet ask --json`."""
    return {
        "answer": answer.text,
        "release": answer.release,
        "snapshot": answer.snapshot,
        "pattern": answer.pattern,
        "abstained": answer.abstained,
        "abstained_because": answer.abstained_because,
        "citations": [
            {"marker": c.marker, "document": c.document, "chunk": c.chunk, "quote": c.quote} for c in answer.citations
        ],
        "contexts": [_context(passage) for passage in answer.contexts],
    }


def answer_as_text(answer: Answer, proof: str = "") -> str:
    """The answer, its citations or why there is none, and the release it comes from. proof: what is said of that."""
    cited = [f"  [{c.marker}] {c.document}: “{c.quote}”" for c in answer.citations]
    if answer.abstained_because:
        cited = [f"  {WHY_NONE[answer.abstained_because]}", *map(_nearest, answer.contexts[:2])]
    return "\n".join([answer.text, *cited, f"  release {answer.release}, snapshot {answer.snapshot}{proof}"])


def _nearest(passage: Passage) -> str:
    return f"  found: {passage.document}: {shorten(passage.text, 100, placeholder=' …')}"


def show_search(
    bench: Workbench, text: str, k: int | None, documents: tuple[str, ...] = (), headings: tuple[str, ...] = ()
) -> Shown:
    """The passages of the current release's snapshot; before the first release, of the newest one."""
    from tasks.core.candidates import reference
    from tasks.core.passages import text_of
    from tasks.core.releases import RetrievalSettings
    from tasks.documents import published_snapshot
    from tasks.retrieval import for_one_search, retrieve

    if not text.strip():
        raise UsageError("There is nothing to search for.")
    standing = bench.releases.standing(bench.assistant)
    if standing.release is None:
        at = reference(published_snapshot(bench.documents))
        settings = bench.settings.retrieval or RetrievalSettings()
    else:
        manifest = bench.releases.release(bench.assistant, standing.release).manifest
        at, settings = manifest.snapshot, manifest.retrieval
    (hits,) = retrieve(bench.retrieval, at, [text], for_one_search(settings, k, documents, headings))
    contexts = [
        {
            "document": hit.chunk.document,
            "chunk": hit.chunk.id,
            "text": hit.chunk.text,
            "score": hit.score,
            "heading_path": list(hit.chunk.heading_path),
            "page": hit.chunk.page,
        }
        for hit in hits
    ]
    lines = [f"{hit.score:.4f}  {hit.chunk.document}\n{indent(text_of(hit), '        ')}" for hit in hits]
    return Shown({"snapshot": at.number, "contexts": contexts}, "\n".join(lines) or "Nothing was found.")


def manifest_to_ask(bench: Workbench, release: str | None) -> ReleaseManifest:
    """The release asked for, or the current one. Raises NotFound, saying what to do first."""
    from tasks.core.errors import NotFound
    from tasks.releases import refuse_reclaimed

    wanted = release or bench.releases.standing(bench.assistant).release
    if wanted is None:
        raise NotFound(f"Assistant {bench.assistant} has no release to ask yet. Start with `ratchet ingest PATH`.")
    manifest = bench.releases.release(bench.assistant, wanted).manifest
    refuse_reclaimed(bench.releases, bench.document_catalog, manifest)
    return manifest


def _context(passage: Passage) -> dict[str, Any]:
    return {"document": passage.document, "chunk": passage.chunk, "text": passage.text, "score": passage.score}
