"""Several people in one session: who hears whom in which language, and in what order it is told."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.session.calls import FRAME, TICK, Call, told, turns_of
from tests.session.fakes import FakeLeg, a_session, settle

from kallglot.session import events
from kallglot.session.model import Participant
from kallglot.session.switchboard import Limits
from kallglot.speech.types import Final, Partial, SpeechStarted, SpeechStopped

ANNA = Participant("part_anna", "customer", "en")
BEA = Participant("part_bea", "customer", "fr")
EVA = Participant("part_eva", "agent", "es")
FLO = Participant("part_flo", "agent", "es-MX")
EVERYBODY = (ANNA, BEA, EVA, FLO)
LONG = " ".join(["word"] * 60)


def a_call(*participants: Participant) -> Call:
    return Call(a_session(participants=participants or EVERYBODY))


def own_voices(leg: FakeLeg) -> list[bytes]:
    return [frame for *_, turn, frame in leg.audio if turn is None]


# Who hears what


async def test_one_translation_for_each_language_is_made_and_shared() -> None:
    call = a_call()
    live, (anna, bea, eva, flo) = await call.joined(*EVERYBODY)
    live.text(ANNA.id, "hello there")
    await settle()
    await call.play(live)
    assert sorted(call.engines.translating.asked) == [("hello there", "en", "es"), ("hello there", "en", "fr")]
    assert Counter(language for _, language in call.engines.speaking.asked) == {"es": 1, "fr": 1}
    assert [frame for *_, frame in eva.audio] == [frame for *_, frame in flo.audio]
    assert turns_of(bea) == turns_of(eva) == [call.journal.kept[0].id]
    assert anna.audio == []
    assert anna.texts() == bea.texts() == eva.texts() == flo.texts() == ["hello there"]
    await call.board.close()


async def test_one_language_passes_untouched_at_once_while_a_turn_plays_for_others() -> None:
    call = a_call()
    live, (anna, bea, eva, flo) = await call.joined(*EVERYBODY)
    live.text(EVA.id, LONG)
    await settle()
    await call.play(live, 0.1)
    for _ in range(30):
        live.audio(eva, EVA.id, FRAME, 8000, None)
        assert own_voices(flo)[-1] == FRAME
        await call.play(live, TICK)
    assert own_voices(flo) == [FRAME] * 30
    assert turns_of(flo) == []
    assert turns_of(anna) == turns_of(bea) == [call.journal.kept[0].id]
    assert own_voices(anna) == own_voices(bea) == []
    await call.board.close()


async def test_who_joins_late_hears_from_then_on_and_who_leaves_disturbs_nobody() -> None:
    call = a_call()
    live, (anna, bea, eva) = await call.joined(ANNA, BEA, EVA)
    live.text(ANNA.id, LONG)
    await settle()
    await call.play(live, 0.2)
    flo = FakeLeg("flo", FLO.id)
    await call.connect(flo)
    await call.play(live, 0.2)
    await call.board.disconnect(live, bea)
    live.text(ANNA.id, "and this")
    await settle()
    await call.play(live)
    first, second = (turn.id for turn in call.journal.kept)
    assert turns_of(eva) == [first, second]
    assert turns_of(flo) == [second]
    assert len([turn for *_, turn, _ in eva.audio if turn == first]) == pytest.approx(62, abs=14)
    assert [event.participant.id for event in anna.of(events.ParticipantLeft)] == [BEA.id]  # type: ignore[attr-defined]
    assert [line for line in told(anna) if line[0] == "cleared"] == [("cleared", first, "customer")]
    await call.board.close()


async def test_a_language_changed_in_mid_call_changes_the_routes_both_ways() -> None:
    call = a_call()
    live, (anna, bea, eva, flo) = await call.joined(*EVERYBODY)
    live.audio(eva, EVA.id, FRAME, 8000, None)
    assert (own_voices(flo), own_voices(anna)) == ([FRAME], [])
    live.speaks_in(EVA.id, "en")
    live.audio(eva, EVA.id, FRAME, 8000, None)
    assert (own_voices(flo), own_voices(anna)) == ([FRAME], [FRAME])
    live.text(EVA.id, "from now on in English")
    live.text(FLO.id, "en castellano")
    await settle()
    await call.play(live)
    english, spanish = (turn.id for turn in call.journal.kept)
    assert turns_of(flo) == [english]
    assert turns_of(eva) == [spanish]
    assert turns_of(anna) == [spanish]
    assert turns_of(bea) == [english, spanish]
    assert call.stored.participants[2].language == "en"
    assert len(anna.of(events.ParticipantUpdated)) == 1
    await call.board.close()


async def test_sixteen_people_in_eight_languages() -> None:
    languages = ["en", "es", "fr", "de", "it", "pt", "nl", "pl"]
    people = [
        Participant(f"part_{n}", "agent" if n % 2 else "customer", language) for n, language in enumerate(languages * 2)
    ]
    call = Call(a_session(participants=tuple(people)), Limits(max_connections=16))
    live, legs = await call.joined(*people)
    for person in people:
        live.text(person.id, f"I am {person.id}")
    await settle()
    await settle()
    await call.play(live, 8)
    assert len(call.journal.kept) == 16
    assert len(call.engines.translating.asked) == 16 * 7
    assert len(call.engines.speaking.asked) == 16 * 7
    assert all(len(turns_of(leg)) == 14 for leg in legs)
    live.tick()
    await settle()
    assert sorted(one.turn_id for one in call.journal.timings) == sorted(turn.id for turn in call.journal.kept)
    await call.board.close()


# Turn after turn


async def test_who_goes_on_speaking_does_not_cut_their_own_translation() -> None:
    call = a_call(ANNA, EVA)
    live, (anna, eva) = await call.joined(ANNA, EVA)
    stream = await call.hear(live, anna, ANNA)
    stream.utter(LONG, 0, 3000)
    await settle()
    await call.play(live, 0.2)
    stream.on_event(SpeechStarted(3300))
    stream.on_event(Partial("and", "", 3300))
    await call.play(live, 0.2)
    stream.on_event(SpeechStopped(4000))
    stream.on_event(Final("and more", 3300, 4000))
    await settle()
    await call.play(live)
    first, second = (turn.id for turn in call.journal.kept)
    # A turn is told of when its first frame goes out, and as finished when its last one was heard.
    assert told(eva) == [
        ("held", ANNA.id),
        ("started", first, "agent"),
        ("released", ANNA.id),
        ("held", ANNA.id),
        ("started", second, "agent"),
        ("finished", first, "agent"),
        ("finished", second, "agent"),
        ("released", ANNA.id),
    ]
    assert told(anna) == told(eva)
    assert len([turn for *_, turn, _ in eva.audio if turn == first]) == pytest.approx(62, abs=4)
    await call.board.close()


async def test_two_who_speak_to_one_are_heard_one_after_the_other() -> None:
    call = a_call(ANNA, BEA, EVA)
    live, (anna, bea, eva) = await call.joined(ANNA, BEA, EVA)
    live.text(BEA.id, LONG)
    await settle()
    live.text(ANNA.id, LONG)
    await settle()
    live.mark(eva, "end")
    await call.play(live, 4)
    first, second = (turn.id for turn in call.journal.kept)
    order = [turn for *_, turn, _ in eva.audio]
    assert order == sorted(order, key=[first, second].index)
    assert [line for line in told(eva) if line[0] == "mark" or (line[0], line[-1]) == ("finished", "agent")] == [
        ("finished", first, "agent"),
        ("finished", second, "agent"),
        ("mark", "end"),
    ]
    for leg in (anna, bea, eva):
        lines = [line for line in told(leg) if line[0] != "mark"]
        assert Counter(lines) == Counter(set(lines))
    assert not [line for line in told(anna) if line[0] == "mark"]
    await call.board.close()


async def test_clear_tells_everybody_and_what_comes_later_is_heard() -> None:
    call = a_call(ANNA, EVA)
    live, (anna, eva) = await call.joined(ANNA, EVA)
    live.text(ANNA.id, LONG)
    await settle()
    live.mark(eva, "never")
    await call.play(live, 0.2)
    live.clear(eva)
    live.text(ANNA.id, "and more")
    await settle()
    await call.play(live, 2)
    first, second = (turn.id for turn in call.journal.kept)
    expected = [
        ("held", ANNA.id),
        ("started", first, "agent"),
        ("cleared", first, "agent"),
        ("released", ANNA.id),
        ("held", ANNA.id),
        ("started", second, "agent"),
        ("finished", second, "agent"),
        ("released", ANNA.id),
    ]
    assert told(anna) == expected
    assert [line for line in told(eva) if line[0] != "mark"] == expected
    assert ("mark", "never") in told(eva)
    assert anna.warnings() == eva.warnings() == []
    await call.board.close()
