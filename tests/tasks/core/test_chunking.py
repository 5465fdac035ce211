"""What a chunk is, and that an edit stays where it was made."""

from __future__ import annotations

import base64
import random
from collections import Counter
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.chunking import ChunkSettings, cut
from tasks.core.documents import Element, ElementKind

LIMITS = ChunkSettings()


def heading(text: str, level: int = 1) -> Element:
    return Element("heading", text, level)


def paragraph(text: str, page: int | None = None) -> Element:
    return Element("paragraph", text, page=page)


def prose(seed: int, paragraphs: int, words: tuple[int, int]) -> list[Element]:
    """Paragraphs of random words, `words` long at least and at most."""
    draw = random.Random(seed)
    vocabulary = ["".join(draw.choices("abcdefghijklmnoprstu", k=draw.randint(2, 11))) for _ in range(2000)]
    return [
        paragraph(" ".join(draw.choices(vocabulary, k=draw.randint(*words))).capitalize() + ".")
        for _ in range(paragraphs)
    ]


def test_every_heading_begins_a_chunk_that_carries_its_path() -> None:
    chunks = cut(
        "a.md", [heading("Pumps"), heading("H300", 2), paragraph("42 bar."), heading("H400", 2), paragraph("50 bar.")]
    )
    assert [(chunk.heading_path, chunk.text) for chunk in chunks] == [
        (("Pumps", "H300"), "42 bar."),
        (("Pumps", "H400"), "50 bar."),
    ]
    assert chunks[0].embedded_text == "Pumps > H300\n42 bar."


def test_a_heading_closes_the_deeper_ones_before_it() -> None:
    elements = [heading("A"), heading("B", 3), paragraph("x"), heading("C", 2), paragraph("y")]
    assert [chunk.heading_path for chunk in cut("a.md", elements)] == [("A", "B"), ("A", "C")]


def test_a_heading_without_text_is_still_found() -> None:
    elements = [heading("A"), heading("Empty", 2), heading("B", 2), paragraph("y"), heading("Last", 2)]
    assert [(chunk.heading_path, chunk.text) for chunk in cut("a.md", elements)] == [
        (("A",), "Empty"),
        (("A", "B"), "y"),
        (("A",), "Last"),
    ]


def test_list_items_stand_under_each_other() -> None:
    elements = [paragraph("Parts:"), Element("list-item", "seal"), Element("list-item", "shaft"), paragraph("End.")]
    assert cut("a.md", elements)[0].text == "Parts:\n\n- seal\n- shaft\n\nEnd."


def test_nothing_becomes_no_chunk() -> None:
    assert cut("a.md", []) == ()
    assert cut("a.md", [paragraph("  \n ")]) == ()


def test_equal_paragraphs_of_one_document_have_different_ids() -> None:
    first, second = cut("a.md", [heading("A"), paragraph("Same."), heading("A"), paragraph("Same.")])
    assert first.text == second.text
    assert first.id != second.id


def test_identity_is_document_path_text_and_page() -> None:
    ids = {
        cut("a.md", [heading("A"), paragraph("x")])[0].id,
        cut("b.md", [heading("A"), paragraph("x")])[0].id,
        cut("a.md", [heading("B"), paragraph("x")])[0].id,
        cut("a.md", [heading("A"), paragraph("y")])[0].id,
        cut("a.md", [heading("A"), paragraph("x", page=2)])[0].id,
    }
    assert len(ids) == 5


def test_an_edit_elsewhere_does_not_change_an_id() -> None:
    below = [heading("B"), paragraph("Stays.")]
    assert (
        cut("a.md", [heading("A"), paragraph("one"), *below])[-1]
        == cut("a.md", [heading("A"), paragraph("two"), *below])[-1]
    )


@pytest.mark.parametrize("page", [1, 7])
def test_a_chunk_cites_the_page_it_begins_on(page: int) -> None:
    assert cut("a.pdf", [paragraph("Begins.", page), paragraph("Goes on.", page + 1)])[0].page == page


def test_an_overlong_paragraph_is_cut_between_sentences() -> None:
    sentences = [f"Sentence number {n} says that the pump holds {n} bar." for n in range(200)]
    chunks = cut("a.txt", [paragraph(" ".join(sentences))])
    assert all(len(chunk.text) <= LIMITS.maximum for chunk in chunks)
    assert all(chunk.text.endswith("bar.") for chunk in chunks)
    assert " ".join(chunk.text for chunk in chunks) == " ".join(sentences)


def test_text_without_spaces_is_cut_all_the_same() -> None:
    chunks = cut("a.txt", [paragraph("漢" * 5000)])
    assert "".join(chunk.text.replace(" ", "") for chunk in chunks) == "漢" * 5000
    assert max(len(chunk.text) for chunk in chunks) <= LIMITS.maximum


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=3000), max_size=12))
def test_no_word_is_lost_or_doubled(texts: list[str]) -> None:
    chunks = cut("a.txt", [paragraph(text) for text in texts])
    assert all(len(chunk.text) <= LIMITS.maximum for chunk in chunks)
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join("".join(text.split()) for text in texts)


