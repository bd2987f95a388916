"""One listener on one leg: what they hear, in the leg's own rate and encoding."""

from __future__ import annotations

from collections.abc import Iterator

from kallglot.audio import playout
from kallglot.audio.codec import encoder
from kallglot.audio.resample import Resampler
from kallglot.session.events import (
    PlaybackCleared,
    PlaybackFinished,
    PlaybackMark,
    PlaybackStarted,
    SessionEvent,
)
from kallglot.session.leg import Leg
from kallglot.session.model import Participant


class Hearing:
    def __init__(self, leg: Leg, listener: Participant) -> None:
        self.leg = leg
        self.listener = listener
        self._rate = leg.output.sample_rate_hz
        self._encoder = encoder(leg.output.encoding, self._rate)
        self._playout = playout.Playout(self._rate, burst=leg.output.burst)
        self._turn_resamplers: dict[str, Resampler] = {}
        self._originals: dict[str, _Original] = {}

    @property
    def backlog_ms(self) -> float:
        return self._playout.backlog_ms

    def begin(self, turn_id: str, speaker: str, sample_rate_hz: int) -> None:
        self._playout.begin(turn_id, speaker)
        if sample_rate_hz != self._rate:
            self._turn_resamplers[turn_id] = Resampler(sample_rate_hz, self._rate)

    def speak(self, turn_id: str, pcm: bytes) -> None:
        resampler = self._turn_resamplers.get(turn_id)
        self._playout.add(turn_id, pcm if resampler is None else resampler.process(pcm))

    def end(self, turn_id: str) -> None:
        resampler = self._turn_resamplers.pop(turn_id, None)
        if resampler is not None:
            self._playout.add(turn_id, resampler.flush())
        self._playout.end(turn_id)

    def original(self, speaker: str, pcm: bytes, sample_rate_hz: int) -> None:
        """The speaker's own voice, at once."""
        if not self.leg.writable:
            return
        source = self._originals.get(speaker)
        if source is None or source.sample_rate_hz != sample_rate_hz:
            source = self._originals[speaker] = _Original(sample_rate_hz, self._rate)
        for frame in source.frames(pcm):
            self.leg.deliver_audio(self.listener, speaker, None, self._encoder.encode(frame))

    def mark(self, name: str) -> None:
        self._playout.mark(name)

    def clear(self) -> list[SessionEvent]:
        return [self._told(event) for event in self._playout.clear()]

    def tick(self, now_ms: float) -> list[SessionEvent]:
        """Sends what is due to the leg; what has to be told about it is returned."""
        if self._playout.idle or not self.leg.writable:
            return []
        told: list[SessionEvent] = []
        for event in self._playout.due(now_ms):
            if isinstance(event, playout.Frame):
                payload = self._encoder.encode(event.pcm)
                self.leg.deliver_audio(self.listener, event.speaker, event.turn_id, payload)
            else:
                told.append(self._told(event))
        return told

    def _told(self, event: playout.Started | playout.Finished | playout.Cleared | playout.Marked) -> SessionEvent:
        match event:
            case playout.Started():
                return PlaybackStarted(event.turn_id, self.listener.role)
            case playout.Finished():
                return PlaybackFinished(event.turn_id, self.listener.role)
            case playout.Cleared():
                return PlaybackCleared(event.turn_id, self.listener.role)
            case playout.Marked():
                return PlaybackMark(event.name)


class _Original:
    def __init__(self, sample_rate_hz: int, target_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._resampler = None if sample_rate_hz == target_hz else Resampler(sample_rate_hz, target_hz)
        self._frame_bytes = target_hz * playout.FRAME_MS // 1000 * 2
        self._rest = b""

    def frames(self, pcm: bytes) -> Iterator[bytes]:
        audio = self._rest + (pcm if self._resampler is None else self._resampler.process(pcm))
        size = self._frame_bytes
        whole = len(audio) - len(audio) % size
        for at in range(0, whole, size):
            yield audio[at : at + size]
        self._rest = audio[whole:]
