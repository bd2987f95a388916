"""A session that is let go of and comes back, and what it must remember."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.session.calls import FRAME, TICK, Call
from tests.session.fakes import AGENT, CUSTOMER, FakeJournal, FakeLeg, a_session, settle

from kallglot.session import events
from kallglot.session.model import Participant
from kallglot.session.switchboard import StreamRefused


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    made = Call()
    yield made
    await made.board.close()


async def leave(call: Call, leg: FakeLeg) -> None:
    await call.board.disconnect(call.board._live["sess_1"], leg)  # pyright: ignore[reportPrivateUsage]
    await settle()
    assert not call.board._live  # pyright: ignore[reportPrivateUsage]


async def test_who_is_muted_is_muted_after_a_reconnect(call: Call) -> None:
    leg = FakeLeg("one")
    live = await call.connect(leg)
    live.mute(CUSTOMER.id, True)
    await leave(call, leg)
    again = FakeLeg("two")
    live = await call.connect(again)
    assert live.find(CUSTOMER.id) == Participant(CUSTOMER.id, "customer", "de", muted=True)
    live.mute(CUSTOMER.id, False)
    await settle()
    assert call.stored.participants[0] == CUSTOMER


async def test_a_language_that_was_heard_is_not_taken_for_one_that_was_named() -> None:
    call = Call(a_session(participants=(Participant("part_c", "customer"), AGENT)))
    leg = FakeLeg("one")
    live = await call.connect(leg)
    stream = await call.hear(live, leg)
    for n in range(3):
        stream.utter("wir haben eine Frage und noch eine", n * 1000, n * 1000 + 900)
        await settle()
    assert leg.of(events.LanguageDetected)
    await leave(call, leg)
    assert call.stored.participants[0].detected
    await call.board.close()


async def test_a_start_that_could_not_be_stored_is_stored_later(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = [OSError("away"), OSError("away")]
    real = FakeJournal.started

    async def started(self: FakeJournal, *given: object) -> None:
        if failing:
            raise failing.pop()
        await real(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(FakeJournal, "started", started)
    monkeypatch.setattr("kallglot.session.presence.RETRY_SECONDS", (0.0, 0.0, 0.0))
    leg = FakeLeg("one")
    live = await call.connect(leg)
    live.audio(leg, CUSTOMER.id, FRAME, 8000, None)
    await settle()
    assert call.stored.started_at is not None


async def test_a_new_life_writes_behind_what_was_said(call: Call) -> None:
    leg = FakeLeg("one")
    live = await call.connect(leg)
    stream = await call.hear(live, leg)
    # Faster than it was spoken: a minute in no time.
    for n in range(60):
        live.audio(leg, CUSTOMER.id, bytes(16000), 8000, n * 1000.0)
    stream.utter("eins", 58_000, 59_000)
    await settle()
    await leave(call, leg)
    again = FakeLeg("two")
    live = await call.connect(again)
    call.clock.advance(TICK)
    stream = await call.hear(live, again)
    stream.utter("zwei", 0, 20)
    await settle()
    assert call.journal.kept[-1].start_ms >= call.journal.kept[0].end_ms


async def test_who_is_refused_leaves_no_session_behind(call: Call) -> None:
    def refuse(_: object) -> FakeLeg:
        raise StreamRefused(1008, "unknown_speaker", "nobody")

    with pytest.raises(StreamRefused):
        await call.board.connect("sess_1", True, refuse)
    assert not call.board._live  # pyright: ignore[reportPrivateUsage]


async def test_ready_is_the_first_that_a_leg_is_told(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = FakeLeg("one", CUSTOMER.id), FakeLeg("two", AGENT.id)
    live = await call.connect(first)
    real = FakeJournal.connecting

    async def connecting(self: FakeJournal, session_id: str) -> None:
        live.text(CUSTOMER.id, "während der Speicher wartet")
        await settle()
        await real(self, session_id)

    monkeypatch.setattr(FakeJournal, "connecting", connecting)
    await call.connect(second)
    await settle()
    assert isinstance(second.events[0], events.Ready)
    assert len(second.events) > 1


async def test_a_journal_that_answers_late_keeps_nobody_waiting(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = asyncio.Event()
    real = FakeJournal.connecting

    async def connecting(self: FakeJournal, session_id: str) -> None:
        await answers.wait()
        await real(self, session_id)

    monkeypatch.setattr(FakeJournal, "connecting", connecting)
    leg = FakeLeg("one", CUSTOMER.id)
    live = await call.connect(leg)
    live.text(CUSTOMER.id, "schon da")
    await settle()
    assert leg.texts() == ["schon da"]
    assert call.stored.status != "connecting"
    answers.set()
    await settle()


async def test_that_somebody_is_connected_is_stored_once(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    for name in ("connecting", "waiting"):
        real = getattr(FakeJournal, name)

        async def noted(self: FakeJournal, *given: Any, name: str = name, real: Any = real) -> None:
            told.append(name)
            await real(self, *given)

        monkeypatch.setattr(FakeJournal, name, noted)
    first, second = FakeLeg("one", CUSTOMER.id), FakeLeg("two", AGENT.id)
    live = await call.connect(first)
    await settle()
    await call.connect(second)
    await settle()
    assert told == ["connecting"]
    live.detach(first)
    await settle()
    assert told == ["connecting"], "somebody is"
    live.detach(second)
    await settle()
    live.attach(first)
    await settle()
    assert told == ["connecting", "waiting", "connecting"]


async def test_who_has_come_back_is_not_ended_by_a_journal_that_does_not_know_it_yet(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    leg = FakeLeg("one", CUSTOMER.id)
    live = await call.connect(leg)
    await call.hear(live, leg)
    await call.board.disconnect(live, leg)
    await settle()
    answers = asyncio.Event()

    async def connecting(self: FakeJournal, session_id: str) -> None:
        await answers.wait()

    monkeypatch.setattr(FakeJournal, "connecting", connecting)
    await call.connect(FakeLeg("again", CUSTOMER.id))
    call.clock.advance(301)
    await call.board.reap()
    assert (call.board.live_sessions, call.stored.status) == (1, "active")
    answers.set()
    await settle()


async def test_a_participant_on_hold_hears_music_and_nobody_hears_them(call: Call) -> None:
    customer, agent = FakeLeg("one", CUSTOMER.id), FakeLeg("two", AGENT.id)
    await call.connect(customer)
    live = await call.connect(agent)
    live.hold(CUSTOMER.id, True)
    live.text(AGENT.id, "can you hear me")
    stream = await call.hear(live, customer)
    await call.play(live, 2.0)
    assert {speaker for _, speaker, _, _ in customer.audio} == {"agent"}
    assert {turn for _, _, turn, _ in customer.audio} == {None}
    assert 1.9 <= len(customer.audio) * 0.02 <= 2.4
    assert stream.pushed_ms == 20
    customer.audio.clear()
    live.hold(CUSTOMER.id, False)
    live.text(AGENT.id, "and now")
    await settle()
    await call.play(live, 2.0)
    assert {turn for _, _, turn, _ in customer.audio} == {call.journal.kept[-1].id}


@pytest.mark.parametrize("original_audio", ["duck", "pass", "mute"])
async def test_on_hold_nobodys_own_voice_is_heard(original_audio: str) -> None:
    call = Call(a_session(translation={"original_audio": original_audio}, participants=(CUSTOMER, AGENT)))
    customer, agent = FakeLeg("one", CUSTOMER.id), FakeLeg("two", AGENT.id)
    await call.connect(customer)
    live = await call.connect(agent)
    live.hold(CUSTOMER.id, True)
    loud = b"\x00\x40" * 160
    for _ in range(50):
        live.audio(agent, AGENT.id, loud, 8000, None)
        live.tick()
        call.clock.advance(TICK)
    assert customer.audio
    assert loud not in [payload for *_, payload in customer.audio]
    await call.board.close()


async def test_digits_are_heard_as_tones(call: Call) -> None:
    customer = FakeLeg("one", CUSTOMER.id)
    live = await call.connect(customer)
    live.send_digits(CUSTOMER.id, "12#")
    await call.play(live, 1.0)
    assert len(customer.audio) == 27
