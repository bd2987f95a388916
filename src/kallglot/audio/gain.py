"""The level at which voice activity is judged: quiet speech raised, loud speech lowered. Pure."""

from __future__ import annotations

from typing import Final

TARGET_RMS: Final = 0.08
"""-22 dBFS, where speech is brought to."""
MOST_RMS: Final = 0.16
"""-16 dBFS: a window louder than that is turned down at once, and forgotten."""
MOST_GAIN: Final = 20.0
FIRST_LEVEL: Final = 0.02
"""-34 dBFS, what a speaker is taken for who has not spoken yet."""
SPEECH_PROBABILITY: Final = 0.5
ATTACK: Final = 0.5
FALL_IN_SPEECH: Final = 0.99
"""A window: 6 dB in 2.2 s, which the next loud syllable takes back."""
FALL_IN_SOUND: Final = 0.97
"""6 dB in 0.7 s of sound that is not taken for speech: it may be somebody quieter."""


class SpeechGain:
    """Follows how loud the speech of one stream is, window by window.

    Only what was judged to be speech raises the level, so that clicks and tones leave no trace; only sound above the
    line's noise lets it fall, so that steady noise is never raised.
    """

    def __init__(self) -> None:
        self._level = FIRST_LEVEL
        self._window = 0.0

    def of(self, level: float) -> float:
        """What the next window, whose RMS that is, is multiplied by to be judged: at most :data:`MOST_GAIN`."""
        self._window = level
        gain = min(MOST_GAIN, TARGET_RMS / self._level)
        return MOST_RMS / level if level * gain > MOST_RMS else gain

    def judged(self, probability: float, *, sound: bool) -> None:
        """Of the window last given: the probability that it is speech, and whether it was above the line's noise."""
        if probability >= SPEECH_PROBABILITY:
            if self._window > self._level:
                self._level += ATTACK * (self._window - self._level)
            else:
                self._level *= FALL_IN_SPEECH
        elif sound:
            self._level *= FALL_IN_SOUND
        self._level = max(self._level, TARGET_RMS / MOST_GAIN)
