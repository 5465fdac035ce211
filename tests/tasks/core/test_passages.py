"""Neighbours are joined without repeating text, and packed without passing the budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.core.documents import Chunk, Hit
from tasks.core.passages import Surroundings, joined, packed, text_of
from tasks.core.prompts import shown
from tasks.core.replies import settle

PAGE = [Chunk(f"a{n}", "a.md", ("Pumps", f"Part {n}"), f"Part {n} is about pump {n}0.") for n in range(9)]
OTHER = [Chunk(f"b{n}", "b.md", (), f"Seal {n}.") for n in range(3)]
ORDER = {"a.md": [chunk.id for chunk in PAGE], "b.md": [chunk.id for chunk in OTHER]}
CHUNKS = {chunk.id: chunk for chunk in PAGE + OTHER}


def hit(chunk: Chunk, *, before: tuple[Chunk, ...] = (), after: tuple[Chunk, ...] = ()) -> Hit:
    return Hit(chunk, 1.0, 0.5, before, after)


def parts(hits: list[Hit]) -> list[str]:
    """Ids of each passage, its own chunk marked."""
    return [
        " ".join([*(one.id for one in found.before), f"[{found.chunk.id}]", *(one.id for one in found.after)])
        for found in hits
    ]


def join(*ids: str, reach: int) -> list[str]:
    return parts(joined([hit(CHUNKS[one]) for one in ids], Surroundings(reach, ORDER, CHUNKS)))


def count(text: str) -> int:
    return len(text.split())


def test_neighbours_come_from_both_sides_in_reading_order() -> None:
    assert join("a4", reach=2) == ["a2 a3 [a4] a5 a6"]


def test_a_document_ends_where_it_ends_and_another_does_not_begin() -> None:
    assert join("a0", "a8", "b0", reach=2) == ["[a0] a1 a2", "a6 a7 [a8]", "[b0] b1 b2"]


def test_a_neighbour_of_two_hits_goes_to_the_one_that_ranks_higher_and_the_other_ends_there() -> None:
    assert join("a4", "a2", reach=2) == ["a3 [a4] a5 a6", "a0 a1 [a2]"]
    assert join("a2", "a4", reach=2) == ["a0 a1 [a2] a3", "[a4] a5 a6"]
    assert join("a2", "a5", reach=2) == ["a0 a1 [a2] a3 a4", "[a5] a6 a7"]


def test_a_hit_beside_a_hit_stays_where_it_ranks() -> None:
    assert join("a5", "a1", "a4", reach=1) == ["[a5] a6", "a0 [a1] a2", "a3 [a4]"]


def test_a_chunk_without_a_known_place_stands_alone() -> None:
    stranger = hit(Chunk("x", "gone.md", (), "Nobody knows where."))
    assert joined([stranger], Surroundings(2, ORDER, CHUNKS)) == [stranger]


@given(
    st.lists(st.sampled_from(sorted(CHUNKS)), unique=True, max_size=8),
    st.integers(min_value=0, max_value=5),
)
def test_no_chunk_stands_in_two_passages_and_every_passage_is_a_stretch_of_its_document(
    ids: list[str], reach: int
) -> None:
    found = joined([hit(CHUNKS[one]) for one in ids], Surroundings(reach, ORDER, CHUNKS))
    stretches = [[chunk.id for chunk in (*one.before, one.chunk, *one.after)] for one in found]
    told = [chunk for stretch in stretches for chunk in stretch]
    assert len(told) == len(set(told))
    assert [one.chunk.id for one in found] == ids
    for one, stretch in zip(found, stretches, strict=True):
        order = ORDER[one.chunk.document]
        assert order[order.index(stretch[0]) :][: len(stretch)] == stretch
        assert max(len(one.before), len(one.after)) <= reach


def test_a_heading_path_stands_where_it_changes() -> None:
    one, two = Chunk("1", "a.md", ("Pumps",), "First."), Chunk("2", "a.md", ("Pumps",), "Second.")
    three = Chunk("3", "a.md", ("Pumps", "Care"), "Third.")
    assert text_of(hit(two, before=(one,), after=(three,))) == "Pumps\nFirst.\n\nSecond.\n\nPumps > Care\nThird."
    assert text_of(hit(two)) == "Pumps\nSecond." == shown(two)


# ── within a budget ──────────────────────────────────────────────────────────────────────────────────────────────────

OWN = count(shown(PAGE[4]))  # tokens of any part of the page: "Pumps > Part 4", "Part 4 is about pump 40."


def pack(tokens: int, *hits: Hit) -> list[str]:
    """The parts of the page that each packed passage shows, by number."""
    return [
        "".join(str(n) for n, chunk in enumerate(PAGE) if chunk.text in passage.text)
        for passage in packed(hits, tokens, count)
    ]


def test_own_texts_come_before_any_neighbour() -> None:
    two = (hit(PAGE[4], before=(PAGE[3],), after=(PAGE[5],)), hit(PAGE[8], before=(PAGE[7],)))
    assert pack(2 * OWN, *two) == ["4", "8"]
    assert pack(OWN, *two) == ["4"]


def test_near_neighbours_come_before_far_ones_and_the_best_passage_is_widened_first() -> None:
    two = (
        hit(PAGE[3], before=(PAGE[1], PAGE[2]), after=(PAGE[4],)),
        hit(PAGE[6], before=(PAGE[5],), after=(PAGE[7], PAGE[8])),
    )
    widened = [pack(parts * OWN, *two) for parts in range(2, 9)]
    assert widened == [
        ["3", "6"],
        ["23", "6"],
        ["234", "6"],
        ["234", "56"],
        ["234", "567"],
        ["1234", "567"],
        ["1234", "5678"],
    ]


def test_beyond_a_neighbour_that_does_not_fit_nothing_is_joined() -> None:
    long = Chunk("long", "a.md", (), "word " * 50)
    whole = hit(PAGE[4], before=(PAGE[2], long), after=(PAGE[5],))
    assert pack(2 * OWN, whole) == ["45"]


def test_a_passage_that_had_to_be_cut_stands_alone() -> None:
    (passage,) = packed([hit(PAGE[4], after=(Chunk("s", "a.md", (), "I"),))], OWN - 1, count)
    assert count(passage.text) <= OWN - 1
    assert shown(PAGE[4]).startswith(passage.text)


@given(st.data(), st.integers(min_value=0, max_value=120))
def test_passages_never_pass_the_budget_and_always_hold_their_own_text(data: st.DataObject, tokens: int) -> None:
    ids = data.draw(st.lists(st.sampled_from(sorted(CHUNKS)), unique=True, max_size=6))
    hits = joined([hit(CHUNKS[one]) for one in ids], Surroundings(data.draw(st.integers(0, 3)), ORDER, CHUNKS))
    passages = packed(hits, tokens, count)
    bare = packed([hit(CHUNKS[one]) for one in ids], tokens, count)
    assert sum(count(passage.text) for passage in passages) <= tokens
    assert [passage.chunk for passage in passages] == [passage.chunk for passage in bare]
    for passage, own in zip(passages, bare, strict=True):
        assert own.text in passage.text
        assert own.text == shown(CHUNKS[own.chunk]) or len(passages) == 1 or own.marker == 1


def test_what_a_neighbour_says_is_quoted_and_supports_the_answer_under_the_hits_own_chunk() -> None:
    passages = packed([hit(PAGE[4], after=(PAGE[5],))], 100, count)
    reply = settle("Part 5 is about pump 50. [1]", passages, abstention="No.", require_support=True)
    assert reply.because is None
    assert [(one.chunk, one.quote) for one in reply.citations] == [("a4", "Part 5 is about pump 50.")]
    alone = packed([hit(PAGE[4])], 100, count)
    assert settle("Part 5 is about pump 50. [1]", alone, abstention="No.", require_support=True).because == "support"
