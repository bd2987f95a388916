"""A session's whole life, with engines played by hand and a clock that only the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.session.calls import FRAME, Call
from tests.session.fakes import AGENT, CUSTOMER, FakeLeg, a_session, settle

from kallglot.clock import FakeClock
from kallglot.session import events
from kallglot.session.ear import STALL_MS
from kallglot.session.model import Participant
from kallglot.session.switchboard import Limits, StreamRefused, Switchboard


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    made = Call()
    yield made
    await made.board.close()


async def test_a_word_travels_from_speaker_to_listener(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    stream = await call.hear(live, leg)
    stream.utter("guten Tag", 0, 900)
    await settle()
    await call.play(live)
    final = leg.of(events.TranscriptFinal)[0]
    assert isinstance(final, events.TranscriptFinal)
    assert (final.turn.text, final.turn.language, final.turn.sequence) == ("guten Tag", "de", 1)
    assert final.translation is not None
    assert (final.translation.language, final.translation.text) == ("en", "guten Tag in en")
    assert {(listener, speaker, turn) for listener, speaker, turn, _ in leg.audio} == {
        ("agent", "customer", final.turn.id)
    }
    kinds = [type(event).__name__ for event in leg.events]
    assert kinds == [
        "Ready",
        "SpeechStarted",
        "TranscriptPartial",
        "SpeechStopped",
        "TranscriptFinal",
        "FloorChanged",
        "PlaybackStarted",
        "PlaybackFinished",
        "FloorChanged",
    ]
    partial = leg.of(events.TranscriptPartial)[0]
    assert isinstance(partial, events.TranscriptPartial)
    assert partial.turn_id == final.turn.id


async def test_each_side_on_its_own_connection_hears_only_the_other(call: Call) -> None:
    customer, agent = FakeLeg("c", CUSTOMER.id), FakeLeg("a", AGENT.id)
    live = await call.connect(customer)
    await call.connect(agent)
    stream = await call.hear(live, customer)
    stream.utter("guten Tag")
    live.text(AGENT.id, "good morning")
    await settle()
    await call.play(live)
    assert {(listener, speaker) for listener, speaker, _, _ in agent.audio} == {("agent", "customer")}
    assert {(listener, speaker) for listener, speaker, _, _ in customer.audio} == {("customer", "agent")}
    assert customer.texts() == agent.texts() == ["guten Tag", "good morning"]
    assert [event.participant.id for event in customer.of(events.ParticipantJoined)] == [AGENT.id]  # type: ignore[attr-defined]


async def test_a_turn_is_durable_before_it_is_told(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    stream = await call.hear(live, leg)
    import asyncio

    call.journal.gate = asyncio.Event()
    stream.utter("eins")
    await settle()
    assert leg.texts() == []
    call.journal.gate.set()
    await settle()
    assert leg.texts() == ["eins"]


async def test_the_same_language_passes_through_untouched() -> None:
    english = Participant("part_c", "customer", "en-US")
    call = Call(a_session(participants=(english, AGENT)))
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    await call.hear(live, leg)
    assert leg.audio == [("agent", "customer", None, FRAME)]
    await call.board.close()


async def test_audio_that_stops_in_mid_word_ends_the_utterance(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    stream = await call.hear(live, leg)
    await call.play(live, 0.5)
    assert stream.finishes == 0
    await call.play(live, STALL_MS / 1000)
    assert stream.finishes == 1


async def test_gaps_are_time_for_the_recogniser(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    live.audio(leg, CUSTOMER.id, FRAME, 8000, 0)
    call.clock.advance(3.02)
    live.audio(leg, CUSTOMER.id, FRAME, 8000, 3020)
    await settle()
    assert call.engines.hearing.streams[0].skipped == [3000]


async def test_wide_band_audio_is_brought_to_the_recognisers_rate(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    for _ in range(50):
        live.audio(leg, CUSTOMER.id, b"\x00\x10" * 960, 48000, None)
    await settle()
    stream = call.engines.hearing.streams[0]
    assert stream.options.sample_rate_hz == 16000
    assert 980 <= stream.pushed_ms <= 1000


async def test_clear_stops_what_is_playing(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    live.text(CUSTOMER.id, " ".join(["wort"] * 200))
    await settle()
    await call.play(live, 0.1)
    sent = len(leg.audio)
    live.clear(leg)
    await call.play(live, 5)
    assert len(leg.audio) == sent
    assert len(leg.of(events.PlaybackCleared)) == 1


async def test_a_muted_speaker_is_silence(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    live.mute(CUSTOMER.id, True)
    stream = await call.hear(live, leg, frames=3)
    assert stream.pushed_ms == 60


async def test_states_move_with_the_call(call: Call) -> None:
    assert call.stored.status == "created"
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    await settle()
    assert call.stored.status == "connecting"
    await call.hear(live, leg)
    assert (call.stored.status, call.stored.started_at) == ("active", FakeClock().now())
    call.clock.advance(60)
    ended = await call.board.end(call.stored, "completed")
    assert (ended.status, ended.end_reason) == ("ended", "completed")
    assert ended.duration_seconds == pytest.approx(60.02)
    assert ended.usage is not None
    assert ended.usage.session_seconds == pytest.approx(60.02)
    assert leg.events[-1] == events.Ended("sess_1", "completed")
    assert leg.closed == (1000, "completed")
    assert call.board.live_sessions == 0


async def test_ending_finishes_what_was_being_said(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    stream = await call.hear(live, leg)
    stream.on_finish = lambda: stream.utter("letzte Worte")
    await call.board.end(call.stored, "explicit_end")
    assert leg.texts() == ["letzte Worte"]
    assert stream.closed
    assert [turn.text for turn in call.journal.kept] == ["letzte Worte"]


async def test_ending_twice_is_ending_once(call: Call) -> None:
    first = await call.board.end(call.stored, "completed")
    call.clock.advance(10)
    assert await call.board.end(call.stored, "error") == first


async def test_a_dropped_leg_is_waited_for_and_the_session_goes_on(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    stream = await call.hear(live, leg)
    stream.utter("eins")
    await settle()
    await call.board.disconnect(live, leg)
    await settle()
    assert call.board.live_sessions == 0
    assert call.stored.deadline_at == call.clock.now() + timedelta(minutes=5)
    call.clock.advance(90)
    again = FakeLeg("again")
    live = await call.connect(again)
    await settle()
    assert call.stored.deadline_at is None
    stream = await call.hear(live, again)
    stream.utter("zwei", 0, 500)
    await settle()
    assert [turn.sequence for turn in call.journal.kept] == [1, 2]
    assert call.journal.kept[1].start_ms >= 90_000


async def test_a_leg_that_comes_back_while_the_last_words_are_worked_on_keeps_the_session(call: Call) -> None:
    leg, again = FakeLeg("leg"), FakeLeg("again")
    live = await call.connect(leg)
    await call.board.disconnect(live, leg)
    same = await call.connect(again)
    await settle()
    assert same is live
    assert call.board.live_sessions == 1


async def test_nobody_came_back_in_time(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    await call.hear(live, leg)
    call.clock.advance(30)
    await call.board.disconnect(live, leg)
    await settle()
    call.clock.advance(299)
    await call.board.reap()
    assert call.stored.status == "active"
    call.clock.advance(2)
    await call.board.reap()
    assert (call.stored.status, call.stored.end_reason) == ("ended", "timeout")
    assert call.stored.usage is not None
    assert call.stored.usage.session_seconds == pytest.approx(30.02)


async def test_a_connected_session_where_nothing_happens_ends(call: Call) -> None:
    leg = FakeLeg("leg")
    await call.connect(leg)
    call.clock.advance(1799)
    await call.board.reap()
    assert leg.closed is None
    call.clock.advance(2)
    await call.board.reap()
    assert leg.closed == (1000, "timeout")


async def test_sessions_of_a_killed_process_are_waited_for(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    await call.hear(live, leg)
    after = Switchboard(call.journal, call.engines, call.clock, Limits())
    await after.start()
    assert call.stored.deadline_at == call.clock.now() + timedelta(minutes=5)
    await after.close()


@pytest.mark.parametrize(
    ("session_id", "livemode", "status", "close_code"),
    [("sess_2", True, "created", 4404), ("sess_1", False, "created", 4404), ("sess_1", True, "ended", 4409)],
)
async def test_who_may_not_connect(session_id: str, livemode: bool, status: str, close_code: int) -> None:
    call = Call(a_session(status=status))
    with pytest.raises(StreamRefused) as refused:
        await call.board.connect(session_id, livemode, lambda _: FakeLeg("leg"))
    assert refused.value.close_code == close_code


async def test_too_many_connections() -> None:
    call = Call(limits=Limits(max_connections=2))
    await call.connect(FakeLeg("1"))
    await call.connect(FakeLeg("2"))
    with pytest.raises(StreamRefused) as refused:
        await call.connect(FakeLeg("3"))
    assert refused.value.close_code == 4429
    await call.board.close()


async def test_going_away_says_so_and_leaves_the_session_waiting(call: Call) -> None:
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    await call.hear(live, leg)
    await call.board.close()
    assert leg.closed == (1001, "server going away")
    assert call.stored.status == "active"
    assert call.stored.deadline_at is not None
    with pytest.raises(StreamRefused):
        await call.connect(FakeLeg("late"))
