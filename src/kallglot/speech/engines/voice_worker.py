"""The child process that speaks with one voice of sherpa-onnx, a piece of text at a time.

``python -m kallglot.speech.engines.voice_worker CONFIGURATION``, JSON as :class:`VoiceFiles` has it. sherpa-onnx ends
the process over files that it does not like, which is one reason for this one.
"""

from __future__ import annotations

import importlib
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from kallglot.audio.levels import Floats
from kallglot.speech.engines.espeak_phonemes import PhonemesError, cut, for_kokoro, in_symbols, phonemes
from kallglot.speech.request_worker import Job, Refused, main

SPEECH_RMS: Final = 0.089
"""-21 dBFS, the level of espeak-ng, so that a call does not change its loudness with its language."""
MOST_GAIN: Final = 4.0
LONGEST_PART: Final = 400
"""Phonemes. Kokoro's models know no more than 510 at once."""
_FRAME: Final = 220


class VoiceFiles(msgspec.Struct, frozen=True):
    name: str
    family: str
    model: str
    tokens: str
    voices: str = ""
    lexicon: str = ""
    """A file of words and their phonemes; used where espeak-ng is not."""
    espeak: bool = True
    threads: int = 1
    noise_scale: float = 0.667
    noise_scale_w: float = 0.8
    length_scale: float = 1.0
    silence_scale: float = 0.2


class Speak(msgspec.Struct, frozen=True):
    text: str
    speaker: int
    speed: float
    espeak_voice: str | None
    """None: what the model says itself."""


class Speaking:
    """The work of the child. The answer to a piece is its PCM, signed 16-bit little-endian mono."""

    def __init__(self, files: VoiceFiles) -> None:
        self._sherpa: Any = importlib.import_module("sherpa_onnx")
        self._files = files
        self._symbols = symbols_of(files.tokens)
        config = self._sherpa.OfflineTtsConfig(
            model=self._model(), max_num_sentences=1, silence_scale=files.silence_scale
        )
        if not config.validate():
            raise Refused(f"{files.name}: sherpa-onnx does not accept the files")
        try:
            self._voice: Any = self._sherpa.OfflineTts(config)
        except RuntimeError as error:
            raise Refused(f"{files.name} cannot be loaded: {error}") from None
        self._levels: defaultdict[int, Level] = defaultdict(Level)
        """By speaker: one is louder than the other."""

    def _model(self) -> Any:
        files, sherpa = self._files, self._sherpa
        lexicon = "" if files.espeak else files.lexicon
        if files.family == "kokoro":
            kokoro = sherpa.OfflineTtsKokoroModelConfig(
                model=files.model,
                voices=files.voices,
                tokens=files.tokens,
                lexicon=lexicon,
                length_scale=files.length_scale,
            )
            return sherpa.OfflineTtsModelConfig(kokoro=kokoro, num_threads=files.threads)
        vits = sherpa.OfflineTtsVitsModelConfig(
            model=files.model,
            tokens=files.tokens,
            lexicon=lexicon,
            noise_scale=files.noise_scale,
            noise_scale_w=files.noise_scale_w,
            length_scale=files.length_scale,
        )
        return sherpa.OfflineTtsModelConfig(vits=vits, num_threads=files.threads)

    def about(self) -> Any:
        return {"sample_rate": int(self._voice.sample_rate), "speakers": int(self._voice.num_speakers)}

    def choose(self, waiting: Sequence[Job]) -> list[Job]:
        return [waiting[0]]

    def perform(self, jobs: Sequence[Job]) -> list[Any]:
        return [self._speak(job, msgspec.convert(job.payload, Speak)) for job in jobs]

    def _speak(self, job: Job, asked: Speak) -> bytes | Refused:
        generation = self._sherpa.GenerationConfig()
        generation.sid = asked.speaker
        generation.speed = asked.speed
        generation.silence_scale = self._files.silence_scale
        text = asked.text
        if self._files.espeak:
            try:
                accent = asked.espeak_voice or str(self._voice.lang) or "en-us"
                kokoro = self._files.family == "kokoro"
                spoken = for_kokoro(phonemes(text, accent, tied=True), accent) if kokoro else phonemes(text, accent)
            except PhonemesError as error:
                return Refused(str(error))
            parts = cut(in_symbols(spoken, self._symbols), LONGEST_PART)
            if not parts:
                return b""
            generation.phoneme_codepoints = [[ord(sound) for sound in part] for part in parts]
        heard: list[Floats] = []

        def take(samples: Any, _: float) -> int:
            # The array is the library's own and gone afterwards. 0 ends the work before its next part.
            heard.append(np.array(samples, np.float32))
            return int(not job.cancelled)

        if not job.cancelled:
            self._voice.generate(text, generation, take)
        return self._levels[asked.speaker].pcm(np.concatenate(heard)) if heard else b""


class Level:
    """Brings a voice to one level: by the loudness of its first pieces, little by little by the later ones."""

    def __init__(self) -> None:
        self._gain: float | None = None

    def pcm(self, samples: Floats) -> bytes:
        samples = np.nan_to_num(samples)
        whole = len(samples) // _FRAME * _FRAME
        if whole:
            energies = np.square(samples[:whole]).reshape(-1, _FRAME).mean(axis=1)
            level = float(np.sqrt(energies[energies >= energies.max() * 0.01].mean()))
            if level > 1e-4:
                wanted = min(max(SPEECH_RMS / level, 1 / MOST_GAIN), MOST_GAIN)
                self._gain = wanted if self._gain is None else 0.8 * self._gain + 0.2 * wanted
        peak = float(np.abs(samples).max()) if len(samples) else 0.0
        gain = min(self._gain or 1.0, 0.98 / peak if peak > 0 else 1.0)
        return (samples * (gain * 32767)).astype("<i2").tobytes()


def symbols_of(path: str) -> frozenset[str]:
    """The phonemes that a voice has, from its ``tokens.txt``: a symbol, which may be a space, and its number a line.

    Raises :class:`Refused`."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise Refused(f"tokens.txt cannot be read: {error}") from None
    return frozenset(line.rpartition(" ")[0] or " " for line in lines if line.strip())


def load() -> Speaking:
    return Speaking(msgspec.json.decode(sys.argv[1].encode(), type=VoiceFiles))


if __name__ == "__main__":
    main(load)
