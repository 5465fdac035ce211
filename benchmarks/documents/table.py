"""The report of `run.py` as Markdown.

.venv/bin/python benchmarks/documents/table.py benchmarks/results/documents.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

Report = dict[str, Any]
Cell = Callable[[str, str], str]  # (tool, scenario) → what stands there

REFERENCE = "ratchet"
INSERTION = "a paragraph on top of long pages"


def markdown(report: Report) -> str:
    """Every table, with what it shows above it."""
    results, tools = report["results"], [tool for tool in report["tools"] if tool in report["results"]]
    options = report["options"]
    parts = [
        f"{options['files']:,} files, about {options['files'] * options['chunks_per_file']:,} chunks, "
        f"{'each splitter’s default overlap' if options['overlap'] else 'no overlap'}; {options['repeat']} × each; "
        f"{report['machine']}; {report['date']}.",
    ]
    if tools:
        parts += [
            "**Texts embedded** (“least”: what nobody can avoid)",
            _by_scenario(report, tools, lambda tool, name: f"{results[tool][name]['embedded']:,.0f}", _least(report)),
            f"Of the chunks of the {report['long_pages']} long pages, "
            + ", ".join(f"{tool} embedded {_share(results[tool]):.1%}" for tool in tools)
            + " again when a paragraph was put on top.",
            "**Rows written to the index** (put in, replaced or taken out)",
            _by_scenario(report, tools, lambda tool, name: f"{results[tool][name]['written']:,.0f}"),
            "**Seconds** from opening the stores to durable"
            + (f" (× the seconds of {REFERENCE})" if REFERENCE in results else ""),
            _by_scenario(report, tools, lambda tool, name: _seconds(results, tool, name)),
            "**The process, and what the index ends with**",
            _processes(results, tools),
        ]
    if report["watched"]:
        slow = f"{options['ms_per_text']:g} ms a text"
        parts += [f"**What a reader sees during a run** ({slow}; polled every 5 ms)", _readers(report["watched"])]
    parts += [f"{tool}: not run: {reason}" for tool, reason in report["not_run"].items()]
    return "\n\n".join(parts) + "\n"


def _by_scenario(report: Report, tools: Sequence[str], cell: Cell, least: Callable[[str], str] | None = None) -> str:
    head = ["", *tools, *(["least"] if least else [])]
    rows = (
        [name, *(cell(tool, name) for tool in tools), *([least(name)] if least else [])] for name in report["scenarios"]
    )
    return _table(head, rows)


def _least(report: Report) -> Callable[[str], str]:
    any_tool = next(iter(report["results"].values()))
    return lambda name: "" if any_tool[name]["least"] is None else f"{any_tool[name]['least']:,.0f}"


def _share(scenarios: Report) -> float:
    return float(scenarios[INSERTION]["embedded"] / max(1, scenarios["touch every file"]["rows_of_long_pages"]))


def _seconds(results: Report, tool: str, name: str) -> str:
    seconds = results[tool][name]["seconds"]
    if REFERENCE not in results:
        return f"{seconds:.2f}"
    return f"{seconds:.2f} ({seconds / results[REFERENCE][name]['seconds']:.1f}×)"


def _processes(results: Report, tools: Sequence[str]) -> str:
    def row(tool: str) -> list[str]:
        first, last = results[tool]["first run"], list(results[tool].values())[-1]
        starts = [result["start_seconds"] for result in results[tool].values()]
        return [
            tool,
            first["version"],
            f"{min(starts):.1f}",
            f"{first['peak_rss_mib']:,.0f}",
            f"{results[tool]['no change']['peak_rss_mib']:,.0f}",
            f"{last['rows']:,.0f}",
            f"{last['deleted_but_found']:.0f}",
            f"{last['there_but_not_found']:.0f}",
        ]

    head = [
        "",
        "version",
        "start, s",
        "peak MiB, first run",
        "peak MiB, no change",
        "rows at the end",
        "deleted files still found",
        "files not found",
    ]
    return _table(head, map(row, tools))


def _readers(watched: Report) -> str:
    head = [
        "",
        "run",
        "polls",
        "saw part of the corpus",
        "least part",
        "mixed old and new files",
        "files in both versions",
        "files in no version",
        "refused",
    ]
    return _table(head, [_reader(tool, name, runs[name]["reader"]) for tool, runs in watched.items() for name in runs])


def _reader(tool: str, name: str, saw: Report) -> list[str]:
    polls = max(1, saw["polls"])
    least = "" if saw["least_visible"] is None else f"{saw['least_visible']:.1%}"
    return [
        tool,
        name,
        f"{saw['polls']:,}",
        f"{saw['partial_polls'] / polls:.0%}",
        least,
        f"{saw['mixed_polls'] / polls:.0%}",
        str(saw["both"]),
        str(saw["neither"]),
        str(saw["failed_polls"]),
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text())))
