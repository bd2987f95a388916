"""Somebody who talks on: turns that are committed, translated and spoken while they do."""

from __future__ import annotations

import itertools

from tests.session.calls import Call
from tests.session.fakes import AGENT, CUSTOMER, FakeLeg, FakeStream, a_session, settle

from kallglot.session import events
from kallglot.session.live import LiveSession
from kallglot.session.model import Participant, Session
from kallglot.speech.types import Final, Partial, SpeechStarted, SpeechStopped

SAID = (
    "ich rufe an wegen der Rechnung vom letzten Monat, die ist nämlich viel zu hoch gewesen, und außerdem ist die"
    " Adresse falsch, weil wir im Sommer umgezogen sind, was ich Ihnen damals auch geschrieben habe, aber es hat"
    " niemand geantwortet, und jetzt möchte ich wissen was wir da machen können"
)
WORD_MS = 350


class Monologue:
    """A leg whose customer talks on, word by word, with their hypotheses and a final."""

    def __init__(self, session: Session | None = None) -> None:
        self.call = Call(session)
        self.leg = FakeLeg("c", CUSTOMER.id)
        self.agent = FakeLeg("a", AGENT.id)

    async def begin(self) -> LiveSession:
        await self.call.connect(self.leg)
        self.live = await self.call.connect(self.agent)
        return self.live

    async def say(self, text: str = SAID, *, starts: itertools.cycle[int] | None = None) -> FakeStream:
        words = text.split()
        for n in range(1, len(words) + 1):
            for _ in range(WORD_MS // 20):
                self.live.audio(self.leg, CUSTOMER.id, b"\x00\x10" * 160, 8000, None)
                self.live.tick()
                self.call.clock.advance(0.02)
            await settle()
            stream = self.call.engines.hearing.streams[-1]
            if n == 1:
                stream.on_event(SpeechStarted(0))
            start = next(starts) if starts else 0
            stream.on_event(Partial(" ".join(words[:n]), " ".join(words[: max(0, n - 2)]), start))
            await settle()
        return stream

    async def end(self, stream: FakeStream, text: str, start_ms: int = 0) -> None:
        end_ms = round(self.live.now_ms())
        stream.on_event(SpeechStopped(end_ms))
        stream.on_event(Final(text, start_ms, end_ms, 0.9))
        await settle()

    @property
    def said(self) -> list[str]:
        return [turn.text for turn in self.call.journal.kept]


async def talked(session: Session | None = None, final: str = SAID) -> Monologue:
    made = Monologue(session)
    await made.begin()
    await made.end(await made.say(), final)
    return made


async def test_who_talks_on_is_heard_clause_by_clause_while_they_do() -> None:
    made = Monologue()
    live = await made.begin()
    stream = await made.say()
    before_the_end = list(made.said)
    assert len(before_the_end) >= 3
    assert len({turn for *_, turn, _ in made.agent.audio}) >= 2
    await made.end(stream, SAID)
    await made.call.play(live, 10)
    assert " ".join(made.said) == SAID
    assert made.said[: len(before_the_end)] == before_the_end
    assert made.agent.texts() == made.said
    turns = made.call.journal.kept
    assert [turn.sequence for turn in turns] == list(range(1, len(turns) + 1))
    assert all(one.start_ms < one.end_ms <= other.start_ms for one, other in itertools.pairwise(turns))
    assert [turn.translations[0].text for turn in turns] == [f"{text} in en" for text in made.said]
    heard = list(dict.fromkeys(turn for *_, turn, _ in made.agent.audio))
    assert heard == [turn.id for turn in turns]
    await made.call.board.close()


async def test_each_clause_is_translated_with_the_two_before_it() -> None:
    made = await talked()
    hints = made.call.engines.translating.hints
    pairs = [(text, f"{text} in en") for text in made.said]
    assert [hint.context for hint in hints] == [tuple(pairs[max(0, n - 2) : n]) for n in range(len(pairs))]
    await made.call.board.close()


async def test_what_is_shown_of_a_turn_is_of_that_turn() -> None:
    made = await talked()
    shown: dict[str, str] = {}
    for event in made.leg.events:
        if isinstance(event, events.TranscriptPartial):
            assert event.text.startswith(event.stable_text)
            shown[event.turn_id] = event.text
        elif isinstance(event, events.TranscriptFinal):
            assert shown.pop(event.turn.id, "").startswith(event.turn.text.split()[0])
    assert all(text == "" for text in shown.values())
    await made.call.board.close()


async def test_a_client_that_wants_no_partials_still_has_clauses() -> None:
    made = await talked(a_session(transcription={"partials": False}))
    assert len(made.said) >= 3
    assert " ".join(made.said) == SAID
    assert made.leg.of(events.TranscriptPartial) == []
    assert made.call.engines.hearing.streams[0].options.partials
    await made.call.board.close()


async def test_a_clock_that_is_put_right_in_mid_utterance_doubles_nothing() -> None:
    made = Monologue()
    await made.begin()
    stream = await made.say(starts=itertools.cycle([0, 1, 2, 3, 5, 8, 180]))
    await made.end(stream, SAID, 120)
    assert " ".join(made.said) == SAID
    await made.call.board.close()


async def test_a_final_that_differs_brings_only_its_end() -> None:
    other = SAID.replace("Rechnung", "Zeichnung").replace("wissen was wir da machen können", "nur noch kündigen.")
    made = await talked(final=other)
    committed = " ".join(made.said)
    assert committed.startswith("ich rufe an wegen der Rechnung")
    assert committed.endswith("nur noch kündigen.")
    assert committed.count("umgezogen") == committed.count("geantwortet,") == 1
    await made.call.board.close()


async def test_a_final_that_has_nothing_new_takes_back_what_was_shown() -> None:
    made = Monologue()
    await made.begin()
    stream = await made.say()
    committed = list(made.said)
    await made.end(stream, " ".join(committed))
    assert made.said == committed
    last = made.leg.of(events.TranscriptPartial)[-1]
    assert (last.text, last.turn_id in made.leg.texts()) == ("", False)  # type: ignore[attr-defined]
    await made.call.board.close()


async def test_nothing_is_divided_where_nothing_is_to_be_translated() -> None:
    for customer in (Participant(CUSTOMER.id, "customer"), Participant(CUSTOMER.id, "customer", "en-GB")):
        made = Monologue(a_session(participants=(customer, AGENT)))
        await made.begin()
        made.call.engines.detector = lambda: None  # type: ignore[method-assign]
        await made.end(await made.say(), SAID)
        assert made.said == [SAID]
        await made.call.board.close()
