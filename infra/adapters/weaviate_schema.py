"""What a collection of Ratchet's looks like on a Weaviate server: its name, its properties, and whose it is.

Everything is said explicitly: what is left to defaults differs between servers and versions. Whose the collection is,
and the fence, stand in its description, where no search or count can see them. Descriptions go through Raft: every
node reads the one that was written last.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from tasks.core.errors import IndexUnavailable, IntegrityFailure
from tasks.core.retrieval import BM25_B, BM25_K1, WORDS_RULE

if TYPE_CHECKING:
    from weaviate import WeaviateClient
    from weaviate.classes.config import Property
    from weaviate.collections.classes.config import CollectionConfig

FORMAT = 1  # raise whenever what is stored means something else: an older collection is refilled from the catalog
WRITABLE_SECONDS = 10.0
LAYOUT = f"{FORMAT}.{WORDS_RULE}"

# name: (type, tokenization, filterable, searchable); range filters are off everywhere, the snapshot filter is plain
PROPERTIES: dict[str, tuple[str, str | None, bool, bool]] = {
    "born": ("int", None, True, False),
    "died": ("int", None, True, False),  # absent while alive
    "words": ("text", "whitespace", False, True),  # our own words, so that BM25 counts what the embedded index counts
    "document_match": ("text", "field", True, False),
    "headings_match": ("text[]", "field", True, False),
    "chunk_id": ("text", "field", False, False),
    "document": ("text", "field", False, False),
    "heading_path": ("text", "field", False, False),
    "text": ("text", "field", False, False),
    "page": ("int", None, False, False),
}


@dataclass(frozen=True, slots=True)
class Ownership:
    """What a collection's description says."""

    stamp: str
    token: int
    layout: str = LAYOUT

    @property
    def description(self) -> str:
        """As it is written."""
        return json.dumps({"made by": "Ratchet", "stamp": self.stamp, "token": self.token, "layout": self.layout})


def physical_name(collection: str, installation: str) -> str:
    """The name on the server: two installations never share one.

    >>> physical_name("default-0123abcd", "89abcdef01234567")
    'Ratchet_default_0123abcd_89abcdef'
    """
    legal = re.sub(r"[^0-9a-z]", "_", collection.lower())
    if not re.fullmatch(r"[0-9a-z-]+", collection):  # servers tell names apart without case, and know no other signs
        legal += "_" + hashlib.sha256(collection.encode()).hexdigest()[:8]
    return f"Ratchet_{legal}_{re.sub(r'[^0-9a-z]', '_', installation.lower()[:8])}"


def ownership(client: WeaviateClient, name: str) -> Ownership | None:
    """Whose a collection is; None when it is not there. Raises IntegrityFailure when Ratchet did not make it."""
    config = _config(client, name)
    return _ownership(config) if config else None


def checked_ownership(client: WeaviateClient, name: str) -> Ownership | None:
    """The same, and raises IntegrityFailure when somebody changed the collection's schema."""
    config = _config(client, name)
    if config is None:
        return None
    whose = _ownership(config)
    wrong = differences(config) if whose.layout == LAYOUT else []
    if wrong:
        raise IntegrityFailure(
            f"The Weaviate collection {name} is not as Ratchet made it: {'; '.join(wrong)}. "
            "Delete the collection: the next run refills it from the catalog.",
            collection=name,
            differences=wrong,
        )
    return whose


def make(client: WeaviateClient, name: str, whose: Ownership) -> None:
    """An empty collection. How often it is replicated is the cluster's setting."""
    from weaviate.classes.config import Configure, StopwordsPreset, VectorDistances

    client.collections.create(
        name,
        description=whose.description,
        properties=_properties(),
        vector_config=Configure.Vectors.self_provided(
            vector_index_config=Configure.VectorIndex.hnsw(
                distance_metric=VectorDistances.COSINE, quantizer=Configure.VectorIndex.Quantizer.none()
            )
        ),
        inverted_index_config=Configure.inverted_index(
            bm25_k1=BM25_K1, bm25_b=BM25_B, stopwords_preset=StopwordsPreset.NONE
        ),
        sharding_config=Configure.sharding(desired_count=1),  # keyword statistics are per shard
    )


