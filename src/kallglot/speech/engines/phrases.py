"""Phrases of a closed list, in any language that espeak-ng can say: pocketsphinx's English phones in child processes.

No recogniser, and registered as none: see :mod:`kallglot.speech.phrases`.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from typing import Final

from kallglot.speech.engines.phones import alike
from kallglot.speech.engines.phrase_model import PHRASE, Line, written
from kallglot.speech.engines.pronunciation import Pronunciation
from kallglot.speech.engines.silero import WINDOW, model_file
from kallglot.speech.host import SILENT_SECONDS, EngineHost
from kallglot.speech.hosted import HostedStream
from kallglot.speech.keypad import Keypad
from kallglot.speech.languages import base
from kallglot.speech.phrases import (
    Chosen,
    NoneOfThese,
    Phrase,
    PhraseError,
    PhraseEvent,
    PhraseList,
    PhraseStream,
    check,
)
from kallglot.speech.types import EngineError, Failed, Processes, RecognizerEvent, RecognizerOptions, Restarted
from kallglot.speech.types import Final as FinalText

_WORKER: Final = ("-m", "kallglot.speech.engines.phrases_worker")
MOST_WARNINGS: Final = 20
FEWEST_SOUNDS: Final = 5
MOST_SOUNDS: Final = 240
"""Twenty in a second: nobody says more of them in the twelve seconds that an utterance may have."""


class PocketsphinxPhrases:
    """A :class:`~kallglot.speech.phrases.PhraseRecognizer`. Telephone audio goes in as it is, at 8 or 16 kHz."""

    name = "pocketsphinx-phrases"

    def __init__(
        self, *, processes: int = 1, silent_seconds: float = SILENT_SECONDS, pronunciation: Pronunciation | None = None
    ) -> None:
        self._host = EngineHost(_WORKER, processes, silent_seconds=silent_seconds)
        self._pronunciation = pronunciation or Pronunciation()

    @property
    def pids(self) -> list[int]:
        """The child processes."""
        return self._host.pids

    @property
    def processes(self) -> Processes:
        return self._host.processes

    def missing(self) -> str | None:
        if importlib.util.find_spec("pocketsphinx") is None:
            return "pocketsphinx is not installed: pip install 'kallglot[phrases]'"
        if shutil.which("espeak-ng") is None:
            return "espeak-ng is not installed: apt-get install espeak-ng"
        if model_file() is None:
            return "the voice activity model is not installed: pip install --no-deps silero-vad==6.2.3"
        return None

    async def start(self) -> None:
        await self._host.start()

    async def close(self) -> None:
        await self._host.close()

    async def prepare(self, phrases: Sequence[Phrase]) -> PhraseList:
        keypad = check(phrases)
        try:
            said = await self._pronunciation.say([(phrase.text, phrase.language) for phrase in phrases])
        except LookupError as error:
            raise PhraseError(
                f"how {error.args[0]} is pronounced is not known: espeak-ng has no voice for it"
            ) from None
        for phrase, ways in zip(phrases, said, strict=True):
            if not ways:
                raise PhraseError(f"phrase {phrase.id!r}: there is nothing to be said in {phrase.text!r}")
            sounds = min(sum(map(len, way)) for way in ways)
            if sounds > MOST_SOUNDS:
                raise PhraseError(f"phrase {phrase.id!r}: expected at most {MOST_SOUNDS} sounds, it has {sounds}")
        numbers = {identity: number for number, identity in enumerate(dict.fromkeys(one.id for one in phrases))}
        every = [(numbers[phrase.id], way) for phrase, ways in zip(phrases, said, strict=True) for way in ways]
        same, near = alike(every)
        ids = tuple(numbers)
        if same:
            pairs = ", ".join(f"{ids[one]!r} and {ids[other]!r}" for one, other in same[:MOST_WARNINGS])
            raise PhraseError(f"phrases that sound the same cannot be told apart: {pairs}")
        warnings = tuple(f"{ids[one]!r} and {ids[other]!r} differ by one sound" for one, other in near[:MOST_WARNINGS])
        shortest = {number: way for number, way in every if sum(map(len, way)) < FEWEST_SOUNDS}
        short = [f"{ids[number]!r} is short: other speech is easily taken for it" for number in shortest]
        warnings = (*warnings, *short[:MOST_WARNINGS])
        lines = tuple(
            dict.fromkeys(
                written(Line(numbers[phrase.id], base(phrase.language) == "en", way))
                for phrase, ways in zip(phrases, said, strict=True)
                for way in ways
            )
        )
        return PhraseList(ids, keypad, lines, warnings)

    async def open(
        self, phrases: PhraseList, sample_rate_hz: int, on_event: Callable[[PhraseEvent], None]
    ) -> PhraseStream:
        if sample_rate_hz not in WINDOW:
            raise EngineError(f"phrases are listened for at 8000 or 16000 Hz, not {sample_rate_hz}")
        stream = _Stream(phrases, sample_rate_hz, on_event)
        # What a child is told to tell apart are languages elsewhere, and here the sayings.
        options = RecognizerOptions(sample_rate_hz, partials=False)
        stream.hosted = self._host.open(options, stream.told, among=phrases.sayings)
        return stream


class _Stream:
    hosted: HostedStream

    def __init__(self, phrases: PhraseList, sample_rate_hz: int, on_event: Callable[[PhraseEvent], None]) -> None:
        self._ids = phrases.ids
        self._keypad = Keypad(phrases.keypad)
        self._rate = sample_rate_hz
        self._samples = 0.0
        self._on_event = on_event

    @property
    def now_ms(self) -> int:
        return int(self._samples * 1000 / self._rate)

    def push(self, pcm: bytes | memoryview) -> None:
        self.hosted.push(pcm)
        self._samples += len(pcm) / 2
        self._time_passed()

    def press(self, key: str) -> None:
        self._typed(self._keypad.press(key, self.now_ms))

    def skip(self, ms: int) -> None:
        self.hosted.skip(ms)
        self._samples += max(0, ms) * self._rate / 1000
        self._time_passed()

    def finish(self) -> None:
        self._typed(self._keypad.finish())
        self.hosted.finish()

    async def drain(self) -> None:
        await self.hosted.drain()

    async def close(self) -> None:
        await self.hosted.close()

    def told(self, event: RecognizerEvent) -> None:
        match event:
            case FinalText(text=text) if text.startswith(PHRASE):
                identity = self._ids[int(text.removeprefix(PHRASE))]
                self._on_event(Chosen(identity, event.confidence or 0.0, event.start_ms, event.end_ms))
            case FinalText():
                self._on_event(NoneOfThese(event.start_ms, event.end_ms))
            case Restarted() | Failed():
                self._on_event(event)
            case _:
                pass

    def _time_passed(self) -> None:
        if self._keypad.waiting:
            self._typed(self._keypad.pass_time(self.now_ms))

    def _typed(self, event: Chosen | NoneOfThese | None) -> None:
        if event is not None:
            self._on_event(event)
