"""Engines as sessions get them: what is asked of each is counted, and how long it took. Nothing is counted by frame."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from kallglot.speech import used
from kallglot.speech.orders import Orders
from kallglot.speech.types import (
    EngineKind,
    Hints,
    LanguageDetector,
    Recognizer,
    RecognizerEvent,
    RecognizerOptions,
    RecognizerStream,
    Restarted,
    SpokenDetector,
    Synthesizer,
    Translator,
    Voice,
)

Counted = TypeVar("Counted")


class Registry(Protocol):
    def recognizers(self, language: str | None, orders: Orders | None = None) -> Sequence[Recognizer]: ...

    def translators(self, source: str, target: str, orders: Orders | None = None) -> Sequence[Translator]: ...

    def translation_chosen(self, source: str, target: str, orders: Orders | None = None) -> bool: ...

    def synthesizers(self, language: str, orders: Orders | None = None) -> Sequence[Synthesizer]: ...

    def detector(self) -> LanguageDetector | None: ...

    def spoken_detector(self, orders: Orders | None = None) -> SpokenDetector | None: ...

    def recognised(self, orders: Orders | None = None) -> Sequence[str]: ...


@dataclass(slots=True)
class Counts:
    """Of one engine: texts translated or spoken, streams opened. ``running`` are under way, ``seconds`` of those that
    are over; ``lost_ms`` is audio that was given up while a recogniser was away."""

    requests: int = 0
    failures: int = 0
    running: int = 0
    seconds: float = 0.0
    restarts: int = 0
    lost_ms: int = 0


class _Timed:
    """One request: it fails unless it is said to have ended well."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._well = False

    def __enter__(self) -> _Timed:
        self._counts.requests += 1
        self._counts.running += 1
        self._began = time.monotonic()
        return self

    def well(self) -> None:
        self._well = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._counts.running -= 1
        self._counts.seconds += time.monotonic() - self._began
        # Who stops listening says nothing of the engine.
        self._counts.failures += not self._well and kind is not asyncio.CancelledError


class CountedEngines:
    """The engines of a registry, each behind a counter; the same engine is always behind the same one."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: dict[tuple[EngineKind, int], tuple[object, object]] = {}
        self.counts: dict[tuple[EngineKind, str], Counts] = {}

    def recognizers(self, language: str | None, orders: Orders | None = None) -> list[Recognizer]:
        found = self._registry.recognizers(language, orders)
        return [self._counted("recognition", engine, _Recognizer) for engine in found]

    def translators(self, source: str, target: str, orders: Orders | None = None) -> list[Translator]:
        found = self._registry.translators(source, target, orders)
        return [self._counted("translation", engine, _Translator) for engine in found]

    def translation_chosen(self, source: str, target: str, orders: Orders | None = None) -> bool:
        return self._registry.translation_chosen(source, target, orders)

    def synthesizers(self, language: str, orders: Orders | None = None) -> list[Synthesizer]:
        found = self._registry.synthesizers(language, orders)
        return [self._counted("synthesis", engine, _Synthesizer) for engine in found]

    def recognizer(self, language: str | None) -> Recognizer | None:
        return next(iter(self.recognizers(language)), None)

    def translator(self, source: str, target: str) -> Translator | None:
        return next(iter(self.translators(source, target)), None)

    def synthesizer(self, language: str) -> Synthesizer | None:
        return next(iter(self.synthesizers(language)), None)

    def detector(self) -> LanguageDetector | None:
        return self._registry.detector()

    def spoken_detector(self, orders: Orders | None = None) -> SpokenDetector | None:
        return self._registry.spoken_detector(orders)

    def recognised(self, orders: Orders | None = None) -> Sequence[str]:
        return self._registry.recognised(orders)

    def _counted(self, kind: EngineKind, engine: Counted, make: Callable[[Counted, Counts], Counted]) -> Counted:
        known = self._made.get((kind, id(engine)))
        if known is None:
            counts = self.counts.setdefault((kind, getattr(engine, "name", "unnamed")), Counts())
            # The engine itself is kept beside: its id is nobody else's meanwhile.
            known = self._made[kind, id(engine)] = engine, make(engine, counts)
        made: Counted = known[1]  # pyright: ignore[reportAssignmentType]
        return made


class _Recognizer:
    def __init__(self, engine: Recognizer, counts: Counts) -> None:
        self.name = engine.name
        self._engine = engine
        self._counts = counts

    @property
    def healthy(self) -> bool:
        return getattr(self._engine, "healthy", True)

    @property
    def remote(self) -> bool:
        """Whether it may give a stream up, as what is far away does."""
        return hasattr(self._engine, "healthy")

    @property
    def languages(self) -> Collection[str]:
        return self._engine.languages

    async def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> RecognizerStream:
        def told(event: RecognizerEvent) -> None:
            if isinstance(event, Restarted):
                self._counts.restarts += 1
                self._counts.lost_ms += event.lost_ms
            on_event(event)

        with _Timed(self._counts) as timed:
            stream = await self._engine.open(options, told)
            timed.well()
        return stream


class _Translator:
    def __init__(self, engine: Translator, counts: Counts) -> None:
        self.name = engine.name
        self._engine = engine
        self._counts = counts

    @property
    def healthy(self) -> bool:
        return getattr(self._engine, "healthy", True)

    async def warm(self, source: str, target: str) -> None:
        await self._engine.warm(source, target)

    async def translate(self, text: str, source: str, target: str, hints: Hints = Hints()) -> str:
        used.use("translation", self.name, target, characters=len(text))
        with _Timed(self._counts) as timed:
            translation = await self._engine.translate(text, source, target, hints)
            timed.well()
        return translation


class _Synthesizer:
    def __init__(self, engine: Synthesizer, counts: Counts) -> None:
        self.name = engine.name
        self.sample_rate_hz = engine.sample_rate_hz
        self._engine = engine
        self._counts = counts

    @property
    def healthy(self) -> bool:
        return getattr(self._engine, "healthy", True)

    def synthesize(self, text: str, language: str, voice: Voice) -> AsyncIterator[bytes]:
        return self._speak(text, language, voice)

    async def _speak(self, text: str, language: str, voice: Voice) -> AsyncGenerator[bytes]:
        used.use("synthesis", self.name, language, characters=len(text))
        speaking = self._engine.synthesize(text, language, voice)
        with _Timed(self._counts) as timed:
            try:
                async for pcm in speaking:
                    ms = len(pcm) / 2 * 1000 / self._engine.sample_rate_hz
                    used.use("synthesis", self.name, language, audio_ms=ms)
                    yield pcm
                timed.well()
            except GeneratorExit:
                # Nobody listens any more.
                timed.well()
                raise
            finally:
                if isinstance(speaking, AsyncGenerator):
                    await speaking.aclose()
