"""The generated files every tool is measured on, and the edits made to them. Equal seeds give equal bytes."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from measured import NEW, OLD

LONG_EVERY = 20  # one file in so many is a long page without headings
LONG_CHUNKS = 5  # how many times longer it is than chunks_per_file
INSERTED_INTO = 10  # long pages at most, so that one lucky cut decides little
CHUNK_CHARACTERS = 1000
DAY_SECONDS = 86_400

_VOCABULARY = """
a about above after again air all also always and another answer any are around ask at away back be because
been before began being below between book both boundary build but by call can carry change check city clear close cold
come could country cover cut day did differ do does door down draw during each early earth eat end engine enough even
ever every example eye face family far father feature feed feel few filter find fire first follow food for form found
four from full gave get give glass go good great green ground group grow had half hand hard has have he head hear help
her here high him his home hot house how idea if important in into is it just keep kind know land large last late learn
leave left less let letter level life light like line list little live long look made make man many mark may me mean
measure men might mile mind more morning most mother motor mountain move much music must name near need never new next
night no north nothing notice now number of off often oil old on once one only open or order other our out over own
page paper part pass pattern people perhaps person picture piece place plan plant play point port power press pressure
problem product program pull pump put question quick rain ran reach read real red rest right river road rock room round
rule run said same sand saw say school science sea second see seem sentence service set several shall she ship short
should show side since sing size sleep slow small snow so some song soon sound south space special spell stand star
start state step still stop story street strong study such sun sure table take talk teach tell temperature ten than
that the their them then there these they thing think this those though thought thousand three through time to today
together too took top toward town travel tree true try turn two under until up upon us use usual valve very voice vowel
wait walk want war warm was watch water way we week weight well went were west what wheel when where which while white
who whole why wind with without wood word work world would write year you young your"""
WORDS = _VOCABULARY.split()


@dataclass(frozen=True)
class Corpus:
    """A folder of Markdown pages, and which of them the edits touch."""

    root: Path
    long_pages: tuple[str, ...]  # without headings; a paragraph is inserted at the top of each
    renamed: str
    copied: str
    deleted: str
    edited: tuple[str, ...]  # 1 % of the files; each says OLD in one paragraph

    @property
    def present(self) -> set[str]:
        """The files there now, relative to the root."""
        return {path.relative_to(self.root).as_posix() for path in self.root.rglob("*.md")}


def generate(root: Path, files: int, chunks_per_file: int, seed: int = 7) -> Corpus:
    """Writes the corpus; every file looks ten days old."""
    shutil.rmtree(root, ignore_errors=True)
    chance = random.Random(seed)
    names = [f"section-{number // 50:03d}/page-{number:05d}.md" for number in range(files)]
    long = [name for number, name in enumerate(names) if number % LONG_EVERY == LONG_EVERY // 2]
    headed = [name for name in names if name not in set(long)]
    # The rest of the pages are a little shorter, so that the average is chunks_per_file.
    sections = max(1, round((chunks_per_file * files - LONG_CHUNKS * chunks_per_file * len(long)) / len(headed)))
    edited = tuple(headed[:: max(1, len(headed) // max(1, files // 100))][: max(1, files // 100)])
    for name in names:
        is_long = name in long
        text = _long_page(chance, LONG_CHUNKS * chunks_per_file) if is_long else _headed_page(chance, name, sections)
        if name in edited:
            text = text.rstrip("\n") + f"\n\n{OLD}: {_sentence(chance)}\n"
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    make_old(root)
    spare = [name for name in headed if name not in edited]
    return Corpus(root, tuple(long[:INSERTED_INTO]), spare[1], spare[2], spare[3], edited)


def make_old(root: Path) -> None:
    """Sets every file's times to ten days ago."""
    then = time.time() - 10 * DAY_SECONDS
    for path in root.rglob("*.md"):
        os.utime(path, (then, then))


def _headed_page(chance: random.Random, name: str, sections: int) -> str:
    title = f"# Page {Path(name).stem} on {_sentence(chance).lower()[:40].strip()}"
    body = (f"## {_sentence(chance)[:50].strip()}\n\n{_paragraphs(chance, 0.9)}" for _ in range(sections))
    return "\n\n".join([title, *body]) + "\n"


def _long_page(chance: random.Random, chunks: int) -> str:
    return "\n\n".join(_paragraphs(chance, 1.0) for _ in range(chunks)) + "\n"


def _paragraphs(chance: random.Random, chunks: float) -> str:
    """About as many characters as `chunks` chunks have, in paragraphs of 80 to 450."""
    parts: list[str] = []
    while sum(map(len, parts)) < chunks * CHUNK_CHARACTERS - 150:
        parts.append(" ".join(_sentence(chance) for _ in range(chance.randint(1, 5))))
    return "\n\n".join(parts)


def _sentence(chance: random.Random) -> str:
    words = chance.choices(WORDS, k=chance.randint(9, 19))
    words.insert(4, str(chance.randint(100, 99_999)))
    return f"{' '.join(words).capitalize()}."


# ── the edits, in the order in which they are made ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Scenario:
    """One change to the files, and what a perfect tool would embed for it."""

    name: str
    change: Callable[[Corpus], None]
    least: Callable[[Corpus], int | None]  # texts that nobody can avoid embedding; None: depends on the splitter


def scenarios() -> Iterator[Scenario]:
    """A chain: each begins where the one before ended."""

    def nothing(corpus: Corpus) -> int:
        return 0

    yield Scenario("first run", lambda corpus: None, lambda corpus: None)
    yield Scenario("no change", lambda corpus: None, nothing)
    yield Scenario("touch every file", _touch, nothing)
    yield Scenario("a paragraph on top of long pages", _insert, lambda corpus: len(corpus.long_pages))
    yield Scenario("those edits reverted", _revert, nothing)
    yield Scenario("a page renamed", _rename, nothing)
    yield Scenario("a page copied", _copy, nothing)
    yield Scenario("a page deleted", _delete, nothing)
    yield Scenario("1 % of the pages edited", _edit, lambda corpus: len(corpus.edited))


def _touch(corpus: Corpus) -> None:
    for path in corpus.root.rglob("*.md"):
        os.utime(path)


def _insert(corpus: Corpus) -> None:
    chance = random.Random(11)
    for name in corpus.long_pages:
        page = corpus.root / name
        _before(corpus, name).write_bytes(page.read_bytes())
        paragraph = " ".join(_sentence(chance) for _ in range(3))
        page.write_text(f"{paragraph}\n\n{page.read_text(encoding='utf-8')}", encoding="utf-8")


def _revert(corpus: Corpus) -> None:
    for name in corpus.long_pages:
        (corpus.root / name).write_bytes(_before(corpus, name).read_bytes())


def _before(corpus: Corpus, name: str) -> Path:
    return corpus.root.parent / f"before-{Path(name).stem}"


def _rename(corpus: Corpus) -> None:
    page = corpus.root / corpus.renamed
    page.rename(page.with_name("renamed.md"))


def _copy(corpus: Corpus) -> None:
    page = corpus.root / corpus.copied
    shutil.copyfile(page, page.with_name("copied.md"))


def _delete(corpus: Corpus) -> None:
    (corpus.root / corpus.deleted).unlink()


def _edit(corpus: Corpus) -> None:
    for name in corpus.edited:
        page = corpus.root / name
        page.write_text(page.read_text(encoding="utf-8").replace(OLD, f"{NEW}, with one remark more"), encoding="utf-8")