def mark(client: WeaviateClient, name: str, whose: Ownership) -> None:
    """Writes whose a collection is.

    While a server applies any change of a schema, its shards are read-only: this returns once they can be written.
    """
    config = client.collections.use(name).config
    config.update(description=whose.description)
    until = time.monotonic() + WRITABLE_SECONDS
    while any(shard.status != "READY" for shard in config.get_shards()):
        if time.monotonic() > until:
            raise IndexUnavailable(
                f"The Weaviate collection {name} is read-only, for {WRITABLE_SECONDS:.0f} s now. A full disk makes it "
                "so, or little memory: look at the server's log, then run again.",
                collection=name,
            )
        time.sleep(0.02)


def differences(config: CollectionConfig) -> list[str]:
    """How a collection differs from what `make` makes, as phrases; empty when it does not."""
    bm25, stopwords = config.inverted_index_config.bm25, config.inverted_index_config.stopwords
    wanted: dict[str, object] = {"bm25.k1": BM25_K1, "bm25.b": BM25_B, "stopwords": ("none", [], [])}
    found: dict[str, object] = {
        "bm25.k1": bm25.k1,
        "bm25.b": bm25.b,
        "stopwords": (_spelled(stopwords.preset), stopwords.additions or [], stopwords.removals or []),
    }
    wanted |= {"vectors": ["default: none, hnsw, cosine, not compressed"], "shards": 1}
    found |= {"vectors": _vectors(config), "shards": config.sharding_config and config.sharding_config.desired_count}
    wanted |= {f"property {name}": (*spelled, False) for name, spelled in PROPERTIES.items()}
    found |= {
        f"property {p.name}": (
            _spelled(p.data_type),
            _spelled(p.tokenization),
            p.index_filterable,
            p.index_searchable,
            p.index_range_filters,
        )
        for p in config.properties
    }
    keys = sorted(wanted.keys() | found.keys())
    return [
        f"{key} is {found.get(key, 'missing')}, not {wanted.get(key, 'there')}"
        for key in keys
        if found.get(key) != wanted.get(key)
    ]


def _vectors(config: CollectionConfig) -> list[str]:
    spelled = []
    for name, one in sorted((config.vector_config or {}).items()):
        index = one.vector_index_config
        distance = _spelled(getattr(index, "distance_metric", "no distance"))
        compressed = "compressed" if getattr(index, "quantizer", None) else "not compressed"
        vectorizer = _spelled(one.vectorizer.vectorizer)
        spelled.append(f"{name}: {vectorizer}, {index.vector_index_type()}, {distance}, {compressed}")
    return spelled


def _spelled(choice: object) -> object:
    return choice.value if isinstance(choice, Enum) else choice


def _properties() -> list[Property]:
    from weaviate.classes.config import DataType, Property, Tokenization

    return [
        Property(
            name=name,
            data_type=DataType(kind),
            tokenization=Tokenization(tokenization) if tokenization else None,
            index_filterable=filterable,
            index_searchable=searchable,
            index_range_filters=False,
        )
        for name, (kind, tokenization, filterable, searchable) in PROPERTIES.items()
    ]


def _config(client: WeaviateClient, name: str) -> CollectionConfig | None:
    from weaviate.exceptions import UnexpectedStatusCodeError

    try:
        return client.collections.use(name).config.get()
    except UnexpectedStatusCodeError as error:
        if error.status_code == 404:
            return None
        raise


def _ownership(config: CollectionConfig) -> Ownership:
    try:
        said = json.loads(config.description or "")
        return Ownership(str(said["stamp"]), int(said["token"]), str(said["layout"]))
    except (ValueError, TypeError, KeyError) as error:
        raise IntegrityFailure(
            f"The Weaviate collection {config.name} has a name of Ratchet's, but its description does not say whose it "
            f"is: {config.description!r}. Delete the collection if nobody else needs it: the next run makes it anew.",
            collection=config.name,
        ) from error
