from tasks.core.model_registry import registry
from tasks.core.releases import ModelRef


def lora(adapter: str) -> ModelRef:
    return ModelRef(kind="lora", base="tiny", base_digest="sha256-0", adapter=adapter)


BASE = ModelRef(kind="base", base="tiny", base_digest="sha256-0")
HOSTED = ModelRef(kind="hosted", base="ft:gpt:1", base_digest="")


def test_a_model_is_in_the_state_of_the_best_release_that_uses_it() -> None:
    used = [("r-4", lora("b")), ("r-3", lora("a")), ("r-2", lora("a")), ("r-1", BASE)]
    states = {"r-4": "candidate", "r-3": "current", "r-2": "retired", "r-1": "rolled-back"}
    entries = registry([lora("c"), lora("b"), lora("a")], used, states, {"a", "b", "c"})
    assert {entry.id: entry.state for entry in entries} == {
        "c": "unused",
        "b": "candidate",
        "a": "current",
        "sha256-0": "rolled-back",
    }
    assert dict(entries[2].releases) == {"r-3": "current", "r-2": "retired"}


def test_an_adapter_whose_files_are_gone_is_missing_whoever_uses_it() -> None:
    [entry] = registry([lora("a")], [("r-1", lora("a"))], {"r-1": "current"}, set())
    assert entry.state == "missing"


def test_a_hosted_model_has_no_files_here_and_an_anchors_model_says_so() -> None:
    entries = registry([], [("r-2", HOSTED), ("r-1", BASE)], {"r-2": "current", "r-1": "retired"}, set(), anchor="r-1")
    assert [(entry.id, entry.state) for entry in entries] == [("ft:gpt:1", "current"), ("sha256-0", "anchor")]


def test_an_adapter_that_vacuum_took_with_its_last_release_is_reclaimed_and_not_missing() -> None:
    [entry] = registry(
        [lora("a")], [("r-2", lora("a")), ("r-1", lora("a"))], dict.fromkeys(("r-1", "r-2"), "reclaimed"), set()
    )
    assert entry.state == "reclaimed"
    [entry] = registry([lora("a")], [("r-2", lora("a"))], {"r-2": "rolled-back"}, set())
    assert entry.state == "missing"