@pytest.mark.parametrize(
    ("paragraphs", "words"),
    [(1500, (5, 15)), (800, (20, 60)), (500, (60, 140)), (1000, (3, 160))],
    ids=["one-liners", "short", "long", "mixed"],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_paragraph_at_the_top_of_a_headless_document_changes_at_most_three_in_a_hundred_chunks(
    seed: int, paragraphs: int, words: tuple[int, int]
) -> None:
    body = prose(seed, paragraphs, words)
    before = {chunk.embedded_text for chunk in cut("a.txt", body)}
    after = {chunk.embedded_text for chunk in cut("a.txt", [paragraph("A new paragraph about nothing at all."), *body])}
    assert len(after - before) <= 0.03 * len(after)


@pytest.mark.parametrize("words", [(5, 15), (20, 60), (60, 140)])
def test_chunks_aim_at_the_target_length(words: tuple[int, int]) -> None:
    lengths = [len(chunk.text) for chunk in cut("a.txt", prose(5, 600, words))]
    assert 0.6 * LIMITS.target <= sum(lengths) / len(lengths) <= 1.1 * LIMITS.target
    assert min(lengths[:-1]) >= LIMITS.minimum


# ── an insertion stays where it was made, whatever the text is like ──────────────────────────────────────────────────


@cache
def one_text(kind: str, seed: int = 1) -> tuple[Element, ...]:
    """About 200,000 characters without a heading, in one element."""
    draw = random.Random(seed)
    scripts = ((0x4E00, 3000), (0xE01, 46), (0x627, 36))
    chinese, thai, arabic = ([chr(first + n) for n in range(count)] for first, count in scripts)
    words = ["".join(draw.choices("abcdefghijklmnoprstu", k=draw.randint(2, 11))) for _ in range(2000)]

    def sentence(letters: list[str], shortest: int, longest: int) -> str:
        return "".join(draw.choices(letters, k=draw.randint(shortest, longest)))

    texts = {
        "sentences": lambda: " ".join(" ".join(draw.choices(words, k=12)).capitalize() + "." for _ in range(2300)),
        "words": lambda: " ".join(draw.choices(words, k=27_000)),
        "base64": lambda: base64.b64encode(draw.randbytes(150_000)).decode(),
        "chinese": lambda: "".join(sentence(chinese, 5, 60) + "。" for _ in range(6000)),
        "chinese without marks": lambda: "".join(draw.choices(chinese, k=200_000)),
        "thai": lambda: " ".join(sentence(thai, 10, 80) for _ in range(4000)),
        "arabic": lambda: " ".join(sentence(arabic, 2, 9) + draw.choice(["", "", "", "؟", "."]) for _ in range(30_000)),
        "one character": lambda: "漢" * 200_000,
        "seven characters": lambda: "abcdefg" * 29_000,
        "code": lambda: "\n".join(f"{draw.choice(words)} = {draw.choice(words)}()" for _ in range(10_000)),
        "lines of three words": lambda: "\n".join(draw.choice(["Yes.", "No.", "Not known."]) for _ in range(30_000)),
    }
    return (Element("code" if kind == "code" else "paragraph", texts[kind]()),)


TEXTS = [
    "sentences",
    "words",
    "base64",
    "chinese",
    "chinese without marks",
    "thai",
    "arabic",
    "one character",
    "seven characters",
    "code",
    "lines of three words",
]


def changed(before: Sequence[Element], after: Sequence[Element]) -> tuple[int, int]:
    """(chunks that are not among those of before, all chunks)."""
    chunks = cut("a.txt", after)
    return len({chunk.id for chunk in chunks} - {chunk.id for chunk in cut("a.txt", before)}), len(chunks)


@pytest.mark.parametrize("inserted", ["x", "Some new words. "])
@pytest.mark.parametrize("kind", TEXTS)
def test_an_insertion_at_the_top_of_one_endless_paragraph_changes_at_most_three_in_a_hundred(
    kind: str, inserted: str
) -> None:
    (only,) = before = one_text(kind)
    new, total = changed(before, [Element(only.kind, inserted + only.text)])
    assert total > 100
    assert 1 <= new <= 0.03 * total


@pytest.mark.parametrize("kind", TEXTS)
def test_an_endless_paragraph_is_cut_to_size_and_whole(kind: str) -> None:
    (only,) = before = one_text(kind)
    chunks = cut("a.txt", before)
    assert max(len(chunk.text) for chunk in chunks) <= LIMITS.maximum
    assert min(len(chunk.text) for chunk in chunks[:-1]) >= LIMITS.minimum
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(only.text.split())


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("该泵在四十二巴的压力下运行，每两年需要更换一次新的密封件。" * 100, "。"),
        ("彼は「ポンプが動く。」と言った。" * 300, ("。", "。」")),
        (" ".join(["تعمل المضخة عند ضغط اثنين وأربعين بار؟"] * 100), "؟"),
        (" ".join(["Die Dichtung hält z. B. zwei Jahre."] * 100), "Jahre."),
    ],
    ids=["chinese", "japanese", "arabic", "german"],
)
def test_sentences_end_where_their_language_ends_them(text: str, end: str | tuple[str, ...]) -> None:
    chunks = cut("a.txt", [paragraph(text)])
    assert len(chunks) > 2
    assert all(chunk.text.endswith(end) for chunk in chunks)


