"""Where utterances begin and end in the audio of many streams, for servers that only take whole ones.

Voice activity is judged by Silero in a thread, a window of every stream that has one in one run; or by loudness alone.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal, Protocol

from kallglot.speech.engines.silero import Silero, model_file
from kallglot.speech.engines.utterances import UtteranceStream

log = logging.getLogger(__name__)

VoiceActivity = Literal["silero", "energy"]
AT_ONCE: Final = 64
"""Windows judged by loudness before others get their turn."""


class Judged(Protocol):
    """A stream as it is judged."""

    @property
    def utterances(self) -> UtteranceStream: ...

    def take_in(self) -> None:
        """Moves on what came in, up to something that has to wait until all before it was judged."""
        ...

    def step(self, probability: float) -> None: ...

    def judge_failed(self, error: Exception) -> None:
        """Nothing more is judged of it."""
        ...


class Judge:
    def __init__(self, voice_activity: VoiceActivity) -> None:
        self._kind: VoiceActivity = voice_activity
        self._silero: Silero | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._streams: list[Judged] = []
        self._wake = asyncio.Event()
        self._judging: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises ``OSError`` or the runtime's error where the model cannot be read."""
        path = model_file()
        if self._kind == "silero" and path is not None:
            self._silero = await asyncio.to_thread(Silero, path)
            self._thread = ThreadPoolExecutor(1, "voice-activity")
        self._judging = asyncio.create_task(self._judge_forever(), name="voice-activity")

    async def close(self) -> None:
        if self._judging is not None:
            self._judging.cancel()
            await asyncio.gather(self._judging, return_exceptions=True)
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def add(self, stream: Judged) -> None:
        self._streams.append(stream)

    def remove(self, stream: Judged) -> None:
        if stream in self._streams:
            self._streams.remove(stream)

    def notify(self) -> None:
        self._wake.set()

    async def _judge_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                if await self._judge_once():
                    self._wake.set()
            except Exception as error:
                log.exception("voice activity failed")
                for stream in list(self._streams):
                    stream.judge_failed(error)
            await asyncio.sleep(0)

    async def _judge_once(self) -> bool:
        """False when there was nothing to judge."""
        asked: list[tuple[Judged, Any]] = []
        some = False
        for stream in list(self._streams):
            for _ in range(AT_ONCE):
                stream.take_in()
                window = stream.utterances.next_window()
                if window is None:
                    break
                some = True
                samples, worth_asking = window
                if worth_asking and self._silero is not None:
                    asked.append((stream, samples))
                    break
                stream.utterances.voice.pass_by(samples)
                stream.step(1.0 if worth_asking else 0.0)
        for rate in (8000, 16000):
            of_rate = [one for one in asked if one[0].utterances.rate == rate]
            if of_rate:
                await self._ask(of_rate)
        return some

    async def _ask(self, asked: list[tuple[Judged, Any]]) -> None:
        assert self._silero is not None
        states = [(stream.utterances.voice, samples) for stream, samples in asked]
        loop = asyncio.get_running_loop()
        probabilities = await loop.run_in_executor(self._thread, self._silero.probabilities, states)
        for (stream, _), probability in zip(asked, probabilities, strict=True):
            if stream in self._streams:
                stream.step(probability)
