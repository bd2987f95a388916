"""Several legs of one participant, and legs that come and go while a turn is heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.session.calls import Call, told, turns_of
from tests.session.fakes import AGENT, CUSTOMER, FakeLeg, a_session, settle

from kallglot.session import events
from kallglot.session.leg import OutputFormat
from kallglot.session.model import Participant

ANNA = Participant("part_anna", "customer", "en")
EVA = Participant("part_eva", "agent", "es")
FLO = Participant("part_flo", "agent", "es-MX")
LONG = " ".join(["word"] * 60)


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    made = Call()
    yield made
    await made.board.close()


def a_call(*participants: Participant) -> Call:
    return Call(a_session(participants=participants))


async def test_each_leg_is_told_once_whichever_legs_a_listener_has() -> None:
    call = a_call(ANNA, EVA)
    older, newer, anna, everybody = (
        FakeLeg("older", EVA.id),
        FakeLeg("newer", EVA.id),
        FakeLeg("anna", ANNA.id),
        FakeLeg("everybody"),
    )
    for leg in (everybody, older, anna, newer):
        live = await call.connect(leg)
    live.text(ANNA.id, "one two three")
    await settle()
    await call.play(live)
    turn = call.journal.kept[0].id
    for leg in (older, newer, anna, everybody):
        assert sorted(told(leg)) == sorted(
            [("held", ANNA.id), ("started", turn, "agent"), ("finished", turn, "agent"), ("released", ANNA.id)]
        )
        assert turns_of(leg) == ([turn] if leg is not anna else [])
    assert len(call.journal.timings) == 1
    assert len(call.journal.timings[0].listeners) == 1
    await call.board.close()


async def test_a_newer_leg_that_comes_in_mid_turn_leaves_the_turn_to_the_older() -> None:
    call = a_call(ANNA, EVA)
    live, (anna, _) = await call.joined(ANNA, EVA)
    live.text(ANNA.id, LONG)
    await settle()
    await call.play(live, 0.2)
    newer = FakeLeg("newer", EVA.id)
    await call.connect(newer)
    await call.play(live, 4)
    turn = call.journal.kept[0].id
    assert told(anna) == [
        ("held", ANNA.id),
        ("started", turn, "agent"),
        ("finished", turn, "agent"),
        ("released", ANNA.id),
    ]
    assert told(newer) == [("released", ANNA.id)]
    assert newer.audio == []
    assert call.journal.timings[0].heard_ms is not None
    await call.board.close()


async def test_an_older_leg_takes_a_turn_over_when_the_newer_dies() -> None:
    call = a_call(ANNA, EVA)
    live, (anna, _) = await call.joined(ANNA, EVA)
    newer = FakeLeg("newer", EVA.id)
    await call.connect(newer)
    live.text(ANNA.id, LONG)
    await settle()
    await call.play(live, 0.2)
    await call.board.disconnect(live, newer)
    await call.play(live, 4)
    turn = call.journal.kept[0].id
    assert [line for line in told(anna) if line[0] != "held"] == [
        ("started", turn, "agent"),
        ("finished", turn, "agent"),
        ("released", ANNA.id),
    ]
    assert not call.journal.timings[0].listeners[0].cleared
    await call.board.close()


async def test_the_only_leg_of_a_listener_that_dies_in_mid_turn_gives_the_floor_back() -> None:
    call = a_call(ANNA, EVA)
    live, (anna, eva) = await call.joined(ANNA, EVA)
    live.text(ANNA.id, LONG)
    live.text(ANNA.id, "and more")
    await settle()
    await call.play(live, 0.2)
    await call.board.disconnect(live, eva)
    await call.play(live, 2)
    first, second = (turn.id for turn in call.journal.kept)
    assert told(anna) == [
        ("held", ANNA.id),
        ("started", first, "agent"),
        ("cleared", first, "agent"),
        ("cleared", second, "agent"),
        ("released", ANNA.id),
    ]
    assert [(one.turn_id, one.listeners[0].cleared) for one in call.journal.timings] == [(first, True), (second, True)]
    assert eva.audio[-1][2] == first
    assert "playout_behind" not in anna.warnings()
    await call.board.close()


async def test_who_leaves_between_translation_and_synthesis_is_not_waited_for() -> None:
    call = a_call(ANNA, EVA, FLO)
    live, (anna, eva, _) = await call.joined(ANNA, EVA, FLO)
    call.engines.speaking.gate = asyncio.Event()
    live.text(ANNA.id, "one two three")
    await settle()
    await call.board.disconnect(live, eva)
    call.engines.speaking.gate.set()
    await settle()
    await call.play(live, 2)
    turn = call.journal.kept[0].id
    assert told(anna) == [
        ("held", ANNA.id),
        ("started", turn, "agent"),
        ("finished", turn, "agent"),
        ("released", ANNA.id),
    ]
    assert [one.participant_id for one in call.journal.timings[0].listeners] == [FLO.id]
    assert eva.audio == []
    await call.board.close()


async def test_the_newer_of_two_legs_has_the_speaker_and_the_older_gets_them_back(call: Call) -> None:
    older, newer = FakeLeg("older", CUSTOMER.id), FakeLeg("newer", CUSTOMER.id)
    live = await call.connect(older)
    await call.connect(newer)
    stream = await call.hear(live, older)
    await call.hear(live, newer)
    before = stream.pushed_ms
    await call.hear(live, older)
    assert stream.pushed_ms == before
    call.clock.advance(1)
    await call.hear(live, older)
    assert stream.pushed_ms > before


async def test_every_leg_hears_in_its_own_format(call: Call) -> None:
    mulaw, wide = FakeLeg("m", AGENT.id, OutputFormat()), FakeLeg("w", AGENT.id, OutputFormat("pcm_s16le", 16000))
    live = await call.connect(mulaw)
    await call.connect(wide)
    live.text(CUSTOMER.id, "guten Tag")
    await settle()
    await call.play(live, 2)
    assert {len(payload) for *_, payload in mulaw.audio} == {160}
    assert {len(payload) for *_, payload in wide.audio} == {640}


async def test_a_mark_comes_back_to_its_own_connection_only(call: Call) -> None:
    leg, other = FakeLeg("leg"), FakeLeg("other")
    live = await call.connect(leg)
    await call.connect(other)
    live.text(CUSTOMER.id, "guten Tag")
    await settle()
    live.mark(leg, "spoken")
    await call.play(live, 1)
    assert leg.of(events.PlaybackMark) == [events.PlaybackMark("spoken")]
    assert other.of(events.PlaybackMark) == []
