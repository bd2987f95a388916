"""One listener on one leg: what they hear, mixed to one voice stream in the leg's own rate and encoding."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from kallglot.audio import playout
from kallglot.audio.codec import encoder
from kallglot.audio.ducking import Ducker
from kallglot.audio.g711 import audioop
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

NEAR_LEAD_MS: Final = 60
"""Turns are handed out so little ahead while a voice is mixed beneath them: it is heard that much later."""
QUIET_MS: Final = 500
TOGETHER_MS: Final = 100
MOST_WAITING: Final = 20
"""Frames of a voice, beside those of its last chunk, that wait to be mixed; older ones are let go. As much as turns may
be ahead when a voice begins beneath them."""
MOST_AHEAD_MS: Final = 1000
"""A voice that comes faster than it is spoken waits once so much of it was handed out."""
MOST_BEHIND: Final = 500
"""Frames of such a voice that wait; older ones are let go."""
QUIET_PEAK: Final = 200
QUIET_SHARE: Final = 0.1
"""A frame that is nowhere louder, or 20 dB below what was loudest lately, may be left out to catch up."""
FORGET: Final = 0.995
"""By frame: what was loudest is half as loud after three seconds."""
FOLLOWED_MS: Final = 1000
"""A turn begins behind the voices that were handed out before it, as far as that is a matter of chunks and jitter."""

HeardPcm = Callable[[float, bytes, int], None]


class Hearing:
    """``on_heard``, where set, gets every frame as PCM with the monotonic millisecond at which it is heard."""

    def __init__(self, leg: Leg, listener: Participant) -> None:
        self.leg = leg
        self.listener = listener
        self.counts = True
        """Of all on which the listener hears, this is the one that is recorded and told of."""
        self.on_heard: HeardPcm | None = None
        self._rate = leg.output.sample_rate_hz
        self._encoder = encoder(leg.output.encoding, self._rate)
        self._playout = playout.Playout(self._rate, burst=leg.output.burst)
        self._turn_resamplers: dict[str, Resampler] = {}
        self._voices: dict[str, _Voice] = {}
        self._burst = leg.output.burst
        self._heard_ms = 0.0
        """When the last frame is heard that was handed out, by the clock."""
        self._late_ms = 0.0
        """How much later than that it is, as of the turn that plays: nothing recorded is shifted within a turn."""
        self.held = False
        self.due = False
        """Something may have to be handed out, or told: :meth:`tick` is to be called. Mostly a listener hears nothing,
        or a voice that goes through as it comes."""

    @property
    def backlog_ms(self) -> float:
        return self._playout.backlog_ms

    @property
    def tempo(self) -> float:
        return self._playout.tempo

    def begin(self, turn_id: str, speaker: str, sample_rate_hz: int) -> None:
        self.due = True
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

    def original(self, speaker: Participant, pcm: bytes, sample_rate_hz: int, now_ms: float, *, ducks: bool) -> None:
        """The speaker's own voice: at once and untouched where it is alone, else mixed with what else is heard.

        ``ducks`` lowers it while a translation is being heard.
        """
        if not self.leg.writable or not pcm:
            return
        voice = self._voices.get(speaker.id)
        if voice is None or voice.sample_rate_hz != sample_rate_hz or voice.silent(now_ms):
            voice = self._voices[speaker.id] = _Voice(speaker.role, sample_rate_hz, self._rate)
        voice.ducks = ducks
        voice.heard_at_ms = now_ms
        frames = voice.frames(pcm)
        mixed = self._playout.flowing or (len(self._voices) > 1 and self._together(voice, now_ms))
        if mixed or voice.waiting:
            voice.wait(frames, MOST_WAITING if mixed else MOST_BEHIND)
            self.due = True
            return
        for n, frame in enumerate(frames):
            ahead_ms = 0.0 if self._burst else self._heard_ms - now_ms
            if ahead_ms >= MOST_AHEAD_MS:
                voice.wait(frames[n:], MOST_BEHIND)
                self.due = True
                break
            if ahead_ms > NEAR_LEAD_MS + 2 * voice.chunk_ms and voice.quiet(frame):
                # What a stall or the wait for the connection held back is made up for in the speaker's pauses.
                continue
            self._deliver(voice.role, None, voice.levelled(frame, over=False), self._next_heard(now_ms), now_ms)

    def mark(self, name: str) -> None:
        self.due = True
        self._playout.mark(name)

    def clear(self, now_ms: float) -> list[SessionEvent]:
        self._turn_resamplers.clear()
        if self.on_heard is not None and self._heard_ms > now_ms:
            # What was handed out ahead of time is not heard any more.
            unheard = bytes(round((self._heard_ms - now_ms) * self._rate / 1000) * 2)
            self.on_heard(now_ms + self._late_ms, unheard, self._rate)
        self._heard_ms = now_ms
        for voice in self._voices.values():
            voice.waiting.clear()
        return [self._told(event) for event in self._playout.clear()]

    def tick(self, now_ms: float) -> list[SessionEvent]:
        """Sends what is due to the leg; what has to be told about it is returned."""
        if not self.leg.writable:
            return []
        self.due = not self._playout.idle or self._waiting() is not None
        if not self.due:
            return []
        lively = any(now_ms - voice.heard_at_ms < QUIET_MS for voice in self._voices.values())
        told: list[SessionEvent] = []
        self._playout.follow(min(self._heard_ms, now_ms + FOLLOWED_MS))
        self._playout.late_ms = self.leg.late_ms
        for event in self._playout.due(now_ms, NEAR_LEAD_MS if lively else self.leg.output.lead_ms):
            if isinstance(event, playout.Started):
                self._late_ms = self._playout.late_ms
            if isinstance(event, playout.Frame):
                pcm = self._mixed(event.pcm, over=True)
                self._deliver(event.speaker, event.turn_id, pcm, event.at_ms, now_ms)
                self._heard_ms = event.at_ms + playout.FRAME_MS
            else:
                told.append(self._told(event))
        if not self._playout.flowing:
            for voice in self._voices.values():
                voice.catch_up(NEAR_LEAD_MS + voice.chunk_ms if self._together(voice, now_ms) else 0.0)
            while self._heard_ms - now_ms < NEAR_LEAD_MS and (waiting := self._waiting()):
                self._deliver(waiting.role, None, self._mixed(None, over=False), self._next_heard(now_ms), now_ms)
        return told

    def holds(self, turn_id: str) -> bool:
        return self._playout.holds(turn_id)

    def _waiting(self) -> _Voice | None:
        for voice in self._voices.values():
            if voice.waiting:
                return voice
        return None

    def _together(self, voice: _Voice, now_ms: float) -> bool:
        """Whether somebody else is heard at the same time."""
        return any(
            other is not voice and now_ms - other.heard_at_ms < TOGETHER_MS + other.chunk_ms
            for other in self._voices.values()
        )

    def _mixed(self, pcm: bytes | None, *, over: bool) -> bytes:
        """A frame with the next one of every voice that waits."""
        for voice in self._voices.values():
            if voice.waiting:
                frame = voice.levelled(voice.waiting.popleft(), over=over)
                pcm = frame if pcm is None else audioop.add(pcm, frame, 2)
            else:
                voice.ducker.pass_time(over)
        assert pcm is not None
        return pcm

    def _deliver(self, speaker: str, turn_id: str | None, pcm: bytes, at_ms: float, now_ms: float) -> None:
        self.leg.deliver_audio(self.listener, speaker, turn_id, self._encoder.encode(pcm), now_ms)
        if self.on_heard is not None:
            self.on_heard(at_ms + self._late_ms, pcm, self._rate)

    def _next_heard(self, now_ms: float) -> float:
        """Voices come in chunks that jitter; they are heard one frame after the other."""
        at_ms = self._heard_ms if self._heard_ms > now_ms else now_ms
        self._heard_ms = at_ms + playout.FRAME_MS
        return at_ms

    def _told(self, event: playout.Started | playout.Finished | playout.Cleared | playout.Marked) -> SessionEvent:
        match event:
            case playout.Started():
                return PlaybackStarted(event.turn_id, self.listener.role, event.at_ms)
            case playout.Finished():
                return PlaybackFinished(event.turn_id, self.listener.role, event.at_ms)
            case playout.Cleared():
                return PlaybackCleared(event.turn_id, self.listener.role)
            case playout.Marked():
                return PlaybackMark(event.name)


class _Voice:
    """A speaker's own voice on its way to one listener, in whole frames."""

    def __init__(self, role: str, sample_rate_hz: int, target_hz: int) -> None:
        self.role = role
        self.sample_rate_hz = sample_rate_hz
        self.ducks = False
        self.heard_at_ms = 0.0
        self.ducker = Ducker()
        self.chunk_ms = 0.0
        self.waiting: deque[bytes] = deque()
        self._resampler = None if sample_rate_hz == target_hz else Resampler(sample_rate_hz, target_hz)
        self._frame_bytes = target_hz * playout.FRAME_MS // 1000 * 2
        self._rest = b""
        self._loudest = 0.0

    def silent(self, now_ms: float) -> bool:
        """Nothing came for so long that what comes next is a beginning."""
        return not self.waiting and now_ms - self.heard_at_ms > QUIET_MS + self.chunk_ms

    def levelled(self, frame: bytes, *, over: bool) -> bytes:
        return self.ducker.process(frame, over) if self.ducks else frame

    def frames(self, pcm: bytes) -> list[bytes]:
        self.chunk_ms = len(pcm) / 2 * 1000 / self.sample_rate_hz
        audio = pcm if self._resampler is None else self._resampler.process(pcm)
        size = self._frame_bytes
        if self._rest:
            audio = self._rest + audio
        elif len(audio) == size:
            return [audio]
        whole = len(audio) - len(audio) % size
        self._rest = audio[whole:]
        return [audio[at : at + size] for at in range(0, whole, size)]

    def wait(self, frames: list[bytes], most: int) -> None:
        self.waiting.extend(frames)
        while len(self.waiting) > most + len(frames):
            self.waiting.popleft()

    def catch_up(self, to_ms: float) -> None:
        """Leaves out what is not heard, as long as more waits than has to."""
        while len(self.waiting) * playout.FRAME_MS > to_ms and self.quiet(self.waiting[0]):
            self.waiting.popleft()

    def quiet(self, frame: bytes) -> bool:
        """Whether the frame can be left out. Asked only while there is something to catch up on."""
        peak = audioop.max(frame, 2)
        self._loudest = max(peak, self._loudest * FORGET)
        return peak <= max(QUIET_PEAK, self._loudest * QUIET_SHARE)
