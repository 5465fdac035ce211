"""What a chunk is, and that an edit stays where it was made."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.chunking import ChunkSettings, cut
from tasks.core.documents import Element

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
