"""A participant's language: learnt while they speak, told by them, changed in mid-call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.session.calls import FRAME, Call
from tests.session.fakes import AGENT, FakeLeg, FakeStream, a_session, settle
from tests.session.learning import FRENCH, GARBLED, GERMAN, Learning, begun, undeclared

from kallglot.session import events
from kallglot.session.live import LiveSession
from kallglot.session.model import Participant
from kallglot.speech.types import (
    Final,
    Partial,
    SpeechStarted,
)


@pytest.mark.parametrize("chunk_ms", [20, 100, 200])
async def test_the_first_utterance_is_heard_again_by_the_one_who_knows_the_language(chunk_ms: int) -> None:
    call, live, customer, agent = await begun()
    for _ in GERMAN:
        await call.say(live, customer, 2000, chunk_ms=chunk_ms)
    await call.quiet(live, 8)
    assert agent.texts() == customer.texts() == GERMAN
    assert [turn.language for turn in call.journal.kept] == ["de"] * 3
    assert all(turn.translations[0].language == "en" for turn in call.journal.kept)
    detected = agent.of(events.LanguageDetected)
    assert [(event.participant.language, event.before) for event in detected] == [("de", None)]  # type: ignore[attr-defined]
    assert agent.warnings() == []
    # All of the speech, from its first sample.
    assert b"".join(call.de.pushed).count(b"\x00\x10" * 8) >= 3 * 2000
    starts = [turn.start_ms for turn in call.journal.kept]
    assert starts == pytest.approx([0, 2400, 4800], abs=210)
    await call.board.close()


async def test_audio_that_comes_while_the_other_recogniser_opens_is_kept() -> None:
    call, live, customer, agent = await begun()
    call.de.gate = asyncio.Event()
    for _ in range(3):
        await call.say(live, customer, 2000)
    assert agent.texts() == []
    call.de.gate.set()
    await settle()
    assert agent.texts() == GERMAN
    assert call.de.heard_ms == 3 * 2400
    await call.board.close()


async def test_after_a_long_utterance_there_is_room_for_what_comes_while_another_recogniser_opens() -> None:
    call, live, customer, agent = await begun()
    call.de.gate = asyncio.Event()
    await call.say(live, customer, 12_000)
    await call.say(live, customer, 4000)
    call.de.gate.set()
    await settle()
    assert agent.texts() == GERMAN[:2]
    assert call.de.heard_ms == 12_400 + 4400
    await call.board.close()


async def test_a_recogniser_that_fails_to_open_hears_the_utterance_when_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = asyncio.sleep
    monkeypatch.setattr("kallglot.session.ear.asyncio.sleep", lambda _: real(0))
    call, live, customer, agent = await begun()
    call.de.refusals = 7
    await call.say(live, customer, 2000)
    await call.say(live, customer, 2000)
    assert agent.texts() == GERMAN[:2]
    assert set(agent.warnings()) == {"recognition_delayed"}
    await call.board.close()


async def test_the_last_words_of_a_call_are_heard_again_before_it_ends() -> None:
    call, live, customer, agent = await begun()
    await call.say(live, customer, 2000, pause_ms=100)
    await call.board.end(call.journal.sessions["sess_1"], "completed")
    assert agent.texts() == GERMAN[:1]


async def test_who_goes_on_in_another_language_is_followed_after_two_utterances() -> None:
    told = dict.fromkeys(GARBLED, "de") | {GERMAN[0]: "de", GERMAN[1]: "fr", GERMAN[2]: "fr"}
    call, live, customer, agent = await begun(told=told | dict.fromkeys(FRENCH, "fr"))
    for _ in range(4):
        await call.say(live, customer, 2000)
    assert agent.texts() == [GERMAN[0], GERMAN[1], FRENCH[0], FRENCH[1]]
    detected = agent.of(events.LanguageDetected)
    assert [(event.before, event.participant.language) for event in detected] == [(None, "de"), ("de", "fr")]  # type: ignore[attr-defined]
    assert call.fr.heard_ms == pytest.approx(2 * 2400 + 400, abs=100)
    await call.board.close()


async def test_a_language_that_nobody_recognises_is_said_and_the_call_goes_on() -> None:
    call, live, customer, agent = await begun(told=dict.fromkeys(GARBLED, "nl"))
    for _ in range(3):
        await call.say(live, customer, 2000)
    live.text("part_c", "goedemorgen")
    await settle()
    assert agent.texts() == [*GARBLED, "goedemorgen"]
    assert agent.warnings() == ["recognition_unavailable"]
    assert len(agent.of(events.LanguageDetected)) == 1
    await call.board.close()


async def test_who_named_one_language_and_speaks_another_is_doubted() -> None:
    session = a_session(participants=(Participant("part_c", "customer", "en"), Participant("part_a", "agent", "es")))
    call, live, customer, agent = await begun(session=session)
    for _ in range(3):
        await call.say(live, customer, 2000)
    assert agent.texts() == GARBLED
    assert agent.warnings() == ["language_mismatch"]
    assert [event.message for event in agent.of(events.Warned)] == [  # type: ignore[attr-defined]
        "The customer seems to speak German, not English."
    ]
    await call.board.close()


async def test_a_language_that_cannot_be_told_is_warned_of() -> None:
    call, live, customer, agent = await begun(told={})
    for _ in range(4):
        await call.say(live, customer, 2000)
    assert agent.texts() == [*GARBLED, GARBLED[0]]
    assert agent.warnings() == ["language_undetected"]
    assert all(not turn.translations for turn in call.journal.kept)
    await call.board.close()


async def test_what_is_typed_teaches_the_language_and_what_is_being_said_is_heard_by_the_right_one() -> None:
    call, live, customer, agent = await begun()
    await call.say(live, customer, 1000, pause_ms=0)
    live.text("part_c", GERMAN[2])
    await call.say(live, customer, 1000)
    assert agent.texts() == [GERMAN[2], GERMAN[0]]
    assert call.journal.kept[1].start_ms == 0
    assert [turn.language for turn in call.journal.kept] == ["de", "de"]
    assert len(agent.of(events.SpeechStarted)) == len(agent.of(events.SpeechStopped))
    await call.board.close()


async def test_a_detector_that_fails_costs_the_detection_and_nothing_else() -> None:
    call, live, customer, agent = await begun()
    call._told = None  # type: ignore[assignment]  # pyright: ignore[reportPrivateUsage]

    class Broken:
        name = "broken"

        def detect(self, text: str, among: object = None) -> None:
            raise RuntimeError("out of memory")

    call.board._engines.detector = Broken  # type: ignore[attr-defined]  # pyright: ignore
    await call.say(live, customer, 2000)
    assert agent.texts() == GARBLED[:1]
    await call.board.close()


# Told by themselves


@pytest.fixture
async def declared() -> AsyncIterator[tuple[Learning, LiveSession, FakeLeg, FakeLeg]]:
    session = a_session(participants=(Participant("part_c", "customer", "en"), Participant("part_a", "agent", "es")))
    call = Learning(session)
    yield call, *await call.begin()
    await call.board.close()


async def test_who_says_that_they_go_on_in_another_language_is_heard_to_the_end_in_the_first(
    declared: tuple[Learning, LiveSession, FakeLeg, FakeLeg],
) -> None:
    call, live, customer, agent = declared
    await call.say(live, customer, 1000, pause_ms=0)
    live.speaks_in("part_c", "de")
    await settle()
    assert agent.texts() == GARBLED[:1]
    await call.say(live, customer, 1000)
    assert agent.texts() == [GARBLED[0], GERMAN[0]]
    assert [(turn.language, bool(turn.translations)) for turn in call.journal.kept] == [("en", True), ("de", True)]
    assert len(agent.of(events.SpeechStarted)) == len(agent.of(events.SpeechStopped)) == 2
    assert (call.en.heard_ms, call.de.heard_ms) == (1000, 1400)


async def test_the_last_sentence_before_a_change_to_the_listeners_language_is_translated(
    declared: tuple[Learning, LiveSession, FakeLeg, FakeLeg],
) -> None:
    call, live, customer, agent = declared
    await call.say(live, customer, 1000, pause_ms=0)
    live.speaks_in("part_c", "es")
    await settle()
    assert [one.text for one in call.journal.kept[0].translations] == [f"[es] {GARBLED[0]}"]
    assert agent.warnings() == ["recognition_unavailable"]
    await call.say(live, customer, 1000)
    assert agent.texts() == GARBLED[:1]
    assert [frame for *_, turn, frame in agent.audio if turn is None]


async def test_back_to_a_language_that_somebody_recognises(
    declared: tuple[Learning, LiveSession, FakeLeg, FakeLeg],
) -> None:
    call, live, customer, agent = declared
    await call.say(live, customer, 1000)
    live.speaks_in("part_c", "nl")
    await call.say(live, customer, 1000)
    live.speaks_in("part_c", "fr")
    await call.say(live, customer, 1000)
    assert agent.texts() == [GARBLED[0], FRENCH[0]]


# By hand


async def test_what_the_first_still_had_to_do_is_done_by_the_second() -> None:
    call = Call(undeclared())
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    first = await call.hear(live, leg, frames=200)
    first.backlog_ms = 2000
    first.utter("du und ich", 500, 1500)
    await settle()
    second: FakeStream = call.engines.hearing.streams[-1]
    assert second is not first
    assert second.pushed_ms == 4000
    first.utter("und was noch kam", 2000, 3000)
    second.utter("du und ich", 500, 1500)
    second.utter("und was noch kam", 2000, 3000)
    await settle()
    assert leg.texts() == ["du und ich", "und was noch kam"]
    await call.board.close()


async def test_words_before_an_utterance_that_is_heard_again_are_not() -> None:
    call = Call(undeclared())
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    first = await call.hear(live, leg, frames=200)
    first.utter("ja", 0, 1400)
    first.utter("du und ich", 1500, 3000)
    await settle()
    assert call.engines.hearing.streams[-1].pushed_ms == 4000 - 1400
    await call.board.close()


async def test_what_was_shown_of_something_heard_again_is_taken_back() -> None:
    call = Call(undeclared())
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    first = await call.hear(live, leg, frames=200)
    first.on_event(SpeechStarted(2000))
    first.on_event(Partial("what", "", 2000))
    first.utter("du und ich", 500, 1500)
    await settle()
    shown: dict[str, str] = {event.turn_id: event.text for event in leg.of(events.TranscriptPartial)}  # type: ignore[attr-defined]
    assert list(shown.values()) == ["", ""]
    assert len(leg.of(events.SpeechStarted)) == len(leg.of(events.SpeechStopped))
    await call.board.close()


async def test_partials_that_the_client_does_not_want_divide_what_somebody_says_once_their_language_is_known() -> None:
    call = Call(undeclared(transcription={"partials": False}))
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    stream = await call.hear(live, leg, frames=10)
    stream.utter("du und ich")
    await settle()
    assert call.engines.hearing.streams[-1].options.partials
    await call.board.close()


async def test_an_empty_final_says_nothing_of_the_language() -> None:
    call = Call(undeclared())
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    stream = await call.hear(live, leg)
    for n in range(9):
        stream.on_event(Final(" ", n * 1000, n * 1000 + 500))
    await settle()
    assert leg.warnings() == []
    assert leg.texts() == []
    live.audio(leg, "part_c", b"", 8000, None)
    live.audio(leg, "part_c", FRAME, 8000, None)
    await call.board.close()


async def test_a_language_is_learnt_from_the_words_and_then_translated() -> None:
    call = Call(a_session(participants=(Participant("part_c", "customer"), AGENT), source_language=None))
    leg = FakeLeg("leg")
    live = await call.connect(leg)
    stream = await call.hear(live, leg)
    stream.utter("ja")
    await settle()
    assert call.journal.kept[0].translations == ()
    stream.utter("du und ich", 2000, 3000)
    await settle()
    assert call.stored.participants[0].language == "de"
    again = call.engines.hearing.streams[-1]
    assert (again.options.language, stream.closed) == ("de", True)
    again.utter("du und ich", 2000, 3000)
    await settle()
    assert call.journal.kept[1].translations[0].text == "du und ich in en"
    await call.board.close()
