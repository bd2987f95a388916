"""A recording through a recogniser the way a speaker's audio goes in: frames of 20 ms, resampled, on one timeline."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

from kallglot.audio.mediaclock import Placed
from kallglot.evaluation.lines import FRAME_MS, Sound
from kallglot.session.ear import Ear
from kallglot.speech.types import Failed, Partial, Recognizer, RecognizerEvent, Restarted
from kallglot.speech.types import Final as FinalText

SILENCE_S: Final = 1.0
"""Behind the recording: longer than a pause that ends an utterance."""
AHEAD_MS: Final = 25_000
"""Audio that an engine is given ahead of its answers: more than its longest utterance, less than anything drops."""
PATIENCE_S: Final = 60.0
"""For an engine that has all the audio, on top of as long again as the recording."""
_LOOK_S: Final = 0.005


@dataclass(slots=True)
class Heard:
    """``work_s`` is from the first frame to the last word where the audio came as fast as it was taken."""

    text: str = ""
    seconds: float = 0.0
    work_s: float | None = None
    first_partial_s: float | None = None
    """After speech began, in real time."""
    final_s: float | None = None
    """From the end of speech to the last final, in real time."""
    restarts: int = 0
    trouble: str | None = None


@dataclass(slots=True)
class _Told:
    finals: list[FinalText] = field(default_factory=list[FinalText])
    first_partial_at: float | None = None
    last_final_at: float | None = None
    restarts: int = 0
    trouble: str | None = None

    def event(self, event: RecognizerEvent, origin_ms: int, language: str | None) -> None:
        match event:
            case Partial() if self.first_partial_at is None and event.text:
                self.first_partial_at = time.monotonic()
            case FinalText():
                self.finals.append(event)
                self.last_final_at = time.monotonic()
            case Restarted():
                self.restarts += 1
            case Failed():
                self.trouble = event.reason
            case _:
                pass

    def failure(self, reason: str) -> None:
        self.trouble = reason


async def listen(recognizer: Recognizer, sound: Sound, language: str, *, real_time: bool) -> Heard:
    """What the engine heard. One that fails or does not answer is told of in ``trouble``, and nothing raised."""
    told = _Told()
    began = time.monotonic()
    ear = Ear(
        recognizer,
        language=language,
        partials=real_time,
        terms=(),
        keeps=False,
        on_event=told.event,
        on_failure=told.failure,
    )
    heard = Heard(seconds=sound.seconds)
    try:
        async with asyncio.timeout(2 * sound.seconds + SILENCE_S + PATIENCE_S):
            await _feed(ear, sound, began, told, real_time=real_time)
            await ear.drain()
    except TimeoutError:
        told.trouble = told.trouble or "it did not answer in time"
    except Exception as error:
        told.trouble = str(error) or type(error).__name__
    finally:
        await ear.close()
    heard.text = " ".join(final.text.strip() for final in sorted(told.finals, key=lambda final: final.start_ms))
    heard.restarts = told.restarts
    heard.trouble = told.trouble if told.trouble and not told.finals else None
    if not real_time:
        heard.work_s = time.monotonic() - began
        return heard
    if told.first_partial_at is not None:
        heard.first_partial_s = told.first_partial_at - began - sound.begins_s
    if told.last_final_at is not None:
        heard.final_s = told.last_final_at - began - sound.ends_s
    return heard


async def _feed(ear: Ear, sound: Sound, began: float, told: _Told, *, real_time: bool) -> None:
    for number, frame in enumerate(sound.frames(SILENCE_S)):
        if real_time:
            # A frame is there when its last sample was spoken.
            await asyncio.sleep(max(0.0, began + (number + 1) * FRAME_MS / 1000 - time.monotonic()))
        else:
            while ear.backlog_ms > AHEAD_MS and told.trouble is None:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)
            if number % 50 == 0:
                await asyncio.sleep(0)
        at_ms = float(number * FRAME_MS)
        ear.hear(frame, sound.rate, Placed(at_ms, 0), at_ms)
