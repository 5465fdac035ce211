"""What finds questions that were typed anew, and what takes others for them: our rule beside MinHash.

    .venv/bin/python benchmarks/near_duplicates.py

Of every question of the demo's labels rewordings are generated (they ask the same) and neighbours (they ask something
else), and each is put beside its original. MinHash needs `pip install datasketch==2.0.0`, which is no dependency;
without it only our rule is measured. Everything is drawn from a seed.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from tasks.core.near_duplicates import same_question, same_question_pairs, wording

ROOT = Path(__file__).parents[1]
LONG = re.compile(r"\b[a-z]{6,}\b")
NAME = re.compile(r"(?<=[a-z] )[A-Z][a-z]+\b")


def questions() -> list[str]:
    found: dict[str, None] = {}
    for file in sorted((ROOT / "flows" / "demo").rglob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            found.setdefault(json.loads(line)["question"])
    return list(found)


def swapped(text: str, pattern: re.Pattern[str], other: Callable[[str], str], draw: random.Random) -> str | None:
    places = list(pattern.finditer(text))
    if not places:
        return None
    place = draw.choice(places)
    return text[: place.start()] + other(place[0]) + text[place.end() :]


def misspelt(word: str, draw: random.Random) -> str:
    at = draw.randrange(1, len(word) - 1)
    if draw.random() < 0.5:
        return word[:at] + word[at + 1 :]
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def rewordings(text: str, draw: random.Random) -> dict[str, tuple[str, str] | None]:
    """Kind → a pair that asks the same."""
    bare = text.rstrip("?")
    lowered = bare[0].lower() + bare[1:]
    typo = swapped(text, LONG, lambda word: misspelt(word, draw), draw)
    return {
        "case and punctuation": (text, lowered + " ??"),
        "an article dropped": (text, text.replace(" the ", " ", 1)) if " the " in text else None,
        "politely": (text, f"Could you tell me {lowered}?"),
        "a phrase in front": (f"{bare} during the winter?", f"During the winter, {lowered}?"),
        "a word misspelt": (text, typo) if typo and typo != text else None,
    }


def neighbours(
    text: str, words: Sequence[str], names: Sequence[str], draw: random.Random
) -> dict[str, tuple[str, str] | None]:
    """Kind → a pair that asks something else."""
    number = swapped(text, re.compile(r"\d+"), lambda found: str(int(found) + 1), draw)
    name = swapped(text, NAME, lambda found: draw.choice([x for x in names if x != found]), draw)
    word = swapped(text, LONG, lambda found: draw.choice([x for x in words if x != found]), draw)
    denied = swapped(text, re.compile(r"\b(is|are|does|do|can|may|must)\b"), lambda found: f"{found} not", draw)
    made = {"another number": number, "another name": name, "another word": word, "a negation": denied}
    return {kind: (text, other) if other and other != text else None for kind, other in made.items()}


def pairs() -> tuple[dict[str, list[tuple[str, str]]], dict[str, list[tuple[str, str]]]]:
    draw, all_ = random.Random(7), questions()
    words = sorted({word for text in all_ for word in LONG.findall(text)})
    names = sorted({name for text in all_ for name in NAME.findall(text)})
    same: dict[str, list[tuple[str, str]]] = {}
    other: dict[str, list[tuple[str, str]]] = {}
    for text in all_:
        for kind, pair in rewordings(text, draw).items():
            same.setdefault(kind, []).extend([pair] if pair else [])
        for kind, pair in neighbours(text, words, names, draw).items():
            other.setdefault(kind, []).extend([pair] if pair else [])
    return same, other


def pieces(text: str, size: int = 4) -> frozenset[str]:
    line = f" {' '.join(wording(text).words)} "
    return frozenset(line[at : at + size] for at in range(max(1, len(line) - size + 1)))


def by_minhash(threshold: float) -> Callable[[str, str], bool]:
    """LSH proposes, the exact Jaccard similarity of 4-letter pieces decides."""
    from datasketch import MinHash, MinHashLSH

    tuned = MinHashLSH(threshold=threshold, num_perm=128)
    bands = (tuned.b, tuned.r)

    @cache
    def hashed(text: str) -> MinHash:
        made = MinHash(num_perm=128)
        made.update_batch([piece.encode() for piece in sorted(pieces(text))])
        return made

    def alike(a: str, b: str) -> bool:
        index = MinHashLSH(params=bands, num_perm=128)
        index.insert("a", hashed(a))
        one, two = pieces(a), pieces(b)
        return bool(index.query(hashed(b))) and len(one & two) >= threshold * len(one | two)

    return alike


def rules() -> dict[str, Callable[[str, str], bool]]:
    found: dict[str, Callable[[str, str], bool]] = {"ours": lambda a, b: same_question(wording(a), wording(b))}
    try:
        found |= {f"MinHash {threshold}": by_minhash(threshold) for threshold in (0.8, 0.6)}
    except ImportError:
        print("datasketch is not installed: only our rule is measured\n")
    return found


def table(title: str, kinds: dict[str, list[tuple[str, str]]], rules: dict[str, Callable[[str, str], bool]]) -> None:
    print(f"| {title} | pairs | {' | '.join(rules)} |\n|---|---:|{'---:|' * len(rules)}")
    for kind, found in kinds.items():
        shares = [f"{sum(rule(a, b) for a, b in found) / len(found):.1%}" for rule in rules.values()]
        print(f"| {kind} | {len(found)} | {' | '.join(shares)} |")
    print()


def main() -> None:
    same, other = pairs()
    measured = rules()
    table("asks the same: found", same, measured)
    table("asks something else: taken for the same", other, measured)
    texts = [text for kinds in (same, other) for found in kinds.values() for pair in found for text in pair]
    started = time.process_time()
    compared = [wording(text) for text in dict.fromkeys(texts)]
    found = sum(1 for _ in same_question_pairs(compared))
    seconds = time.process_time() - started
    print(f"every pair among {len(compared):,} questions: {found:,} found in {seconds:.1f} s of one core")


if __name__ == "__main__":
    main()
