"""Which sources a change concerns: those it may be about, and in doubt those too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.repository_names import repository_name
from tasks.core.source_changes import (
    InBucket,
    InFolder,
    InRepository,
    Named,
    ObjectChanged,
    Pushed,
    Watched,
    concerns,
    touches,
)

REPOSITORY = "https://github.com/org/docs"
names = st.text(alphabet="ab.é-_ ", min_size=1, max_size=6)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


def everything(_path: str) -> bool:
    return True


def markdown(path: str) -> bool:
    return path.endswith(".md")


def git(ref: str = "", subfolder: str = "", wants=everything, repository: str = REPOSITORY) -> Watched:  # type: ignore[no-untyped-def]
    uri = f"git+{repository}@{ref}#{subfolder}"
    return Watched("default", "docs", uri, InRepository(repository, ref, subfolder), wants)


def push(*changed: str, ref: str = "refs/heads/main", default: str = "main", identity: str = "1") -> Pushed:
    files = frozenset(changed) if changed else None
    return Pushed(frozenset({f"{REPOSITORY}.git"}), ref, default, "c0ffee", files, identity)


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/org/docs.git",
        "https://GITHUB.com/Org/Docs",
        "https://user@github.com:443/org/docs/",
        "ssh://git@github.com/org/docs.git",
        "git@github.com:org/docs.git",
        "git://github.com/org/docs",
        "https://github.com/org/d%6Fcs",
    ],
)
def test_one_repository_has_one_name_however_it_is_addressed(address: str) -> None:
    assert repository_name(address) == repository_name(REPOSITORY) == "github.com/org/docs"


@pytest.mark.parametrize("address", ["", "docs", "https://", "https://github.com", "C:\\docs", "../docs"])
def test_what_is_no_address_is_no_repository(address: str) -> None:
    assert repository_name(address) == ""
    assert not touches(push("a.md"), git(repository=address))


def test_another_host_or_repository_is_another_one() -> None:
    for other in ("https://gitlab.com/org/docs", "https://github.com/org/docs2", "https://github.com/org"):
        assert not touches(push("a.md"), git(repository=other))


@pytest.mark.parametrize(
    ("ref", "pushed", "concerned"),
    [
        ("", "refs/heads/main", True),
        ("", "refs/heads/next", False),
        ("HEAD", "refs/heads/main", True),
        ("next", "refs/heads/next", True),
        ("next", "refs/tags/next", True),
        ("next", "refs/heads/release/next", False),
        ("release/2", "refs/heads/release/2", True),
        ("refs/heads/main", "refs/heads/main", True),
        ("heads/main", "refs/heads/main", True),
        ("tags/v1", "refs/tags/v1", True),
        ("a" * 40, "refs/heads/main", False),
        ("a" * 39, "refs/heads/" + "a" * 39, True),
    ],
)
def test_a_push_concerns_the_sources_at_its_ref(ref: str, pushed: str, concerned: bool) -> None:
    assert touches(push("a.md", ref=pushed), git(ref)) is concerned


def test_a_push_to_a_repository_whose_default_branch_is_not_known_concerns_those_at_it() -> None:
    assert touches(push("a.md", ref="refs/heads/next", default=""), git(""))


def test_only_paths_below_the_folder_that_would_be_documents_count() -> None:
    source = git("main", "handbook", markdown)
    assert touches(push("src/a.py", "handbook/deep/a.md"), source)
    assert not touches(push("handbook/a.py", "handbook2/a.md", "a.md", "x/handbook/a.md", "handbook"), source)


def test_a_source_that_is_one_file_is_concerned_by_that_file() -> None:
    source = git("main", "docs/guide.md", markdown)
    assert touches(push("docs/guide.md"), source)
    assert not touches(push("docs/guide.md.bak", "docs/other.md"), source)


def test_a_push_whose_paths_are_not_known_concerns_every_source_at_its_ref() -> None:
    assert touches(push(), git("main", "handbook", markdown))


@given(paths, paths)
def test_a_path_counts_exactly_when_it_lies_below_the_folder(path: str, folder: str) -> None:
    below = path == folder or path.split("/")[: len(folder.split("/"))] == folder.split("/")
    assert touches(push(path), git("main", folder)) is below
    place = Watched("default", "docs", f"s3://b-b/{folder}", InBucket("b-b", folder), everything)
    assert touches(ObjectChanged("b-b", path, "1"), place) is below


@given(st.lists(paths, min_size=1), st.sets(names))
def test_one_wanted_path_among_others_is_enough_and_is_needed(changed: list[str], wanted: set[str]) -> None:
    source = git("main", "", lambda path: path.rpartition("/")[2] in wanted)
    assert touches(push(*changed), source) is any(path.rpartition("/")[2] in wanted for path in changed)


@given(paths, paths, st.booleans())
def test_no_path_is_ever_lost_to_a_list_that_is_not_whole(path: str, folder: str, default: bool) -> None:
    assert touches(push(), git("" if default else "main", folder, lambda _path: False))


def test_objects_concern_the_bucket_and_prefix_they_are_in() -> None:
    def bucket(name: str, prefix: str) -> Watched:
        return Watched("default", "faq", f"s3://{name}/{prefix}", InBucket(name, prefix), markdown)

    def there(key: str, source: Watched) -> bool:
        return touches(ObjectChanged("faq", key, "1"), source)

    assert there("pages/a.md", bucket("faq", "pages"))
    assert there("a.md", bucket("faq", ""))
    assert there("one.md", bucket("faq", "one.md"))
    assert not there("pages/a.pdf", bucket("faq", "pages"))
    assert not there("pages-old/a.md", bucket("faq", "pages"))
    assert not there("pages/folder.md/", bucket("faq", "pages"))  # what consoles make to show a folder
    assert not there("pages/a.md", bucket("faq2", "pages"))


@pytest.mark.parametrize(
    ("named", "concerned"),
    [
        (Named(None, "wiki", None, None, "1"), True),
        (Named("default", "wiki", None, None, "1"), True),
        (Named("default", None, None, None, "1"), True),
        (Named("other", "wiki", None, None, "1"), False),
        (Named(None, "faq", None, None, "1"), False),
        (Named(None, None, "/srv/wiki", None, "1"), True),
        (Named(None, None, "/srv/wiki/", None, "1"), True),
        (Named(None, None, "/srv", None, "1"), True),
        (Named(None, None, "/srv/wiki/a.md", None, "1"), True),
        (Named(None, None, "/srv/wiki/a.pdf", None, "1"), False),
        (Named(None, None, "/srv/wiki2/a.md", None, "1"), False),
        (Named(None, None, "/srv/wi", None, "1"), False),
        (Named(None, "wiki", None, frozenset({"a.pdf", "b.md"}), "1"), True),
        (Named(None, "wiki", None, frozenset({"a.pdf"}), "1"), False),
    ],
)
def test_a_source_is_named_by_its_name_its_place_or_what_lies_in_it(named: Named, concerned: bool) -> None:
    assert touches(named, Watched("default", "wiki", "/srv/wiki", InFolder("/srv/wiki"), markdown)) is concerned


def test_a_repository_is_named_without_its_ref_too() -> None:
    assert touches(Named(None, None, f"git+{REPOSITORY}", None, "1"), git("main", "handbook"))


def test_a_change_has_a_key_per_source_that_only_the_same_change_has() -> None:
    source, moved = git("main"), git("main", repository="https://github.com/org/docs.git")
    other = Watched("other", "docs", source.uri, source.place, everything)
    [one] = concerns([push("a.md")], [source], "docs.changed")
    assert one.key.startswith("docs.changed:default:")
    assert one.payload == {"source": "docs", "commit": "c0ffee"}
    assert concerns([push("b.md"), push("a.md")], [source], "docs.changed") == [one]
    for change, place in ((push("a.md", identity="2"), source), (push("a.md"), moved), (push("a.md"), other)):
        assert one.key not in {found.key for found in concerns([change], [place], "docs.changed")}


@given(st.text(), st.text(), st.text())
def test_keys_fit_into_the_outbox_whatever_is_in_a_change(ref: str, key: str, identity: str) -> None:
    longest = Watched("a" * 63, "s" * 63, key, InBucket("b", ""), everything)
    for found in concerns([ObjectChanged("b", f"x{key}x", identity)], [longest], "docs.changed"):
        assert len(found.key) <= 160
