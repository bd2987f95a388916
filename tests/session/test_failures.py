"""What breaks costs what it was doing, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.session.calls import FRAME, Call
from tests.session.fakes import AGENT, CUSTOMER, FakeLeg, FakeStream, settle
from tests.waiting import until

from kallglot.session import events
from kallglot.session.live import HOLD_INPUT_MS, LiveSession
from kallglot.speech.types import Restarted


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    made = Call()
    yield made
    await made.board.close()


def hurried(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Its pauses take no time."""
    real = asyncio.sleep
    monkeypatch.setattr(f"kallglot.session.{module}.asyncio.sleep", lambda _: real(0))


# Translating


async def test_a_translator_that_hangs_costs_the_translation_and_holds_up_nobody_for_long(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kallglot.session.interpreter.TRANSLATION_TIMEOUT_S", 0.01)
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    call.engines.translating.gate = asyncio.Event()
    live.text(CUSTOMER.id, "eins")
    await asyncio.sleep(0.02)
    call.engines.translating.gate.set()
    live.text(CUSTOMER.id, "zwei")
    await settle()
    assert leg.texts() == ["eins", "zwei"]
    assert leg.warnings() == ["translation_failed"]
    assert [bool(turn.translations) for turn in call.journal.kept] == [False, True]


async def test_a_translator_with_a_bug_costs_the_translation_and_no_word(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def buggy(*_: object) -> str:
        raise KeyError("grammar")

    monkeypatch.setattr(call.engines.translating, "translate", buggy)
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    live.text(CUSTOMER.id, "eins")
    await settle()
    assert leg.texts() == ["eins"]
    assert leg.warnings() == ["translation_failed"]


async def test_a_translator_that_cannot_be_made_ready_is_used_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def cold(*_: object) -> None:
        raise RuntimeError("cold")

    call = Call()
    monkeypatch.setattr(call.engines.translating, "warm", cold)
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    live.text(CUSTOMER.id, "eins")
    await settle()
    assert leg.texts() == ["eins"]
    await call.board.close()


# Speaking


async def test_a_synthesiser_that_breaks_in_mid_turn_is_heard_so_far_and_gives_the_floor_back(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    call.engines.speaking.breaks_at = 5
    live.text(CUSTOMER.id, "eins zwei drei vier fünf sechs")
    await settle()
    call.engines.speaking.breaks_at = None
    live.text(CUSTOMER.id, "sieben")
    await settle()
    await call.play(live)
    first, second = (turn.id for turn in call.journal.kept)
    assert [turn for *_, turn, _ in leg.audio] in ([first] * n + [second] * m for n in (5, 6) for m in (3, 4))
    assert leg.warnings() == ["synthesis_failed"]
    assert [event.taken for event in leg.of(events.FloorChanged)][-1] is False  # type: ignore[attr-defined]
    assert len(leg.of(events.PlaybackFinished)) == 2
    assert len(call.journal.timings) == 2


async def test_a_synthesiser_that_hangs_in_mid_turn_lets_the_next_be_heard(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kallglot.session.interpreter.SYNTHESIS_TIMEOUT_S", 0.01)
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    call.engines.speaking.gate = asyncio.Event()
    live.text(CUSTOMER.id, "eins")
    await until(leg.warnings)
    monkeypatch.setattr("kallglot.session.interpreter.SYNTHESIS_TIMEOUT_S", 30)
    call.engines.speaking.gate.set()
    live.text(CUSTOMER.id, "zwei")
    await settle()
    await call.play(live)
    assert {turn for *_, turn, _ in leg.audio} == {call.journal.kept[1].id}
    assert leg.warnings() == ["synthesis_failed"]


# Storing


async def test_a_store_that_is_away_for_long_delays_turns_and_loses_none(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    await call.hear(live, leg)
    hurried(monkeypatch, "scribe")
    call.journal.failures = 50
    for n in range(5):
        live.text(CUSTOMER.id, f"Satz {n}")
        live.text(AGENT.id, f"sentence {n}")
    for _ in range(10):
        await settle()
    assert [turn.sequence for turn in call.journal.kept] == list(range(1, 11))
    assert [text for text in leg.texts() if text.startswith("Satz")] == [f"Satz {n}" for n in range(5)]
    assert set(leg.warnings()) == {"transcript_delayed"}


async def test_a_leg_is_let_in_and_out_while_the_store_is_away(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    hurried(monkeypatch, "scribe")
    leg, again = FakeLeg("leg", CUSTOMER.id), FakeLeg("again", AGENT.id)
    live = await call.connect(leg)
    store, away = call.journal.connecting, 3

    async def connecting(session_id: str) -> None:
        nonlocal away
        away -= 1
        if away >= 0:
            raise OSError("away")
        await store(session_id)

    monkeypatch.setattr(call.journal, "connecting", connecting)
    await call.connect(again)
    live.text(CUSTOMER.id, "eins")
    await settle()
    await call.play(live)
    assert again.texts() == ["eins"]
    assert again.audio
    assert away < 0


async def test_timings_that_could_not_be_stored_are_stored_later(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    store, away = call.journal.add_timings, True

    async def add_timings(times: object) -> None:
        if away:
            raise OSError("away")
        await store(times)  # type: ignore[arg-type]

    monkeypatch.setattr(call.journal, "add_timings", add_timings)
    live.text(CUSTOMER.id, "eins")
    await settle()
    await call.play(live, 3)
    away = False
    await call.play(live, 3)
    assert len(call.journal.timings) == len(call.observed) == 1


# Hearing


async def test_a_recogniser_with_a_bug_when_it_is_opened_is_tried_again(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurried(monkeypatch, "ear")
    opened, failures = call.engines.hearing.open, 2

    async def buggy(*args: object) -> object:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise ValueError("a bug")
        return await opened(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(call.engines.hearing, "open", buggy)
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    stream = await call.hear(live, leg, frames=5)
    assert stream.pushed_ms == 100


async def test_a_recogniser_that_never_opens_holds_no_leg_and_is_closed_with_the_session(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurried(monkeypatch, "ear")
    call.engines.hearing.refusals = 10**6
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    for _ in range(6000):
        if not leg.held or not leg.held[-1]:
            live.audio(leg, CUSTOMER.id, bytes(320), 8000, None)
        call.clock.advance(0.02)
        await asyncio.sleep(0)
        live.tick()
    assert leg.held[:2] in ([], [True, False])
    assert "recognition_restarted" in leg.warnings()
    await call.board.end(call.stored, "completed")


async def test_no_samples_are_nothing(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    for _ in range(3):
        live.audio(leg, CUSTOMER.id, b"", 8000, None)
        live.audio(leg, AGENT.id, b"", 48000, 0)
    live.tick()
    await settle()
    assert leg.audio == []
    stream: FakeStream = await call.hear(live, leg)
    assert stream.pushed_ms == 20


async def test_a_leg_that_was_closed_is_given_no_audio_after_it_left(call: Call) -> None:
    leg, agent = FakeLeg("c", CUSTOMER.id), FakeLeg("a", AGENT.id)
    live: LiveSession = await call.connect(leg)
    await call.connect(agent)
    live.text(CUSTOMER.id, "eins zwei drei vier")
    await settle()
    agent.close(1000, "gone")
    await call.play(live, 0.04)
    await call.board.disconnect(live, agent)
    sent = len(agent.audio)
    await call.play(live, 1)
    assert len(agent.audio) == sent
    live.audio(agent, AGENT.id, bytes(320), 8000, None)
    live.clear(agent)
    live.mark(agent, "gone")
    await settle()


async def test_one_leg_that_raises_is_not_the_others_end(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    leg, agent, other = FakeLeg("c", CUSTOMER.id), FakeLeg("a", AGENT.id), FakeLeg("b", AGENT.id)
    for one in (leg, agent, other):
        live = await call.connect(one)

    def broken(*_: object) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(agent, "deliver_audio", broken)
    live.text(CUSTOMER.id, "eins zwei drei vier")
    await settle()
    await call.play(live, 1)
    assert len(other.audio) == 6


async def test_a_broken_translator_costs_the_translation_and_nothing_else(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    stream = await call.hear(live, leg)
    call.engines.translating.broken = True
    stream.utter("eins")
    await settle()
    call.engines.translating.broken = False
    stream.utter("zwei", 2000, 3000)
    await settle()
    assert leg.texts() == ["eins", "zwei"]
    assert "translation_failed" in leg.warnings()
    assert [bool(turn.translations) for turn in call.journal.kept] == [False, True]


async def test_a_store_that_is_away_delays_turns_and_loses_none(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kallglot.session.scribe.RETRY_SECONDS", (0.0, 0.0, 0.0))
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    stream = await call.hear(live, leg)
    call.journal.failures = 2
    stream.utter("eins")
    stream.utter("zwei", 2000, 3000)
    await settle()
    assert leg.texts() == ["eins", "zwei"]
    assert [turn.sequence for turn in call.journal.kept] == [1, 2]
    assert "transcript_delayed" in leg.warnings()


async def test_a_recogniser_that_will_not_open_is_tried_again_with_the_audio_kept(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = __import__("asyncio").sleep
    monkeypatch.setattr("kallglot.session.ear.asyncio.sleep", lambda _: real(0))
    call.engines.hearing.refusals = 2
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    stream = await call.hear(live, leg, frames=5)
    assert stream.pushed_ms == 100
    assert "recognition_delayed" in leg.warnings()


async def test_speech_nobody_here_can_recognise_is_said_once_and_typing_works() -> None:
    call = Call()
    call.engines.deaf_to = {"de"}
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    for _ in range(10):
        live.audio(leg, CUSTOMER.id, FRAME, 8000, None)
    live.text(CUSTOMER.id, "guten Tag")
    await settle()
    assert leg.warnings().count("recognition_unavailable") == 1
    assert leg.texts() == ["guten Tag"]
    await call.board.close()


async def test_an_engine_far_behind_stops_the_socket_being_read_until_it_caught_up(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    stream = await call.hear(live, leg)
    stream.backlog_ms = HOLD_INPUT_MS + 1
    await call.hear(live, leg)
    assert leg.held == [True]
    stream.backlog_ms = 100
    live.tick()
    assert leg.held == [True, False]


async def test_a_peer_that_does_not_read_gets_its_audio_when_it_does(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    leg.writable = False
    live.text(CUSTOMER.id, "guten Tag")
    await settle()
    await call.play(live, 1)
    assert leg.audio == []
    leg.writable = True
    await call.play(live, 1)
    assert len(leg.audio) == 4


async def test_an_engine_that_died_is_mentioned_and_forgotten(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    stream = await call.hear(live, leg)
    stream.on_event(Restarted(0))
    stream.utter("weiter")
    await settle()
    assert leg.warnings() == ["recognition_restarted"]
    assert leg.texts() == ["weiter"]
