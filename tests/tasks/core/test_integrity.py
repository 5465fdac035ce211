from dataclasses import replace

from evaluation_fakes import golden_label

from tasks.core.integrity import golden_leaks

GOLDEN = [golden_label(1), golden_label(2)]


def test_other_pages_and_other_questions_do_not_leak() -> None:
    assert golden_leaks(GOLDEN, [golden_label(3), golden_label(4)]) == ()


def test_the_label_itself() -> None:
    assert golden_leaks(GOLDEN, [GOLDEN[0]]) == ("Golden label l-0000000000000001 was trained on.",)


def test_its_page() -> None:
    trained = replace(golden_label(3), documents=("pumps/2.md",))
    [leak] = golden_leaks(GOLDEN, [trained])
    assert leak == (
        "Golden label l-0000000000000002 is about pumps/2.md, and so is l-0000000000000003, which was trained on."
    )


def test_nearly_its_question() -> None:
    trained = replace(golden_label(3), question="what pressure does the pump 1 reach")
    [leak] = golden_leaks(GOLDEN, [trained])
    assert leak == "Golden label l-0000000000000001 asks the same as l-0000000000000003, which was trained on."
