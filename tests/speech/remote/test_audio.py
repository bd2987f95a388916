import io
import wave

import pytest

from kallglot.speech.remote.audio import RawAudio, wav

PCM = bytes(range(200)) * 3


def read(data: bytes, rate: int = 24000, size: int = 7) -> bytes:
    decoder = RawAudio(rate)
    pieces = [pcm for at in range(0, len(data), size) for pcm in decoder.feed(data[at : at + size])]
    pieces += decoder.end()
    assert all(len(piece) % 2 == 0 and piece for piece in pieces)
    return b"".join(pieces)


@pytest.mark.parametrize("size", [1, 2, 3, 45, 1000])
def test_raw_pcm_and_pcm_with_a_head(size: int) -> None:
    assert read(PCM, size=size) == PCM
    assert read(PCM + b"x", size=size) == PCM
    assert read(wav(PCM, 24000), size=size) == PCM
    assert read(b"", size=size) == b""
    assert read(b"RI", size=size) == b"RI"


def test_other_chunks_are_passed_over() -> None:
    file = wav(PCM, 24000)
    extra = b"LIST" + (3).to_bytes(4, "little") + b"abc\0"
    assert read(file[:12] + extra + file[12:]) == PCM


def test_another_kind_of_sound_is_refused() -> None:
    for rate in (8000, 48000):
        with pytest.raises(ValueError, match=f"not 24000 Hz mono 16-bit PCM: {rate} Hz"):
            read(wav(PCM, rate))
    with pytest.raises(ValueError, match="does not end"):
        read(b"RIFF\0\0\0\0WAVEfm")
    with pytest.raises(ValueError, match="does not end"):
        read(b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\x00" + bytes(70_000), size=4096)


def test_a_wav_file() -> None:
    with wave.open(io.BytesIO(wav(PCM, 8000))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        assert file.readframes(1000) == PCM
