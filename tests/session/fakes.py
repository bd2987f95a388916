"""Engines, a journal and a leg that a test plays by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from kallglot.clock import FakeClock
from kallglot.session import events
from kallglot.session.leg import OutputFormat
from kallglot.session.model import EndReason, Participant, Session, Turn, Usage
from kallglot.session.timings import TurnTimes
from kallglot.speech.types import (
    Detection,
    EngineError,
    Final,
    Hints,
    LanguageDetector,
    Partial,
    Recognizer,
    RecognizerEvent,
    RecognizerOptions,
    RecognizerStream,
    SpeechStarted,
    SpeechStopped,
    Synthesizer,
    Translator,
    Voice,
)
from kallglot.speech.used import EngineUse

CLOCK_START = FakeClock().now()
CUSTOMER = Participant("part_c", "customer", "de")
AGENT = Participant("part_a", "agent", "en")


def a_session(**changes: object) -> Session:
    base = Session(
        id="sess_1",
        organization_id="org_1",
        livemode=True,
        status="created",
        mode="bidirectional_translation",
        participants=(CUSTOMER, AGENT),
        created_at=CLOCK_START,
        source_language="de",
        target_language="en",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


async def settle() -> None:
    """Lets everything that can run without time passing run."""
    for _ in range(60):
        await asyncio.sleep(0)


@dataclass
class FakeStream:
    options: RecognizerOptions
    on_event: Callable[[RecognizerEvent], None]
    pushed_ms: float = 0.0
    skipped: list[int] = field(default_factory=list)
    finishes: int = 0
    closed: bool = False
    backlog_ms: int = 0
    dropped_ms: int = 0
    on_finish: Callable[[], None] = lambda: None

    def push(self, pcm: bytes | memoryview) -> None:
        self.pushed_ms += len(pcm) / 2 * 1000 / self.options.sample_rate_hz

    def skip(self, ms: int) -> None:
        self.skipped.append(ms)

    def finish(self) -> None:
        self.finishes += 1
        self.on_finish()

    async def drain(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True

    def utter(self, text: str, start_ms: int = 0, end_ms: int = 1000) -> None:
        self.on_event(SpeechStarted(start_ms))
        self.on_event(Partial(text.split()[0], "", start_ms))
        self.on_event(SpeechStopped(end_ms))
        self.on_event(Final(text, start_ms, end_ms, 0.9))


class FakeRecognizer:
    name = "fake"

    def __init__(self) -> None:
        self.languages: tuple[str, ...] = ("de", "en")
        self.streams: list[FakeStream] = []
        self.refusals = 0

    async def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> RecognizerStream:
        if self.refusals:
            self.refusals -= 1
            raise EngineError("no room")
        self.streams.append(FakeStream(options, on_event))
        return self.streams[-1]


class FakeTranslator:
    name = "fake"

    def __init__(self) -> None:
        self.broken = False
        self.asked: list[tuple[str, str, str]] = []
        self.hints: list[Hints] = []
        self.gate: asyncio.Event | None = None

    async def warm(self, source: str, target: str) -> None:
        self.warmed = (source, target)

    async def translate(self, text: str, source: str, target: str, hints: Hints = Hints()) -> str:
        self.asked.append((text, source, target))
        self.hints.append(hints)
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise EngineError("broken")
        return f"{text} in {target}"


class FakeSynthesizer:
    """20 ms of 8 kHz audio for each word; the value of the samples is the length of the text."""

    name = "fake"
    sample_rate_hz = 8000

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.breaks_at: int | None = None
        """Words after which it fails, with anything but the error that engines are to raise."""
        self.gate: asyncio.Event | None = None

    async def synthesize(self, text: str, language: str, voice: Voice) -> AsyncIterator[bytes]:
        self.asked.append((text, language))
        if self.gate is not None:
            await self.gate.wait()
        for n, _ in enumerate(text.split()):
            if n == self.breaks_at:
                raise RuntimeError("out of words")
            yield len(text).to_bytes(2, "little") * 160


class FakeDetector:
    name = "fake"

    def detect(self, text: str, among: Sequence[str] | None = None) -> Detection | None:
        return Detection("de", 0.9) if "und" in text else None


class FakeEngines:
    def __init__(self) -> None:
        self.hearing = FakeRecognizer()
        self.translating = FakeTranslator()
        self.speaking = FakeSynthesizer()
        self.deaf_to: set[str | None] = set()

    def recognizer(self, language: str | None) -> Recognizer | None:
        return None if language in self.deaf_to else self.hearing

    def translator(self, source: str, target: str) -> Translator | None:
        return self.translating

    def translation_chosen(self, source: str, target: str) -> bool:
        return False

    def synthesizer(self, language: str) -> Synthesizer | None:
        return self.speaking

    def detector(self) -> LanguageDetector | None:
        return FakeDetector()


class FakeJournal:
    def __init__(self, *sessions: Session) -> None:
        self.sessions = {session.id: session for session in sessions}
        self.kept: list[Turn] = []
        self.timings: list[TurnTimes] = []
        self.failures = 0
        self.gate: asyncio.Event | None = None

    def _change(self, session_id: str, **changes: object) -> None:
        self.sessions[session_id] = replace(self.sessions[session_id], **changes)  # type: ignore[arg-type]

    async def load(self, session_id: str) -> Session | None:
        return self.sessions.get(session_id)

    async def turns(self, session_id: str) -> list[Turn]:
        return [turn for turn in self.kept if turn.session_id == session_id]

    async def add_turn(self, turn: Turn) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise OSError("disk full")
        self.kept.append(turn)

    async def add_uses(self, uses: Mapping[str, tuple[EngineUse, ...]]) -> None:
        self.kept = [replace(turn, engines=uses.get(turn.id, turn.engines)) for turn in self.kept]

    async def add_timings(self, times: Sequence[TurnTimes]) -> None:
        self.timings.extend(times)

    async def connecting(self, session_id: str) -> None:
        status = self.sessions[session_id].status
        self._change(session_id, status="connecting" if status == "created" else status, deadline_at=None)

    async def started(self, session_id: str, at: datetime) -> None:
        self._change(session_id, status="active", started_at=self.sessions[session_id].started_at or at)

    async def waiting(self, session_id: str, deadline: datetime) -> None:
        self._change(session_id, deadline_at=deadline)

    async def participants(self, session_id: str, participants: Sequence[Participant]) -> None:
        self._change(session_id, participants=tuple(participants))

    async def ending(self, session_id: str) -> None:
        self._change(session_id, status="ending")

    async def ended(
        self, session_id: str, at: datetime, reason: EndReason, usage: Usage, besides: Sequence[EngineUse] = ()
    ) -> Session | None:
        self.besides = tuple(besides)
        self._change(session_id, status="ended", ended_at=at, end_reason=reason, usage=usage, deadline_at=None)
        return self.sessions[session_id]

    async def overdue(self, now: datetime, limit: int = 100) -> list[Session]:
        return [
            session
            for session in self.sessions.values()
            if session.status != "ended" and session.deadline_at is not None and session.deadline_at <= now
        ][:limit]

    async def orphaned(self, deadline: datetime) -> int:
        found = [
            session
            for session in self.sessions.values()
            if session.status not in ("created", "ended") and session.deadline_at is None
        ]
        for session in found:
            self._change(session.id, deadline_at=deadline)
        return len(found)


class FakeLeg:
    def __init__(self, name: str, participant_id: str | None = None, output: OutputFormat | None = None) -> None:
        self.id = name
        self.participant_id = participant_id
        self.output = output or OutputFormat("pcm_s16le", 8000)
        self.writable = True
        self.late_ms = 0.0
        self.events: list[events.SessionEvent] = []
        self.audio: list[tuple[str, str, str | None, bytes]] = []
        self.held: list[bool] = []
        self.closed: tuple[int, str] | None = None

    def deliver(self, event: events.SessionEvent) -> None:
        self.events.append(event)

    def deliver_audio(
        self, listener: Participant, speaker: str, turn_id: str | None, payload: bytes, now_ms: float
    ) -> None:
        self.audio.append((listener.role, speaker, turn_id, payload))

    def hold_input(self, held: bool) -> None:
        self.held.append(held)

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def of(self, kind: type) -> list[events.SessionEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    def texts(self) -> list[str]:
        return [event.turn.text for event in self.events if isinstance(event, events.TranscriptFinal)]

    def warnings(self) -> list[str]:
        return [event.code for event in self.events if isinstance(event, events.Warned)]
