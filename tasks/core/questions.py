"""Questions by number: equal for equal wordings, and with the numbers of those that ask the same."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.core.near_duplicates import Wording, same_question_pairs, wording


class Questions:
    """Numbers for texts. of: one per text, in order."""

    def __init__(self, texts: Sequence[str]) -> None:
        numbers: dict[tuple[str, ...], int] = {}
        distinct: list[Wording] = []
        self.of: list[int] = []
        for text in texts:
            worded = wording(text)
            number = numbers.setdefault(worded.words, len(distinct))
            if number == len(distinct):
                distinct.append(worded)
            self.of.append(number)
        self._same = {number: [number] for number in range(len(distinct))}
        for a, b in same_question_pairs(distinct):
            self._same[a].append(b)
            self._same[b].append(a)

    def same(self, number: int) -> Sequence[int]:
        """The numbers of all questions that ask the same, its own first."""
        return self._same[number]
