"""The report of a vacuum: what went and why, and whether retained releases find what they found, for people to read."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.core.probes import DriftReport, ReleaseDrift
from tasks.vacuum import VacuumReport


def render_vacuum(report: VacuumReport) -> str:
    """The whole report, as Markdown."""
    went = "would go" if report.is_plan else "went"
    lives, vectors = report.lives, report.vectors.count if report.vectors else 0
    lines = [
        f"# {len(report.retention.reclaim):,} snapshots {went}, {len(report.retention.keep):,} stay",
        f"{lives.documents:,} documents, {lives.chunks:,} chunks, {len(report.collections):,} collections, "
        f"{len(report.leftovers):,} folders and {vectors:,} cached vectors {went} ({report.bytes_freed:,} bytes of "
        "folders and vectors).\n",
        *(f"- {fate.reason}" for fate in report.retention.fates),
        *(f"- Collection {name} {went}." for name in report.collections),
        *(f"- The {one.kind} {one.name} {went}: {one.size_bytes:,} bytes." for one in report.leftovers),
        *(_probes(report.probes) if report.probes else ()),
    ]
    return "\n".join(lines) + "\n"


def _probes(drift: DriftReport) -> Iterator[str]:
    yield f"\n## Probes\n{drift.sentence}\n"
    yield "| release | snapshot | probes | identical | mean overlap | same best |"
    yield "|---|---|---|---|---|---|"
    for one in drift.releases:
        yield (
            f"| {one.release} | {one.snapshot} | {len(one.asked)} | {one.identical} | {one.mean_overlap:.1%} "
            f"| {one.same_best} |"
        )
    yield ""
    yield from (f"- Release {release} was not asked: {reason}" for release, reason in drift.unasked)
    for one in drift.releases:
        yield from _worst(one)


def _worst(drift: ReleaseDrift) -> Iterator[str]:
    for one in drift.worst:
        yield (
            f"- {drift.release}: “{one.probe.question}” found {', '.join(one.probe.expected) or 'nothing'}, "
            f"now {', '.join(one.found) or 'nothing'}."
        )
