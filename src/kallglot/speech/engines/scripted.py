"""Engines that do what one JSON file says: for tests, samples and load runs without models.

The file is described in docs/scripted-engines.md.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from kallglot.audio.g711 import audioop
from kallglot.speech.languages import base, match
from kallglot.speech.types import (
    Detection,
    EngineError,
    Hints,
    Partial,
    RecognizerEvent,
    RecognizerOptions,
    SpeechStarted,
    SpeechStopped,
    Voice,
)
from kallglot.speech.types import Final as FinalText

SPEECH_RMS: Final = round(32768 * 10 ** (-45 / 20))
BLOCK_MS: Final = 10
SILENCE_MS: Final = 300
PARTIAL_MS: Final = 200
CONFIDENCE: Final = 0.96
TONE_HZ: Final = 440
TONE_RMS_DBFS: Final = -20


class Synthesis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ms_per_character: int = 30


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Messages of errors: by language when its recogniser is opened, by text when it is translated or spoken."""

    recognition: dict[str, str] = {}
    translation: dict[str, str] = {}
    synthesis: dict[str, str] = {}


class DelayMs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    translation: int = 0
    synthesis: int = 0


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    languages: list[str]
    recognition: dict[str, list[str]] = {}
    translation: dict[str, dict[str, str]] = {}
    synthesis: Synthesis = Synthesis()
    faults: Faults = Faults()
    delay_ms: DelayMs = DelayMs()

    def lines(self, language: str | None) -> list[str]:
        """What is heard in a language; where it is not given, in the first that has lines."""
        if language is None:
            return next((self.recognition[code] for code in self.languages if code in self.recognition), list[str]())
        key = match(language, self.recognition)
        return self.recognition[key] if key else []


class ScriptError(ValueError):
    """A scripted engines file that is not what it has to be."""


