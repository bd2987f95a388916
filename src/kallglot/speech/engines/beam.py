"""Beam search: texts that grow side by side, a token at a time, of which the likeliest is told. Pure.

A decoder that takes the likeliest token each time is stuck with it where the sound was not clear.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from kallglot.audio.levels import Floats

BEHIND: Final = 5.0
"""A text so much less likely than the best (natural logarithm) does not catch up."""
CERTAIN: Final = 3
"""An ended text is told once no other would be likelier, were so many tokens more certain."""


class Text(NamedTuple):
    tokens: tuple[int, ...]
    chance: float
    """Natural logarithm."""
    mean: float
    """That of a token, which compares texts of different lengths; of nothing that has begun."""


class Beam:
    """At most ``width`` texts, each until the token ``end`` or until it has ``most`` tokens.

    The decoder runs a row for each of :attr:`texts`; ``take`` has what it says of the next tokens.
    """

    def __init__(self, width: int, end: int, most: int) -> None:
        self._width = width
        self._end = end
        self._most = most
        self._ended: list[Text] = []
        self.texts: list[Text] = [Text((), 0.0, 0.0)]
        self.rows: list[int] = [0]
        """For each text, the row of the step before that it goes on from."""

    def take(self, chances: Floats) -> None:
        """``chances``: natural logarithms, a row of the vocabulary for each text."""
        so_far = np.array([text.chance for text in self.texts], np.float32)
        all_of_them = (so_far[:, None] + chances).ravel()
        near = np.flatnonzero(all_of_them >= all_of_them.max() - BEHIND)
        best_first = near[np.argsort(-all_of_them[near], kind="stable")][: 2 * self._width]
        before = self.texts
        self.texts, self.rows = [], []
        vocabulary = chances.shape[1]
        for at in map(int, best_first):
            row, token = divmod(at, vocabulary)
            tokens = before[row].tokens
            chance = float(all_of_them[at])
            text = Text((*tokens, token), chance, chance / (len(tokens) + 1))
            if token == self._end:
                self._ended.append(text._replace(tokens=tokens))
            elif len(text.tokens) >= self._most:
                self._ended.append(text)
            elif len(self.texts) < self._width:
                self.texts.append(text)
                self.rows.append(row)

    @property
    def over(self) -> bool:
        if not self.texts:
            return True
        leading = self.texts[0]
        return bool(self._ended) and self.best.mean >= leading.chance / (len(leading.tokens) + CERTAIN)

    @property
    def best(self) -> Text:
        """Once one has ended."""
        return max(self._ended, key=lambda text: text.mean)
