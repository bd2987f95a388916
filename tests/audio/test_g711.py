"""G.711 against the values of the recommendation's tables."""

import math

import pytest

from kallglot.audio import g711


def pcm(*samples: int) -> bytes:
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


@pytest.mark.parametrize(
    ("code", "sample"), [(0xFF, 0), (0x7F, 0), (0x80, 32124), (0x00, -32124), (0xF0, 120), (0x8F, 16764)]
)
def test_mulaw_codes(code: int, sample: int) -> None:
    assert g711.mulaw_to_pcm(bytes([code])) == pcm(sample)


@pytest.mark.parametrize(("code", "sample"), [(0xD5, 8), (0x55, -8), (0xAA, 32256), (0x2A, -32256)])
def test_alaw_codes(code: int, sample: int) -> None:
    assert g711.alaw_to_pcm(bytes([code])) == pcm(sample)


def test_every_code_survives_a_round_trip() -> None:
    codes = bytes(range(256))
    assert g711.pcm_to_alaw(g711.alaw_to_pcm(codes)) == codes
    # mu-law has two zeros, and one of them comes back as the other.
    assert g711.pcm_to_mulaw(g711.mulaw_to_pcm(codes)) == codes.replace(b"\x7f", b"\xff")


def test_silence() -> None:
    assert g711.pcm_to_mulaw(bytes(2)) == bytes([g711.MULAW_SILENCE])
    assert g711.pcm_to_alaw(bytes(2)) == bytes([g711.ALAW_SILENCE])


@pytest.mark.parametrize(("to", "back"), [(g711.pcm_to_mulaw, g711.mulaw_to_pcm), (g711.pcm_to_alaw, g711.alaw_to_pcm)])
def test_signal_to_noise_of_a_tone(to, back) -> None:
    tone = [round(8000 * math.sin(2 * math.pi * 1004 * n / 8000)) for n in range(8000)]
    heard = back(memoryview(to(pcm(*tone))))
    noise = sum((int.from_bytes(heard[2 * n : 2 * n + 2], "little", signed=True) - s) ** 2 for n, s in enumerate(tone))
    # G.712 asks for 33 dB of signal to distortion at these levels.
    assert 10 * math.log10(sum(s * s for s in tone) / noise) > 33
