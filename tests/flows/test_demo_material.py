"""The shipped handbook and its labels hold what the demo says of them."""

import json
from pathlib import Path

from flows.demo.handbook_folder import (
    EDITED_LABELS,
    LABELS,
    as_edited,
    as_shipped,
    deleted_pages,
    mirror,
    without_directory,
)
from flows.demo.run import keep_its_policy
from infra.own_policy import own_policy_file, with_own_policy
from infra.settings import Settings
from tasks.core.policy import Policy
from tasks.core.stats import least_questions

ROWS = [json.loads(line) for line in LABELS.read_text().splitlines()]
EDITED = [json.loads(line) for line in EDITED_LABELS.read_text().splitlines()]


def snapshot_of(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_there_are_enough_pages_in_every_format() -> None:
    suffixes = [Path(name).suffix for name in as_shipped()]
    assert len(suffixes) >= 60
    assert {".md", ".html", ".docx"} == set(suffixes)


def test_there_are_enough_labels_and_a_fifth_have_no_answer_in_the_handbook() -> None:
    assert len(ROWS) >= 360
    unanswerable = [row for row in ROWS if row.get("unanswerable")]
    assert 0.18 <= len(unanswerable) / len(ROWS) <= 0.25
    assert {row["answer"] for row in unanswerable} == {"The handbook does not say."}


def test_the_golden_set_is_reserved_by_page() -> None:
    golden = {page for row in ROWS if row.get("split") == "golden" for page in row["documents"]}
    others = {page for row in ROWS if row.get("split") != "golden" for page in row["documents"]}
    assert sum(row.get("split") == "golden" for row in ROWS) >= 100
    assert golden & others == set()


def test_its_golden_pages_are_enough_for_every_margin_of_its_policy(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    keep_its_policy(settings, "demo")
    policy = with_own_policy(settings, "demo").policy
    edited = {page for row in EDITED for page in row["documents"]}
    pages = {page for row in ROWS if row.get("split") == "golden" for page in row["documents"]} - edited
    for margin in (*policy.margins.values(), *policy.drift_budget.values()):
        assert least_questions(margin, alpha=policy.alpha) <= len(pages)
    assert policy.margins.keys() == Policy().margins.keys()


def test_a_policy_that_a_person_wrote_for_the_demo_stays(tmp_path: Path) -> None:
    file = own_policy_file(tmp_path, "demo")
    file.parent.mkdir()
    file.write_text("[policy]\nseed = 7\n")
    keep_its_policy(Settings(home=tmp_path), "demo")
    assert file.read_text() == "[policy]\nseed = 7\n"


def test_every_label_is_about_a_page_that_ships() -> None:
    assert {page for row in ROWS for page in row["documents"]} <= as_shipped().keys()
    after = as_edited().keys() | set(deleted_pages())
    assert {page for row in EDITED for page in row["documents"]} <= after


def test_three_pages_are_edited_one_is_deleted_and_one_is_added() -> None:
    before, after = as_shipped(), as_edited()
    changed = [name for name in before.keys() & after.keys() if before[name].read_bytes() != after[name].read_bytes()]
    assert (len(changed), len(before.keys() - after.keys()), len(after.keys() - before.keys())) == (3, 1, 1)


def test_every_edited_answer_is_in_the_edited_page_and_was_not_in_the_old_one() -> None:
    for row in EDITED:
        for fact in row.get("facts", []):
            page = row["documents"][0]
            assert fact in as_edited()[page].read_text()
            assert page not in as_shipped() or fact not in as_shipped()[page].read_text()


def test_mirroring_makes_the_folder_hold_exactly_the_pages_and_touches_nothing_that_is_right(tmp_path: Path) -> None:
    mirror(as_shipped(), tmp_path)
    assert snapshot_of(tmp_path) == {name: file.read_bytes() for name, file in as_shipped().items()}
    times = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.md")}
    mirror(as_shipped(), tmp_path)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.md")} == times
    mirror(without_directory(as_edited(), "safety"), tmp_path)
    assert not (tmp_path / "safety").exists()
    mirror(as_edited(), tmp_path)
    assert snapshot_of(tmp_path).keys() == as_edited().keys()