def load(path: Path) -> Script:
    """Reads a script. Raises :class:`ScriptError`."""
    try:
        script = msgspec.json.decode(path.read_bytes(), type=Script)
    except OSError as error:
        raise ScriptError(f"scripted engines file {path} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ScriptError(f"scripted engines file {path}: {error}") from None
    for code, lines in script.recognition.items():
        if match(code, script.languages) is None or not lines:
            raise ScriptError(f"scripted engines file {path}: recognition.{code}: expected lines of a listed language")
    for direction in script.translation:
        source, arrow, target = direction.partition(">")
        if not arrow or match(source, script.languages) is None or match(target, script.languages) is None:
            raise ScriptError(
                f"scripted engines file {path}: translation.{direction}: expected listed languages, de>en"
            )
    if script.synthesis.ms_per_character < 1:
        raise ScriptError(f"scripted engines file {path}: synthesis.ms_per_character: expected at least 1")
    return script


class _Scripted:
    name = "scripted"
    quality = "answers from a script"

    def __init__(self, script: Script) -> None:
        self._script = script

    def missing(self) -> str | None:
        return None

    async def start(self) -> None:
        """There is nothing to start."""

    async def close(self) -> None:
        """There is nothing to close."""


class ScriptedRecognizer(_Scripted):
    """Hears the next line of the language's list in every utterance, whatever was said.

    Streams do all their work in ``push``: events are delivered before it returns.
    """

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(self._script.recognition)

    async def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> ScriptedStream:
        language = options.language
        fault = self._script.faults.recognition.get(base(language)) if language else None
        if fault is not None:
            raise EngineError(fault)
        lines = self._script.lines(language)
        if not lines:
            raise EngineError(f"scripted: no lines for {language or 'any language'}")
        return ScriptedStream(lines, options, on_event)


class ScriptedStream:
    """Speech is what is louder than -45 dBFS; 300 ms of anything else end an utterance."""

    dropped_ms = 0

    def __init__(
        self, lines: Sequence[str], options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]
    ) -> None:
        self._lines = lines
        self._next_line = 0
        self._partials = options.partials
        self._on_event = on_event
        self._block_bytes = options.sample_rate_hz * BLOCK_MS // 1000 * 2
        self._rest = b""
        self._now_ms = 0
        self._started_ms: int | None = None
        self._spoken_until_ms = 0
        self._partial_told = False
        self._closed = False

    @property
    def backlog_ms(self) -> int:
        return 0

    def push(self, pcm: bytes | memoryview) -> None:
        if self._closed:
            return
        audio = self._rest + pcm
        size = self._block_bytes
        whole = len(audio) - len(audio) % size
        for at in range(0, whole, size):
            self._block(audio[at : at + size])
        self._rest = audio[whole:]

    def skip(self, ms: int) -> None:
        self.finish()
        self._now_ms += ms

    def finish(self) -> None:
        if self._closed:
            return
        if self._rest:
            self._block(self._rest.ljust(self._block_bytes, b"\0"))
            self._rest = b""
        self._end_utterance()

    async def drain(self) -> None:
        """Nothing is ever left to do."""

    async def close(self) -> None:
        self._closed = True

    def _block(self, pcm: bytes) -> None:
        start, self._now_ms = self._now_ms, self._now_ms + BLOCK_MS
        if audioop.rms(pcm, 2) > SPEECH_RMS:
            self._spoken_until_ms = self._now_ms
            if self._started_ms is None:
                self._started_ms = start
                self._partial_told = False
                self._on_event(SpeechStarted(start))
        if self._started_ms is None:
            return
        if self._partials and not self._partial_told and self._spoken_until_ms - self._started_ms >= PARTIAL_MS:
            self._partial_told = True
            words = self._line.split()
            text = " ".join(words[: (len(words) + 1) // 2])
            self._on_event(Partial(text, text, self._started_ms))
        if self._now_ms - self._spoken_until_ms >= SILENCE_MS:
            self._end_utterance()

    @property
    def _line(self) -> str:
        return self._lines[self._next_line % len(self._lines)]

    def _end_utterance(self) -> None:
        started, self._started_ms = self._started_ms, None
        if started is None:
            return
        line = self._line
        self._next_line += 1
        self._on_event(SpeechStopped(self._spoken_until_ms))
        self._on_event(FinalText(line, started, self._spoken_until_ms, CONFIDENCE))


class ScriptedTranslator(_Scripted):
    """Looks the text up; what is not listed comes back as it was with the target in front: ``[en] Guten Tag``."""

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        return frozenset((a, b) for a in self._script.languages for b in self._script.languages if base(a) != base(b))

    async def warm(self, source: str, target: str) -> None:
        return

    async def translate(self, text: str, source: str, target: str, hints: Hints = Hints()) -> str:
        if self._script.delay_ms.translation:
            await asyncio.sleep(self._script.delay_ms.translation / 1000)
        fault = self._script.faults.translation.get(text)
        if fault is not None:
            raise EngineError(fault)
        for direction in (f"{source}>{target}", f"{base(source)}>{base(target)}"):
            if text in (listed := self._script.translation.get(direction, {})):
                return listed[text]
        return f"[{base(target)}] {text}"


class ScriptedSynthesizer(_Scripted):
    """A tone of 440 Hz at -20 dBFS RMS, a fixed time for each character, in pieces of 50 ms."""

    sample_rate_hz = 8000

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(self._script.languages)

    def synthesize(self, text: str, language: str, voice: Voice) -> AsyncIterator[bytes]:
        return self._speak(text, language, voice)

    async def _speak(self, text: str, language: str, voice: Voice) -> AsyncGenerator[bytes]:
        if match(language, self._script.languages) is None:
            raise EngineError(f"scripted: no voice for {language}")
        if self._script.delay_ms.synthesis:
            await asyncio.sleep(self._script.delay_ms.synthesis / 1000)
        fault = self._script.faults.synthesis.get(text)
        if fault is not None:
            raise EngineError(fault)
        per_ms = self.sample_rate_hz // 1000
        left = round(len(text) * self._script.synthesis.ms_per_character / voice.speed) * per_ms
        piece = _TONE_PIECE
        while left > 0:
            yield piece[: left * 2]
            left -= len(piece) // 2


def _tone(ms: int) -> bytes:
    peak = math.sqrt(2) * 32768 * 10 ** (TONE_RMS_DBFS / 20)
    rate = ScriptedSynthesizer.sample_rate_hz
    values = (round(peak * math.sin(2 * math.pi * TONE_HZ * n / rate)) for n in range(rate * ms // 1000))
    return struct.pack(f"<{rate * ms // 1000}h", *values)


# 440 Hz has whole periods in 50 ms, so that pieces of it join without a click.
_TONE_PIECE: Final = _tone(50)


class ScriptedDetector(_Scripted):
    """Knows the lines of the script, in either column of a translation and in recognition, and nothing else."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self._language_of: dict[str, str] = {}
        for direction, table in script.translation.items():
            source, _, target = direction.partition(">")
            for text, translation in table.items():
                self._language_of.setdefault(text, source)
                self._language_of.setdefault(translation, target)
        for language, lines in script.recognition.items():
            for line in lines:
                self._language_of[line] = language

    def detect(self, text: str, among: Sequence[str] | None = None) -> Detection | None:
        language = self._language_of.get(text)
        if language is not None and among is not None:
            language = next((tag for tag in among if base(tag) == base(language)), None)
        return Detection(language, 1.0) if language is not None else None
