"""Where an utterance begins and ends, from the probability of speech in each window of 32 ms. Pure."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

WINDOW_MS: Final = 32
START_PROBABILITY: Final = 0.5
STAY_PROBABILITY: Final = 0.35
START_WINDOWS: Final = 3
"""So much speech makes an utterance, about 100 ms: clicks and coughs don't."""
START_WITHIN: Final = 8
"""Its first speech is no further back than this many windows when it is taken for one."""
PAUSE_WINDOWS: Final = 7
"""A pause after which the utterance is probably over, 224 ms: worth recognising it already."""
END_WINDOWS: Final = 17
"""A pause that ends the utterance, 544 ms."""
LONG_WINDOWS: Final = 300
END_WINDOWS_WHEN_LONG: Final = 12
"""After 9.6 s a pause between clauses is a good place, 384 ms."""
MAX_WINDOWS: Final = 375
"""12 s: recognition gets slow and forgetful beyond."""


class Step(Enum):
    NOTHING = auto()
    STARTED = auto()
    PAUSED = auto()
    RESUMED = auto()
    ENDED = auto()
    CUT = auto()
    """So long that it is cut; the speaker goes on."""


class Endpointer:
    """Counts windows from 0. ``first`` and ``last`` are those of the utterance's first and last speech."""

    def __init__(self) -> None:
        self.first = 0
        self.last = 0
        self.speech_windows = 0
        self._now = -1
        self._run = 0
        self._speaking = False
        self._paused = False

    @property
    def speaking(self) -> bool:
        return self._speaking

    def step(self, probability: float) -> Step:
        self._now += 1
        if not self._speaking:
            return self._wait(probability >= START_PROBABILITY)
        if probability >= STAY_PROBABILITY:
            self.last = self._now
            self.speech_windows += 1
            if self._paused:
                self._paused = False
                return Step.RESUMED
        elif self._now - self.last >= self._end_after:
            self._speaking = False
            self._run = 0
            return Step.ENDED
        elif not self._paused and self._now - self.last >= PAUSE_WINDOWS:
            self._paused = True
            return Step.PAUSED
        if self._now - self.first >= MAX_WINDOWS:
            return Step.CUT
        return Step.NOTHING

    def go_on_after_cut(self, window: int) -> None:
        """The utterance was cut before ``window``, which begins the next."""
        self.first = window
        self.speech_windows = max(0, self.last - window + 1)
        self._paused = False

    def stop(self) -> bool:
        """Ends an utterance in progress; whether there was one."""
        was, self._speaking, self._run = self._speaking, False, 0
        return was

    @property
    def _end_after(self) -> int:
        return END_WINDOWS_WHEN_LONG if self._now - self.first > LONG_WINDOWS else END_WINDOWS

    def _wait(self, speech: bool) -> Step:
        if self._run and self._now - self.first >= START_WITHIN:
            self._run = 0
        if speech:
            if self._run == 0:
                self.first = self._now
            self._run += 1
            self.last = self._now
        else:
            self._run = max(0, self._run - 1)
        if self._run < START_WINDOWS:
            return Step.NOTHING
        self._speaking, self._paused = True, False
        self.speech_windows = self._run
        return Step.STARTED
