import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import pytest
from sqlalchemy import Engine, insert

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import now
from infra.adapters.catalog.labels import CatalogLabels
from tasks.core.errors import BadSetting, NotFound, SourceMissing
from tasks.core.label_splits import SplitPolicy
from tasks.core.ports import Message
from tasks.label_files import MAX_LINE_BYTES
from tasks.labels import (
    LabelBench,
    accept_label,
    import_labels,
    label_status,
    labels_to_review,
    reject_label,
)


@pytest.fixture
def engine(catalog_engine: Engine) -> Engine:
    return catalog_engine


@pytest.fixture
def bench(engine: Engine) -> LabelBench:
    return LabelBench("default", CatalogLabels(engine), SplitPolicy(0.3, 0.1), threshold=2)


def written(folder: Path, *rows: dict[str, object] | bytes) -> Path:
    file = folder / "labels.jsonl"
    file.write_bytes(b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows))
    return file


def qa(question: str, answer: str = "It is so.", **more: object) -> dict[str, object]:
    return {"question": question, "answer": answer, **more}


def test_a_label_comes_back_as_it_went_in(bench: LabelBench, tmp_path: Path) -> None:
    said = [("user", "Is it hot?"), ("assistant", "Yes."), ("user", "How hot?"), ("assistant", "60 °C. [1]")]
    turns = [{"role": role, "content": content} for role, content in said]
    file = written(tmp_path, {"messages": turns, "documents": ["a.md"], "facts": ["60 °C"], "split": "golden"})
    assert import_labels(bench, file).accepted == 1
    [label] = bench.catalog.labels("default")
    assert (label.question, label.answer, label.documents, label.facts) == ("How hot?", "60 °C.", ("a.md",), ("60 °C",))
    assert label.messages == tuple(Message(role, content) for role, content in said)  # type: ignore[arg-type]
    assert (label.split, label.state, label.unanswerable, label.reason) == ("golden", "accepted", False, None)


def test_one_bad_line_does_not_cost_the_others_and_every_bad_line_is_named(bench: LabelBench, tmp_path: Path) -> None:
    huge = b'{"question": "' + b"x" * MAX_LINE_BYTES + b'"}'
    file = written(
        tmp_path, b"\xef\xbb\xbf" + json.dumps(qa("A?")).encode(), b"", b"{", huge, b"\xff\xfe", qa("B?", "2")
    )
    report = import_labels(bench, file).as_json()
    assert (report["accepted"], report["pending"], report["duplicates"]) == (2, 0, 0)
    errors = report["errors"]
    assert isinstance(errors, list)
    assert [error["line"] for error in errors] == [3, 4, 5]
    assert "longer than 1,048,576 bytes" in errors[1]["reason"]


def test_a_line_of_exactly_the_limit_is_read(bench: LabelBench, tmp_path: Path) -> None:
    start, end = b'{"question": "A?", "answer": "', b'"}'
    limit = start + b"x" * (MAX_LINE_BYTES - len(start) - len(end)) + end
    assert import_labels(bench, written(tmp_path, limit, qa("B?", "2"))).accepted == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "holds no label"),
        (b"\n \r\n", "holds no label"),
        ("\ufeff".encode(), "holds no label"),
        (json.dumps(qa("A?")).encode("utf-16"), "is UTF-16, not UTF-8"),
    ],
)
def test_a_file_that_is_no_label_file_is_refused(
    bench: LabelBench, tmp_path: Path, content: bytes, expected: str
) -> None:
    with pytest.raises(BadSetting, match=expected):
        import_labels(bench, written(tmp_path, content))


def test_a_missing_file_and_a_folder_are_refused_by_name(bench: LabelBench, tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"There is no file .*nowhere\.jsonl"):
        import_labels(bench, tmp_path / "nowhere.jsonl")
    with pytest.raises(BadSetting, match="cannot be read: Is a directory"):
        import_labels(bench, tmp_path)


