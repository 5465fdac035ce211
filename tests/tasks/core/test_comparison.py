from dataclasses import replace

from evaluation_fakes import golden_label, manifest

from tasks.core.comparison import kinds_of_change, page_texts, touched_questions
from tasks.core.documents import Chunk

LABEL = golden_label(1)  # "Pump 1 reaches 1001 bar."


def touched(before: str | None, after: str | None, label=LABEL):
    old, new = ({label.documents[0]: text} if text is not None else {} for text in (before, after))
    return touched_questions([label], old, new).get(label.id)


def test_a_question_is_touched_when_its_page_is() -> None:
    assert touched("Pump 1 reaches 900 bar.", "Pump 1 reaches 1001 bar.") == "answer"
    assert touched(None, "Pump 1 reaches 1001 bar.") == "answer"
    assert touched("Pump 1 reaches 1001 bar.", "Our pump 1 reaches 1001 bar.") == "page"
    assert touched("Pump 1 reaches 1001 bar.", "Pump 1 reaches 1001 bar.") is None
    assert touched("Pump 1 reaches 1001 bar.", None) == "page"  # its ideal answer is not in the documents any more


def test_without_facts_the_best_sentence_decides() -> None:
    label = replace(LABEL, facts=(), answer="Warm the oil before the first start.")
    assert touched("Cool the oil.", "Warm the oil before the first start.", label) == "answer"
    assert (
        touched("Warm the oil before the first start.", "Warm the oil before the first start. Then go.", label)
        == "page"
    )


def test_an_answer_changed_when_the_new_page_holds_all_of_it_and_the_old_one_did_not() -> None:
    label = replace(LABEL, facts=("1001 bar", "two minutes"))
    half, whole = "Pump 1 reaches 1001 bar.", "Pump 1 reaches 1001 bar for two minutes."
    assert touched("Pump 1 is blue.", half, label) == "page"
    assert touched(half, whole, label) == touched("Pump 1 is blue.", whole, label) == "answer"
    assert touched(whole, half, label) == "page"


def test_without_facts_better_support_is_enough() -> None:
    label = replace(LABEL, facts=(), answer="Warm the oil slowly before the first start of the day.")
    assert touched("Warm the oil.", "Warm the oil slowly before the first start.", label) == "answer"


def test_an_unanswerable_question_is_touched_by_the_loss_of_its_page() -> None:
    label = golden_label(2, unanswerable=True)
    assert touched("Pump 2 weighs 9 kg.", None, label) == "answer"
    assert touched("Pump 2 is blue.", "Pump 2 is red.", label) == "page"


def test_other_pages_do_not_touch_it() -> None:
    assert touched_questions([LABEL], {"oils.md": "a"}, {"oils.md": "b"}) == {}


def test_what_kind_of_change_a_candidate_is() -> None:
    base = manifest()
    assert kinds_of_change(manifest(), base) == ()
    assert kinds_of_change(manifest(snapshot=2), base) == ("documents",)
    assert kinds_of_change(manifest(system="Answer briefly."), base) == ("config",)
    assert kinds_of_change(manifest(k=4, snapshot=2), base) == ("documents", "config")
    assert kinds_of_change(manifest(adapter="sha256-1", k=4), base) == ("adapter",)  # a model brings its own settings
    assert kinds_of_change(manifest(adapter="sha256-1", snapshot=2), base) == ("adapter", "documents")


def test_a_page_reads_the_same_wherever_its_chunks_stand() -> None:
    first, second = Chunk("1", "a.md", ("A",), "one"), Chunk("2", "a.md", ("A",), "two")
    assert page_texts([first, second]) == page_texts([second, first]) == {"a.md": "A\none\nA\ntwo"}
