"""Whole calls: a switchboard with played or scripted engines, and a clock that only the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from tests.session.fakes import CUSTOMER, FakeEngines, FakeJournal, FakeLeg, FakeStream, a_session, settle

from kallglot.clock import FakeClock
from kallglot.session import events
from kallglot.session.leg import Leg
from kallglot.session.live import LiveSession
from kallglot.session.model import Participant, Session
from kallglot.session.ports import Engines
from kallglot.session.switchboard import Limits, Switchboard
from kallglot.session.timings import TurnTimes
from kallglot.speech.engines.scripted import (
    Script,
    ScriptedDetector,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    ScriptedTranslator,
    Synthesis,
)
from kallglot.speech.registry import EngineRegistry

FRAME = b"\x00\x10" * 160
TICK = 0.02


class Call:
    """With engines played by hand."""

    def __init__(self, session: Session | None = None, limits: Limits | None = None) -> None:
        self.clock = FakeClock()
        self.engines = FakeEngines()
        self.journal = FakeJournal(session or a_session())
        self.observed: list[TurnTimes] = []
        self.board = Switchboard(
            self.journal, self.engines, self.clock, limits or Limits(), observe=self.observed.append
        )

    async def connect(self, leg: Leg) -> LiveSession:
        return await self.board.connect("sess_1", True, lambda _: leg)

    async def joined(self, *participants: Participant) -> tuple[LiveSession, list[FakeLeg]]:
        """A leg for each of them."""
        legs = [FakeLeg(f"leg-{participant.id}", participant.id) for participant in participants]
        return [await self.connect(leg) for leg in legs][-1], legs

    async def hear(self, live: LiveSession, leg: Leg, who: Participant = CUSTOMER, frames: int = 1) -> FakeStream:
        for _ in range(frames):
            live.audio(leg, who.id, FRAME, 8000, None)
            self.clock.advance(TICK)
        await settle()
        return self.engines.hearing.streams[-1]

    async def play(self, live: LiveSession, seconds: float = 3.0) -> None:
        for _ in range(round(seconds / TICK)):
            live.tick()
            self.clock.advance(TICK)
        await settle()

    @property
    def stored(self) -> Session:
        return self.journal.sessions["sess_1"]


class ScriptedCall:
    """With engines that do what they are told by a script: one recogniser for each language, in that order."""

    def __init__(
        self,
        session: Session,
        lines: Mapping[str, Sequence[str]],
        *,
        languages: Iterable[str] = (),
        ms_per_character: int = 30,
    ) -> None:
        self.clock = FakeClock()
        self.journal = FakeJournal(session)
        self.observed: list[TurnTimes] = []
        known = list(dict.fromkeys([*lines, *languages]))
        everything = {language: list(said) for language, said in lines.items()}
        self.script = Script(known, recognition=everything, synthesis=Synthesis(ms_per_character))
        self.recognizers = [
            ScriptedRecognizer(Script(known, recognition={language: said})) for language, said in everything.items()
        ]
        self.engines = EngineRegistry(
            recognizers=self.recognizers,
            translators=[ScriptedTranslator(self.script)],
            synthesizers=[ScriptedSynthesizer(self.script)],
            detectors=[ScriptedDetector(self.script)],
        )

    async def start(self, engines: Engines | None = None) -> None:
        await self.engines.start()
        self.board = Switchboard(
            self.journal, engines or self.engines, self.clock, Limits(), observe=self.observed.append
        )

    async def connect(self, leg: Leg) -> LiveSession:
        return await self.board.connect("sess_1", True, lambda _: leg)

    async def step(self, live: LiveSession, turns: int = 4) -> None:
        """20 ms."""
        live.tick()
        self.clock.advance(TICK)
        for _ in range(turns):
            await asyncio.sleep(0)

    async def say(self, live: LiveSession, leg: FakeLeg, ms: int, *, chunk_ms: int = 20, pause_ms: int = 400) -> None:
        """So much speech and a pause behind it."""
        assert leg.participant_id is not None
        for at in range(0, ms + pause_ms, chunk_ms):
            loud = max(0, min(chunk_ms, ms - at))
            pcm = b"\x00\x10" * (8 * loud) + bytes(16 * (chunk_ms - loud))
            for _ in range(chunk_ms // 20):
                await self.step(live, 8)
            live.audio(leg, leg.participant_id, pcm, 8000, None)
        await settle()

    async def quiet(self, live: LiveSession, seconds: float) -> None:
        for _ in range(round(seconds / TICK)):
            await self.step(live)
        await settle()


def turns_of(leg: FakeLeg) -> list[str]:
    """Turns in the order in which they were heard, each once."""
    return list(dict.fromkeys(turn for *_, turn, _ in leg.audio if turn))


def told(leg: FakeLeg) -> list[tuple[str, ...]]:
    """What was told of playback and the floor."""
    lines: list[tuple[str, ...]] = []
    for event in leg.events:
        match event:
            case events.PlaybackStarted():
                lines.append(("started", event.turn_id, event.listener))
            case events.PlaybackFinished():
                lines.append(("finished", event.turn_id, event.listener))
            case events.PlaybackCleared():
                lines.append(("cleared", event.turn_id, event.listener))
            case events.PlaybackMark():
                lines.append(("mark", event.name))
            case events.FloorChanged():
                lines.append(("held" if event.taken else "released", event.speaker.id))
            case _:
                pass
    return lines
