"""What a vacuum finds in a bucket of artifacts, and what it leaves alone."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from artifact_places import BUCKET, PREFIX, URI, S3ArtifactPlace, filled
from source_places import S3Server
from vacuum_fakes import World, foresee_vacuum, new_world, vacuum

from infra.adapters.artifact_bucket import ArtifactBucket
from infra.adapters.artifact_files import LIST
from infra.adapters.leftover_folders import LeftoverFolders
from infra.adapters.s3_leftovers import S3Leftovers
from tasks.vacuum import Leftover, remove_leftovers

DAY = 24 * 3600.0


@pytest.fixture
def place(s3: S3Server, tmp_path: Path) -> S3ArtifactPlace:
    return S3ArtifactPlace(s3.emptied(), tmp_path)


def leftovers(place: S3ArtifactPlace, home: Path, days_later: float = 1.1) -> S3Leftovers:
    def clock() -> float:
        return time.time() + days_later * DAY

    here = LeftoverFolders(home / "artifacts", home / "trainings", DAY, clock, whole="copy")
    return S3Leftovers(ArtifactBucket(URI, client=place.client), here, DAY, clock)


def test_only_what_nothing_names_and_is_old_enough_goes_from_the_bucket_and_from_here(
    place: S3ArtifactPlace, tmp_path: Path
) -> None:
    store = place.open_at(tmp_path / "home" / "artifacts")
    named, other = store.put(filled(tmp_path / "a", a_json="1")), store.put(filled(tmp_path / "b", a_json="22"))
    place.client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/notes/readme.txt", Body=b"not ours")
    place.client.put_object(Bucket=BUCKET, Key=f"{PREFIX}-old/{other}/a.json", Body=b"not ours")
    (tmp_path / "home" / "trainings" / "done").mkdir(parents=True)

    assert leftovers(place, tmp_path / "home", 0.9).unreferenced(frozenset({named}), frozenset({"done"})) == ()
    shop = leftovers(place, tmp_path / "home")
    found = shop.unreferenced(frozenset({named}), frozenset({"done"}))
    size = 2 + len(place.client.get_object(Bucket=BUCKET, Key=f"{PREFIX}/{other}/{LIST}")["Body"].read())
    assert found == (Leftover("artifact", other, size), Leftover("copy", other, size), Leftover("training", "done", 0))
    for one in (*found, *found):
        shop.remove(one)
    assert shop.unreferenced(frozenset({named}), frozenset({"done"})) == ()
    assert (store.exists(named), store.exists(other)) == (True, False)
    assert sorted(place.versions()) == ["notes/readme.txt", f"{named}/a.json", f"{named}/{LIST}"]
    assert [path.name for path in (tmp_path / "home" / "artifacts").iterdir()] == [named]
    assert place.client.get_object(Bucket=BUCKET, Key=f"{PREFIX}-old/{other}/a.json")


def test_an_upload_that_nobody_finished_goes_and_one_that_goes_on_again_stays(
    place: S3ArtifactPlace, tmp_path: Path
) -> None:
    folder = filled(tmp_path / "in", a_json="1")
    digest = place.open().put(folder)
    place.remove(f"{digest}/{LIST}")
    shop = leftovers(place, tmp_path / "home")
    (found,) = shop.unreferenced(frozenset(), frozenset())
    assert (found.kind, found.name) == ("unfinished artifact", digest)
    now = leftovers(place, tmp_path / "home", 0)
    now.remove(found)  # another machine has just written to it
    assert list(place.versions()) == [f"{digest}/a.json"]
    shop.remove(found)
    assert place.versions() == {}


def test_a_removal_that_was_killed_left_no_artifact(place: S3ArtifactPlace, tmp_path: Path) -> None:
    digest = place.open().put(filled(tmp_path / "in", a_json="1", b_json="2"))
    deleted: list[str] = []

    class Killed(BaseException): ...

    class Dying(ArtifactBucket):
        def delete(self, key: str) -> None:
            if deleted:
                raise Killed
            deleted.append(key)
            super().delete(key)

    here = LeftoverFolders(tmp_path / "none", tmp_path / "none", DAY)
    shop = S3Leftovers(Dying(URI, client=place.client), here, DAY, lambda: time.time() + 2 * DAY)
    with pytest.raises(Killed):
        shop.remove(Leftover("artifact", digest, 0))
    assert deleted == [f"{digest}/{LIST}"]
    assert not place.open().exists(digest)


def test_copies_here_go_though_the_store_holds_the_artifact_no_more(place: S3ArtifactPlace, tmp_path: Path) -> None:
    store = place.open_at(tmp_path / "home" / "artifacts")
    digest = store.put(filled(tmp_path / "in", a_json="1"))
    leftovers(place, tmp_path / "elsewhere").remove(Leftover("artifact", digest, 0))
    shop = leftovers(place, tmp_path / "home")
    (found,) = shop.unreferenced(frozenset(), frozenset())
    assert (found.kind, found.name) == ("copy", digest)
    shop.remove(found)
    assert list((tmp_path / "home" / "artifacts").iterdir()) == []


@pytest.fixture
def world(place: S3ArtifactPlace, tmp_path: Path) -> World:
    """An assistant whose artifacts are in the bucket, and a vacuum of tomorrow."""
    made = new_world(tmp_path / "home")
    made.publish({"pump.md": "# Pump\n\nIt runs at 9 bar."})
    made.bench = replace(made.bench, leftovers=leftovers(place, tmp_path / "home"))
    return made


def name(world: World, adapter: str) -> None:
    """A release whose model is this adapter."""
    row = world.register()
    tuned = row.manifest.model.model_copy(update={"kind": "lora", "adapter": adapter})
    world.releases.register(row.manifest.model_copy(update={"model": tuned}), "tuned")


def test_a_vacuum_takes_from_the_bucket_what_it_said_it_would_and_keeps_what_a_release_names(
    world: World, place: S3ArtifactPlace, tmp_path: Path
) -> None:
    store = place.open_at(tmp_path / "home" / "artifacts")
    named, other = store.put(filled(tmp_path / "a", a_json="1")), store.put(filled(tmp_path / "b", a_json="2"))
    name(world, named)
    foreseen = foresee_vacuum(world).leftovers
    assert [(one.kind, one.name) for one in foreseen] == [("artifact", other), ("copy", other)]
    assert vacuum(world).leftovers == foreseen
    assert vacuum(world).leftovers == ()
    assert (place.open().exists(named), place.open().exists(other)) == (True, False)


def test_what_is_named_while_a_vacuum_goes_on_stays_in_the_bucket_and_here(
    world: World, place: S3ArtifactPlace, tmp_path: Path
) -> None:
    store = place.open_at(tmp_path / "home" / "artifacts")
    digest = store.put(filled(tmp_path / "a", a_json="1"))
    shop = world.bench.leftovers

    class Late:
        """A release names the artifact once it has been found."""

        def unreferenced(self, artifacts: frozenset[str], trainings: frozenset[str]) -> tuple[Leftover, ...]:
            found = shop.unreferenced(artifacts, trainings)
            name(world, digest)
            return found

        def remove(self, leftover: Leftover) -> None:
            shop.remove(leftover)

    assert remove_leftovers(replace(world.bench, leftovers=Late())) == ()
    assert store.exists(digest)
    assert (tmp_path / "home" / "artifacts" / digest / "a.json").is_file()
