"""Which words of a growing transcript will not change any more."""

from __future__ import annotations


class StablePrefix:
    """The common word prefix of two successive hypotheses; it never shrinks within an utterance."""

    def __init__(self) -> None:
        self._before: list[str] = []
        self._stable: list[str] = []

    def step(self, text: str) -> str:
        """The stable prefix of ``text``, which is a prefix of ``text`` itself or shorter than before never."""
        words = text.split()
        common = 0
        for ours, theirs in zip(words, self._before, strict=False):
            if _bare(ours) != _bare(theirs):
                break
            common += 1
        self._before = words
        if common > len(self._stable):
            self._stable = words[:common]
        return " ".join(self._stable)


def _bare(word: str) -> str:
    """Punctuation and capitals come and go with the words that follow; they don't make another word."""
    return "".join(character for character in word.lower() if character.isalnum())
