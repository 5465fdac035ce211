"""Documents that mean harm cost only themselves: time, memory, crashes, bombs; and no process is left behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from infra.adapters import unstructured_parser
from infra.adapters.parsing_process import ParsingProcess
from infra.adapters.unstructured_parser import UnstructuredParser
from tasks.core.documents import Element
from tasks.core.ports import Parsed, Unparsable


@pytest.fixture(scope="module")
def parser() -> Iterator[UnstructuredParser]:
    with UnstructuredParser(timeout_seconds=20, memory_mib=1024, processes=2) as made:
        yield made


def unparsable(parser: UnstructuredParser, uri: str, data: bytes) -> Unparsable:
    (result,) = parser.parse([(uri, data)])
    assert isinstance(result, Unparsable), result
    return result


Children = Callable[[], list[psutil.Process]]


@pytest.fixture
def children() -> Children:
    """The parsing processes that the test itself has started and that still run."""
    before = {child.pid for child in psutil.Process().children()}

    def started() -> list[psutil.Process]:
        return [child for child in psutil.Process().children() if child.pid not in before and not is_gone(child.pid)]

    return started


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def eventually(happened: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happened():
            return True
        time.sleep(0.05)
    return False


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def claiming(archive: bytes, size: int) -> bytes:
    """The archive, whose table of contents says that its first file unpacks to `size` bytes."""
    at = archive.index(b"PK\x01\x02") + 24
    return archive[:at] + size.to_bytes(4, "little") + archive[at + 4 :]


def looping_pdf() -> bytes:
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 1000000 >>"]
    body, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = f"trailer\n<< /Size 3 /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF"
    return f"{body}xref\n0 3\n0000000000 65535 f \n{table}{trailer}".encode()


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
LAUGHTER = f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY l0 "ha">{LAUGHS}]><d>&l11;</d>'.encode()


@pytest.mark.parametrize(
    ("uri", "data", "reason"),
    [
        ("a.docx", claiming(zipped({"word/document.xml": b"x"}), 4_000_000_000), "unpacks to 3,815 MiB; the limit is"),
        ("a.xlsx", claiming(zipped({"xl/workbook.xml": b"x"}), 4_000_000_000), "unpacks to 3,815 MiB; the limit is"),
        ("a.epub", claiming(zipped({"META-INF/container.xml": b"x"}), 4_000_000_000), "unpacks to 3,815 MiB"),
        ("a.xml", LAUGHTER, "cannot be read as XML"),
        ("a.docx", zipped({"word/document.xml": LAUGHTER, "[Content_Types].xml": LAUGHTER}), "cannot be read as DOCX"),
        ("a.json", b"[" * 200_000 + b"]" * 200_000, "nested too deeply"),
        ("a.pdf", looping_pdf(), ""),
        ("a.rtf", b"{\\rtf1" + b"{" * 3000, ""),
    ],
    ids=["zip bomb", "sheet bomb", "book bomb", "laughs", "laughs in Word", "deep JSON", "looping pages", "deep RTF"],
)
def test_a_bomb_is_refused_for_good_with_its_reason(
    parser: UnstructuredParser, uri: str, data: bytes, reason: str
) -> None:
    refused = unparsable(parser, uri, data)
    assert reason in refused.reason
    assert not refused.transient


def test_a_deeply_nested_page_does_not_take_the_next_one_along(parser: UnstructuredParser) -> None:
    deep = b"<div>" * 20_000 + b"x" + b"</div>" * 20_000
    *_, after = parser.parse([("deep.html", deep), ("b.txt", b"Fine.")])
    assert after == Parsed("b.txt", (Element("paragraph", "Fine."),))


def test_a_document_that_takes_too_long_is_killed_and_may_be_tried_again() -> None:
    with UnstructuredParser(timeout_seconds=0.05) as parser:
        started = time.monotonic()
        refused = unparsable(parser, "slow.md", b"word *a* " * 100_000)
        assert "took over 0.05 s" in refused.reason
        assert refused.transient
        assert time.monotonic() - started < 60


def test_a_document_that_takes_too_much_memory_may_be_tried_again() -> None:
    with UnstructuredParser(memory_mib=20) as parser:
        refused = unparsable(parser, "big.md", b"a paragraph with several words\n\n" * 30_000)
        assert "RATCHET_PARSE_MEMORY_MIB" in refused.reason
        assert refused.transient
        (after,) = parser.parse([("b.txt", b"Fine.")])
        assert isinstance(after, Parsed)


@pytest.mark.parametrize("memory_mib", [50, 100])
def test_pandoc_falls_under_the_memory_limit(memory_mib: int) -> None:
    code = f"""
