"""Which documents a repository holds, at which commit, and what happens when it moves or the copy is damaged."""

from __future__ import annotations

import gc
import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_places import GitPlace, in_threads

from infra.adapters.git_source import GitSource
from tasks.core.errors import NotFound, SourceMissing, WorthRetrying

REPOSITORY = Path(__file__).parents[3]
PIN = """
import sys
from pathlib import Path
from infra.adapters.git_source import GitSource
GitSource(sys.argv[1], Path(sys.argv[2])).commit
"""
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


@pytest.fixture
def place(tmp_path: Path) -> GitPlace:
    made = GitPlace(tmp_path / "docs", tmp_path / "cache")
    made.write_all({"a.md": b"one", "b/c.md": b"two"})
    return made


@pytest.fixture
def git_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to which every start of git adds its process id and arguments."""
    log = tmp_path / "git.log"
    log.touch()
    wrap_git(tmp_path / "bin", f'echo "$$ $*" >> "{log}"', monkeypatch)
    return log


def wrap_git(folder: Path, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which("git")
    folder.mkdir()
    (folder / "git").write_text(f'#!/bin/sh\n{first}\nexec "{real}" "$@"\n')
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def contents(source: GitSource) -> dict[str, bytes]:
    with source:
        return {file.uri: source.read(file.uri) for file in source.files()}


def problems(source: GitSource) -> dict[str, str]:
    with source:
        return {file.uri: file.problem for file in source.files()}


def the_copy(place: GitPlace) -> Path:
    (copy,) = (path for path in place.cache_folder.iterdir() if path.is_dir())
    return copy


def delete_object(repository: Path, object_id: str) -> None:
    (repository / "objects" / object_id[:2] / object_id[2:]).unlink()


# ── refs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_branch_a_tag_and_a_commit_each_name_a_state(place: GitPlace) -> None:
    first = place.git("rev-parse", "HEAD")
    place.git("tag", "-a", "v1", "-m", "annotated")
    place.git("branch", "feature/pumps")
    second = place.write_all({"a.md": b"changed"})
    for ref, commit in {"": second, "@main": second, "@v1": first, "@feature/pumps": first, f"@{first}": first}.items():
        with place.source(ref) as source:
            assert source.commit == commit
            assert source.read("a.md") == (b"one" if commit == first else b"changed")


def test_a_commit_that_no_branch_has_is_read_when_the_repository_still_does(place: GitPlace) -> None:
    lost = place.write_all({"a.md": b"rewritten later"})
    place.git("reset", "--quiet", "--hard", "HEAD~1")
    assert contents(place.source(f"@{lost}"))["a.md"] == b"rewritten later"


def test_a_known_commit_needs_no_repository(place: GitPlace) -> None:
    commit = place.git("rev-parse", "HEAD")
    before = contents(place.source(f"@{commit}"))
    place.take_away()
    assert contents(place.source(f"@{commit}")) == before


def test_a_bundle_file_is_a_repository(place: GitPlace, tmp_path: Path) -> None:
    first = place.git("rev-parse", "HEAD")
    place.write_all({"a.md": b"changed"})
    bundle = tmp_path / "docs.bundle"
    place.git("bundle", "create", "--quiet", str(bundle), "main")  # no HEAD in it
    for ref, text in {"": b"changed", "@main": b"changed", f"@{first}": b"one"}.items():
        assert contents(GitSource(f"git+{bundle}{ref}", place.cache_folder))["a.md"] == text


def test_without_a_default_branch_the_error_names_one_that_there_is(place: GitPlace) -> None:
    place.git("branch", "draft")
    place.git("symbolic-ref", "HEAD", "refs/heads/never-pushed")
    with pytest.raises(SourceMissing, match=r"which of its 2 branches is the default.*docs@draft"):
        list(place.source().files())


def test_an_empty_repository_says_so(tmp_path: Path) -> None:
    place = GitPlace(tmp_path / "docs", tmp_path / "cache")
    with pytest.raises(SourceMissing, match="has no commit yet"):
        list(place.source().files())


def test_a_ref_or_folder_that_is_not_there_is_named(place: GitPlace) -> None:
    absent = "a" * 40
    for rest in ("@nope", f"@{absent}"):
        with pytest.raises(SourceMissing, match=f"no branch, tag or commit named {rest[1:]}.*git ls-remote"):
            list(place.source(rest).files())
    with pytest.raises(SourceMissing, match="no folder nope at commit"):
        list(place.source("#nope").files())


# ── one state ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_branch_that_moves_during_a_scan_is_seen_by_the_next_one(place: GitPlace) -> None:
    with place.source("@main") as source:
        listing = source.files()
        next(listing)
        place.write_all({"a.md": b"new", "z.md": b"new"})
        place.remove("b/c.md")
        assert contents(place.source("@main")) == {"a.md": b"new", "z.md": b"new"}
        assert [file.uri for file in listing] == ["b/c.md"]
        assert (source.read("a.md"), source.read("b/c.md")) == (b"one", b"two")


def test_a_force_pushed_branch_is_followed_and_the_old_state_stays_readable(place: GitPlace) -> None:
    place.write_all({"a.md": b"will be rewritten"})
    with place.source("@main") as source:
        listed = list(source.files())
        place.git("reset", "--quiet", "--hard", "HEAD~1")
        forced = place.write_all({"a.md": b"rewritten"})
        place.git("reflog", "expire", "--expire=now", "--all")
        place.git("gc", "--quiet", "--prune=now")
        with place.source("@main") as later:
            assert (later.commit, later.read("a.md")) == (forced, b"rewritten")
        assert {file.uri: source.read(file.uri) for file in listed} == {"a.md": b"will be rewritten", "b/c.md": b"two"}


def test_a_renamed_file_keeps_its_hint(place: GitPlace) -> None:
    before = {file.uri: file.hint for file in place.source().files()}
    place.git("mv", "a.md", "renamed.md")
    place.commit()
    after = {file.uri: file.hint for file in place.source().files()}
    assert before["a.md"] == after["renamed.md"] == "blob:" + place.git("hash-object", "renamed.md")


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_links_and_lfs_pointers_are_refused_by_name_and_submodules_skipped(place: GitPlace) -> None:
    (place.root / "link.md").symlink_to("a.md")
    (place.root / "folder").symlink_to("/etc")
    head = place.git("rev-parse", "HEAD")
    place.write_all({"scan.pdf": POINTER, "about-lfs.md": b"A pointer begins with:\n" + POINTER})
    place.git("update-index", "--add", "--cacheinfo", f"160000,{head},vendor/lib")
    place.git("commit", "--quiet", "-m", "submodule")
    with place.source() as source:
        found = {file.uri: file for file in source.files()}
        assert list(found) == ["a.md", "about-lfs.md", "b/c.md", "folder", "link.md", "scan.pdf"]
        assert [uri for uri, file in found.items() if file.problem] == ["folder", "link.md", "scan.pdf"]
        assert "symbolic link" in found["link.md"].problem
        assert "git lfs pull" in found["scan.pdf"].problem
        for uri in ("link.md", "scan.pdf"):
            with pytest.raises(NotFound, match=uri):
                source.read(uri)


def test_names_with_newlines_are_read_and_those_that_are_not_utf8_refused(place: GitPlace) -> None:
    place.write_all({"line\nbreak\t.md": b"text", os.fsdecode(b"caf\xe9.md"): b"text"})
    found = problems(place.source())
    assert found["line\nbreak\t.md"] == ""
    assert "not valid UTF-8" in found[r"caf\xe9.md"]
    assert place.source().read("line\nbreak\t.md") == b"text"


# ── the copy ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_copy_without_its_objects_is_made_anew(place: GitPlace) -> None:
    before = contents(place.source())
    shutil.rmtree(the_copy(place) / "objects")
    assert contents(place.source()) == before


@pytest.mark.parametrize("what", ["HEAD:b/c.md", "HEAD:b", "HEAD^{tree}", "HEAD"])
def test_a_copy_that_lost_one_object_is_made_anew(place: GitPlace, what: str) -> None:
    before = contents(place.source())
    delete_object(the_copy(place), place.git("rev-parse", what))
    assert contents(place.source()) == before


def test_a_copy_damaged_during_a_scan_is_made_anew_at_the_same_commit(place: GitPlace) -> None:
    blob = place.git("rev-parse", "HEAD:a.md")
    with place.source() as source:
        listed = list(source.files())
        place.write_all({"a.md": b"moved on"})
        damaged = the_copy(place) / "objects" / blob[:2] / blob[2:]
        damaged.chmod(0o644)
        damaged.write_bytes(b"\x00" * 40)
        assert {file.uri: source.read(file.uri) for file in listed} == {"a.md": b"one", "b/c.md": b"two"}


def test_a_damaged_copy_whose_repository_is_gone_says_so(place: GitPlace) -> None:
    source = place.source()
    assert source.commit
    shutil.rmtree(the_copy(place))
    place.take_away()
    with pytest.raises(SourceMissing, match=r"docs is not there.*mounted"):
        list(source.files())


def test_a_copy_that_cannot_be_replaced_is_kept(place: GitPlace) -> None:
    commit = place.git("rev-parse", "HEAD")
    contents(place.source())
    place.take_away()
    with pytest.raises(SourceMissing):
        contents(place.source("@main"))
    assert contents(place.source(f"@{commit}"))["a.md"] == b"one"


def test_a_killed_run_leaves_nothing_that_stops_or_misleads_the_next(
    place: GitPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = tmp_path / "fetching.pid"
    hang = f'case "$*" in *" fetch "*) echo $$ > "{pid_file}"; exec sleep 60;; esac'
    with monkeypatch.context() as slow:
        wrap_git(tmp_path / "bin", hang, slow)
        arguments = [f"git+{place.root}", str(place.cache_folder)]
        run = subprocess.Popen([sys.executable, "-c", PIN, *arguments], cwd=REPOSITORY)
    waited_until(lambda: pid_file.exists() and pid_file.read_text().strip())
    run.kill()
    run.wait()
    assert [path for path in place.cache_folder.iterdir() if path.is_dir()]  # the half of a copy
    try:
        assert contents(place.source()) == {"a.md": b"one", "b/c.md": b"two"}
        assert the_copy(place).name[0] != "."
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGKILL)


def waited_until(is_so: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_many_runs_on_one_cache_all_read_a_whole_state(place: GitPlace) -> None:
    states = {place.git("rev-parse", "HEAD"): b"one"}
    done = threading.Event()

    def move() -> None:
        for number in range(5):
            states[place.write_all({"a.md": b"state %d" % number})] = b"state %d" % number
        done.set()

    mover = threading.Thread(target=move)
    mover.start()

    def read(_: int) -> list[tuple[str, dict[str, bytes]]]:
        seen = []
        while not done.is_set() or not seen:
            source = place.source("@main")
            seen.append((source.commit, contents(source)))
        return seen

    results = in_threads(4, read)
    mover.join()
    for commit, read_state in (pair for result in results for pair in result):
        assert read_state == {"a.md": states[commit], "b/c.md": b"two"}
    assert [path for path in place.cache_folder.iterdir() if path.is_dir()] == [the_copy(place)]


def test_only_the_commit_that_is_read_is_copied(place: GitPlace) -> None:
    old = place.git("rev-parse", "HEAD:a.md")
    place.write_all({"a.md": b"changed"})
    contents(place.source())
    asked = subprocess.run(["git", "--git-dir", the_copy(place), "cat-file", "-e", old], capture_output=True)
    assert asked.returncode != 0


# ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_three_thousand_files_do_not_start_three_thousand_processes(place: GitPlace, git_log: Path) -> None:
    written = {f"docs/{number:04}.md": b"page %d" % number for number in range(3000)}
    place.write_all(written)
    git_log.write_text("")
    with place.source("#docs") as source:
        read = {f"docs/{file.uri}": source.read(file.uri) for file in source.files()}
    assert read == written
    assert len(git_log.read_text().splitlines()) < 10


@pytest.mark.parametrize("ending", ["close", "forgotten"])
def test_no_git_process_outlives_its_source(place: GitPlace, git_log: Path, ending: str) -> None:
    source = place.source()
    source.read("a.md")
    (reader,) = (line.split()[0] for line in git_log.read_text().splitlines() if "cat-file --batch" in line)
    os.kill(int(reader), 0)
    if ending == "close":
        source.close()
    del source
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(int(reader), 0)


def test_a_reader_that_was_killed_is_started_again(place: GitPlace, git_log: Path) -> None:
    with place.source() as source:
        assert source.read("a.md") == b"one"
        (reader,) = (line.split()[0] for line in git_log.read_text().splitlines() if "cat-file --batch" in line)
        os.kill(int(reader), signal.SIGKILL)
        assert source.read("b/c.md") == b"two"


def test_a_source_can_be_read_from_many_threads(place: GitPlace) -> None:
    place.write_all({f"{number}.md": b"%d" % number * 50_000 for number in range(20)})
    with place.source() as source:
        read = in_threads(4, lambda _: {n: source.read(f"{n}.md") for n in range(20)})
    assert all(result == {n: b"%d" % n * 50_000 for n in range(20)} for result in read)


def test_git_that_hangs_is_ended(place: GitPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrap_git(tmp_path / "bin", 'case "$*" in *" fetch "*) sleep 60;; esac', monkeypatch)
    source = GitSource(f"git+{place.root}", place.cache_folder, timeout_seconds=0.5)
    started = time.monotonic()
    with pytest.raises(WorthRetrying, match=r"git fetch took over 0\.5 s"):
        list(source.files())
    assert time.monotonic() - started < 10


def test_a_run_does_not_wait_forever_for_another(place: GitPlace) -> None:
    import fcntl

    contents(place.source())
    with the_copy(place).with_suffix(".lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(WorthRetrying, match=r"Another run has been fetching"):
            list(GitSource(f"git+{place.root}", place.cache_folder, timeout_seconds=0.2).files())


def test_without_git_the_error_says_what_to_install(
    place: GitPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceMissing, match="Git is not on the PATH"):
        list(place.source().files())


# ── distrust ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_hook_of_the_machine_is_not_run(place: GitPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hooks").mkdir()
    hook = tmp_path / "hooks" / "reference-transaction"
    hook.write_text(f'#!/bin/sh\ntouch "{tmp_path}/hook-ran"\n')
    hook.chmod(0o755)
    configure({"core.hooksPath": str(tmp_path / "hooks")}, monkeypatch)
    subprocess.run(["git", "-C", str(place.root), "branch", "shows-that-it-runs"], check=True)
    assert (tmp_path / "hook-ran").exists()
    (tmp_path / "hook-ran").unlink()
    contents(place.source())
    assert not (tmp_path / "hook-ran").exists()


def test_running_inside_another_repositorys_hook_changes_nothing(
    place: GitPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "elsewhere/objects"))
    source = place.source()
    assert contents(source)["a.md"] == b"one"
    assert not (tmp_path / "elsewhere").exists()


def test_a_remote_helper_that_runs_commands_is_refused(
    place: GitPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(
        {f"url.ext::sh -c touch% {tmp_path}/ran .insteadOf": "https://docs.example/", "protocol.ext.allow": "always"},
        monkeypatch,
    )
    with pytest.raises(SourceMissing, match="transport 'ext' not allowed"):
        list(GitSource("git+https://docs.example/x", place.cache_folder).files())
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def refusing_server() -> Iterator[http.server.HTTPServer]:
    class Refuse(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = self.server.status  # type: ignore[attr-defined]
            self.send_response(status)
            self.send_header("WWW-Authenticate", 'Basic realm="docs"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "kind"), [(401, SourceMissing), (403, SourceMissing), (404, SourceMissing), (503, WorthRetrying)]
)
def test_a_server_that_refuses_is_explained_without_credentials(
    refusing_server: http.server.HTTPServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    kind: type[Exception],
) -> None:
    refusing_server.status = status  # type: ignore[attr-defined]
    address = f"127.0.0.1:{refusing_server.server_port}"
    configure({f"url.http://reader:hunter2@{address}/.insteadOf": "https://docs.example/"}, monkeypatch)
    with pytest.raises(kind) as refused:
        list(GitSource("git+https://docs.example/team/x", tmp_path / "cache").files())
    assert address in str(refused.value)
    assert "hunter2" not in str(refused.value) + repr(refused.value.__cause__)


def test_credentials_that_git_repeats_are_cut_out(
    place: GitPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "fatal: unable to access 'https://reader:hunter2@docs.example/x/': it said no"
    wrap_git(tmp_path / "bin", f'case "$*" in *" fetch "*) echo "{said}" >&2; exit 128;; esac', monkeypatch)
    with pytest.raises(SourceMissing, match=r"unable to access 'https://docs\.example/x/': it said no") as refused:
        list(place.source().files())
    assert "hunter2" not in repr(refused.value.__cause__)


def test_a_server_that_asks_for_a_password_is_told_from_one_without_the_repository(
    refusing_server: http.server.HTTPServer, tmp_path: Path
) -> None:
    refusing_server.status = 401  # type: ignore[attr-defined]
    with pytest.raises(SourceMissing, match=r"could not read Username.*credential helper, ~/.netrc or an SSH key"):
        list(GitSource(f"git+http://127.0.0.1:{refusing_server.server_port}/x", tmp_path / "cache").files())


def test_a_server_that_is_down_is_worth_another_try(tmp_path: Path) -> None:
    for url in ("git+http://127.0.0.1:1/x", "git+https://no-such-host.invalid/x"):
        with pytest.raises(WorthRetrying, match="cannot be reached"):
            list(GitSource(url, tmp_path / "cache").files())


def configure(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Git settings, as a user's own file would hold them."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(settings)))
    for number, (name, value) in enumerate(settings.items()):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", name)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
