from tasks.core.feedback import Feedback, Response, demonstrated, rated

GIVEN = Response("chatcmpl-1", "default", "r-1", 7, "rag", "How hot?", "60 °C. [1]", ("a.md",))


def test_feedback_is_the_same_when_response_kind_value_and_person_are() -> None:
    one = Feedback("x", "boolean", True, "ann")
    others = [
        Feedback("y", "boolean", True, "ann"),
        Feedback("x", "float", 1.0, "ann"),
        Feedback("x", "boolean", False, "ann"),
    ]
    assert one.id == Feedback("x", "boolean", True, "ann").id
    assert len({one.id, Feedback("x", "boolean", True).id, *(other.id for other in others)}) == 1 + 1 + 3


def test_what_it_becomes_waits_and_says_who_said_it() -> None:
    label = demonstrated(GIVEN, Feedback("chatcmpl-1", "demonstration", "90 °C. [2]"))
    assert (label.state, label.answer, label.split) == ("pending", "90 °C.", None)
    assert label.reason == "somebody wrote this instead of the answer of release r-1"
    rating = rated(GIVEN, Feedback("chatcmpl-1", "boolean", True, "ann"), "Nice.")
    assert (rating.state, rating.value, rating.comment, rating.answer) == ("pending", 1.0, "Nice.", "60 °C.")