def test_no_cut_tears_a_character_from_its_accent() -> None:
    chunks = cut("a.txt", [paragraph("e\u0301" * 5000)])
    assert not any(chunk.text.startswith("\u0301") for chunk in chunks)


def boilerplate(times: int) -> list[Element]:
    return [paragraph("This page is the property of Halden. Do not copy it without leave.")] * times


@pytest.mark.parametrize("at", [0, 1, 250, 500])
def test_one_more_of_five_hundred_equal_paragraphs_changes_at_most_two_chunks(at: int) -> None:
    assert changed(boilerplate(500), boilerplate(501))[0] <= 2
    other = paragraph("Something else stands here.")
    before, after = boilerplate(500), [*boilerplate(at), other, *boilerplate(500 - at)]
    texts = {chunk.text for chunk in cut("a.txt", after)} - {chunk.text for chunk in cut("a.txt", before)}
    assert len(texts) <= 2


@pytest.mark.parametrize("period", [2, 3, 5])
def test_paragraphs_that_take_turns_do_not_move_all_cuts(period: int) -> None:
    turns = prose(3, period, (8, 20)) * (600 // period)
    new, total = changed(turns, [paragraph("A new paragraph about nothing at all."), *turns])
    assert new <= max(2, 0.03 * total)


def rows(count: int, seed: int = 1) -> list[str]:
    draw = random.Random(seed)
    names = ["seal", "shaft", "valve"]
    return [f"H{draw.randint(1, 9999)} | {draw.choice(names)} | {draw.randint(1, 99)}" for _ in range(count)]


def table(lines: list[str]) -> list[Element]:
    return [Element("table", "\n".join(lines))]


def test_every_chunk_of_a_long_table_begins_with_its_header() -> None:
    body = rows(2000)
    chunks = cut("a.csv", table(["Part | Name | Bar", *body]))
    assert all(chunk.text.startswith("Part | Name | Bar\nH") for chunk in chunks)
    assert [line for chunk in chunks for line in chunk.text.split("\n")[1:]] == body
    assert max(len(chunk.text) for chunk in chunks) <= LIMITS.maximum


@pytest.mark.parametrize("header", [["Part | Name | Bar"], []], ids=["with header", "without"])
@pytest.mark.parametrize("at", [0, 1, 1000, 2000])
def test_one_row_inserted_in_a_table_of_two_thousand_changes_at_most_two_chunks(header: list[str], at: int) -> None:
    body = rows(2000)
    new, total = changed(table([*header, *body]), table([*header, *body[:at], "H77 | gasket | 12", *body[at:]]))
    assert total > 30
    assert 1 <= new <= 2


def test_a_row_longer_than_a_chunk_is_cut_below_its_header() -> None:
    chunks = cut("a.csv", table(["Part | Note", "H300 | " + "word " * 1000, "H400 | 42"]))
    assert all(len(chunk.text) <= LIMITS.maximum for chunk in chunks)
    assert all(chunk.text.startswith("Part | Note\n") for chunk in chunks)


def test_text_that_moves_to_another_page_is_embedded_the_same() -> None:
    before, after = (cut("a.pdf", [paragraph("Begins.", page)]) for page in (1, 2))
    assert before[0].id != after[0].id
    assert before[0].embedded_text == after[0].embedded_text


SCRIPTS = st.text(alphabet=st.sampled_from("aB ßé.?!。！؟\n漢字กิאب|-7\u0301\u200d🙂"), max_size=4000)


@given(st.lists(st.tuples(st.sampled_from(["paragraph", "list-item", "table", "code"]), SCRIPTS), max_size=8))
def test_no_kind_of_element_loses_text_or_breaks_the_limit(parts: list[tuple[ElementKind, str]]) -> None:
    chunks = cut("a.txt", [Element(kind, text) for kind, text in parts])
    assert all(0 < len(chunk.text) <= LIMITS.maximum for chunk in chunks)
    found = Counter(character for chunk in chunks for character in chunk.text if not character.isspace())
    wanted = Counter(character for _, text in parts for character in text if not character.isspace())
    assert not wanted - found
