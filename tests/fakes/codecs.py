"""The encodings of telephone audio, made with libraries and nothing of the server's own."""

from __future__ import annotations

import io
import warnings
from array import array
from typing import Any, Protocol

import numpy as np
import soundfile
import soxr

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop


class Codec(Protocol):
    """One direction of one stream. PCM is mono signed 16-bit little-endian at ``rate_hz``."""

    name: str
    rate_hz: int

    def encode(self, pcm: bytes) -> bytes: ...

    def decode(self, payload: bytes) -> bytes: ...


def codec(name: str, rate_hz: int = 8000, *, little_endian: bool = False) -> Codec:
    """PCMU, PCMA, G722 (16 kHz audio, which SDP and the carriers call 8000, RFC 3551), L16 (big-endian, RFC 2586)."""
    match name:
        case "PCMU":
            return _Mulaw()
        case "PCMA":
            return _Alaw()
        case "G722":
            return _G722()
        case "L16":
            return _L16(rate_hz, little_endian)
        case _:
            raise ValueError(f"no codec {name}")


def resampled(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    if from_hz == to_hz or not pcm:
        return pcm
    return soxr.resample(np.frombuffer(pcm, np.int16), from_hz, to_hz).astype(np.int16).tobytes()


def mp3_decoded(data: bytes, rate_hz: int) -> bytes | None:
    """PCM of an MP3 file; None of anything else."""
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.format not in ("MP3", "MPEG"):
                return None
            samples = file.read(dtype="int16", always_2d=True)[:, 0]
            return resampled(np.ascontiguousarray(samples).tobytes(), file.samplerate, rate_hz)
    except soundfile.SoundFileError:
        return None


class _Mulaw:
    name = "PCMU"
    rate_hz = 8000

    def encode(self, pcm: bytes) -> bytes:
        return audioop.lin2ulaw(pcm, 2)

    def decode(self, payload: bytes) -> bytes:
        return audioop.ulaw2lin(payload, 2)


class _Alaw:
    name = "PCMA"
    rate_hz = 8000

    def encode(self, pcm: bytes) -> bytes:
        return audioop.lin2alaw(pcm, 2)

    def decode(self, payload: bytes) -> bytes:
        return audioop.alaw2lin(payload, 2)


class _G722:
    name = "G722"
    rate_hz = 16000

    def __init__(self) -> None:
        from G722 import G722

        self._encoder: Any = G722(16000, 64000)
        self._decoder: Any = G722(16000, 64000)

    def encode(self, pcm: bytes) -> bytes:
        return self._encoder.encode(array("h", pcm))

    def decode(self, payload: bytes) -> bytes:
        return self._decoder.decode(payload).tobytes()


class _L16:
    name = "L16"

    def __init__(self, rate_hz: int, little_endian: bool) -> None:
        self.rate_hz = rate_hz
        self._little_endian = little_endian

    def encode(self, pcm: bytes) -> bytes:
        return pcm if self._little_endian else audioop.byteswap(pcm, 2)

    def decode(self, payload: bytes) -> bytes:
        return self.encode(payload)
