"""A session while it lives in this process: its legs, its speakers, and the one task group that owns their work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from kallglot import logs
from kallglot.audio.tones import dtmf
from kallglot.clock import Clock
from kallglot.session import events
from kallglot.session.audience import Audience, Noted
from kallglot.session.cast import Cast
from kallglot.session.detection import Learned
from kallglot.session.hearing import Hearing
from kallglot.session.holding import Holding
from kallglot.session.interpreter import Surroundings
from kallglot.session.leg import Leg
from kallglot.session.legs import Legs
from kallglot.session.load import Load
from kallglot.session.model import EndReason, Participant, Session, Turn
from kallglot.session.playback import Playback
from kallglot.session.ports import Engines, SessionJournal, Tape
from kallglot.session.presence import Presence, persistently
from kallglot.session.redaction import redaction
from kallglot.session.scribe import Scribe
from kallglot.session.sessiontime import SessionTime
from kallglot.session.speaker import Listening, Speaker
from kallglot.session.state import STREAM_CLOSE_CODES
from kallglot.session.timings import TurnTimes
from kallglot.session.uses import TurnUses
from kallglot.speech.used import EngineUse, Meter

log = logging.getLogger(__name__)

HOLD_INPUT_MS: Final = 20_000
RELEASE_INPUT_MS: Final = 10_000
"""Audio waiting for an engine above the first stops its leg's socket being read, until it is below the second."""
LOOK_SECONDS: Final = 0.1
DRAIN_SECONDS: Final = 8.0
FIRST_CHUNK_MS: Final = 1000
TONES_HZ: Final = 8000
WARN_AGAIN_SECONDS: Final = 10.0
RESUMED_TURNS: Final = 20
"""Of an earlier life: somebody may have been in the middle of a card number."""


