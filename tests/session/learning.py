"""A scripted call whose customer speaks a language that nobody told, and what its recognisers were given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.session.calls import ScriptedCall
from tests.session.fakes import AGENT, FakeLeg, a_session

from kallglot.session.live import LiveSession
from kallglot.session.model import Participant, Session
from kallglot.session.ports import Engines
from kallglot.speech.types import (
    Detection,
    EngineError,
    Recognizer,
    RecognizerEvent,
    RecognizerOptions,
    RecognizerStream,
)

UNKNOWN = Participant("part_c", "customer")
GERMAN = ["guten Morgen ich habe eine Frage", "es geht um meine Rechnung", "die ist viel zu hoch"]
FRENCH = ["bonjour je voudrais une facture", "elle est trop haute pour moi"]
GARBLED = ["good an morgan each harbour fragger", "s gate oom minor wrecking", "d is feel too hawk"]


def undeclared(**changes: object) -> Session:
    return a_session(participants=(UNKNOWN, AGENT), source_language=None, **changes)


class Swayed:
    """Engines whose detector is told what to say of a text, and whose recognisers are looked over."""

    def __init__(self, engines: Engines, told: dict[str, str], look: Callable[[Recognizer], Recognizer]) -> None:
        self._engines = engines
        self._told = told
        self._look = look
        self.translator = engines.translator
        self.translation_chosen = engines.translation_chosen
        self.synthesizer = engines.synthesizer

    def recognizer(self, language: str | None) -> Recognizer | None:
        found = self._engines.recognizer(language)
        return None if found is None else self._look(found)

    def detector(self) -> Swayed:
        return self

    name = "swayed"

    def detect(self, text: str, among: object = None) -> Detection | None:
        language = self._told.get(text)
        return Detection(language, 1.0) if language else None


class Counted:
    """A recogniser that counts what its streams were given, and may take its time to open."""

    def __init__(self, inner: Recognizer) -> None:
        self.name = inner.name
        self.languages = inner.languages
        self._inner = inner
        self.opened: list[RecognizerOptions] = []
        self.pushed: list[bytes] = []
        self.gate: asyncio.Event | None = None
        self.refusals = 0

    async def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> RecognizerStream:
        if self.gate is not None:
            await self.gate.wait()
        if self.refusals:
            self.refusals -= 1
            raise EngineError("no room")
        stream = await self._inner.open(options, on_event)
        self.opened.append(options)
        push = stream.push

        def counted(pcm: bytes | memoryview) -> None:
            self.pushed.append(bytes(pcm))
            push(pcm)

        stream.push = counted  # type: ignore[method-assign]
        return stream

    @property
    def heard_ms(self) -> float:
        return sum(map(len, self.pushed)) / 16


class Learning(ScriptedCall):
    """English is what is tried first; the customer speaks German, or French, which nobody told."""

    def __init__(self, session: Session | None = None, told: dict[str, str] | None = None) -> None:
        super().__init__(session or undeclared(), {"en": GARBLED, "de": GERMAN, "fr": FRENCH}, languages=["es", "nl"])
        self.ears: dict[int, Counted] = {}
        self._told = dict.fromkeys(GARBLED, "de") | dict.fromkeys(GERMAN, "de") if told is None else told

    async def begin(self) -> tuple[LiveSession, FakeLeg, FakeLeg]:
        swayed = Swayed(self.engines, self._told, lambda inner: self.ears.setdefault(id(inner), Counted(inner)))
        await self.start(swayed)  # type: ignore[arg-type]
        self.en, self.de, self.fr = (self.ears.setdefault(id(inner), Counted(inner)) for inner in self.recognizers)
        customer, agent = FakeLeg("c", "part_c"), FakeLeg("a", "part_a")
        await self.connect(customer)
        return await self.connect(agent), customer, agent


async def begun(**changes: object) -> tuple[Learning, LiveSession, FakeLeg, FakeLeg]:
    call = Learning(**changes)  # type: ignore[arg-type]
    return call, *await call.begin()
