"""A recogniser stream of which it is not known yet what language is spoken in it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from kallglot.speech.types import (
    EngineError,
    Failed,
    Partial,
    RecognizerEvent,
    RecognizerStream,
    SpeechStarted,
    SpeechStopped,
)
from kallglot.speech.types import Final as FinalText

log = logging.getLogger(__name__)

PATIENCE_MS: Final = 6_000
"""Of audio from the first speech on; then the usual language is taken."""
KEEP_SILENCE_MS: Final = 5_000
PRUNE_MS: Final = 20_000
LATE_MS: Final = 10_000
"""So much audio that the detector has not got round to: it is not waited for any longer."""
TOLD_FINALS: Final = 3
"""So many finals say in which language they are: enough for a session to believe it. Of later ones the words tell, so
that it is noticed when somebody goes on in another language."""
SAME_MS: Final = 500
"""Two engines hear speech begin and end at almost the same moment."""

Opener = Callable[[str, Callable[[RecognizerEvent], None]], Awaitable[RecognizerStream]]
Entry = tuple[str, bytes, int]
"""``audio``, ``skip`` or ``finish``; the audio; the gap in milliseconds."""


class UndecidedStream:
    """Keeps everything until the language is known, then has ``opener``'s recogniser hear it from the beginning, on the
    same timeline. ``usual`` is the language to fall back on. When speech begins and ends is told at once."""

    def __init__(
        self, sample_rate_hz: int, usual: str, opener: Opener, on_event: Callable[[RecognizerEvent], None]
    ) -> None:
        self.language: str | None = None
        """What was decided."""
        self._untold = TOLD_FINALS
        self._bytes_per_ms = sample_rate_hz * 2 // 1000
        self._usual = usual
        self._opener = opener
        self._on_event = on_event
        self._probe: RecognizerStream | None = None
        self._inner: RecognizerStream | None = None
        self._deciding: asyncio.Task[None] | None = None
        self._kept: deque[Entry] = deque()
        self._kept_bytes = 0
        self._since_speech: int | None = None
        """Bytes of audio since somebody first spoke."""
        self._unanswered = False
        """An utterance is over, and nothing was said of its language."""
        self._told_ms = -SAME_MS - 1
        self._closed = False

    def listen(self, probe: RecognizerStream) -> None:
        """``probe`` is the detector's stream, which tells :meth:`detected`."""
        self._probe = probe

    def push(self, pcm: bytes | memoryview) -> None:
        if self._closed:
            return
        if self._inner is not None:
            self._inner.push(pcm)
            return
        data = bytes(pcm)
        self._kept.append(("audio", data, 0))
        self._kept_bytes += len(data)
        if self._deciding is not None or self._probe is None:
            return
        self._probe.push(data)
        if self._since_speech is not None:
            self._since_speech += len(data)
        late = self._probe.backlog_ms > LATE_MS
        if late or (self._since_speech or 0) > PATIENCE_MS * self._bytes_per_ms:
            self._decide(self._usual, "it was not told in time")
        elif self._since_speech is None and self._kept_bytes > PRUNE_MS * self._bytes_per_ms:
            self._forget_silence()

    def skip(self, ms: int) -> None:
        if self._closed or ms <= 0:
            return
        if self._inner is not None:
            self._inner.skip(ms)
            return
        self._kept.append(("skip", b"", ms))
        if self._probe is not None:
            self._probe.skip(ms)

    def finish(self) -> None:
        if self._closed:
            return
        if self._inner is not None:
            self._inner.finish()
            return
        if not self._kept or self._kept[-1][0] != "finish":
            self._kept.append(("finish", b"", 0))
        if self._probe is not None:
            self._probe.finish()

    async def drain(self) -> None:
        if self._inner is None and self._deciding is None and self._probe is not None:
            await self._probe.drain()
            if self._unanswered:
                self._decide(self._usual, "it could not be told")
        if self._deciding is not None:
            await asyncio.wait([self._deciding])
        if self._inner is not None:
            await self._inner.drain()

    async def close(self) -> None:
        if self._closed:
            return
        self._end()
        if self._deciding is not None:
            self._deciding.cancel()
            await asyncio.gather(self._deciding, return_exceptions=True)
        await self._close_probe()
        if self._inner is not None:
            await self._inner.close()

    @property
    def backlog_ms(self) -> int:
        return self._inner.backlog_ms if self._inner is not None else self._kept_bytes // self._bytes_per_ms

    @property
    def dropped_ms(self) -> int:
        return self._inner.dropped_ms if self._inner is not None else 0

    def detected(self, event: RecognizerEvent) -> None:
        """What the detector tells."""
        if self._closed or self._deciding is not None:
            return
        match event:
            case SpeechStarted(at_ms) | SpeechStopped(at_ms):
                if isinstance(event, SpeechStarted):
                    self._since_speech = self._since_speech or 0
                else:
                    self._unanswered = True
                self._told_ms = at_ms
                self._on_event(event)
            case Partial(hypothesis=str(language)) | FinalText(language=str(language)):
                self._decide(language)
            case Failed(reason):
                self._decide(self._usual, reason)
            case _:
                pass

    def _decide(self, language: str, why_not: str | None = None) -> None:
        if self._deciding is not None:
            return
        if why_not is not None:
            self._untold = 0
            log.info("the language spoken is taken to be %s: %s", language, why_not)
        self.language = language
        self._deciding = asyncio.create_task(self._open(language), name="open-recogniser")

    async def _open(self, language: str) -> None:
        try:
            inner = await self._opener(language, self._told)
        except Exception as error:
            if not isinstance(error, EngineError):
                log.exception("opening a recogniser for %s failed", language)
            self._end()
            await self._close_probe()
            self._on_event(Failed(str(error) or type(error).__name__))
            return
        self._inner = inner
        while self._kept:
            kind, data, ms = self._kept.popleft()
            if kind == "audio":
                inner.push(data)
            elif kind == "skip":
                inner.skip(ms)
            else:
                inner.finish()
        await self._close_probe()

    def _end(self) -> None:
        self._closed = True
        self._kept.clear()
        self._kept_bytes = 0

    async def _close_probe(self) -> None:
        probe, self._probe = self._probe, None
        if probe is not None:
            await probe.close()

    def _told(self, event: RecognizerEvent) -> None:
        if isinstance(event, SpeechStarted | SpeechStopped) and event.at_ms <= self._told_ms + SAME_MS:
            return
        if isinstance(event, FinalText) and event.language is None and self._untold:
            self._untold -= 1
            event = replace(event, language=self.language)
        self._on_event(event)

    def _forget_silence(self) -> None:
        """Nobody has spoken for long: what is old of it becomes a gap."""
        assert self._probe is not None
        keep = max(KEEP_SILENCE_MS, self._probe.backlog_ms + KEEP_SILENCE_MS) * self._bytes_per_ms
        gone = 0
        while self._kept and self._kept_bytes > keep:
            kind, data, ms = self._kept.popleft()
            self._kept_bytes -= len(data)
            gone += ms * self._bytes_per_ms if kind == "skip" else len(data)
        gap, rest = divmod(gone, self._bytes_per_ms)
        if rest:
            self._kept.appendleft(("audio", bytes(rest), 0))
            self._kept_bytes += rest
        if gap:
            self._kept.appendleft(("skip", b"", gap))
