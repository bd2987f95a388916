"""What a plugin's recognition stream tells, on the timeline of its audio. Pure.

A plugin's finals are pieces of an utterance. They are put together from the start to the end of speech where it tells
those, else each is an utterance.

Source: https://docs.livekit.io/reference/python/livekit/agents/stt/ (``SpeechEvent``, ``SpeechData``: seconds of the
audio that the stream got).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from kallglot.speech.languages import base
from kallglot.speech.providers.livekit_socket import FLUSH, StreamOpening
from kallglot.speech.remote.codec import CodecDefaults, Flushed, Heard, Message
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.types import Final as FinalText
from kallglot.speech.types import Partial, RecognizerOptions

SILENCE_MS: Final = 800
SILENCE_PIECE_MS: Final = 100
MOST_SILENCES: Final = 64
LONGEST_MS: Final = 30_000
"""Of an utterance whose end is not told."""
OVERLAP_MS: Final = 50
"""Times are rounded."""
NEAR_MS: Final = 700
"""A final that ends so shortly before a question is its answer."""


class _Told(msgspec.Struct):
    type: str
    text: str = ""
    start: float = 0.0
    end: float = 0.0
    confidence: float = 0.0
    language: str = ""
    sources: list[str] = []


class LivekitCodec(CodecDefaults):
    answers_flush = False

    def __init__(self, config: ProviderConfig, options: RecognizerOptions) -> None:
        self.sample_rate_hz = options.sample_rate_hz
        self._named = config.text("plugin") or ""
        self._options = options
        self._silence_ms = int(config.number("silence_ms", SILENCE_MS))
        self.gap_silence_ms = self._silence_ms
        self._sent = 0
        """Samples, silence of ours included."""
        self._silences: deque[tuple[int, int]] = deque(maxlen=MOST_SILENCES)
        """Where we put silence of ours in, and how much, in milliseconds of what the plugin got."""
        self._forgotten_ms = 0
        self._ended_ms = 0
        self._asked: deque[int] = deque(maxlen=MOST_SILENCES)
        """Where utterances were to end, in milliseconds of what we were given."""
        self._speaking = False
        self._so_far: FinalText | None = None

    def open(self) -> StreamOpening:
        return StreamOpening(self._named, sample_rate_hz=self.sample_rate_hz, language=self._options.language)

    def audio(self, pcm: bytes) -> Sequence[Message]:
        self._sent += len(pcm) // 2
        return (pcm,)

    def finish(self) -> Sequence[Message]:
        """Flushes, and lets silence follow: what a plugin does not flush it ends by that."""
        rate = self.sample_rate_hz
        self._asked.append(self._now_ms)
        pieces = self._silence_ms // SILENCE_PIECE_MS
        if not pieces:
            return (FLUSH,)
        if len(self._silences) == MOST_SILENCES:
            self._forgotten_ms += self._silences[0][1]
        self._silences.append((self._sent * 1000 // rate, pieces * SILENCE_PIECE_MS))
        self._sent += pieces * SILENCE_PIECE_MS * rate // 1000
        return (*(bytes(SILENCE_PIECE_MS * rate // 1000 * 2) for _ in range(pieces)), FLUSH)

    def read(self, message: Message) -> Iterable[Heard]:
        told = msgspec.json.decode(message, type=_Told)
        text = (" ".join(told.sources) or told.text).strip()
        if told.type in ("interim_transcript", "preflight_transcript"):
            if text:
                start_ms = self._ours(round(told.start * 1000)) if told.start else self._ended_ms
                so_far = self._so_far
                yield Partial(text, "", start_ms) if so_far is None else _partial(so_far, text)
        elif told.type == "final_transcript":
            if text and not self._was_told(told):
                self._so_far = _joined(self._so_far, self._final(told, text))
                if self._speaking and self._so_far.end_ms - self._so_far.start_ms < LONGEST_MS:
                    yield _partial(self._so_far)
                else:
                    yield from self._end()
        elif told.type == "start_of_speech":
            self._speaking = True
        elif told.type == "end_of_speech":
            self._speaking = False
            yield from self._end()

    def _was_told(self, told: _Told) -> bool:
        """It begins before the end of the utterance so far: that piece once more."""
        so_far = self._so_far
        return (
            so_far is not None and told.start > 0 and self._ours(round(told.start * 1000)) < so_far.end_ms - OVERLAP_MS
        )

    def _end(self) -> Iterator[Heard]:
        final, self._so_far = self._so_far, None
        if final is None:
            return
        yield final
        # Nobody says that there is no more; the base gives up waiting for what was not said.
        while self._asked and self._asked[0] <= final.end_ms + NEAR_MS:
            self._asked.popleft()
            yield Flushed()

    @property
    def _now_ms(self) -> int:
        return self._ours(self._sent * 1000 // self.sample_rate_hz)

    def _final(self, told: _Told, text: str) -> FinalText:
        # Many plugins leave the times out.
        now_ms = self._now_ms
        end_ms = min(self._ours(round(told.end * 1000)), now_ms) if told.end > 0 else now_ms
        start_ms = self._ours(round(told.start * 1000)) if told.start > 0 else self._ended_ms
        self._ended_ms = max(self._ended_ms, end_ms)
        wanted = self._options.translate_to
        translated = bool(told.sources) and wanted is not None and base(told.language) == base(wanted)
        return FinalText(
            text,
            min(start_ms, end_ms),
            end_ms,
            confidence=told.confidence or None,
            language=told.language or None if self._options.language is None and not told.sources else None,
            translation=told.text.strip() if translated else None,
        )

    def _ours(self, ms: int) -> int:
        """A time of what the plugin got, in what we were given."""
        ours = ms - self._forgotten_ms
        for at_ms, silence_ms in self._silences:
            if at_ms < ms:
                ours -= min(silence_ms, ms - at_ms)
        return max(0, ours)


def _partial(so_far: FinalText, more: str = "") -> Partial:
    return Partial(f"{so_far.text} {more}".strip(), so_far.text, so_far.start_ms)


def _joined(first: FinalText | None, second: FinalText) -> FinalText:
    if first is None:
        return second
    sure = [final.confidence for final in (first, second) if final.confidence is not None]
    translations = [final.translation for final in (first, second) if final.translation]
    return FinalText(
        f"{first.text} {second.text}",
        first.start_ms,
        max(first.end_ms, second.end_ms),
        confidence=min(sure) if sure else None,
        language=first.language or second.language,
        translation=" ".join(translations) or None,
    )
