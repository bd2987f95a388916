"""G.711 (ITU-T G.711): mu-law and A-law to 16-bit PCM and back, one byte a sample, 8 kHz on the telephone."""

from __future__ import annotations

import warnings
from typing import Final

with warnings.catch_warnings():
    # From 3.13 the audioop-lts package carries this name; only the standard library's own copy announces its end.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

SAMPLE_RATE_HZ: Final = 8000
MULAW_SILENCE: Final = 0xFF
ALAW_SILENCE: Final = 0xD5


def mulaw_to_pcm(payload: bytes | memoryview) -> bytes:
    return audioop.ulaw2lin(payload, 2)


def pcm_to_mulaw(pcm: bytes | memoryview) -> bytes:
    """Raises ``audioop.error`` for half a sample."""
    return audioop.lin2ulaw(pcm, 2)


def alaw_to_pcm(payload: bytes | memoryview) -> bytes:
    return audioop.alaw2lin(payload, 2)


def pcm_to_alaw(pcm: bytes | memoryview) -> bytes:
    """Raises ``audioop.error`` for half a sample."""
    return audioop.lin2alaw(pcm, 2)
