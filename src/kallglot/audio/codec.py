"""The encodings audio comes and goes in, one decoder and one encoder a direction of a leg.

Everything inside is mono signed 16-bit little-endian PCM. Opus packets are raw (RFC 6716), without a container.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import cache
from typing import Any, Final, Protocol

from kallglot.audio import g711

PCM_RATES: Final = (8000, 16000, 24000, 48000)
RATES: Final[dict[str, tuple[int, ...]]] = {
    "mulaw": (8000,),
    "alaw": (8000,),
    "pcm_s16le": PCM_RATES,
    "opus": PCM_RATES,
    "g722": (16000,),
    "l16": PCM_RATES,
}
"""Sample rates by encoding. ``l16`` is PCM in network order (RFC 2586)."""

OPUS_FRAME_MS: Final = 20
_OPUS_LONGEST_PACKET_MS: Final = 120


class AudioFormatError(ValueError):
    """Audio that is not what it was said to be, or that nothing here can read."""


class Decoder(Protocol):
    @property
    def sample_rate_hz(self) -> int: ...

    def decode(self, payload: bytes | memoryview, /) -> bytes:
        """PCM of one payload. Raises :class:`AudioFormatError`; the decoder can go on with the next payload."""
        ...


class Encoder(Protocol):
    @property
    def sample_rate_hz(self) -> int: ...

    def encode(self, pcm: bytes | memoryview, /) -> bytes:
        """One payload: for Opus exactly 20 ms, else any whole number of samples. Raises :class:`AudioFormatError`."""
        ...


def decoder(encoding: str, sample_rate_hz: int) -> Decoder:
    """A fresh decoder. Raises :class:`AudioFormatError` for an encoding or rate that is not in :data:`RATES`."""
    check_format(encoding, sample_rate_hz)
    match encoding:
        case "mulaw":
            return _G711Decoder(g711.mulaw_to_pcm)
        case "alaw":
            return _G711Decoder(g711.alaw_to_pcm)
        case "opus":
            return _OpusDecoder(sample_rate_hz)
        case "g722":
            return _G722()
        case "l16":
            return _L16(sample_rate_hz)
        case _:
            return _Pcm(sample_rate_hz)


def encoder(encoding: str, sample_rate_hz: int) -> Encoder:
    """A fresh encoder. Raises :class:`AudioFormatError` for an encoding or rate that is not in :data:`RATES`."""
    check_format(encoding, sample_rate_hz)
    match encoding:
        case "mulaw":
            return _G711Encoder(g711.audioop.lin2ulaw)
        case "alaw":
            return _G711Encoder(g711.audioop.lin2alaw)
        case "opus":
            return _OpusEncoder(sample_rate_hz)
        case "g722":
            return _G722()
        case "l16":
            return _L16(sample_rate_hz)
        case _:
            return _Pcm(sample_rate_hz)


def check_format(encoding: str, sample_rate_hz: int) -> None:
    rates = RATES.get(encoding)
    if rates is None:
        raise AudioFormatError(f"expected an encoding of {', '.join(RATES)}, got {encoding!r}")
    if sample_rate_hz not in rates:
        expected = " or ".join(str(rate) for rate in rates)
        raise AudioFormatError(f"expected {encoding} at {expected} Hz, got {sample_rate_hz}")


def duration_ms(encoding: str, sample_rate_hz: int, payload: bytes | memoryview) -> float:
    """How long a payload plays, without decoding it."""
    check_format(encoding, sample_rate_hz)
    match encoding:
        case "opus":
            return _opus_duration_ms(payload)
        case "pcm_s16le" | "l16":
            return _whole_samples(payload) * 1000 / sample_rate_hz
        case "g722":
            return len(payload) * 2 * 1000 / sample_rate_hz
        case _:
            return len(payload) * 1000 / sample_rate_hz


def missing_opus() -> str | None:
    """None where Opus can be coded, else what to install. The first call looks for the library and takes a moment."""
    try:
        _opus()
    except AudioFormatError as error:
        return str(error)
    return None


def _whole_samples(pcm: bytes | memoryview) -> int:
    samples, rest = divmod(len(pcm), 2)
    if rest:
        raise AudioFormatError(f"expected whole 16-bit samples, got {len(pcm)} bytes")
    return samples


class _Pcm:
    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz

    def decode(self, payload: bytes | memoryview, /) -> bytes:
        _whole_samples(payload)
        return bytes(payload)

    encode = decode


class _L16:
    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz

    def decode(self, payload: bytes | memoryview, /) -> bytes:
        _whole_samples(payload)
        return g711.audioop.byteswap(payload, 2)

    encode = decode


class _G722:
    """64 kbit/s (ITU-T G.722, mode 1): two samples a byte."""

    sample_rate_hz = 16000

    def __init__(self) -> None:
        from G722 import G722  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

        self._codec: Any = G722(self.sample_rate_hz, 64000)

    def decode(self, payload: bytes | memoryview, /) -> bytes:
        return self._codec.decode(bytes(payload)).tobytes()

    def encode(self, pcm: bytes | memoryview, /) -> bytes:
        if _whole_samples(pcm) % 2:
            raise AudioFormatError("expected an even number of samples for G.722")
        samples = array("h")
        samples.frombytes(pcm)
        return self._codec.encode(samples)


class _G711Decoder:
    sample_rate_hz = g711.SAMPLE_RATE_HZ

    def __init__(self, to_pcm: Callable[[bytes | memoryview], bytes]) -> None:
        self.decode = to_pcm


class _G711Encoder:
    sample_rate_hz = g711.SAMPLE_RATE_HZ

    def __init__(self, from_pcm: Callable[[bytes | memoryview, int], bytes]) -> None:
        self._from_pcm = from_pcm

    def encode(self, pcm: bytes | memoryview, /) -> bytes:
        if len(pcm) % 2:
            _whole_samples(pcm)
        return self._from_pcm(pcm, 2)


class _OpusDecoder:
    def __init__(self, sample_rate_hz: int) -> None:
        opus = _opus()
        self.sample_rate_hz = sample_rate_hz
        self._error: type[Exception] = opus.OpusError
        self._decoder: Any = opus.Decoder(sample_rate_hz, 1)
        self._longest = sample_rate_hz * _OPUS_LONGEST_PACKET_MS // 1000

    def decode(self, payload: bytes | memoryview, /) -> bytes:
        if not payload:
            raise AudioFormatError("expected an Opus packet, got 0 bytes")
        try:
            return self._decoder.decode(bytes(payload), self._longest)
        except self._error as error:
            raise AudioFormatError(f"expected an Opus packet, got {len(payload)} bytes: {error}") from None


class _OpusEncoder:
    def __init__(self, sample_rate_hz: int) -> None:
        opus = _opus()
        self.sample_rate_hz = sample_rate_hz
        self._encoder: Any = opus.Encoder(sample_rate_hz, 1, opus.APPLICATION_VOIP)
        self._samples = sample_rate_hz * OPUS_FRAME_MS // 1000

    def encode(self, pcm: bytes | memoryview, /) -> bytes:
        if _whole_samples(pcm) != self._samples:
            raise AudioFormatError(
                f"expected {OPUS_FRAME_MS} ms of PCM ({self._samples * 2} bytes at {self.sample_rate_hz} Hz), "
                f"got {len(pcm)} bytes"
            )
        return self._encoder.encode(bytes(pcm), self._samples)


@cache
def _opus() -> Any:
    try:
        import opuslib_next  # pyright: ignore[reportMissingTypeStubs]
    except Exception as error:  # the package raises a plain Exception where it finds no library
        raise AudioFormatError("opus needs the Opus library: apt-get install libopus0") from error
    return opuslib_next


def _opus_duration_ms(packet: bytes | memoryview) -> float:
    # RFC 6716 section 3.1: five bits of configuration, one of stereo, two of frame count.
    if not packet:
        raise AudioFormatError("expected an Opus packet, got 0 bytes")
    configuration, code = packet[0] >> 3, packet[0] & 3
    if configuration < 12:
        frame_ms = (10.0, 20.0, 40.0, 60.0)[configuration & 3]
    elif configuration < 16:
        frame_ms = (10.0, 20.0)[configuration & 1]
    else:
        frame_ms = (2.5, 5.0, 10.0, 20.0)[configuration & 3]
    if code == 3:
        if len(packet) < 2:
            raise AudioFormatError("expected an Opus packet with a frame count, got 1 byte")
        frames = packet[1] & 0x3F
    else:
        frames = 1 if code == 0 else 2
    total = frames * frame_ms
    if not 0 < total <= _OPUS_LONGEST_PACKET_MS:
        raise AudioFormatError(f"expected an Opus packet of up to {_OPUS_LONGEST_PACKET_MS} ms, got {total:g} ms")
    return total
