"""Which golden questions belong together."""

from dataclasses import replace

import pytest
from evaluation_fakes import golden_label
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.comparison import Touch
from tasks.core.labels import Label
from tasks.core.policy import Policy, Slice
from tasks.core.slices import NO_FOLDER, NamedSlice, folders_of, slices_of


def label(n: int, *documents: str, question: str = "How hot?", unanswerable: bool = False) -> Label:
    return replace(golden_label(n), documents=documents, question=question, unanswerable=unanswerable)


OIL, HOSE, BESIDE = label(1, "oils/a.md"), label(2, "hoses/b.md"), label(3, "c.md")


def found(
    labels: list[Label], *slices: Slice, touched: dict[str, Touch] | None = None, **fields: object
) -> dict[str, NamedSlice]:
    policy = Policy.model_validate({"slices": slices, **fields})
    return {one.name: one for one in slices_of(labels, policy, touched)}


def members(
    labels: list[Label], *slices: Slice, touched: dict[str, Touch] | None = None, **fields: object
) -> dict[str, list[int]]:
    made = found(labels, *slices, touched=touched, **fields)
    return {name: [int(id[2:], 16) for id in one.label_ids] for name, one in made.items()}


def test_the_top_folders_of_the_documents_are_slices_by_name() -> None:
    deep = label(4, "oils/deep/er/d.md")
    assert members([HOSE, OIL, deep, BESIDE]) == {"hoses": [2], NO_FOLDER: [3], "oils": [1, 4]}
    assert list(members([HOSE, OIL, BESIDE])) == sorted(["hoses", "oils", NO_FOLDER])


def test_a_single_folder_is_no_slice_and_neither_is_any_where_the_policy_says_so() -> None:
    assert members([OIL, label(4, "oils/b.md")]) == {}
    assert members([OIL, HOSE], slice_by_folder=False) == {}


def test_a_label_about_two_folders_belongs_to_both_and_one_about_none_to_neither() -> None:
    assert members([label(1, "oils/a.md", "hoses/b.md"), label(2)]) == {"hoses": [1], "oils": [1]}


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ("Oils & Greases/a.md", "oils-greases"),
        ("oils_greases/a.md", "oils-greases"),
        ("ÖLE/a.md", "öle"),
        ("a.md", NO_FOLDER),
        ("---/a.md", NO_FOLDER),
        ("/a.md", NO_FOLDER),
    ],
)
def test_folders_are_named_like_gates(document: str, name: str) -> None:
    assert folders_of(label(1, document)) == (name,)


def test_unanswerable_questions_are_a_slice() -> None:
    assert members([OIL, label(2, "oils/a.md", unanswerable=True)]) == {"unanswerable": [2]}


def test_questions_around_whose_answer_the_page_changed_are_a_slice() -> None:
    touched: dict[str, Touch] = {OIL.id: "page", HOSE.id: "answer"}
    assert members([OIL, HOSE], touched=touched, slice_by_folder=False) == {"page-changed": [1]}


# ── the policy's ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("conditions", "admitted"),
    [
        ({}, [1, 2, 3, 4]),
        ({"documents": ["oils/*"]}, [1, 4]),
        ({"documents": ["oils/*", "c.md"]}, [1, 3, 4]),
        ({"question": "HOT|cold"}, [1, 2, 4]),
        ({"question": "^cold"}, []),
        ({"unanswerable": True}, [4]),
        ({"unanswerable": False}, [1, 2, 3]),
        ({"documents": ["oils/*"], "question": "hot", "unanswerable": False}, [1]),
    ],
)
def test_every_condition_of_a_slice_holds_and_what_is_left_out_admits_all(
    conditions: dict[str, object], admitted: list[int]
) -> None:
    labels = [OIL, HOSE, replace(BESIDE, question="Who made it?"), label(4, "oils/deep/x.md", unanswerable=True)]
    slices = Slice.model_validate({"name": "mine", **conditions})
    assert members(labels, slices)["mine"] == admitted


def test_a_star_stands_for_folders_too() -> None:
    assert members([label(1, "a/b/c/oils.md")], Slice(name="mine", documents=("a/*.md",)))["mine"] == [1]


def test_the_policys_slices_come_first_in_its_order_with_what_it_asks() -> None:
    b, a = Slice(name="b", required=True, margin=0.3), Slice(name="a")
    made = found([OIL, HOSE], b, a)
    assert list(made) == ["b", "a", "hoses", "oils"]
    assert [(one.required, one.margin) for one in made.values()] == [
        (True, 0.3),
        (False, 0.15),
        (False, 0.15),
        (False, 0.15),
    ]


def test_a_slice_of_the_policy_takes_the_place_of_one_of_the_same_name() -> None:
    mine = Slice(name="oils", documents=("hoses/*",), required=True)
    made = found([OIL, HOSE], mine)
    assert list(made) == ["oils", "hoses"]
    assert made["oils"].label_ids == (HOSE.id,)


def test_a_slice_of_the_policy_is_there_even_when_no_question_belongs_to_it() -> None:
    assert members([OIL], Slice(name="none", documents=("nowhere/*",)))["none"] == []


@pytest.mark.parametrize("folder", ["unanswerable", "Page changed"])
def test_a_folder_called_as_a_slice_that_makes_itself_is_still_looked_at(folder: str) -> None:
    filed = label(1, f"{folder}/a.md")
    made = members([filed, HOSE])
    assert made["folder-" + folder.lower().replace(" ", "-")] == [1]
    assert made["hoses"] == [2]


labels = st.lists(
    st.builds(
        label,
        st.integers(0, 50),
        st.sampled_from(["oils/a.md", "hoses/b.md", "c.md"]),
        unanswerable=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda one: one.id,
)


@given(labels, st.randoms(use_true_random=False))
def test_the_order_of_the_labels_makes_no_difference(some: list[Label], draw) -> None:
    mixed = list(some)
    draw.shuffle(mixed)
    assert slices_of(mixed, Policy()) == slices_of(some, Policy())
    assert all(list(one.label_ids) == sorted(one.label_ids) for one in slices_of(some, Policy()))
