"""Which words of a growing transcript will not change any more."""

from __future__ import annotations

from collections import deque
from typing import Final

AGREEING: Final = 3


class StablePrefix:
    """The common word prefix of three successive hypotheses; within an utterance it only ever grows.

    Two are not enough: a word whose end had not been said yet when it was first heard is often wrong twice.
    """

    def __init__(self) -> None:
        self._before: deque[list[str]] = deque(maxlen=AGREEING - 1)
        self._stable: list[str] = []

    def step(self, text: str) -> tuple[str, str]:
        """The hypothesis as it is to be shown, and its stable prefix.

        Where the hypothesis takes back what was stable, the stable words stand.
        """
        words = text.split()
        words[: len(self._stable)] = self._stable
        common = 0
        if len(self._before) == AGREEING - 1:
            for heard in zip(words, *self._before, strict=False):
                if len({bare(word) for word in heard}) > 1:
                    break
                common += 1
        self._before.append(words)
        self._stable += words[len(self._stable) : common]
        return " ".join(words), " ".join(self._stable)


def bare(word: str) -> str:
    """Punctuation and capitals come and go with the words that follow; they don't make another word."""
    return "".join(character for character in word.lower() if character.isalnum())
