from evaluation_fakes import manifest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.releases import Example
from tasks.core.report.changes import Change, changes_between


def test_the_same_manifest_has_no_changes() -> None:
    assert changes_between(manifest(), manifest()) == ()


def test_each_setting_that_differs_is_named_with_both_values_the_model_first() -> None:
    found = changes_between(manifest(k=2), manifest(k=4, snapshot=2, adapter="sha256-b"))
    assert [(c.part, c.name, c.before, c.after) for c in found if not c.is_hash] == [
        ("model", "model.kind", "base", "lora"),
        ("model", "model.adapter", "none", "sha256-b"),
        ("documents", "snapshot.number", "1", "2"),
        ("settings", "retrieval.k", "2", "4"),
    ]


def test_an_example_that_only_one_side_has_is_none_on_the_other() -> None:
    prompt = manifest().prompt.model_copy(update={"examples": (Example(passages=("p",), question="q", answer="a"),)})
    found = changes_between(manifest(), manifest().model_copy(update={"prompt": prompt}))
    names = ["prompt.examples.1.passages.1", "prompt.examples.1.question", "prompt.examples.1.answer"]
    assert [(c.part, c.name, c.before) for c in found] == [("prompt", name, None) for name in names]


def test_long_unchanged_text_is_shortened_around_what_changed() -> None:
    text = " ".join(f"w{n}" for n in range(200))
    pieces = Change("prompt", "prompt.system", text, text.replace("w100 ", "X ")).pieces
    assert [piece for piece in pieces if piece[0] != "same"] == [("gone", "w100"), ("new", "X")]
    assert pieces[0][1].startswith(" … ")
    assert pieces[0][1].endswith("w98 w99 ")
    assert len("".join(shown for _, shown in pieces).split()) < 40


words = st.lists(st.sampled_from(["a", "b", "c", "d."]), max_size=12).map(" ".join)


@given(words, words)
def test_what_is_kept_and_new_is_the_new_text_and_what_is_kept_and_gone_the_old(before: str, after: str) -> None:
    pieces = Change("prompt", "x", before, after).pieces
    assert "".join(text for kind, text in pieces if kind != "gone") == after
    assert "".join(text for kind, text in pieces if kind != "new") == before
