"""Which words of a growing transcript will not change any more."""

from __future__ import annotations


class StablePrefix:
    """The common word prefix of two successive hypotheses; within an utterance it only ever grows."""

    def __init__(self) -> None:
        self._before: list[str] = []
        self._stable: list[str] = []

    def step(self, text: str) -> tuple[str, str]:
        """The hypothesis as it is to be shown, and its stable prefix.

        Where the hypothesis takes back what was stable, the stable words stand.
        """
        words = text.split()
        words[: len(self._stable)] = self._stable
        common = 0
        for ours, before in zip(words, self._before, strict=False):
            if bare(ours) != bare(before):
                break
            common += 1
        self._before = words
        self._stable += words[len(self._stable) : common]
        return " ".join(words), " ".join(self._stable)


def bare(word: str) -> str:
    """Punctuation and capitals come and go with the words that follow; they don't make another word."""
    return "".join(character for character in word.lower() if character.isalnum())
