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
"""Windows of one stream judged by loudness before others get their turn, and windows of different streams judged in one
run of the model."""
GATHER_S: Final = 0.008
"""Windows that become full meanwhile are judged together: a quarter of a window is not noticed."""


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
        self._streams: set[Judged] = set()
        self._fresh: dict[Judged, None] = {}
        """Those that something has come for."""
        self._behind = False
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
        self._streams.add(stream)

    def remove(self, stream: Judged) -> None:
        self._streams.discard(stream)

    def notify(self, stream: Judged) -> None:
        """Something has come for it."""
        self._fresh[stream] = None
        self._wake.set()

    async def _judge_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._judge_once()
            except Exception as error:
                log.exception("voice activity failed")
                for stream in list(self._streams):
                    stream.judge_failed(error)
            if self._fresh:
                self._wake.set()
            await asyncio.sleep(0 if self._behind else GATHER_S)

    async def _judge_once(self) -> None:
        """What has come, as far as one window of each stream has to be asked about."""
        fresh, self._fresh, self._behind = self._fresh, {}, False
        asked: list[tuple[Judged, Any]] = []
        for stream in fresh:
            if stream not in self._streams:
                continue
            for _ in range(AT_ONCE):
                stream.take_in()
                window = stream.utterances.next_window()
                if window is None:
                    break
                samples, worth_asking = window
                if worth_asking and self._silero is not None:
                    asked.append((stream, samples))
                    break
                stream.utterances.voice.pass_by(samples)
                stream.step(1.0 if worth_asking else 0.0)
            else:
                self._goes_on(stream)
        for rate in (8000, 16000):
            of_rate = [one for one in asked if one[0].utterances.rate == rate]
            for at in range(0, len(of_rate), AT_ONCE):
                await self._ask(of_rate[at : at + AT_ONCE])
        for stream, _ in asked:
            stream.take_in()
            if stream.utterances.next_window_ready():
                self._goes_on(stream)

    def _goes_on(self, stream: Judged) -> None:
        """There is more of it already."""
        self._fresh[stream] = None
        self._behind = True

    async def _ask(self, asked: list[tuple[Judged, Any]]) -> None:
        assert self._silero is not None
        states = [(stream.utterances.voice, samples) for stream, samples in asked]
        loop = asyncio.get_running_loop()
        probabilities = await loop.run_in_executor(self._thread, self._silero.probabilities, states)
        for (stream, _), probability in zip(asked, probabilities, strict=True):
            if stream in self._streams:
                stream.step(probability)
