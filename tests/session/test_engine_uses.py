"""Which engines a session uses, what is known of that afterwards, and one that is lost in the middle."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.session.calls import Call
from tests.session.fakes import AGENT, CUSTOMER, FakeLeg, FakeRecognizer, a_session, settle
from tests.waiting import until

from kallglot.session.live import LiveSession
from kallglot.session.switchboard import Limits, Switchboard
from kallglot.speech.counted import CountedEngines
from kallglot.speech.failover.chosen import Failover
from kallglot.speech.orders import wanted
from kallglot.speech.types import EngineError, Failed, Final, Partial, SpeechStarted
from kallglot.speech.used import EngineUse


class Ears(FakeRecognizer):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class Source:
    """Two recognisers and one engine of each other kind; what is wanted of them."""

    def __init__(self, call: Call) -> None:
        self.first, self.second = Ears("first"), Ears("second")
        self.asked: list[Any] = []
        self._call = call

    def recognizers(self, language: str | None, orders: Any = None) -> Any:
        self.asked.append(orders)
        return [self.first, self.second]

    def translators(self, source: str, target: str, orders: Any = None) -> Any:
        return [self._call.engines.translating]

    def translation_chosen(self, source: str, target: str, orders: Any = None) -> bool:
        return wanted(orders, "translation", source, target) is not None

    def synthesizers(self, language: str, orders: Any = None) -> Any:
        return [self._call.engines.speaking]

    def detector(self) -> Any:
        return None

    def spoken_detector(self, orders: Any = None) -> Any:
        return None

    def recognised(self, orders: Any = None) -> Any:
        return ["de"]


async def begun(**fields: Any) -> tuple[Call, Source, LiveSession, FakeLeg, FakeLeg]:
    call = Call(a_session(**fields))
    call.engines.translating.name = "translator"
    call.engines.speaking.name = "voice"
    source = Source(call)
    failover = Failover(CountedEngines(source), call.clock.monotonic)
    call.board = Switchboard(
        call.journal,
        failover.chosen(None),
        call.clock,
        Limits(),
        choose=lambda session: failover.chosen(session.engines),
    )
    live, (customer, agent) = await call.joined(CUSTOMER, AGENT)
    return call, source, live, customer, agent


async def hear(call: Call, live: LiveSession, leg: FakeLeg, frames: int = 50) -> None:
    for _ in range(frames):
        live.audio(leg, CUSTOMER.id, b"\x00\x10" * 160, 8000, None)
        call.clock.advance(0.02)
    await settle()


async def test_a_turn_says_who_made_it_and_what_was_asked_of_them() -> None:
    call, source, live, customer, _ = await begun()
    await hear(call, live, customer)
    source.first.streams[0].utter("guten Tag", 0, 900)
    await settle()
    (turn,) = call.journal.kept
    heard = EngineUse("recognition", "first", "de", audio_ms=1000)
    assert turn.engines == (heard, EngineUse("translation", "translator", "en", characters=9))
    await call.play(live, 3)
    (turn,) = call.journal.kept
    assert turn.engines[2] == EngineUse("synthesis", "voice", "en", audio_ms=80, characters=len("guten Tag in en"))
    await call.board.close()


async def test_what_is_being_spoken_when_a_session_ends_counts() -> None:
    call, source, live, customer, _ = await begun()
    call.engines.speaking.gate = asyncio.Event()
    await hear(call, live, customer)
    source.first.streams[0].utter("guten Tag", 0, 900)
    await settle()
    await call.board.end(call.stored, "completed")
    (turn,) = call.journal.kept
    assert turn.engines[2] == EngineUse("synthesis", "voice", "en", characters=len("guten Tag in en"))
    await call.board.close()


async def test_a_recogniser_that_is_lost_in_mid_utterance_costs_no_word() -> None:
    call, source, live, customer, agent = await begun()
    await hear(call, live, customer)
    source.first.streams[0].on_event(SpeechStarted(0))
    source.first.streams[0].on_event(Partial("guten", "", 0))
    source.first.streams[0].on_event(Failed("gone"))
    await hear(call, live, customer)
    again = source.second.streams[0]
    assert again.pushed_ms == 2000
    again.utter("guten Tag", 30, 1900)
    await settle()
    assert agent.texts() == ["guten Tag"]
    assert agent.warnings() == ["recognition_restarted"]
    (turn,) = call.journal.kept
    assert (turn.start_ms, turn.end_ms) == (0, 1900)
    assert [(use.engine, use.audio_ms) for use in turn.engines if use.kind == "recognition"] == [
        ("first", 1000),
        ("second", 2000),
    ]
    await call.board.close()


async def test_a_session_is_served_by_the_engines_it_chose() -> None:
    chosen = {"recognition": {"de": ["second"]}}
    call, source, live, customer, _ = await begun(engines=chosen)
    await hear(call, live, customer, 1)
    assert source.asked == [chosen]
    await call.board.close()


async def test_a_translation_that_the_recogniser_brought_along_is_taken() -> None:
    call, source, live, customer, agent = await begun()
    await hear(call, live, customer)
    stream = source.first.streams[0]
    assert stream.options.translate_to == "en"
    stream.on_event(Final("guten Tag", 0, 900, translation="good day"))
    await settle()
    assert call.engines.translating.asked == []
    assert call.journal.kept[0].translations[0].text == "good day"
    assert [use.kind for use in call.journal.kept[0].engines] == ["recognition"]
    # One that it did not bring is asked for.
    stream.on_event(Final("und jetzt", 900, 1000))
    await settle()
    assert call.engines.translating.asked == [("und jetzt", "de", "en")]
    assert agent.texts() == ["guten Tag", "und jetzt"]
    await call.board.close()


@pytest.mark.parametrize(
    ("said", "brought", "told"),
    [
        ("es kostet 4200 Euro", "it costs 200 euros", "es kostet 4200 Euro in en"),
        ("ich heiße Marta Keller", "my name is Martha Cellar", "ich heiße Marta Keller in en"),
        ("guten Tag", "...", "guten Tag in en"),
        ("guten Tag", "I'm sorry, but I can't help with that", "guten Tag in en"),
        ("ja", "yes " * 80, "ja in en"),
    ],
)
async def test_a_translation_that_cannot_be_right_is_made_anew(said: str, brought: str, told: str) -> None:
    call, source, live, customer, _ = await begun()
    await hear(call, live, customer)
    source.first.streams[0].on_event(Final(said, 0, 900, translation=brought))
    await settle()
    (turn,) = call.journal.kept
    assert turn.translations[0].text == told
    assert [use.kind for use in turn.engines] == ["recognition", "translation"]
    await call.board.close()


@pytest.mark.parametrize(
    ("brought", "told"),
    [("it costs 200 euros", "it costs 200 euros (4200)"), ("...", None)],
)
async def test_what_nobody_can_make_anew_is_told_with_what_it_lost(brought: str, told: str | None) -> None:
    call, source, live, customer, agent = await begun()
    call.engines.translating.broken = True
    await hear(call, live, customer)
    source.first.streams[0].on_event(Final("es kostet 4200 Euro", 0, 900, translation=brought))
    await settle()
    (turn,) = call.journal.kept
    assert [one.text for one in turn.translations] == ([told] if told else [])
    assert agent.warnings() == ([] if told else ["translation_failed"])
    await call.board.close()


async def test_whoever_chose_a_translator_or_agreed_on_terms_gets_that() -> None:
    for fields in (
        {"engines": {"translation": {"de>en": ["translator"]}}},
        {"translation": {"glossary": [{"source": "Rechnung", "target": "invoice"}]}},
    ):
        call, source, live, customer, _ = await begun(**fields)
        await hear(call, live, customer, 1)
        assert source.first.streams[0].options.translate_to is None
        await call.board.close()


async def test_what_cannot_be_stored_is_stored_later() -> None:
    call, source, live, customer, _ = await begun()
    stored = call.journal.add_uses
    failures = [EngineError("the disk is full")]

    async def failing(uses: Any) -> None:
        if failures:
            raise failures.pop()
        await stored(uses)

    call.journal.add_uses = failing  # type: ignore[method-assign]
    await hear(call, live, customer)
    source.first.streams[0].utter("guten Tag", 0, 900)
    await settle()
    await call.play(live, 0.4)
    assert failures == []
    assert len(call.journal.kept[0].engines) == 2
    await call.play(live, 1.2)
    assert len(call.journal.kept[0].engines) == 3
    await call.board.close()


async def test_audio_of_which_no_turn_comes_counts_when_the_session_ends() -> None:
    call, source, live, customer, _ = await begun()
    await hear(call, live, customer)
    source.first.streams[0].utter("guten Tag", 0, 900)
    await hear(call, live, customer)
    source.first.streams[0].on_event(Failed("gone"))
    await settle()
    await hear(call, live, customer)
    await call.board.end(call.stored, "completed")
    (turn,) = call.journal.kept
    assert [use.audio_ms for use in turn.engines if use.kind == "recognition"] == [1000]
    # From the last final on, the second heard it again.
    assert call.journal.besides == (
        EngineUse("recognition", "first", "de", audio_ms=1000),
        EngineUse("recognition", "second", "de", audio_ms=2100),
    )
    await call.board.close()


async def test_it_counts_once_where_the_legs_had_left_before() -> None:
    call, _, live, customer, agent = await begun()
    await hear(call, live, customer)
    for leg in (customer, agent):
        await call.board.disconnect(live, leg)
    await until(lambda: call.board.live_sessions == 0)
    live, (customer,) = await call.joined(CUSTOMER)
    await hear(call, live, customer, 25)
    await call.board.end(call.stored, "completed")
    assert sum(use.audio_ms for use in call.journal.besides) == 1500
    await call.board.end(call.stored, "completed")
    assert call.board._besides == {}
    await call.board.close()
