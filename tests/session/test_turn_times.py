"""When each turn of a live session was recognised, translated, told and heard."""

from __future__ import annotations

import asyncio

from tests.session.calls import Call
from tests.session.fakes import AGENT, CUSTOMER, FakeLeg, FakeStream, a_session, settle

from kallglot.session.live import LiveSession
from kallglot.session.model import Participant
from kallglot.session.timings import TurnTimes
from kallglot.speech.types import Final, Partial, SpeechStarted, SpeechStopped


async def a_call(language: str = "de") -> tuple[Call, LiveSession, FakeLeg, FakeLeg]:
    customer = Participant(CUSTOMER.id, "customer", language)
    call = Call(a_session(participants=(customer, AGENT)))
    live, (leg, agent) = await call.joined(customer, AGENT)
    return call, live, leg, agent


async def utter(call: Call, live: LiveSession, leg: FakeLeg, text: str) -> FakeStream:
    """1 s of speech whose first partial comes in the middle and whose final comes 400 ms behind it."""
    begin = round(live.now_ms())
    stream = await call.hear(live, leg, frames=25)
    stream.on_event(SpeechStarted(begin))
    stream.on_event(Partial(text, "", begin))
    await call.hear(live, leg, frames=45)
    stream.on_event(SpeechStopped(begin + 1000))
    stream.on_event(Final(text, begin, begin + 1000, 0.9))
    await settle()
    return stream


async def kept(call: Call, live: LiveSession) -> TurnTimes:
    await call.play(live, 3)
    (times,) = call.journal.timings
    assert call.observed == [times]
    return times


async def test_a_spoken_turn_has_all_of_its_times_in_order() -> None:
    call, live, leg, _ = await a_call()
    call.engines.translating.gate = asyncio.Event()
    call.engines.speaking.gate = asyncio.Event()
    call.journal.gate = asyncio.Event()
    await utter(call, live, leg, "eins zwei drei vier fünf")
    for gate in (call.engines.translating.gate, call.journal.gate, call.engines.speaking.gate):
        await call.play(live, 0.1)
        gate.set()
        await settle()
    times = await kept(call, live)
    listened = times.listeners[0]
    assert (listened.participant_id, listened.listener, listened.language) == (AGENT.id, "agent", "en")
    assert not listened.cleared
    base = times.speech_start_ms
    assert times.first_partial_ms is not None
    assert times.translated_ms is not None
    assert times.final_ms is not None
    assert listened.first_audio_ms is not None
    assert listened.heard_ms is not None
    stages = [
        times.speech_start_ms,
        times.first_partial_ms,
        times.speech_end_ms,
        times.committed_ms,
        times.translated_ms,
        times.final_ms,
        listened.first_audio_ms,
        listened.heard_ms,
    ]
    assert stages == sorted(stages)
    assert [round(stage - base, -2) for stage in stages] == [0, 500, 1000, 1400, 1500, 1600, 1700, 1900]
    assert set(times.lags()) >= {"first_partial", "commit", "translation", "first_audio", "heard"}
    await call.board.close()


async def test_an_unspoken_turn_is_kept_without_listeners() -> None:
    call, live, leg, _ = await a_call("en-GB")
    await utter(call, live, leg, "one two three")
    times = await kept(call, live)
    assert (times.translated_ms, times.listeners, times.heard_ms) == (None, (), None)
    assert times.final_ms is not None
    assert times.committed_ms <= times.final_ms
    await call.board.close()


async def test_a_cleared_turn_was_heard_in_part() -> None:
    call, live, leg, agent = await a_call()
    await utter(call, live, leg, " ".join(["wort"] * 99))
    await call.play(live, 0.2)
    live.clear(agent)
    times = await kept(call, live)
    assert times.listeners[0].cleared
    assert times.first_audio_ms is not None
    assert times.heard_ms is None
    await call.board.close()


async def test_a_typed_turn_takes_no_time_to_say() -> None:
    call, live, _, _ = await a_call()
    await call.play(live, 1)
    live.text(CUSTOMER.id, "eins zwei drei")
    await settle()
    times = await kept(call, live)
    assert times.speech_start_ms == times.speech_end_ms == times.committed_ms
    assert times.first_partial_ms is None
    assert times.heard_ms is not None
    await call.board.close()


async def test_a_turn_that_cannot_be_spoken_is_done_without_having_been_heard() -> None:
    call, live, leg, agent = await a_call()
    call.engines.speaking.breaks_at = 0
    await utter(call, live, leg, "eins zwei")
    times = await kept(call, live)
    assert times.listeners == ()
    assert agent.warnings() == ["synthesis_failed"]
    await call.board.close()


async def test_what_is_still_being_heard_when_the_session_ends_is_kept_as_cleared() -> None:
    call, live, leg, _ = await a_call()
    await utter(call, live, leg, " ".join(["wort"] * 99))
    await call.play(live, 0.2)
    await call.board.end(call.stored, "completed")
    (times,) = call.journal.timings
    assert times.listeners[0].cleared
    assert call.observed == [times]


async def test_a_whole_call_has_the_times_of_each_turn_once() -> None:
    call, live, leg, _ = await a_call()
    for n in range(20):
        await utter(call, live, leg, f"eins zwei drei {n}")
        await call.play(live, 0.6)
    await call.board.end(call.stored, "completed")
    assert sorted(one.turn_id for one in call.journal.timings) == sorted(turn.id for turn in call.journal.kept)
    assert len(call.observed) == 20