def test_pages_are_named_as_the_snapshot_names_them_and_strangers_are_reported(
    bench: LabelBench, engine: Engine, tmp_path: Path
) -> None:
    snapshot = {"token": 1, "manifest_hash": "", "pipeline": "", "collection": "", "documents": 1, "chunks": 0}
    document = {"source": "docs", "content_hash": "", "chunk_ids": []}
    with engine.begin() as connection:
        connection.execute(
            insert(t.snapshots).values(assistant="default", number=1, state="published", created_at=now(), **snapshot)
        )
        for uri, born, died in (("pumps/a.md", 1, None), ("gone.md", 1, 1), ("building.md", 2, None)):
            connection.execute(
                insert(t.documents).values(assistant="default", uri=uri, born=born, died=died, **document)
            )
        connection.execute(
            insert(t.sources).values(assistant="default", name="docs", uri="/srv/handbook", added_at=now())
        )
    file = written(
        tmp_path, qa("A?", documents=["handbook/pumps/a.md"]), qa("B?", documents=["gone.md", "building.md"])
    )
    assert import_labels(bench, file).unknown_pages == ("building.md", "gone.md")
    assert bench.catalog.labels("default")[0].documents == ("pumps/a.md",)


def test_labels_count_towards_the_threshold_until_a_training_succeeds(
    bench: LabelBench, engine: Engine, tmp_path: Path
) -> None:
    import_labels(
        bench, written(tmp_path, qa("A?", split="train"), qa("B?", "2", split="train"), qa("C?", split="golden"))
    )
    ids = [label.id for label in bench.catalog.labels("default")]
    assert label_status(bench).new == 2
    for state, consumed in (("failed", ids), ("running", ids), ("succeeded", ids[:1])):
        with engine.begin() as connection:
            connection.execute(
                insert(t.trainings).values(
                    assistant="default", id=state, state=state, label_ids=consumed, started_at=now()
                )
            )
    assert label_status(bench).new == 2 - 1
    assert not label_status(bench).crossed


def test_review_lists_accepts_and_rejects(bench: LabelBench, tmp_path: Path) -> None:
    rows = [qa("A?", "1", split="golden"), qa("A?", "2"), qa("A?", "3")]
    import_labels(bench, written(tmp_path, *rows))
    second, third = labels_to_review(bench)
    assert second.reason is not None
    assert "line 1 answers the same question differently" in second.reason
    accept_label(bench, second.id)
    reject_label(bench, third.id, "no")
    states = [(x.answer, x.state) for x in bench.catalog.labels("default")]
    assert states == [("1", "rejected"), ("2", "accepted"), ("3", "rejected")]
    with pytest.raises(NotFound):
        accept_label(bench, "l-none")


def test_a_golden_set_is_kept_for_ever_under_its_id(bench: LabelBench, engine: Engine, tmp_path: Path) -> None:
    first = import_labels(bench, written(tmp_path, qa("A?", split="golden"))).golden_set
    again = import_labels(bench, written(tmp_path, qa("A?", split="golden"))).golden_set
    second = import_labels(bench, written(tmp_path, qa("B?", "2", split="golden"))).golden_set
    assert first is not None
    assert second is not None
    assert (first, first.id) == (again, again.id if again else "")
    catalog = CatalogLabels(engine)
    assert catalog.golden_set("default", first.id) == first
    assert catalog.golden_set("default", second.id) == second
    assert catalog.golden_set("default", "g-none") is None
    assert catalog.golden_set("other", first.id) is None


def test_assistants_do_not_see_each_other(bench: LabelBench, engine: Engine, tmp_path: Path) -> None:
    import_labels(bench, written(tmp_path, qa("A?")))
    other = LabelBench("other", CatalogLabels(engine), bench.policy, threshold=1)
    assert label_status(other).accepted == 0
    assert import_labels(other, written(tmp_path, qa("A?"))).accepted == 1


def test_two_imports_at_once_count_every_label_once(bench: LabelBench, tmp_path: Path) -> None:
    file = written(tmp_path, *(qa(f"Question {n}?", f"Answer {n}.") for n in range(30)))
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: import_labels(bench, file), range(4)))
    assert sum(report.accepted for report in reports) == 30
    assert sum(report.duplicates for report in reports) == 3 * 30


def test_a_thousand_rows_take_well_under_two_seconds(bench: LabelBench, tmp_path: Path) -> None:
    parts = ["pump", "valve", "hose", "filter", "motor", "drum", "mast", "belt", "blade", "tank"]
    rows = [
        qa(
            f"How many {a} inspections does the {b} of the {c} {n} need in one year?",
            f"{n}.",
            documents=[f"{n // 5}.md"],
        )
        for n, (a, b, c) in enumerate((a, b, c) for a in parts for b in parts for c in parts)
    ]
    started = perf_counter()
    report = import_labels(bench, written(tmp_path, *rows))
    assert report.accepted == 10**3
    assert perf_counter() - started < 2
