"""Streams of recognisers, and what they told."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from benchmarks.speech import Clip
from benchmarks.words import normalise

from kallglot.audio import g711
from kallglot.speech.types import Final, Recognizer, RecognizerEvent, RecognizerOptions, RecognizerStream

E = TypeVar("E")

PAUSE = bytes(8 * 700 * 2)


class Heard:
    """A stream and everything it told."""

    def __init__(self) -> None:
        self.events: list[RecognizerEvent] = []
        self.news = asyncio.Event()
        self.stream: RecognizerStream

    def told(self, event: RecognizerEvent) -> None:
        self.events.append(event)
        self.news.set()

    async def until(self, kind: type[RecognizerEvent], count: int = 1) -> None:
        async with asyncio.timeout(60):
            while len(self.of(kind)) < count:
                self.news.clear()
                await self.news.wait()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def text(self) -> str:
        return normalise(" ".join(event.text for event in self.of(Final)))


async def listen(
    recognizer: Recognizer, *, partials: bool = True, language: str | None = "en", rate: int = 8000
) -> Heard:
    heard = Heard()
    heard.stream = await recognizer.open(RecognizerOptions(rate, language, partials), heard.told)
    return heard


def line(clip: Clip) -> bytes:
    return g711.mulaw_to_pcm(g711.pcm_to_mulaw(clip.samples.tobytes()))