from infra.adapters.markup_formats import pandoc, through_pandoc
from infra.adapters.unstructured_child import limit_memory
pandoc()
limit_memory({memory_mib})
list(through_pandoc(b"Text.", ".rst"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.rstrip().endswith("MemoryError")


def test_ten_gigabytes_cannot_be_had() -> None:
    code = "from infra.adapters.unstructured_child import limit_memory; limit_memory(2048); bytearray(10 * 2**30)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "MemoryError" in done.stderr


@pytest.mark.parametrize("processes", [1, 3])
def test_three_poisoned_documents_of_a_hundred_cost_themselves(processes: int) -> None:
    poison = {
        17: ("17.pdf", b"%PDF-1.4\n" + b"\xff" * 500),
        50: ("50.docx", b"PK\x03\x04" + bytes(500)),
        99: ("99.md", b"\x7fELF" + bytes(range(32)) * 40),
    }
    files = [poison.get(n, (f"{n}.txt", f"Pump {n} holds.".encode())) for n in range(100)]
    with UnstructuredParser(processes=processes) as parser:
        results = list(parser.parse(files))
    assert [result.uri for result in results] == [uri for uri, _ in files]
    assert [n for n, result in enumerate(results) if isinstance(result, Unparsable)] == sorted(poison)
    assert all(
        result.elements == (Element("paragraph", f"Pump {n} holds."),)
        for n, result in enumerate(results)
        if isinstance(result, Parsed)
    )


def test_a_killed_process_is_replaced(children: Children) -> None:
    with UnstructuredParser(processes=1) as parser:
        list(parser.parse([("a.txt", b"One.")]))
        (child,) = children()
        child.kill()
        assert list(parser.parse([("a.txt", b"Two.")])) == [Parsed("a.txt", (Element("paragraph", "Two."),))]


def test_processes_are_started_when_documents_wait_and_end_with_the_parser(children: Children) -> None:
    parser = UnstructuredParser(processes=2)
    assert children() == []
    list(parser.parse((f"{n}.txt", b"x") for n in range(20)))
    pids = [child.pid for child in children()]
    assert 1 <= len(pids) <= 2
    parser.close()
    assert all(map(is_gone, pids))


def test_a_warm_parser_has_its_process_ready(children: Children) -> None:
    with UnstructuredParser(processes=2) as parser:
        parser.warm()
        assert eventually(lambda: len(children()) == 1)


def test_closing_does_not_wait_for_a_document_that_hangs(children: Children) -> None:
    parser = UnstructuredParser(processes=1, timeout_seconds=600)
    results = parser.parse([("a.txt", b"One."), ("slow.md", b"word *a* " * 300_000), ("c.txt", b"x"), ("d.txt", b"x")])
    next(results)
    started = time.monotonic()
    parser.close()
    assert time.monotonic() - started < 10
    assert children() == []


def test_closing_starts_no_process_for_a_document_that_waits_for_one(
    monkeypatch: pytest.MonkeyPatch, children: Children
) -> None:
    started: list[ParsingProcess] = []

    class Counted(ParsingProcess):
        def __init__(self, memory_mib: int, timeout_seconds: float) -> None:
            super().__init__(memory_mib, timeout_seconds)
            started.append(self)

    monkeypatch.setattr(unstructured_parser, "ParsingProcess", Counted)
    parser = UnstructuredParser(processes=2)
    parser.warm(2)  # the second waits for what the first will have done in a few seconds
    assert eventually(lambda: bool(started))
    parser.close()
    assert len(started) == 1
    assert children() == []


def test_a_process_holds_no_file_of_its_parent(tmp_path: Path, children: Children) -> None:
    with (tmp_path / "lock").open("w") as lock, UnstructuredParser(processes=1) as parser:
        os.set_inheritable(lock.fileno(), True)
        list(parser.parse([("a.txt", b"One.")]))
        (child,) = children()
        assert [file.path for file in child.open_files()] == []
        assert child.net_connections() == []


PARENT = """
    import sys
    from infra.adapters.unstructured_parser import UnstructuredParser

    parser = UnstructuredParser(processes=1, timeout_seconds=600)
    list(parser.parse([("a.md", b"One or two.")]))
    print("ready", flush=True)
    list(parser.parse([(sys.argv[1], open(sys.argv[2], "rb").read())]))
"""


@pytest.mark.parametrize(
    ("name", "data"),
    [("slow.md", b"word *a* " * 300_000), ("slow.org", b"* A heading\nand *some* text /of/ it [[a][b]]\n" * 60_000)],
    ids=["in Python", "in pandoc"],
)
def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-c", textwrap.dedent(PARENT), name, str(tmp_path / name)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        wanted = 1 if name.endswith(".md") else 2
        assert eventually(lambda: len(psutil.Process(parent.pid).children(recursive=True)) == wanted, 30)
        if wanted == 1:
            time.sleep(1)  # until it is busy with the document
        below = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
        parent.send_signal(signal.SIGKILL)
    assert eventually(lambda: all(map(is_gone, below)))
