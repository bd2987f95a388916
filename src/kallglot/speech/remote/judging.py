"""Where utterances begin and end in the audio of many streams, for servers that only take whole ones.

Voice activity is judged by Silero, a window of every stream that has one in one run; or by loudness alone. The model
takes less time than a stream's frames do, and a thread would wait for the interpreter at each of its steps.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Literal, Protocol

from kallglot.speech.engines.silero import WINDOW, Silero, Window, model_file
from kallglot.speech.engines.utterances import UtteranceStream

log = logging.getLogger(__name__)

VoiceActivity = Literal["silero", "energy"]
AT_ONCE: Final = 64
"""Windows of one stream judged by loudness, and windows of different streams judged by the model, before whatever else
there is to do gets its turn: the latter take about a millisecond."""
GATHER_S: Final = 0.016
"""Windows that become full meanwhile are judged together: half a window is not noticed."""


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
        self._judging = asyncio.create_task(self._judge_forever(), name="voice-activity")

    async def close(self) -> None:
        if self._judging is not None:
            self._judging.cancel()
            await asyncio.gather(self._judging, return_exceptions=True)

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
                self._judge_once()
            except Exception as error:
                log.exception("voice activity failed")
                for stream in list(self._streams):
                    stream.judge_failed(error)
            if self._fresh:
                self._wake.set()
            await asyncio.sleep(0 if self._behind else GATHER_S)

    def _judge_once(self) -> None:
        """What has come, as far as one window of each stream has to be asked about."""
        fresh, self._fresh, self._behind = self._fresh, {}, False
        asked: list[tuple[Judged, Window]] = []
        for stream in fresh:
            if stream not in self._streams:
                continue
            if len(asked) == AT_ONCE:
                self._goes_on(stream)
                continue
            for _ in range(AT_ONCE):
                stream.take_in()
                window = stream.utterances.next_window()
                if window is None:
                    break
                heard, worth_asking = window
                if worth_asking and self._silero is not None:
                    asked.append((stream, heard))
                    break
                stream.utterances.voice.pass_by(heard)
                stream.step(1.0 if worth_asking else 0.0)
            else:
                self._goes_on(stream)
        if self._silero is not None:
            for rate in WINDOW:
                self._ask(self._silero, [one for one in asked if one[0].utterances.rate == rate])
        for stream, _ in asked:
            stream.take_in()
            if stream.utterances.next_window_ready():
                self._goes_on(stream)

    def _goes_on(self, stream: Judged) -> None:
        """There is more of it already."""
        self._fresh[stream] = None
        self._behind = True

    def _ask(self, silero: Silero, asked: list[tuple[Judged, Window]]) -> None:
        windows = [(stream.utterances.voice, heard) for stream, heard in asked]
        for (stream, _), probability in zip(asked, silero.probabilities(windows), strict=True):
            if stream in self._streams:
                stream.step(probability)
