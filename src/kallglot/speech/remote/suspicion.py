"""Whether there was speech in audio that a server has said nothing about: music and noise are no reason to leave it."""

from __future__ import annotations

from functools import cache
from typing import Final

from kallglot.audio.levels import rms, to_float
from kallglot.speech.engines.silero import WINDOW, Silero, VoiceState, Window, model_file

WINDOW_MS: Final = 32
SPEECH: Final = 0.5
LOUDEST_GAIN: Final = 20.0
TARGET_RMS: Final = 0.08


def speech_ms(pcm: bytes, sample_rate_hz: int) -> int:
    """How much of it is speech, 0 where the voice activity model is not installed. Takes about 5 ms for a second: call
    it in a thread."""
    model = _model()
    if model is None:
        return 0
    samples = to_float(pcm)
    gain = min(LOUDEST_GAIN, TARGET_RMS / max(rms(samples), 1e-6))
    state = VoiceState(sample_rate_hz)
    size = WINDOW[sample_rate_hz]
    found = 0
    for at in range(0, len(samples) - size + 1, size):
        found += model.probabilities([(state, Window(samples[at : at + size], gain))])[0] >= SPEECH
    return found * WINDOW_MS


@cache
def _model() -> Silero | None:
    path = model_file()
    return Silero(path) if path is not None else None
