"""Importing a file of people's judgements: what becomes of good lines, bad lines and files that are none."""

import json
from pathlib import Path
from typing import Any

import pytest
from judge_fakes import MemoryJudgements

from tasks.core.errors import BadSetting, SourceMissing
from tasks.human_judgements import JudgementImport, Taken, import_judgements
from tasks.label_files import MAX_LINE_BYTES


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "judged.jsonl"


@pytest.fixture
def catalog() -> MemoryJudgements:
    return MemoryJudgements()


def row(n: int, **changes: Any) -> str:
    shown = {"question": f"Question {n}?", "answer": "It is red, größer.", "contexts": ["It is red."], "value": 1}
    return json.dumps(shown | {"who": "Ann"} | changes, ensure_ascii=False)


def take(catalog: MemoryJudgements, file: Path, *rows: str | bytes) -> JudgementImport:
    file.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in rows))
    return import_judgements(catalog, "default", file)


def test_one_bad_line_does_not_cost_the_others(catalog: MemoryJudgements, file: Path) -> None:
    found = take(catalog, file, row(1), "{not json", "", row(2, value=7), "größer".encode("latin-1"), row(3))
    assert found.taken == Taken(new=2, changed=0, known=0)
    assert [error.line for error in found.errors] == [2, 4, 5]
    assert {one.exhibit.question for one in catalog.judgements("default")} == {"Question 1?", "Question 3?"}


def test_importing_the_same_file_again_changes_nothing(catalog: MemoryJudgements, file: Path) -> None:
    take(catalog, file, row(1), row(2))
    before = catalog.judgements("default")
    assert take(catalog, file, row(1), row(2)).taken == Taken(new=0, changed=0, known=2)
    assert catalog.judgements("default") == before


def test_a_person_may_change_their_mind(catalog: MemoryJudgements, file: Path) -> None:
    take(catalog, file, row(1), row(2))
    assert take(catalog, file, row(1, value=0), row(2), row(1, value=0, who="Bob")).taken == Taken(1, 1, 1)
    assert sorted((one.who, one.value) for one in catalog.judgements("default")) == [("Ann", 0), ("Ann", 1), ("Bob", 0)]


def test_the_json_of_an_import_has_its_counts_and_every_refused_line(catalog: MemoryJudgements, file: Path) -> None:
    shown = take(catalog, file, row(1), "[]").as_json()
    assert (shown["new"], shown["changed"], shown["known"]) == (1, 0, 0)
    [error] = json.loads(json.dumps(shown))["errors"]
    assert error["line"] == 2
    assert error["reason"].startswith("is not a JSON object")


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\n\n"])
def test_a_byte_order_mark_and_blank_lines_are_no_lines(catalog: MemoryJudgements, file: Path, before: bytes) -> None:
    found = take(catalog, file, before + row(1).encode() + b"\r\n  \r", row(2) + "\r")
    assert (found.taken.new, found.errors) == (2, ())


def test_a_line_too_long_to_be_one_is_refused_and_its_number_named(catalog: MemoryJudgements, file: Path) -> None:
    found = take(catalog, file, row(1), row(2, answer="x" * MAX_LINE_BYTES), row(3))
    assert (found.taken.new, [error.line for error in found.errors]) == (2, [2])
    assert "1,048,576 bytes" in found.errors[0].reason


@pytest.mark.parametrize("content", [b"", b"\n \n\r\n", b"\xef\xbb\xbf"])
def test_a_file_without_a_line_is_refused(catalog: MemoryJudgements, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(BadSetting, match="holds no judgement"):
        import_judgements(catalog, "default", file)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_another_encoding_is_named(catalog: MemoryJudgements, file: Path, encoding: str) -> None:
    file.write_text(("\ufeff" if encoding == "utf-16-be" else "") + row(1), encoding=encoding)
    with pytest.raises(BadSetting, match="is UTF-16, not UTF-8"):
        import_judgements(catalog, "default", file)


def test_a_missing_file_and_a_folder_are_told_apart(catalog: MemoryJudgements, tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="There is no file"):
        import_judgements(catalog, "default", tmp_path / "nowhere.jsonl")
    with pytest.raises(BadSetting, match="Name one JSONL file"):
        import_judgements(catalog, "default", tmp_path)
