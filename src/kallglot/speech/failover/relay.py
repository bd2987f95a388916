"""One speaker's audio, whichever engine hears it: what has to be heard again when an engine is lost, and when it is.

Pure: the caller brings the time, in seconds of a monotonic clock. Positions are samples on the relay's own timeline, on
which every engine's times are put, so that whoever listens sees one recogniser.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Final as Constant
from typing import Literal

from kallglot.audio.g711 import audioop
from kallglot.speech.types import (
    Failed,
    Final,
    Partial,
    RecognizerEvent,
    Restarted,
    SpeechStarted,
    SpeechStopped,
)
from kallglot.speech.used import Heard

KEEP_MS: Constant = 40_000
"""Audio kept since the last final: longer than an utterance and the time in which a stall is noticed."""
PIECE_MS: Constant = 200
"""Audio that comes in smaller pieces is kept in pieces of this size or a little more: forty seconds, frame by frame,
would be eight thousand objects."""
MOST_KEPT: Constant = 4_096
"""Pieces, gaps and marks: who sends a sample between two gaps does not get all of the time above."""
TAIL_MS: Constant = 2_000
"""Of silence, nothing older is kept: speech begins before an engine tells of it."""
QUIET_PEAK: Constant = 200
"""Audio that is nowhere louder is silence."""
LOUD_RMS: Constant = 330
"""-40 dBFS: audio that is louder on the whole may be speech."""
STALL_S: Constant = 3.0
"""Speech goes on and an engine that tells partials tells nothing."""
SILENT_STALL_S: Constant = 15.0
"""The same of an engine that has not told any yet."""
FINAL_S: Constant = 6.0
"""From the end of speech to its final."""
DEAF_S: Constant = 8.0
DEAF_MS: Constant = 3_000
"""Nothing at all is told of so much loud audio for so long."""
TRIAL_MS: Constant = 2_500
TRIAL_LOUD_MS: Constant = 500
"""The same of an engine that is tried again after it failed: from the beginning of so much loud audio."""
BURST_PAUSE_MS: Constant = 1_000
DEALT_WITH_MS: Constant = 8_000
"""Audio of which an engine told nothing, and that is not in its backlog any more, is nothing after so long."""
SAME_UTTERANCE_MS: Constant = 1_500
"""By how much two engines may differ about where an utterance begins."""


@dataclass(slots=True)
class Entry:
    """Audio, a gap, or the mark that an utterance ends."""

    kind: Literal["audio", "skip", "finish"]
    start: int
    end: int
    pcm: bytes = b""

    @property
    def quiet(self) -> bool:
        return self.kind == "skip" or (self.kind == "audio" and audioop.max(self.pcm, 2) <= QUIET_PEAK)


class Relay:
    """``keeps``: audio is kept for another engine."""

    def __init__(self, sample_rate_hz: int, *, keeps: bool = True) -> None:
        self._rate = sample_rate_hz
        self._keeps = keeps
        self._kept: deque[Entry] = deque()
        self._kept_samples = 0
        self._half = b""
        self._end = 0
        self._committed = 0
        self._lost = 0
        self._lost_told = 0
        self._speaking = False
        """As it was told on."""
        self._said_until = 0
        """Milliseconds: nothing is told of before."""
        self._given: list[tuple[str, int]] = []
        """Audio that engines had which are lost, in samples, since the last final."""
        self._resume_ms: int | None = None
        """Where the utterance began in which the engine before was lost."""
        self._resumed: tuple[int, int] | None = None
        """What this engine calls its beginning, and what it is called."""
        self._deaf_before = False
        self._finished = -1
        """Where the speaker was last said to have ended."""
        self._engine = ""
        self._begin(0, 0.0)

    def _begin(self, origin: int, now: float) -> None:
        self._origin = origin
        self._sent = 0
        self._open = False
        self._start_ms = 0
        self._stopped: tuple[float, int] | None = None
        self._partials = False
        self._again_until = self._end
        """What it is given again ends there."""
        self.heard_at = now
        self._pushed = 0
        self._loud = 0
        self._burst: tuple[int, int, int] | None = None
        """Loud audio without a longer pause: its first and last sample, and how many there are."""
        self._trial = False

    # What comes in

    def push(self, pcm: bytes | memoryview) -> bytes:
        """Whole samples that the engine is to have."""
        data = self._half + bytes(pcm)
        if len(data) & 1:
            self._half = data[-1:]
            data = data[:-1]
        else:
            self._half = b""
        if not data:
            return data
        samples = len(data) // 2
        self._add(Entry("audio", self._end, self._end + samples, data))
        self._sent += samples
        self._pushed += samples
        if self._keeps and audioop.rms(data, 2) >= LOUD_RMS:
            self._heard_loud(self._end - samples, self._end)
        return data

    def skip(self, ms: int) -> None:
        self._half = b""
        self._add(Entry("skip", self._end, self._end + ms * self._rate // 1000))

    def finish(self, now: float) -> None:
        self._add(Entry("finish", self._end, self._end))
        self._finished = self._end
        if self._open and self._stopped is None:
            self._stopped = now, self._end

    # What an engine tells

    def tell(self, event: RecognizerEvent, now: float) -> list[RecognizerEvent]:
        """The event of the engine that hears, as the listener is to have it."""
        if isinstance(event, Failed):
            return []
        self.heard_at = now
        self._pushed = self._loud = 0
        self._burst = None
        self._trial = self._deaf_before = False
        match event:
            case SpeechStarted():
                self._open, self._stopped = True, self._over(now)
                self._start_ms = self._at(event.at_ms)
                return self._started(self._begins(self._start_ms))
            case SpeechStopped():
                self._stopped = now, self._end
                return self._ended(self._at(event.at_ms))
            case Partial():
                self._open, self._partials, self._stopped = True, True, self._over(now)
                self._start_ms = max(self._start_ms, self._at(event.start_ms))
                return [replace(event, start_ms=self._begins(self._at(event.start_ms)))]
            case Final():
                return self._final(event)
            case Restarted():
                return [event]

    def _final(self, event: Final) -> list[RecognizerEvent]:
        end_ms = min(self._at(event.end_ms), self._ms(self._end))
        start_ms = min(self._begins(self._at(event.start_ms)), end_ms)
        given = self.untold
        self._given, self._sent = [], 0
        fields = (event.text, start_ms, end_ms, event.confidence, event.language, event.translation)
        self._resume_ms = self._resumed = None
        told: list[RecognizerEvent] = []
        if self._start_ms < end_ms:
            # Nothing of the next one was told yet.
            self._open, self._stopped = False, None
            told += self._ended(end_ms)
        told.append(Heard(*fields, given=given))
        self._said_until = max(self._said_until, end_ms)
        self._commit(end_ms * self._rate // 1000)
        return told

    def settled(self, backlog_ms: float) -> None:
        """What the engine still has to deal with: speech that ended before, and of which it says nothing, was none."""
        if self._stopped is not None and backlog_ms < max(1, self._ms(self._end - self._stopped[1])):
            self._open, self._stopped = False, None
        if self.between:
            behind_ms = backlog_ms + TAIL_MS + DEALT_WITH_MS
            self._commit(self._end - round(behind_ms * self._rate / 1000))

    # What is to be done

    @property
    def between(self) -> bool:
        """Nobody is in the middle of an utterance, as far as it was told."""
        return not self._open and self._resume_ms is None

    @property
    def untold(self) -> tuple[tuple[str, int], ...]:
        """Engines, and how many milliseconds of audio they were given since the last final."""
        given = [(name, self._ms(samples)) for name, samples in self._given if samples]
        return (*given, (self._engine, self._ms(self._sent))) if self._engine else tuple(given)

    @property
    def kept_ms(self) -> int:
        return self._ms(self._kept_samples)

    @property
    def dropped_ms(self) -> int:
        """Speech that was given up because no engine came for it."""
        return self._ms(self._lost)

    def stalled(self, now: float, backlog_ms: float) -> str | None:
        """Why the engine is to be replaced; None where it is not."""
        quiet_s = now - self.heard_at
        pushed_ms = self._ms(self._pushed)
        if self._stopped is not None:
            since, at = self._stopped
            if (
                self._open
                and now - max(since, self.heard_at) > FINAL_S
                and backlog_ms >= max(1, self._ms(self._end - at))
            ):
                return "it does not say what an utterance was"
        elif self._open:
            patience = STALL_S if self._partials else SILENT_STALL_S
            if quiet_s > patience and pushed_ms >= patience * 500:
                return "it has fallen silent in the middle of an utterance"
        elif self._resume_ms is not None:
            if quiet_s > FINAL_S and not self._dealt_with(backlog_ms):
                return "it says nothing of what it was given again"
        elif self.deaf(now) and not self._deaf_before:
            return "it says nothing of what it is given"
        return None

    def deaf(self, now: float) -> bool:
        """Whether it says nothing of what may be speech: there may be none."""
        if self._trial and self._burst is not None and self._ms(self._burst[2]) >= TRIAL_LOUD_MS:
            return self._ms(self._end - self._burst[0]) >= TRIAL_MS
        return now - self.heard_at > DEAF_S and self._ms(self._loud) >= DEAF_MS

    def no_speech(self, now: float, backlog_ms: float) -> list[RecognizerEvent]:
        """Speech that a lost engine told of, and of which the one after it finds nothing, is over."""
        found = self._open or now - self.heard_at <= STALL_S or not self._dealt_with(backlog_ms)
        if found or (self._resume_ms is None and not self._speaking):
            return []
        self._resume_ms = None
        return self._ended(self._ms(self._end)) if self._stopped is None else []

    def lost(self, *, deaf: bool = False) -> None:
        """The engine is gone. ``deaf``: it said nothing, which the next one may do too."""
        if self._open and self._resume_ms is None:
            self._resume_ms = self._start_ms
        self._deaf_before = self._deaf_before or deaf
        self._given.append((self._engine, self._sent))
        self._engine, self._sent, self._open, self._stopped = "", 0, False, None

    def adopt(
        self, engine: str, now: float, *, failure: bool = False, trial: bool = False
    ) -> tuple[list[Entry], list[RecognizerEvent]]:
        """Another engine begins: what it is to be given at once, and what is to be told of it. It is given what comes
        from the last final on. ``failure``: the one before is lost; ``trial``: this one was, a while ago."""
        while self._kept and self._kept[0].kind != "audio":
            self._kept.popleft()
        again = list(self._kept)
        self._begin(again[0].start if again else self._end, now)
        self._engine = engine
        self._trial = trial
        self._resumed = None
        self._sent = sum(len(entry.pcm) // 2 for entry in again)
        for one in again:
            if one.pcm and audioop.rms(one.pcm, 2) >= LOUD_RMS:
                self._heard_loud(one.start, one.end)
        lost_ms, self._lost_told = self._ms(self._lost - self._lost_told), self._lost
        return again, [Restarted(lost_ms)] if failure else []

    def clear(self) -> None:
        """Nobody will hear it again."""
        self._kept.clear()
        self._kept_samples = 0

    # Inside

    def _over(self, now: float) -> tuple[float, int] | None:
        """When and where an utterance ended that is told of only now: nothing came after its end was marked."""
        return (now, self._end) if self._finished == self._end else None

    def _dealt_with(self, backlog_ms: float) -> bool:
        """Whether the engine is through with what it was given again."""
        return backlog_ms < max(1, self._ms(self._end - self._again_until))

    def _ms(self, samples: int) -> int:
        return samples * 1000 // self._rate

    def _at(self, ms: int) -> int:
        """An engine's millisecond on the relay's timeline."""
        return self._origin * 1000 // self._rate + ms

    def _begins(self, start_ms: int) -> int:
        """Where an utterance begins that another engine may have begun to tell."""
        if self._resumed is not None and abs(start_ms - self._resumed[0]) <= SAME_UTTERANCE_MS:
            return self._resumed[1]
        if (
            self._resume_ms is not None
            and self._resumed is None
            and abs(start_ms - self._resume_ms) <= (SAME_UTTERANCE_MS)
        ):
            self._resumed = start_ms, self._resume_ms
            return self._resume_ms
        return max(start_ms, self._said_until)

    def _heard_loud(self, start: int, end: int) -> None:
        self._loud += end - start
        if self._burst is None or self._ms(start - self._burst[1]) > BURST_PAUSE_MS:
            self._burst = start, end, end - start
        else:
            self._burst = self._burst[0], end, self._burst[2] + end - start

    def _started(self, at_ms: int) -> list[RecognizerEvent]:
        if self._speaking:
            return []
        self._speaking = True
        return [SpeechStarted(at_ms)]

    def _ended(self, at_ms: int) -> list[RecognizerEvent]:
        if not self._speaking:
            return []
        self._speaking = False
        return [SpeechStopped(at_ms)]

    def _add(self, entry: Entry) -> None:
        self._end = entry.end
        if not self._keeps:
            return
        if entry.kind == "finish" and (not self._kept or self._kept[-1].kind == "finish"):
            return
        if entry.kind == "skip" and self._kept and self._kept[-1].kind == "skip":
            self._kept[-1].end = entry.end
            return
        last = self._kept[-1] if self._kept else None
        small = last is not None and last.kind == "audio" and last.end - last.start < PIECE_MS * self._rate // 1000
        if last is not None and small and entry.kind == "audio":
            last.pcm += entry.pcm
            last.end = entry.end
        else:
            self._kept.append(entry)
        self._kept_samples += len(entry.pcm) // 2
        self._trim()

    def _trim(self) -> None:
        tail = TAIL_MS * self._rate // 1000
        while self._kept:
            first = self._kept[0]
            idle = self.between and first.end <= self._end - tail and (first.quiet or first.kind == "finish")
            many = self._kept_samples * 1000 > KEEP_MS * self._rate or len(self._kept) > MOST_KEPT
            if not idle and not many:
                return
            self._kept.popleft()
            self._kept_samples -= len(first.pcm) // 2
            if not idle and not first.quiet:
                self._lost += len(first.pcm) // 2

    def _commit(self, position: int) -> None:
        self._committed = max(self._committed, min(position, self._end))
        while self._kept and self._kept[0].end <= self._committed:
            self._kept_samples -= len(self._kept.popleft().pcm) // 2
        if self._kept and self._kept[0].start < self._committed:
            first = self._kept[0]
            if first.kind == "audio":
                cut = self._committed - first.start
                first.pcm = first.pcm[cut * 2 :]
                self._kept_samples -= cut
            first.start = self._committed
