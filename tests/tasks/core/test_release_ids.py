"""A release keeps its id, whatever settings later versions learn."""

from __future__ import annotations

import hashlib

import pytest

from tasks.core.releases import ModelRef, PromptSpec, ReleaseManifest, RetrievalSettings, SnapshotRef, canonical_json

AS_FIRST_WRITTEN = (
    '{"assistant":"default","format":1,"limits":{"max_context_tokens":1200,"max_new_tokens":48},'
    '"model":{"adapter":null,"base":"smollm2","base_digest":"sha256-1","kind":"base"},"pattern":"rag",'
    '"prompt":{"abstention":"Unknown.","examples":[],"system":"Answer."},"require_support":true,'
    '"retrieval":{"candidates":50,"fusion":"rrf","k":3,"min_confidence":0.25,"rrf_k":60},'
    '"snapshot":{"collection":"default-0123abcd","manifest_hash":"aa","number":3}}'
)

AS_WRITTEN_BEFORE_ANY_FIELD_WAS_LEFT_OUT = (
    '{"assistant":"default","format":1,"limits":{"max_context_tokens":1200,"max_new_tokens":48},'
    '"model":{"adapter":null,"base":"smollm2","base_digest":"sha256-1","kind":"base"},"pattern":"rag",'
    '"prompt":{"abstention":"Unknown.","examples":[],"system":"Answer."},"require_support":true,'
    '"retrieval":{"blend_alpha":0.7,"candidates":50,"documents":[],"fusion":"rrf","headings":[],"k":3,'
    '"min_confidence":0.25,"neighbours":0,"rerank_candidates":20,"reranker":null,"reranker_fingerprint":null,"rrf_k":60},'
    '"snapshot":{"collection":"default-0123abcd","manifest_hash":"aa","number":3}}'
)


def manifest(**retrieval: object) -> ReleaseManifest:
    return ReleaseManifest(
        assistant="default",
        snapshot=SnapshotRef(number=3, manifest_hash="aa", collection="default-0123abcd"),
        model=ModelRef(kind="base", base="smollm2", base_digest="sha256-1"),
        prompt=PromptSpec(system="Answer.", abstention="Unknown."),
        retrieval=RetrievalSettings.model_validate({"k": 3, "min_confidence": 0.25} | retrieval),
        pattern="rag",
    )


def test_a_release_that_uses_nothing_newer_has_the_id_of_its_first_canonical_json() -> None:
    assert manifest().id == "r-" + hashlib.sha256(AS_FIRST_WRITTEN.encode()).hexdigest()[:16] == "r-f45446ba039cba08"
    assert ReleaseManifest.model_validate_json(AS_FIRST_WRITTEN) == manifest()


def test_a_manifest_of_an_older_bundle_is_written_again_byte_for_byte() -> None:
    read = ReleaseManifest.model_validate_json(AS_WRITTEN_BEFORE_ANY_FIELD_WAS_LEFT_OUT)
    assert read.retrieval.confidence == "passage"
    assert canonical_json(read.model_dump(mode="json")) == AS_WRITTEN_BEFORE_ANY_FIELD_WAS_LEFT_OUT


@pytest.mark.parametrize(
    "newer",
    [
        {"blend_alpha": 0.5},
        {"reranker": "some/model"},
        {"rerank_candidates": 30},
        {"neighbours": 1},
        {"confidence": "sentence"},
        {"documents": ["a*"]},
        {"headings": ["a*"]},
    ],
    ids=str,
)
def test_a_newer_setting_that_is_used_makes_another_release(newer: dict[str, object]) -> None:
    assert manifest(**newer).id != manifest().id
    assert ReleaseManifest.model_validate_json(manifest(**newer).model_dump_json()).id == manifest(**newer).id


def test_a_release_that_mends_citations_is_another_one_and_reads_back_as_it_was() -> None:
    mending = manifest().model_copy(update={"mend_citations": True})
    assert mending.id != manifest().id
    assert ReleaseManifest.model_validate_json(mending.model_dump_json()) == mending
