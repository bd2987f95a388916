import math
import struct

import pytest

from kallglot.audio import codec
from kallglot.audio.codec import AudioFormatError, decoder, duration_ms, encoder

RATES = (8000, 16000, 24000, 48000)
needs_opus = pytest.mark.skipif(codec.missing_opus() is not None, reason=str(codec.missing_opus()))


def tone(rate: int, ms: int, hz: float = 440.0, level: float = 8000.0) -> bytes:
    count = rate * ms // 1000
    return struct.pack(f"<{count}h", *(round(level * math.sin(2 * math.pi * hz * n / rate)) for n in range(count)))


def samples(pcm: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(pcm) // 2}h", pcm)


def energy_at(pcm: bytes, rate: int, hz: float) -> float:
    values = samples(pcm)
    re = sum(v * math.cos(2 * math.pi * hz * n / rate) for n, v in enumerate(values))
    im = sum(v * math.sin(2 * math.pi * hz * n / rate) for n, v in enumerate(values))
    return math.hypot(re, im) * 2 / len(values)


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_g711_frame(encoding: str) -> None:
    frame = tone(8000, 20)
    payload = encoder(encoding, 8000).encode(memoryview(frame))
    assert len(payload) == 160
    heard = decoder(encoding, 8000).decode(memoryview(payload))
    assert max(abs(a - b) for a, b in zip(samples(heard), samples(frame), strict=True)) <= 256


@pytest.mark.parametrize("rate", RATES)
def test_pcm_passes_through(rate: int) -> None:
    frame = tone(rate, 20)
    assert encoder("pcm_s16le", rate).encode(memoryview(frame)) == frame
    assert decoder("pcm_s16le", rate).decode(memoryview(frame)) == frame
    assert decoder("pcm_s16le", rate).sample_rate_hz == encoder("pcm_s16le", rate).sample_rate_hz == rate


@needs_opus
@pytest.mark.parametrize("rate", RATES)
def test_opus_carries_a_tone(rate: int) -> None:
    to, back = encoder("opus", rate), decoder("opus", rate)
    speech = tone(rate, 1000)
    size = rate // 50 * 2
    packets = [to.encode(memoryview(speech)[at : at + size]) for at in range(0, len(speech), size)]
    assert all(duration_ms("opus", rate, packet) == 20 for packet in packets)
    heard = b"".join(back.decode(memoryview(packet)) for packet in packets)
    assert len(heard) == len(speech)
    assert energy_at(heard[len(heard) // 2 :], rate, 440) == pytest.approx(8000, rel=0.25)


@needs_opus
def test_opus_packet_decodes_at_another_rate() -> None:
    packet = encoder("opus", 48000).encode(tone(48000, 20))
    assert len(decoder("opus", 16000).decode(packet)) == 640


@needs_opus
@pytest.mark.parametrize("size", [0, 2, 638, 642, 1280])
def test_opus_takes_exactly_one_frame(size: int) -> None:
    with pytest.raises(AudioFormatError, match=rf"expected 20 ms of PCM \(640 bytes at 16000 Hz\), got {size}"):
        encoder("opus", 16000).encode(bytes(size))


@needs_opus
@pytest.mark.parametrize("payload", [b"", b"\x03", b"\xff\x7f\x00", b"\x4b\x41"])
def test_opus_says_what_it_cannot_decode_and_goes_on(payload: bytes) -> None:
    back = decoder("opus", 16000)
    with pytest.raises(AudioFormatError, match="expected an Opus packet, got"):
        back.decode(payload)
    assert len(back.decode(encoder("opus", 16000).encode(bytes(640)))) == 640


@pytest.mark.parametrize("make", [decoder, encoder])
@pytest.mark.parametrize(
    ("encoding", "rate", "message"),
    [
        ("mulaw", 16000, "expected mulaw at 8000 Hz, got 16000"),
        ("alaw", 48000, "expected alaw at 8000 Hz, got 48000"),
        ("pcm_s16le", 44100, "expected pcm_s16le at 8000 or 16000 or 24000 or 48000 Hz, got 44100"),
        ("opus", 12000, "expected opus at 8000 or"),
        ("g729", 8000, "expected an encoding of mulaw, alaw, pcm_s16le, opus, g722, l16, got 'g729'"),
    ],
)
def test_unsupported_format(make, encoding: str, rate: int, message: str) -> None:
    with pytest.raises(AudioFormatError, match=message):
        make(encoding, rate)


@pytest.mark.parametrize(
    "work",
    [
        decoder("pcm_s16le", 16000).decode,
        encoder("pcm_s16le", 16000).encode,
        encoder("mulaw", 8000).encode,
        encoder("alaw", 8000).encode,
        lambda pcm: duration_ms("pcm_s16le", 16000, pcm),
    ],
)
def test_half_a_sample(work) -> None:
    with pytest.raises(AudioFormatError, match="expected whole 16-bit samples, got 321 bytes"):
        work(bytes(321))


@pytest.mark.parametrize(
    ("encoding", "rate", "payload", "ms"),
    [
        ("mulaw", 8000, bytes(160), 20),
        ("alaw", 8000, bytes(8), 1),
        ("pcm_s16le", 16000, bytes(640), 20),
        ("pcm_s16le", 24000, b"", 0),
        ("opus", 48000, bytes([0 << 3]), 10),
        ("opus", 48000, bytes([3 << 3 | 1]), 120),
        ("opus", 48000, bytes([13 << 3 | 2]), 40),
        ("opus", 48000, bytes([16 << 3 | 3, 4]), 10),
    ],
)
def test_duration(encoding: str, rate: int, payload: bytes, ms: float) -> None:
    assert duration_ms(encoding, rate, payload) == ms


@pytest.mark.parametrize("packet", [b"", b"\x03", bytes([3 << 3 | 3, 0]), bytes([3 << 3 | 3, 3])])
def test_duration_of_an_impossible_opus_packet(packet: bytes) -> None:
    with pytest.raises(AudioFormatError, match="expected an Opus packet"):
        duration_ms("opus", 48000, packet)


def test_opus_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    codec._opus.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "opuslib_next", None)
    try:
        assert codec.missing_opus() == "opus needs the Opus library: apt-get install libopus0"
        with pytest.raises(AudioFormatError, match="libopus0"):
            decoder("opus", 48000)
        assert decoder("mulaw", 8000).decode(b"\xff") == b"\0\0"
    finally:
        codec._opus.cache_clear()
