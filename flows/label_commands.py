"""Labels as commands: what an import did, where labels stand, what waits for a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.nudging import nudge_now
from flows.terminal import FAILED, Shown
from tasks.core.label_splits import too_few_golden, waits_for_split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.workbench import Workbench
    from tasks.core.comments import Comment
    from tasks.core.labels import Label
    from tasks.core.opinions import Opinion
    from tasks.labels import ImportReport

REMOTE = "s3://"
SHOWN_PAGES = 5  # of those that a file names and no source has
COMMENT = "f-"  # what comments are called


def show_label_import(bench: Workbench, place: str) -> Shown:
    """What an import did, line by line where a line was refused."""
    from tasks.labels import import_labels

    path = Path(place).expanduser()
    if not (place.startswith(REMOTE) or path.is_dir()):
        return _imported(bench, [(place, import_labels(bench.labels, path))])
    return _imported(bench, _import_all(bench, place))


def _import_all(bench: Workbench, place: str) -> list[tuple[str, ImportReport]]:
    from tasks.core.errors import SourceMissing
    from tasks.labels import import_stream

    reports = []
    for file in bench.label_files(place):
        with file.open() as stream:
            reports.append((file.name, import_stream(bench.labels, stream, file.name)))
    if not reports:
        raise SourceMissing(f"There is no .jsonl file in {place}.", path=place)
    return reports


def _imported(bench: Workbench, reports: list[tuple[str, ImportReport]]) -> Shown:
    """Of one file, its report; of several, the sums, and each refused line with its file."""
    data = _as_one(reports)
    errors = data["errors"]
    lines = [
        f"{data['accepted']:,} accepted, {data['pending']:,} pending, {data['duplicates']:,} duplicates, "
        f"{len(errors):,} refused",
        *(
            f"  {error['file'] + ' ' if 'file' in error else ''}line {error['line']}: {error['reason']}"
            for error in errors
        ),
        f"golden {data['golden']:,}, validation {data['validation']:,}, train {data['train']:,}; "
        f"{data['new']:,} new of the {data['threshold']:,} that start a training",
    ]
    if unknown := data["unknown_pages"]:
        more = f" and {len(unknown) - SHOWN_PAGES:,} more" if len(unknown) > SHOWN_PAGES else ""
        lines.append(f"In no source so far, so nothing is learned about it: {', '.join(unknown[:SHOWN_PAGES])}{more}")
    lines += filter(None, [waits_for_split(data["unassigned"]), _too_few_golden(bench, data["golden"])])
    if data["pending"]:
        lines.append("See what waits for a decision: ratchet labels review")
    nudge_now(bench)
    nothing_usable = bool(errors) and not (data["accepted"] or data["pending"] or data["duplicates"])
    return Shown(data, "\n".join(lines), FAILED if nothing_usable else 0)


def _too_few_golden(bench: Workbench, golden: int) -> str:
    return too_few_golden(golden, bench.settings.policy.minimum_questions)


def _as_one(reports: list[tuple[str, ImportReport]]) -> dict[str, Any]:
    found: list[dict[str, Any]] = [report.as_json() for _, report in reports]
    if len(found) == 1:
        return found[0]
    sums = {name: sum(one[name] for one in found) for name in ("accepted", "pending", "duplicates")}
    errors = [{"file": name, **error} for (name, _), one in zip(reports, found, strict=True) for error in one["errors"]]
    pages = sorted({page for one in found for page in one["unknown_pages"]})
    return found[-1] | sums | {"errors": errors, "unknown_pages": pages}


def show_label_status(bench: Workbench) -> Shown:
    """Counts by state and split."""
    from dataclasses import asdict

    from tasks.labels import label_status

    counts = asdict(label_status(bench.labels))
    lines = [f"{name:<16} {count:,}" for name, count in counts.items()]
    notes = [waits_for_split(counts["unassigned"]), _too_few_golden(bench, counts["golden"])]
    return Shown(counts, "\n".join([*lines, *filter(None, notes)]))


def show_label_review(bench: Workbench, accept: tuple[str, ...], reject: tuple[str, ...]) -> Shown:
    """Decides on some, then lists what is still pending, each with the comments on its answer."""
    from tasks.comments import all_comments
    from tasks.core.comments import by_item, on_their_own
    from tasks.labels import labels_to_review, opinions_to_review

    decided, read = _decide(bench, accept, reject)
    if accept:
        nudge_now(bench)
    labels, opinions = labels_to_review(bench.labels), opinions_to_review(bench.labels)
    comments = all_comments(bench.comments)
    alone = on_their_own(comments, [x.id for x in (*labels, *opinions)])
    beside = by_item(comments)
    lines = [f"{x.state}  {x.id}  {x.question}" for x in decided]
    lines += [f"read with it: {x.id}  {x.sentence}" for x in read]
    lines += [f"{x.id}  {x.question}\n    {x.answer}\n    {x.reason}" + _noted(beside.get(x.id, ())) for x in labels]
    lines += [
        f"{x.id}  {x.question}\n    {_said(x)}\n    {x.reason}" + _notes(x, beside.get(x.id, ())) for x in opinions
    ]
    lines += [_alone(x) for x in alone]
    listed = {
        "pending": [_label(x) | {"comments": [c.as_json() for c in beside.get(x.id, ())]} for x in labels],
        "opinions": [_opinion(x) | {"comments": [c.as_json() for c in beside.get(x.id, ())]} for x in opinions],
        "comments": [x.as_json() | {"question": x.question, "answer": x.answer, "release": x.release} for x in alone],
        "read": [x.as_json() for x in read],
        "decided": [{"id": x.id, "state": x.state} for x in decided],
    }
    return Shown(listed, "\n".join(lines) or "Nothing is waiting for review.")


def _decide(
    bench: Workbench, accept: tuple[str, ...], reject: tuple[str, ...]
) -> tuple[list[Label | Opinion], Sequence[Comment]]:
    """What is accepted or rejected now, rivals too, and the comments read with it. A comment is only put away."""
    from tasks.comments import put_away, put_away_beside
    from tasks.core.errors import UsageError
    from tasks.labels import accept_label, reject_label

    if comments := [one for one in accept if one.startswith(COMMENT)]:
        raise UsageError(
            f"{comments[0]} is a comment, and nothing is trained on comments. Put it away: --reject {comments[0]}. To "
            "teach what it says, import a label."
        )
    put_away(bench.comments, *(one for one in reject if one.startswith(COMMENT)))
    refused = [one for one in reject if not one.startswith(COMMENT)]
    made = [accept_label(bench.labels, one) for one in accept]
    made += [reject_label(bench.labels, one, "rejected in review") for one in refused]
    named = frozenset((*accept, *refused))
    changed = [x for changes in made for x in (*changes.updated, *changes.opinions_updated)]
    decided = [x for x in changed if x.id in named or x.state == "rejected"]  # others are only given their split
    decided.sort(key=lambda x: x.id not in named)
    return decided, put_away_beside(bench.comments, *accept, *refused)


def _noted(comments: Sequence[Comment]) -> str:
    return "".join(f"\n    comment by {x.sentence}" for x in comments)


def _alone(comment: Comment) -> str:
    asked = comment.question or "(the answer is not remembered any more)"
    given = f"\n    {comment.answer}" if comment.answer else ""
    away = f"--reject {comment.id} puts it away"
    return (
        f"{comment.id}  {asked}{given}\n    comment by {comment.sentence}\n    "
        f"on the answer of release {comment.release}; {away}"
    )


def _label(label: Label) -> dict[str, object]:
    return {
        "id": label.id,
        "question": label.question,
        "answer": label.answer,
        "documents": list(label.documents),
        "reason": label.reason,
    }


def _said(opinion: Opinion) -> str:
    from tasks.core.opinions import Preference

    if isinstance(opinion, Preference):
        return f"rather: {opinion.chosen}\n    than:   {opinion.rejected}"
    return f"{opinion.value:g} of 1: {opinion.answer}"


def _notes(opinion: Opinion, comments: Sequence[Comment]) -> str:
    """The comments on its answer, and the one it was imported with."""
    from tasks.core.opinions import Rating

    own = opinion.comment if isinstance(opinion, Rating) else None
    if own is None or own in (x.text for x in comments):
        return _noted(comments)
    return f"\n    comment by {opinion.contributor or 'somebody'}: {own}" + _noted(comments)


def _opinion(opinion: Opinion) -> dict[str, object]:
    from dataclasses import asdict

    return {name: value for name, value in asdict(opinion).items() if name not in ("state", "split")}
