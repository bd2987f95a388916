"""A recogniser stream that cuts its audio into utterances and has each recognised by a request of its own."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from kallglot.audio.endpointing import Step
from kallglot.audio.levels import Floats
from kallglot.speech.engines.utterances import FEWEST_SPEECH_WINDOWS, Utterance, UtteranceStream, believable
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.judging import Judge
from kallglot.speech.stable import StablePrefix
from kallglot.speech.types import (
    EngineError,
    Failed,
    Partial,
    RecognizerEvent,
    RecognizerOptions,
    SpeechStarted,
    SpeechStopped,
)
from kallglot.speech.types import Final as FinalText

if TYPE_CHECKING:
    from kallglot.speech.remote.segmented import UtteranceRecognizer

log = logging.getLogger(__name__)

PIECE_MS: Final = 500


@dataclass(slots=True)
class _Owed:
    """An ended utterance whose text has not been told."""

    pcm: bytes
    start_ms: int
    end_ms: int
    speech_windows: int


Inward = bytes | int | asyncio.Future[None] | None
"""Audio, a gap in samples, who waits for all before it, or the end of an utterance."""


class SegmentStream:
    """A :class:`~kallglot.speech.types.RecognizerStream`. Utterances are recognised one after the other; one whose
    request fails is sent again until ``give_up_s`` of trouble are over, then the stream tells ``Failed``."""

    def __init__(
        self,
        engine: UtteranceRecognizer,
        judge: Judge,
        options: RecognizerOptions,
        on_event: Callable[[RecognizerEvent], None],
    ) -> None:
        self.utterances = UtteranceStream(options.sample_rate_hz, 0)
        self._engine = engine
        self._judge = judge
        self._options = options
        self._on_event = on_event
        self._inbox: deque[Inward] = deque()
        self._waiting = 0
        self._odd = b""
        self._owed: deque[_Owed] = deque()
        self._owed_samples = 0
        self._dropped = 0
        self._drains: list[tuple[int, asyncio.Future[None]]] = []
        self._told = 0
        """Utterances dealt with."""
        self._ended = 0
        self._behind = 0
        """The last utterance's end, in samples."""
        self._closed = False
        self._more = asyncio.Event()
        self._sending = asyncio.create_task(self._send_forever(), name=f"recognition-{engine.name}")
        judge.add(self)

    @property
    def backlog_ms(self) -> int:
        current = self.utterances.current
        pending = self.utterances.received - current.start if current is not None else 0
        return self.utterances.ms(self._waiting + self._owed_samples + pending)

    @property
    def dropped_ms(self) -> int:
        return self.utterances.ms(self._dropped)

    @property
    def lag_ms(self) -> int:
        return self.utterances.ms(self._owed_samples)

    @property
    def entries(self) -> int:
        return len(self._inbox) + len(self._owed)

    def push(self, pcm: bytes | memoryview) -> None:
        if self._closed:
            return
        data = self._odd + bytes(pcm) if self._odd else bytes(pcm)
        whole = len(data) & ~1
        self._odd = data[whole:]
        size = PIECE_MS * self.utterances.rate // 1000 * 2
        for at in range(0, whole, size):
            piece = data[at : min(at + size, whole)]
            self._inbox.append(piece)
            self._waiting += len(piece) // 2
        self._bound_inbox()
        if self._waiting + self.utterances.unjudged >= self.utterances.window:
            self._judge.notify(self)

    def skip(self, ms: int) -> None:
        if not self._closed and ms > 0:
            self._odd = b""
            samples = ms * self.utterances.rate // 1000
            if self._inbox and isinstance(last := self._inbox[-1], int):
                self._inbox[-1] = last + samples
            else:
                self._inbox.append(samples)
            self._judge.notify(self)

    def finish(self) -> None:
        if not self._closed:
            if not self._inbox or self._inbox[-1] is not None:
                self._inbox.append(None)
            self._judge.notify(self)

    async def drain(self) -> None:
        """Ends the utterance in progress, too."""
        if self._closed:
            return
        self.finish()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.append(done)
        self._judge.notify(self)
        await done

    async def close(self) -> None:
        self._end()
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)

    # For the judge

    def take_in(self) -> None:
        while self._inbox:
            entry = self._inbox[0]
            if isinstance(entry, bytes):
                if self.utterances.next_window_ready():
                    return
                self._waiting -= len(entry) // 2
                self.utterances.push(entry)
            elif self.utterances.next_window_ready():
                return
            elif isinstance(entry, asyncio.Future):
                self._drains.append((self._ended, entry))
                self._settle()
            else:
                if self.utterances.flush():
                    self._over(self.utterances.finish_utterance())
                if entry is not None:
                    self.utterances.skip(entry)
            if self._inbox:
                self._inbox.popleft()

    def step(self, probability: float) -> None:
        step = self.utterances.judge(probability)
        current = self.utterances.current
        if step is Step.STARTED and current is not None:
            # What the last utterance had is not heard again in the run-up to this one.
            current.start = max(current.start, self._behind)
            self._tell(SpeechStarted(self.utterances.ms(current.first)))
        elif step is Step.ENDED:
            self._over(self.utterances.finish_utterance())
        elif step is Step.CUT:
            cut = self.utterances.cut_utterance()
            self._over(cut)
            self._tell(SpeechStarted(self.utterances.ms(cut.last)))

    def judge_failed(self, error: Exception) -> None:
        self._fail(RemoteError(f"{self._engine.name} failed: voice activity: {type(error).__name__}", passing=False))

    def _over(self, utterance: Utterance) -> None:
        ms = self.utterances.ms
        self._tell(SpeechStopped(ms(utterance.last)))
        assert utterance.final_audio is not None
        assert utterance.end is not None
        self.utterances.release(utterance.end)
        self._ended += 1
        self._behind = utterance.end
        pcm = _pcm(utterance.final_audio)
        self._owed.append(_Owed(pcm, ms(utterance.first), ms(utterance.last), utterance.speech_windows))
        self._owed_samples += len(pcm) // 2
        self._bound_owed()
        self._more.set()

    # Sending

    async def _send_forever(self) -> None:
        try:
            while True:
                self._more.clear()
                while self._owed:
                    await self._recognise(self._owed[0])
                    if self._closed:
                        return
                    owed = self._owed.popleft()
                    self._owed_samples -= len(owed.pcm) // 2
                    self._told += 1
                    self._settle()
                await self._more.wait()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("a stream of %s failed", self._engine.name)
            self._fail(RemoteError(f"{self._engine.name} failed: {type(error).__name__}"))

    async def _recognise(self, owed: _Owed) -> None:
        """Until it is recognised, or the stream is given up."""
        if owed.speech_windows < FEWEST_SPEECH_WINDOWS:
            return
        patience = self._engine.config.patience
        loop = asyncio.get_running_loop()
        began = loop.time()
        tries = 0
        while True:
            stable = StablePrefix()

            def grown(text: str, stable: StablePrefix = stable) -> None:
                if self._options.partials:
                    shown, steady = stable.step(text)
                    self._tell(Partial(shown, steady, owed.start_ms, text))

            try:
                said = await self._engine.recognise(owed.pcm, self._options, grown)
            except EngineError as error:
                wait_s = max(patience.backoff_s[min(tries, len(patience.backoff_s) - 1)], error.retry_after_s or 0.0)
                tries += 1
                if not error.passing or loop.time() + wait_s > began + patience.give_up_s:
                    self._fail(error)
                    return
                log.warning("an utterance is sent again: %s", error)
                # Even without a wait others get their turn.
                await asyncio.sleep(wait_s)
                continue
            if believable(said.text, owed.speech_windows):
                text = said.text.strip()
                self._tell(FinalText(text, owed.start_ms, owed.end_ms, said.confidence, said.language))
            return

    def _bound_inbox(self) -> None:
        most = self._engine.config.patience.wait_ms * self.utterances.rate // 1000
        while self._waiting > most:
            at, entry = next((at, one) for at, one in enumerate(self._inbox) if isinstance(one, bytes))
            samples = len(entry) // 2
            self._inbox[at] = samples
            self._waiting -= samples
            self._dropped += samples
            if at and isinstance(before := self._inbox[at - 1], int):
                self._inbox[at] = before + samples
                del self._inbox[at - 1]

    def _bound_owed(self) -> None:
        """The one being sent stays."""
        most = self._engine.config.patience.wait_ms * self.utterances.rate // 1000
        while self._owed_samples > most and len(self._owed) > 2:
            lost = self._owed[1]
            del self._owed[1]
            self._owed_samples -= len(lost.pcm) // 2
            self._dropped += len(lost.pcm) // 2
            self._told += 1

    def _settle(self) -> None:
        waiting, self._drains = self._drains, []
        for ended, done in waiting:
            if self._told >= ended:
                if not done.done():
                    done.set_result(None)
            else:
                self._drains.append((ended, done))

    def _fail(self, error: EngineError) -> None:
        self._engine.counters.given_up += 1
        self._tell(Failed(str(error)))
        self._end()

    def _end(self) -> None:
        self._closed = True
        self._judge.remove(self)
        for entry in (*self._inbox, *(done for _, done in self._drains)):
            if isinstance(entry, asyncio.Future) and not entry.done():
                entry.set_result(None)
        self._inbox.clear()
        self._drains.clear()
        self._owed.clear()
        self._waiting = self._owed_samples = 0
        self.utterances = UtteranceStream(self.utterances.rate, 0)

    def _tell(self, event: RecognizerEvent) -> None:
        if self._closed:
            return
        try:
            self._on_event(event)
        except Exception:
            log.exception("an event of a recogniser could not be handled")


def _pcm(samples: Floats) -> bytes:
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()
