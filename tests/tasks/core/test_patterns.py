"""Who is asked, whether with passages, and who is heard: `parallel` and `routed` beside the other patterns."""

import pytest

from tasks.core.answers import Passage
from tasks.core.errors import UsageError
from tasks.core.patterns import (
    asks_without_passages,
    better_supported,
    models_asked,
    require_learned,
    with_pattern,
)
from tasks.core.prompts import default_prompt
from tasks.core.releases import ModelRef, Pattern, ReleaseManifest, RetrievalSettings, SnapshotRef
from tasks.core.replies import Reply, settle

BASE = ModelRef(kind="base", base="tiny", base_digest="sha256-0")
LORA = ModelRef(kind="lora", base="tiny", base_digest="sha256-0", adapter="sha256-1")
HOSTED = ModelRef(kind="hosted", base="ft:gpt:acme", base_digest="")
SHOWN = [
    Passage(1, "halden.md", "c-1", "The Halden 300 runs at up to 42 bar.", 1.0, 0.9),
    Passage(2, "skerry.md", "c-2", "The Skerry carries 15 metres of hose.", 0.5, 0.4),
]
ABSTENTION = "The documents do not say."


def reply(text: str) -> Reply:
    return settle(text, SHOWN, abstention=ABSTENTION, require_support=False)


CITED, UNCITED = reply("The Halden 300 runs at 42 bar. [1]"), reply("The Halden 300 runs at 42 bar.")
SILENT, WRONG, WRONGLY_CITED = reply(ABSTENTION), reply("It runs at 45 bar."), reply("The Halden runs at 42 bar. [2]")


def test_only_parallel_asks_two_models_the_adapter_and_its_base() -> None:
    assert models_asked("parallel", LORA) == (LORA, BASE)
    for pattern in ("rag", "sequential", "tuned", "routed"):
        assert models_asked(pattern, LORA) == (LORA,)


@pytest.mark.parametrize("model", [BASE, HOSTED], ids=lambda model: model.kind)
def test_parallel_over_what_has_no_base_beside_it_is_refused_by_name(model: ModelRef) -> None:
    with pytest.raises(UsageError, match=rf"parallel asks an adapter and its base, and {model.base} is no adapter"):
        models_asked("parallel", model)


@pytest.mark.parametrize("pattern", ["tuned", "routed"])
def test_a_model_that_learned_nothing_here_is_not_asked_what_it_learned(pattern: Pattern) -> None:
    with pytest.raises(UsageError, match=rf"{pattern} asks what a model has learned, and tiny was not tuned"):
        require_learned(pattern, BASE)
    require_learned(pattern, LORA)
    require_learned("sequential", BASE)


@pytest.mark.parametrize(
    ("better", "worse"),
    [(CITED, UNCITED), (UNCITED, SILENT), (SILENT, WRONG), (SILENT, WRONGLY_CITED), (CITED, SILENT), (CITED, WRONG)],
)
def test_the_better_supported_answer_is_given_whoever_wrote_it(better: Reply, worse: Reply) -> None:
    assert better_supported([better, worse], SHOWN) == 0
    assert better_supported([worse, better], SHOWN) == 1


@pytest.mark.parametrize("reply", [CITED, UNCITED, SILENT, WRONG])
def test_of_two_that_stand_alike_the_tuned_model_is_heard(reply: Reply) -> None:
    assert better_supported([reply, reply], SHOWN) == 0


@pytest.mark.parametrize(
    ("pattern", "found", "confidence", "least", "bare"),
    [
        ("tuned", True, 0.9, 0.5, True),
        ("routed", True, 0.5, 0.5, False),
        ("routed", True, 0.49, 0.5, True),
        ("routed", True, 0.0, None, False),
        ("routed", False, 0.9, None, True),
        ("sequential", True, 0.1, 0.5, False),
        ("parallel", False, 0.1, 0.5, False),
        ("rag", False, 0.1, None, False),
    ],
)
def test_a_router_asks_without_passages_where_retrieval_is_too_unsure(
    pattern: Pattern, found: bool, confidence: float, least: float | None, bare: bool
) -> None:
    assert asks_without_passages(pattern, found=found, confidence=confidence, least=least) is bare


def release(model: ModelRef, pattern: Pattern) -> ReleaseManifest:
    return ReleaseManifest(
        assistant="default",
        snapshot=SnapshotRef(number=1, manifest_hash="0" * 64, collection="default-1"),
        model=model,
        prompt=default_prompt(),
        retrieval=RetrievalSettings(),
        pattern=pattern,
    )


def test_a_wished_pattern_is_for_tuned_models_that_can() -> None:
    assert with_pattern(release(LORA, "sequential"), "parallel").pattern == "parallel"
    assert with_pattern(release(HOSTED, "sequential"), "routed").pattern == "routed"
    assert with_pattern(release(LORA, "parallel"), None).pattern == "parallel"
    assert with_pattern(release(BASE, "rag"), "parallel").pattern == "rag"
    assert with_pattern(release(HOSTED, "routed"), "parallel").pattern == "routed"
