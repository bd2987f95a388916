"""Engines that a test plays by hand, and breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from kallglot.speech.types import (
    EngineError,
    Failed,
    Final,
    Hints,
    Partial,
    RecognizerEvent,
    RecognizerOptions,
    RecognizerStream,
    SpeechStarted,
    SpeechStopped,
    Voice,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Stream:
    """Its samples are numbered: sample n of the caller's audio has the value n / 8 (milliseconds at 8 kHz)."""

    def __init__(self, engine: Ears, on_event: Callable[[RecognizerEvent], None]) -> None:
        self.engine = engine
        self.tell = on_event
        self.heard = bytearray()
        self.marks: list[str] = []
        self.closed = False
        self.backlog_ms = 0
        self.dropped_ms = 0
        self.drained = asyncio.Event()
        self.drained.set()

    @property
    def heard_ms(self) -> int:
        return len(self.heard) // 16

    @property
    def first_ms(self) -> int:
        """Which of the caller's milliseconds it heard first."""
        return int.from_bytes(self.heard[:2], "little")

    def push(self, pcm: bytes | memoryview) -> None:
        if self.engine.broken:
            raise EngineError("the pipe is broken")
        self.heard += pcm

    def skip(self, ms: int) -> None:
        self.marks.append(f"skip {ms}")

    def finish(self) -> None:
        self.marks.append("finish")

    async def drain(self) -> None:
        await self.drained.wait()

    async def close(self) -> None:
        self.closed = True

    def say(self, text: str, start_ms: int, end_ms: int) -> None:
        self.tell(SpeechStarted(start_ms))
        self.tell(Partial(text, "", start_ms))
        self.tell(SpeechStopped(end_ms))
        self.tell(Final(text, start_ms, end_ms, 0.9))

    def fail(self, why: str = "gone") -> None:
        self.tell(Failed(why))


class Ears:
    def __init__(self, name: str, languages: tuple[str, ...] = ("de", "en")) -> None:
        self.name = name
        self.languages = languages
        self.streams: list[Stream] = []
        self.refusals: list[Exception] = []
        self.broken = False
        self.healthy = True
        self.gate: asyncio.Event | None = None

    @property
    def stream(self) -> Stream:
        return self.streams[-1]

    async def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> RecognizerStream:
        if self.gate is not None:
            await self.gate.wait()
        if self.refusals:
            raise self.refusals.pop(0)
        self.options = options
        self.streams.append(Stream(self, on_event))
        return self.streams[-1]


class Tongue:
    """Translates to its own name and the text."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.errors: list[Exception] = []
        self.asked = 0
        self.warmed = 0
        self.gate: asyncio.Event | None = None

    async def warm(self, source: str, target: str) -> None:
        self.warmed += 1

    async def translate(self, text: str, source: str, target: str, hints: Hints = Hints()) -> str:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        return f"{self.name}: {text}"


class Mouth:
    """100 ms for each word, in samples whose value is ``level``."""

    def __init__(self, name: str, rate: int = 16_000, level: int = 1000) -> None:
        self.name = name
        self.sample_rate_hz = rate
        self.level = level
        self.asked: list[tuple[str, Voice]] = []
        self.breaks_at: int | None = None
        """Words into a text."""
        self.error: Exception = EngineError("hoarse")
        self.closed = 0

    async def synthesize(self, text: str, language: str, voice: Voice) -> AsyncIterator[bytes]:
        self.asked.append((text, voice))
        try:
            for n, _ in enumerate(text.split()):
                if n == self.breaks_at:
                    raise self.error
                yield self.level.to_bytes(2, "little") * (self.sample_rate_hz // 10)
        finally:
            self.closed += 1


def numbered(start_ms: int, ms: int) -> bytes:
    """8 kHz audio whose samples say at which millisecond they are; loud from 1000 on."""
    return b"".join((at & 0x7FFF).to_bytes(2, "little") * 8 for at in range(start_ms, start_ms + ms))


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)
