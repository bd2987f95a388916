"""Lowering one voice while another speaks over it, without a step that could be heard."""

from __future__ import annotations

from typing import Final

import numpy as np

from kallglot.audio.g711 import audioop

DUCKED_DB: Final = -18.0
ATTACK_MS: Final = 100
RELEASE_MS: Final = 400
FRAME_MS: Final = 20


class Ducker:
    """The gain of one voice, frame by frame of 20 ms; it moves on a straight line in decibels."""

    def __init__(self) -> None:
        self._db = 0.0

    @property
    def at_rest(self) -> bool:
        """At full level."""
        return self._db == 0.0

    def process(self, pcm: bytes, over: bool) -> bytes:
        """One frame of 16-bit PCM; ``over`` while another speaks over it. At full level it comes back as it is."""
        before = self._db
        self.pass_time(over)
        if before == self._db:
            return pcm if before == 0.0 else audioop.mul(pcm, 2, 10 ** (before / 20))
        samples = np.frombuffer(pcm, "<i2")
        gains = 10 ** (np.linspace(before, self._db, len(samples)) / 20)
        return (samples * gains).astype("<i2").tobytes()

    def pass_time(self, over: bool) -> None:
        """A frame's time without audio of this voice."""
        if over:
            self._db = max(DUCKED_DB, self._db + DUCKED_DB * FRAME_MS / ATTACK_MS)
        else:
            self._db = min(0.0, self._db - DUCKED_DB * FRAME_MS / RELEASE_MS)
