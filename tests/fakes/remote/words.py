"""Speech that a fake server can really hear: every word is a tone whose loudness is its number.

What a server tells is so made of the audio that reached it: audio that is lost loses words, audio that comes twice
doubles them, and times are those of the samples.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from kallglot.audio.g711 import audioop

WORDS = (
    "eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf größer Straße früh über "
    "mañana été cześć žluť ДА нет 你好 谢谢 ありがとう 감사 שלום مرحبا"
).split()
WORD_MS, PAUSE_MS, BLOCK_MS = 160, 40, 10
ENDING_MS = 300
"""So much silence ends an utterance."""
TONE_HZ = 200
LEAST, STEP = 1500, 700
FEWEST_BLOCKS = 4


def text(numbers: Sequence[int]) -> str:
    return " ".join(WORDS[number] for number in numbers)


@cache
def _word(number: int, rate: int) -> bytes:
    count = rate * WORD_MS // 1000
    loud = LEAST + STEP * number
    values = (round(loud * math.sin(2 * math.pi * TONE_HZ * at / rate)) for at in range(count))
    return struct.pack(f"<{count}h", *values)


def silence(ms: int, rate: int) -> bytes:
    return bytes(rate * ms // 1000 * 2)


def say(numbers: Sequence[int], rate: int, *, before_ms: int = 100, after_ms: int = 400) -> bytes:
    pause = silence(PAUSE_MS, rate)
    words = pause.join(_word(number, rate) for number in numbers)
    return silence(before_ms, rate) + words + silence(after_ms, rate)


@dataclass(frozen=True)
class Words:
    """An utterance so far, or whole."""

    numbers: tuple[int, ...]
    start_ms: int
    end_ms: int
    over: bool = False

    @property
    def text(self) -> str:
        return text(self.numbers)


class Listener:
    """Hears the words in audio of any pieces. Times are of the audio that it got. ``ending_ms`` None: only a finish
    ends utterances."""

    def __init__(self, rate: int, ending_ms: int | None = ENDING_MS) -> None:
        self.rate = rate
        self.ending_ms = ending_ms
        self._block = rate * BLOCK_MS // 1000 * 2
        self._rest = b""
        self._blocks = 0
        self._levels: list[int] = []
        self._words: list[int] = []
        self._start_ms = self._end_ms = self._loud_ms = 0

    @property
    def now_ms(self) -> int:
        return self._blocks * BLOCK_MS

    @property
    def speaking(self) -> bool:
        return bool(self._words or self._levels)

    def feed(self, pcm: bytes) -> Iterator[Words]:
        data = self._rest + pcm
        if not self.speaking and data.count(0) == len(data) and len(data) % self._block == 0:
            self._blocks += len(data) // self._block
            self._rest = b""
            return
        whole = len(data) - len(data) % self._block
        self._rest = data[whole:]
        for at in range(0, whole, self._block):
            yield from self._hear(audioop.rms(data[at : at + self._block], 2))

    def finish(self) -> Iterator[Words]:
        """The utterance in progress, if any, ends here."""
        if self._rest:
            yield from self._hear(audioop.rms(self._rest, 2))
            self._rest = b""
        yield from self._word_over()
        yield from self._over()

    def _hear(self, rms: int) -> Iterator[Words]:
        at_ms, self._blocks = self.now_ms, self._blocks + 1
        if rms > LEAST / 3:
            if not self._levels and not self._words:
                self._start_ms = at_ms
            self._levels.append(rms)
            self._loud_ms = self.now_ms
            return
        if self._levels:
            yield from self._word_over()
        if self._words and self.ending_ms is not None and self.now_ms - self._end_ms >= self.ending_ms:
            yield from self._over()

    def _word_over(self) -> Iterator[Words]:
        levels, self._levels = sorted(self._levels), []
        if len(levels) >= FEWEST_BLOCKS:
            loud = levels[len(levels) // 2] * math.sqrt(2)
            self._words.append(min(len(WORDS) - 1, max(0, round((loud - LEAST) / STEP))))
            self._end_ms = self._loud_ms
            yield Words(tuple(self._words), self._start_ms, self._end_ms)

    def _over(self) -> Iterator[Words]:
        words, self._words = tuple(self._words), []
        if words:
            yield Words(words, self._start_ms, self._end_ms, over=True)
