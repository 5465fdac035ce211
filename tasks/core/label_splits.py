"""Which split a label belongs to: whole clusters, connected by a page or by asking the same question, never parted.

Golden on one side and training or validation on the other never share a cluster. Once given, a split never moves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.core.labels import Split

GOLDEN_MINIMUM = 40  # fewer accepted labels make no golden set: it would end "unproven" and decide nothing


@dataclass(frozen=True, slots=True)
class SplitPolicy:
    """How labels that say nothing are split. Fractions are of labels, 0 to 1."""

    golden_fraction: float
    validation_fraction: float
    golden_minimum: int = (
        GOLDEN_MINIMUM  # fewer accepted labels make no golden set: it would end "unproven" and decide nothing
    )
    max_share_per_contributor: float = 1.0  # 0 to 1, of accepted labels; 1: no cap
    contributor_minimum: int = 10  # labels that anybody may give, whatever share that is


def waits_for_split(count: int) -> str:
    """Why so many accepted labels, preferences and ratings train nothing yet, as a sentence; empty for none.

    >>> waits_for_split(5)
    '5 accepted ones wait for their split, which is decided at 40 labels, or once a label says `"split": "golden"`.'
    """
    if not count:
        return ""
    one = "1 accepted one waits for its split" if count == 1 else f"{count:,} accepted ones wait for their split"
    return f'{one}, which is decided at {GOLDEN_MINIMUM} labels, or once a label says `"split": "golden"`.'


def too_few_golden(golden: int, least: int) -> str:
    """What so small a golden set does, as a sentence; empty for none, and for one that can decide.

    least: answerable questions that a gate asks for.

    >>> too_few_golden(1, 10)
    'With 1 golden question new documents wait for a verdict, which takes 10 at least that can be answered, on \
different pages. Import more, or lower minimum_questions: docs/policy.md.'
    """
    if not 0 < golden < least:
        return ""
    questions = "1 golden question" if golden == 1 else f"{golden:,} golden questions"
    return (
        f"With {questions} new documents wait for a verdict, which takes {least:,} at least that can be answered, on "
        "different pages. Import more, or lower minimum_questions: docs/policy.md."
    )


@dataclass(frozen=True, slots=True)
class Link:
    """Why a label belongs to a cluster, in words: "its page pumps/halden.md", "the same question in line 3"."""

    node: str
    words: str


@dataclass(slots=True)
class _Cluster:
    members: list[str]
    key: str  # the smallest node: the same whatever the order of import
    split: Split | None = None
    decided_by: str = ""


_STRONGER: tuple[Split, ...] = ("golden", "train", "validation")


class Clusters:
    """Labels and pages, joined. Nodes are texts; a node nobody mentioned before is a cluster of its own."""

    def __init__(self) -> None:
        self._of: dict[str, _Cluster] = {}

    def refusal(self, links: Iterable[Link], wish: Split | None) -> str | None:
        """Why a label with these links and this explicit wish cannot be in any split; None when it can."""
        decided = [(link, self._cluster(link.node)) for link in links]
        golden = next(((link, c) for link, c in decided if c.split == "golden"), None)
        study = next(((link, c) for link, c in decided if c.split in ("train", "validation")), None)
        if golden and study:
            return f"{_where(*golden)}, but {_where(*study)}; no split can hold this label"
        for link, cluster in decided:
            if wish is not None and cluster.split not in (None, wish):
                return f"asks for {wish}, but {_where(link, cluster)}, and a split never moves"
        return None

    def join(self, node: str, links: Iterable[Link], split: Split | None, who: str) -> None:
        """Puts a node into one cluster with everything it links to."""
        self._decide(self._cluster(node), split, who)
        for link in links:
            self._merge(self._cluster(node), self._cluster(link.node))

    def split_of(self, node: str) -> Split | None:
        """What the node's cluster was decided to be."""
        return self._cluster(node).split

    def undecided(self, nodes: Iterable[str]) -> dict[str, int]:
        """Key of each cluster without a split that holds one of these nodes, and how many of them it holds."""
        sizes: dict[str, int] = {}
        for node in nodes:
            cluster = self._cluster(node)
            if cluster.split is None:
                sizes[cluster.key] = sizes.get(cluster.key, 0) + 1
        return sizes

    def decide(self, splits: Mapping[str, Split]) -> None:
        """Gives undecided clusters, named by key, their split."""
        for key, split in splits.items():
            self._decide(self._cluster(key), split, "its cluster")

    def _cluster(self, node: str) -> _Cluster:
        return self._of.setdefault(node, _Cluster([node], node))

    def _decide(self, cluster: _Cluster, split: Split | None, who: str) -> None:
        """A row over two decided pages may meet training and validation: it trains. Nothing outranks golden."""
        if split is None or (cluster.split and _STRONGER.index(cluster.split) <= _STRONGER.index(split)):
            return
        cluster.split, cluster.decided_by = split, who

    def _merge(self, a: _Cluster, b: _Cluster) -> None:
        if a is b:
            return
        large, small = (a, b) if len(a.members) >= len(b.members) else (b, a)
        large.members += small.members
        large.key = min(large.key, small.key)
        self._decide(large, small.split, small.decided_by)
        for node in small.members:
            self._of[node] = large


def _where(link: Link, cluster: _Cluster) -> str:
    side = "golden" if cluster.split == "golden" else f"in {cluster.split}"
    return f"{link.words} is {side} ({cluster.decided_by})"


def allocate(
    undecided: Mapping[str, int], policy: SplitPolicy, *, golden: int, validation: int, train: int
) -> dict[str, Split]:
    """A split for every undecided cluster (key → number of labels), in the order of a stable hash of the key.

    golden, validation, train: labels that have theirs already. Where none is golden, the first clusters become golden
    until `golden_fraction` is reached; before `golden_minimum` labels exist nothing is decided, because what has been
    trained on can never be golden. After that, `validation_fraction` of the rest validates and the others train.
    """
    splits: dict[str, Split] = {}
    if not golden and policy.golden_fraction > 0:
        splits = _reserve_golden(undecided, policy, total=validation + train + sum(undecided.values()))
        if not splits:
            return {}
    rest = {key: size for key, size in undecided.items() if key not in splits}
    wanted = policy.validation_fraction * (validation + train + sum(rest.values()))
    for key in _in_hash_order("validation", rest):
        fits = validation + rest[key] / 2 <= wanted
        splits[key] = "validation" if fits else "train"
        validation += rest[key] if fits else 0
    return splits


def _reserve_golden(undecided: Mapping[str, int], policy: SplitPolicy, *, total: int) -> dict[str, Split]:
    if total < policy.golden_minimum:
        return {}
    reserved = 0
    splits: dict[str, Split] = {}
    for key in _in_hash_order("golden", undecided):
        # A cluster that would make more than half of everything golden stays out: something has to be left to learn.
        if reserved < policy.golden_fraction * total and (reserved + undecided[key]) * 2 <= total:
            splits[key] = "golden"
            reserved += undecided[key]
    return splits


def _in_hash_order(purpose: str, keys: Iterable[str]) -> Sequence[str]:
    return sorted(keys, key=lambda key: hashlib.sha256(f"{purpose}\n{key}".encode()).digest())