class LiveSession:
    def __init__(
        self,
        record: Session,
        turns: Sequence[Turn],
        *,
        journal: SessionJournal,
        engines: Engines,
        clock: Clock,
        reconnect_seconds: float,
        observe: Callable[[TurnTimes], None],
    ) -> None:
        self.record = record
        self._tape: Tape | None = None
        self._journal = journal
        self._engines = engines
        self._clock = clock
        self._cast = Cast(record, journal, self._spawn)
        self._legs = Legs()
        self._audience = Audience()
        self._holding = Holding(self._audience)
        self._presence = Presence(
            record.id,
            journal,
            reconnect_seconds,
            connected=lambda: bool(self._legs),
            left_at=lambda: self.left_at,
            spawn=self._spawn,
        )
        self._tasks = asyncio.TaskGroup()
        self._stopped = asyncio.Event()
        self._warned: dict[str, float] = {}
        self._looked_at = 0.0
        self._start_task: asyncio.Task[None] | None = None
        self._ending = False
        self.last_activity = clock.monotonic()
        self.left_at = clock.now()
        self._time = SessionTime(clock, record.started_at)
        self._playback = Playback(
            record.id,
            journal,
            session_ms=self._time.at,
            participant=self._cast.__getitem__,
            emit=self.emit,
            observe=observe,
        )
        self._uses = TurnUses(record.id, journal)
        self._besides = Meter()
        self._redaction = redaction(record.redaction)
        self._redaction.resume(turns[-RESUMED_TURNS:])
        self._scribe = Scribe(
            record.id,
            len(turns),
            journal,
            clock,
            now_ms=self._time.now_ms,
            ready=self._start_stored,
            emit=self.emit,
            warn=self.warn,
            timings=self._playback.timings,
            uses=self._uses,
            redaction=self._redaction,
        )
        self._speakers = {one.id: self._speaker(one, turns) for one in record.participants}

    def _speaker(self, participant: Participant, turns: Sequence[Turn]) -> Speaker:
        around = Surroundings(
            speaker=lambda: self._cast[participant.id],
            plan=partial(self._cast.plan, participant.id),
            hearings=self._audience.of,
            commit=partial(self._scribe.write, lambda: self._cast[participant.id]),
            begun=partial(self._begun, participant.id),
            spoken=self._spoken,
            warn=self.warn,
        )
        listening = Listening(
            self._time.now_ms,
            self.emit,
            self._learn_language,
            self._playback.speaking,
            self._redaction.partial,
            self._besides,
        )
        said_ms = max((turn.end_ms for turn in turns if turn.participant_id == participant.id), default=0)
        return Speaker(self.record, participant, self._engines, around, listening, float(said_ms))

    @property
    def recorded(self) -> bool:
        return self._tape is not None

    def record_on(self, tape: Tape) -> None:
        self._tape = tape
        self._audience.record(self._record_heard)
        for participant_id, speaker in self._speakers.items():
            speaker.begins(tape.said_until_ms(self._cast[participant_id]))

    # Life

    async def run(self, ready: asyncio.Event) -> None:
        """Owns every task of the session; returns after :meth:`stop`, leaving none behind."""
        try:
            async with self._tasks:
                workers = [
                    self._spawn(work, name)
                    for speaker in self._speakers.values()
                    for work, name in (
                        (speaker.interpreter.translate_forever(), "translate"),
                        (speaker.interpreter.speak_forever(), "speak"),
                    )
                ]
                ready.set()
                await self._stopped.wait()
                for speaker in self._speakers.values():
                    await speaker.close()
                for worker in workers:
                    worker.cancel()
                self._note(self._audience.leave_all())
                self._playback.end()
                await self._playback.keep()
                await self._uses.keep()
        finally:
            if self._tape is not None:
                await self._tape.close()

    def stop(self) -> None:
        self._stopped.set()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return self._tasks.create_task(_contained(work, self.record.id), name=f"{self.record.id}-{name}")

    @property
    def has_legs(self) -> bool:
        return bool(self._legs)

    @property
    def leg_count(self) -> int:
        return len(self._legs)

    @property
    def load(self) -> Load:
        speakers, hearings = self._speakers.values(), self._audience.all
        return Load(
            self.record.mode,
            len(self._legs),
            [speaker.backlog_ms for speaker in speakers],
            [hearing.backlog_ms for hearing in hearings],
            self._legs.held,
        )

    def now_ms(self) -> float:
        """Milliseconds since the session's first audio; 0 before it."""
        return self._time.now_ms()

    async def drain(self) -> None:
        """What was said is recognised, translated and committed; bounded in time."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await asyncio.gather(*(speaker.drain() for speaker in self._speakers.values()))
        except TimeoutError:
            log.warning("session %s: engines did not finish within %s s", self.record.id, DRAIN_SECONDS)

    async def keep_uses(self) -> None:
        """What engines did until now is stored."""
        await self._uses.keep()

    def besides(self) -> tuple[EngineUse, ...]:
        """What engines did that no turn tells of: audio without speech, as of who listens only."""
        found = Meter()
        for use in self._besides.uses():
            found.add(use.kind, use.engine, use.language, audio_ms=use.audio_ms, characters=use.characters)
        for participant_id, speaker in self._speakers.items():
            for engine, ms in speaker.untold:
                found.add("recognition", engine, self._cast[participant_id].language, audio_ms=ms)
        return found.uses()

    async def begin_ending(self) -> None:
        self._ending = True
        await self._journal.ending(self.record.id)

    def quiesce(self) -> None:
        """Takes no more audio."""
        self._ending = True

    def leave(self, code: int, reason: str) -> None:
        """Closes every leg; the session itself goes on and waits for them."""
        self._ending = False
        for leg in self._legs:
            leg.close(code, reason)
            self.detach(leg)

    def say_ended(self, reason: EndReason) -> None:
        self.emit(events.Ended(self.record.id, reason))
        for leg in self._legs:
            leg.close(STREAM_CLOSE_CODES.get(reason, 1000), reason)
        self._legs.clear()
        self._note(self._audience.leave_all())

    # Legs

    def attach(self, leg: Leg, notices: Sequence[events.Warned] = ()) -> None:
        """Takes a leg in: from now on it hears and is heard. The first that it is told is that."""
        bound = self._cast.get(leg.participant_id)
        joined = bound is not None and not self._legs.carries(bound.id)
        self._legs.add(leg)
        self._audience.join(leg, self._cast.everybody if bound is None else [bound])
        self.last_activity = self._clock.monotonic()
        if self.record.status == "created":
            self.record = replace(self.record, status="connecting")
        leg.deliver(events.Ready(self.record.id, self.record.status, tuple(self._cast.everybody)))
        for notice in notices:
            leg.deliver(notice)
        self._presence.note()
        if bound is not None and joined:
            self.emit(events.ParticipantJoined(bound), but=leg)

    def detach(self, leg: Leg) -> None:
        if not self._legs.remove(leg):
            return
        self._note(self._audience.leave(leg))
        self.left_at = self._clock.now()
        bound = self._cast.get(leg.participant_id)
        if bound is not None and not self._legs.carries(bound.id):
            self.emit(events.ParticipantLeft(bound))
        if not self._ending:
            self._presence.note()

    # What legs bring

    def find(self, name: str) -> Participant | None:
        """A participant by id or, the first of it, by role."""
        return self._cast.find(name)

    def unconnected(self, role: str) -> Participant | None:
        """The first participant of a role who has no leg of their own."""
        waiting = (one for one in self._cast.everybody if one.role == role and not self._legs.carries(one.id))
        return next(waiting, None)

    def audio(self, leg: Leg, participant_id: str, pcm: bytes, sample_rate_hz: int, timestamp_ms: float | None) -> None:
        order = self._legs.order(leg)
        if self._ending or order is None:
            return
        now = self._clock.monotonic()
        self.last_activity = now
        if not self._time.begun:
            self._begin(len(pcm) / 2 * 1000 / sample_rate_hz)
        now_ms = now * 1000
        speaker = self._speakers[participant_id]
        placed = speaker.hear(leg.id, order, pcm, sample_rate_hz, timestamp_ms, self._time.at(now_ms))
        if placed is not None and not speaker.silenced:
            participant, going = self._cast[participant_id], self._cast.plan(participant_id)
            if self._tape is not None:
                self._tape.said(participant, placed.at_ms, pcm, sample_rate_hz)
            if going.original_to:
                self._audience.original(participant, going.original_to, pcm, sample_rate_hz, now_ms, ducks=False)
            if going.beneath:
                ducked = going.ducked
                self._audience.original(participant, going.beneath, pcm, sample_rate_hz, now_ms, ducks=ducked)
        if speaker.backlog_ms > HOLD_INPUT_MS:
            self._legs.hold(leg)

    def text(self, participant_id: str, text: str) -> None:
        if self._ending:
            return
        self._activity()
        self._speakers[participant_id].type(text)

    def speaks_in(self, participant_id: str, language: str) -> None:
        """A participant goes on in another language, and hears the others in it."""
        self._change(replace(self._cast[participant_id], language=language, detected=False))
        self._speakers[participant_id].speaks_in(language)
        self.emit(events.ParticipantUpdated(self._cast[participant_id]))

    def mute(self, participant_id: str, muted: bool) -> None:
        if self._speakers[participant_id].muted != muted:
            self._speakers[participant_id].muted = muted
            self._change(replace(self._cast[participant_id], muted=muted))

    def hold(self, participant_id: str, held: bool) -> None:
        """Holding twice is holding."""
        now_ms = self._clock.monotonic() * 1000
        speaker = self._speakers[participant_id]
        if held == speaker.held:
            return
        speaker.held = held
        self._note(self._audience.hold(participant_id, held, now_ms))
        if held:
            self._holding.hold(participant_id, now_ms)
        else:
            self._holding.release(participant_id)

    def send_digits(self, participant_id: str, digits: str) -> None:
        """As tones, to whoever is on the participant's legs. Raises ``ValueError`` for what is no digit."""
        tones, now_ms = dtmf(digits, TONES_HZ), self._clock.monotonic() * 1000
        for hearing in self._audience.everything_of(participant_id):
            hearing.original(self._cast[participant_id], tones, TONES_HZ, now_ms, ducks=False)

    def dtmf(self, leg: Leg, digits: str) -> None:
        self._activity()
        speaker = self._cast.get(leg.participant_id)
        self.emit(events.Dtmf(speaker, digits))

    def mark(self, leg: Leg, name: str) -> None:
        """Behind everything this leg is going to hear; on a leg with several listeners, behind the longest."""
        own = self._audience.on(leg)
        if own:
            max(own, key=lambda hearing: hearing.backlog_ms).mark(name)

    def clear(self, leg: Leg) -> None:
        self._note(self._audience.clear(leg, self._clock.monotonic() * 1000))

    # Time

    def tick(self) -> None:
        now = self._clock.monotonic()
        noted = self._audience.tick(now * 1000)
        if noted:
            self._note(noted)
            if any(isinstance(event, events.PlaybackCleared) for _, event in noted):
                self.warn("playout_behind", "Speech output is too far behind; the oldest translation was skipped.")
        if self._holding.anybody:
            self._holding.tick(now * 1000)
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look(now)

    def _look(self, now: float) -> None:
        """What need not be seen to within a tick: fifty times a second and session, looking costs more than seeing."""
        if self._playback.done(now):
            self._spawn(self._playback.keep(), "timings")
        if self._uses.due(now):
            self._spawn(self._uses.keep(), "uses")
        session_ms = self._time.at(now * 1000)
        for speaker in self._speakers.values():
            speaker.tick(session_ms)
        if self._legs.held and all(speaker.backlog_ms < RELEASE_INPUT_MS for speaker in self._speakers.values()):
            self._legs.release()

    # What the session says

    def emit(self, event: events.SessionEvent, *, but: Leg | None = None) -> None:
        for leg in self._legs:
            if leg is not but:
                leg.deliver(event)

    def warn(self, code: str, message: str) -> None:
        now = self._clock.monotonic()
        last = self._warned.get(message)
        if last is None or now - last >= WARN_AGAIN_SECONDS:
            self._warned[message] = now
            self.emit(events.Warned(code, message))

    # Inside

    def _activity(self) -> None:
        self.last_activity = self._clock.monotonic()
        if not self._time.begun:
            self._begin(0.0)

    def _begin(self, heard_ms: float) -> None:
        """The session began when its first chunk of audio did."""
        self._time.begin(min(heard_ms, FIRST_CHUNK_MS))
        started_at = self._clock.now()
        self.record = replace(self.record, status="active", started_at=started_at)
        self._start_task = self._spawn(self._started(started_at), "start")

    async def _start_stored(self) -> None:
        if self._start_task is not None:
            await asyncio.wait([self._start_task])

    async def _started(self, at: datetime) -> None:
        await persistently(
            lambda: self._journal.started(self.record.id, at),
            f"session {self.record.id}: its start could not be stored",
        )

    def _learn_language(self, participant_id: str, learned: Learned) -> None:
        participant = replace(self._cast[participant_id], language=learned.language, detected=True)
        self._change(participant)
        self.emit(events.LanguageDetected(participant, learned.before, learned.confidence))

    def _change(self, participant: Participant) -> None:
        self._cast.change(participant)
        self.record = replace(self.record, participants=tuple(self._cast.everybody))

    def _record_heard(self, listener_id: str, at_monotonic_ms: float, pcm: bytes, sample_rate_hz: int) -> None:
        if self._tape is not None and self._time.begun:
            at_ms = self._time.at(at_monotonic_ms)
            self._tape.heard(self._cast[listener_id], at_ms, pcm, sample_rate_hz)

    def _spoken(self, turn_id: str) -> None:
        self._playback.timings.spoken(turn_id)
        self._uses.spoken(turn_id)

    def _begun(self, speaker_id: str, turn_id: str, hearings: Sequence[Hearing], language: str) -> None:
        for listener in self._audience.begin(turn_id, hearings):
            self._playback.begun(speaker_id, turn_id, listener, language)

    def _note(self, noted: Sequence[Noted]) -> None:
        for hearing, event in noted:
            self._playback.note(hearing.listener.id, event)


async def _contained(work: Coroutine[Any, Any, None], session_id: str) -> None:
    """One failure in one piece of a session is not the session's end."""
    with logs.of_session(session_id):
        try:
            await work
        except Exception:
            log.exception("session %s: a task failed", session_id)
