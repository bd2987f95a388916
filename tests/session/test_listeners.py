"""What a listener's frames contain: a constant voice of 1000, and translations that are as loud as they are long."""

from __future__ import annotations

import asyncio
import struct

import pytest
from tests.session.calls import TICK, Call
from tests.session.fakes import FakeLeg, a_session, settle

from kallglot.session import events
from kallglot.session.hearing import MOST_WAITING, NEAR_LEAD_MS
from kallglot.session.live import LiveSession
from kallglot.session.model import Participant

LOUD = 1000
ANNA = Participant("part_anna", "customer", "en")
BERT = Participant("part_bert", "customer", "en")
CARL = Participant("part_carl", "customer", "en")
EVA = Participant("part_eva", "agent", "es")
WORDS = "so many words that it takes a while to say all of them " * 4
LEVEL = len(f"{WORDS} in es")


def voice(ms: int = 20, level: int = LOUD) -> bytes:
    return struct.pack("<h", level) * (8 * ms)


def peak(frame: bytes) -> int:
    return max(struct.unpack(f"<{len(frame) // 2}h", frame))


def levels(leg: FakeLeg) -> list[int]:
    """The loudest sample of each frame."""
    return [peak(frame) for *_, frame in leg.audio]


class Talk:
    """Voices that go on at the pace of the clock, in chunks, each beginning at a time of its own."""

    def __init__(self, call: Call, live: LiveSession) -> None:
        self.call = call
        self.live = live
        self.at_ms = 0

    async def go_on(self, seconds: float, *voices: tuple[FakeLeg, int, int], level: int = LOUD) -> None:
        """``voices`` are a leg, the length of its chunks and when in that time they come."""
        for _ in range(round(seconds / TICK)):
            for leg, chunk_ms, offset_ms in voices:
                if (self.at_ms - offset_ms) % chunk_ms == 0:
                    self.live.audio(leg, leg.participant_id or "", voice(chunk_ms, level), 8000, None)
            self.live.tick()
            self.call.clock.advance(TICK)
            self.at_ms += 20
            await settle_a_little()


async def settle_a_little() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def a_talk(
    *participants: Participant, original_audio: str = "mute", mode: str = "bidirectional_translation"
) -> tuple[Talk, list[FakeLeg]]:
    call = Call(a_session(participants=tuple(participants), translation={"original_audio": original_audio}, mode=mode))
    live, legs = await call.joined(*participants)
    return Talk(call, live), legs


async def test_a_duck_goes_down_under_the_translation_and_comes_up_behind_it() -> None:
    talk, (anna, eva) = await a_talk(ANNA, EVA, original_audio="duck")
    await talk.go_on(1, (anna, 20, 0))
    before = levels(eva)
    assert set(before) == {LOUD}
    assert len(before) == 50
    talk.live.text(ANNA.id, WORDS)
    await settle()
    eva.audio.clear()
    await talk.go_on(3, (anna, 20, 0))
    spoken = [peak(frame) for *_, turn, frame in eva.audio if turn]
    after = [peak(frame) for *_, turn, frame in eva.audio if not turn]
    ducked = round(LOUD * 10 ** (-18 / 20))
    assert len(spoken) == len(WORDS.split()) + 2
    middle = spoken[10:-1]
    assert set(middle) <= {LEVEL + ducked, LEVEL + ducked - 1, LEVEL + ducked + 1}
    assert sorted(spoken[3:8], reverse=True) == spoken[3:8]
    assert after[0] < LOUD / 2
    assert after[:20] == sorted(after[:20])
    assert set(after[25:]) == {LOUD}
    await talk.call.board.close()


async def test_pass_sums_both_as_loud_as_they_are() -> None:
    talk, (anna, eva) = await a_talk(ANNA, EVA, original_audio="pass")
    await talk.go_on(1, (anna, 20, 0))
    talk.live.text(ANNA.id, WORDS)
    await talk.go_on(3, (anna, 20, 0))
    spoken = [peak(frame) for *_, turn, frame in eva.audio if turn]
    assert set(spoken[NEAR_LEAD_MS // 20 + 1 : -1]) == {LEVEL + LOUD}
    assert {peak(frame) for *_, turn, frame in eva.audio if not turn} == {LOUD}
    await talk.call.board.close()


async def test_mute_lets_only_the_translation_be_heard() -> None:
    talk, (anna, eva) = await a_talk(ANNA, EVA, original_audio="mute")
    await talk.go_on(1, (anna, 20, 0))
    talk.live.text(ANNA.id, WORDS)
    await talk.go_on(3, (anna, 20, 0))
    assert all(turn for *_, turn, _ in eva.audio)
    assert max(levels(eva)) == LEVEL
    await talk.call.board.close()


@pytest.mark.parametrize("chunk_ms", [20, 60, 100, 500, 1000])
async def test_a_voice_is_no_later_after_many_turns_than_before_them(chunk_ms: int) -> None:
    talk, (anna, eva) = await a_talk(ANNA, EVA, original_audio="pass")
    await talk.go_on(2, (anna, chunk_ms, 0))
    for _ in range(20):
        talk.live.text(ANNA.id, "a few words")
        await talk.go_on(1, (anna, chunk_ms, 0))
    heard = sum(peak(frame) >= LOUD for *_, frame in eva.audio)
    assert len(eva.audio) * 20 <= talk.at_ms + chunk_ms + NEAR_LEAD_MS + 40
    assert heard * 20 >= talk.at_ms - chunk_ms - 120
    await talk.call.board.close()


async def test_a_voice_that_begins_beneath_a_turn_loses_nothing_and_catches_up_where_it_is_silent() -> None:
    talk, (anna, eva) = await a_talk(ANNA, EVA, original_audio="pass")
    talk.live.text(ANNA.id, WORDS)
    await talk.go_on(0.5)
    began = talk.at_ms
    await talk.go_on(2, (anna, 20, 0))
    heard = sum(peak(frame) >= LOUD for *_, frame in eva.audio)
    assert heard * 20 >= talk.at_ms - began - 400
    await talk.go_on(1, (anna, 20, 0), level=0)
    eva.audio.clear()
    await talk.go_on(0.2, (anna, 20, 0))
    assert levels(eva)[5:] == [LOUD] * len(levels(eva)[5:])
    assert 9 <= len(eva.audio) <= 11
    await talk.call.board.close()


@pytest.mark.parametrize(
    ("chunk_ms", "offsets"), [(20, (0, 0, 0)), (100, (0, 40, 60)), (60, (0, 20, 40)), (500, (0, 240, 0))]
)
async def test_voices_that_come_together_are_one_stream(chunk_ms: int, offsets: tuple[int, ...]) -> None:
    talk, (anna, bert, carl, eva) = await a_talk(ANNA, BERT, CARL, Participant(EVA.id, "agent", "en"))
    voices = [(leg, chunk_ms, offset) for leg, offset in zip((anna, bert, carl), offsets, strict=True)]
    await talk.go_on(2, *voices)
    eva.audio.clear()
    at_ms = talk.at_ms
    await talk.go_on(10, *voices)
    assert len(eva.audio) * 20 == pytest.approx(talk.at_ms - at_ms, abs=chunk_ms + 60)
    assert sum(levels(eva)) == pytest.approx(3 * LOUD * (talk.at_ms - at_ms) / 20, rel=0.06)
    assert max(levels(eva)) <= 3 * LOUD
    await talk.call.board.close()


async def test_voices_that_jitter_are_still_one_stream_at_the_pace_of_time() -> None:
    talk, (anna, bert, eva) = await a_talk(ANNA, BERT, Participant(EVA.id, "agent", "en"))
    for n in range(1000):
        # Each a frame late and a frame early in turn.
        if n % 2:
            for _ in range(2):
                talk.live.audio(anna, ANNA.id, voice(), 8000, None)
        elif n:
            for _ in range(2):
                talk.live.audio(bert, BERT.id, voice(), 8000, None)
        await talk.go_on(TICK)
    assert len(eva.audio) == pytest.approx(1000, abs=6)
    assert sum(levels(eva)) == pytest.approx(2 * LOUD * 1000, rel=0.02)
    await talk.call.board.close()


async def test_a_leg_that_cannot_be_written_to_keeps_little() -> None:
    talk, (anna, eva) = await a_talk(ANNA, EVA, original_audio="pass")
    talk.live.text(ANNA.id, WORDS)
    await talk.go_on(0.2, (anna, 20, 0))
    eva.writable = False
    sent = len(eva.audio)
    await talk.go_on(20, (anna, 20, 0))
    assert len(eva.audio) == sent
    eva.writable = True
    await talk.go_on(5, (anna, 20, 0))
    assert len(eva.audio) - sent <= 5 * 50 + MOST_WAITING + NEAR_LEAD_MS // 20 + 1
    assert len(eva.of(events.PlaybackFinished)) == 1
    await talk.call.board.close()


async def test_a_lively_voice_between_two_turns_does_not_hold_the_second_up() -> None:
    talk, (anna, eva) = await a_talk(ANNA, EVA, original_audio="duck")
    await talk.go_on(1, (anna, 20, 0))
    talk.live.text(ANNA.id, "one two three four five")
    await talk.go_on(2, (anna, 20, 0))
    eva.audio.clear()
    talk.live.text(ANNA.id, "one two three four five")
    await talk.go_on(0.3, (anna, 20, 0))
    assert next(index for index, (*_, turn, _) in enumerate(eva.audio) if turn) <= 5
    await talk.call.board.close()


async def test_a_clear_takes_the_voices_that_wait_along() -> None:
    talk, (anna, eva) = await a_talk(ANNA, EVA, original_audio="pass")
    talk.live.text(ANNA.id, WORDS)
    await talk.go_on(0.5, (anna, 20, 0))
    talk.live.clear(eva)
    eva.audio.clear()
    await talk.go_on(0.2, (anna, 20, 0), level=500)
    assert set(levels(eva)) == {500}
    await talk.call.board.close()


@pytest.mark.parametrize("original_audio", ["mute", "duck", "pass"])
async def test_an_assisted_agent_hears_the_customer_and_reads_and_the_customer_hears_translations(
    original_audio: str,
) -> None:
    talk, (anna, eva) = await a_talk(ANNA, EVA, original_audio=original_audio, mode="assistive_translation")
    await talk.go_on(0.5, (anna, 20, 0))
    talk.live.text(ANNA.id, "good morning to you")
    talk.live.text(EVA.id, "buenos dias")
    await talk.go_on(1, (anna, 20, 0))
    assert {turn for *_, turn, _ in eva.audio} == {None}
    assert levels(eva) == [LOUD] * (talk.at_ms // 20)
    translated = [event.translation.text for event in eva.of(events.TranscriptFinal)]  # type: ignore[attr-defined]
    assert translated == ["good morning to you in es", "buenos dias in en"]
    assert {turn for *_, turn, _ in anna.audio} == {talk.call.journal.kept[1].id}
    assert len(talk.call.engines.translating.asked) == 2
    await talk.go_on(0.5, (eva, 20, 0))
    heard = [frame for *_, turn, frame in anna.audio if turn is None]
    assert bool(heard) == (original_audio != "mute")
    await talk.call.board.close()


async def test_a_voice_after_a_silence_is_not_lowered_for_a_turn_that_is_long_over() -> None:
    talk, (anna, eva) = await a_talk(ANNA, EVA, original_audio="duck")
    talk.live.text(ANNA.id, "one two three four five six seven eight nine ten")
    await talk.go_on(0.2, (anna, 20, 0))
    await talk.go_on(3)
    eva.audio.clear()
    await talk.go_on(0.2, (anna, 20, 0))
    assert set(levels(eva)) == {LOUD}
    await talk.call.board.close()


async def test_a_voice_that_comes_faster_than_it_is_spoken_is_handed_out_a_second_ahead() -> None:
    call = Call(a_session(participants=(ANNA, BERT)))
    live, (anna, bert) = await call.joined(ANNA, BERT)
    for n in range(8):
        live.audio(anna, ANNA.id, voice(1000), 8000, n * 1000.0)
    assert len(bert.audio) == 50
    await Talk(call, live).go_on(9)
    assert len(bert.audio) == 400
    await call.board.close()


@pytest.mark.parametrize("held_back_ms", [400, 800, 3000])
async def test_a_voice_that_was_held_back_is_made_up_for_in_its_pauses(held_back_ms: int) -> None:
    """Of a line with noise: what is between words is far below the words, and not silent."""
    words, noise = 8000, 600
    call = Call(a_session(participants=(ANNA, BERT)))
    live, (anna, bert) = await call.joined(ANNA, BERT)
    for _ in range(held_back_ms // 20):
        live.audio(anna, ANNA.id, voice(level=words), 8000, None)
    talk = Talk(call, live)
    seconds = 0.0

    def late_ms() -> float:
        return len(bert.audio) * 20 - seconds * 1000

    loud = held_back_ms // 20
    for _ in range(4):
        await talk.go_on(0.5, (anna, 20, 0), level=words)
        loud += 25
        await talk.go_on(1.0, (anna, 20, 0), level=noise)
        seconds += 1.5
    assert late_ms() <= 100
    assert levels(bert).count(words) == loud
    heard = len(bert.audio)
    live.audio(anna, ANNA.id, voice(level=words), 8000, None)
    assert len(bert.audio) == heard + 1, "what comes now waits for nothing"
    await call.board.close()


async def test_a_synthesiser_that_stalls_silences_nobody_else() -> None:
    call = Call(a_session(participants=(ANNA, BERT, EVA)))
    live, (anna, bert, _) = await call.joined(ANNA, BERT, EVA)
    hearing = live._audience.of([BERT.id])[0]  # pyright: ignore[reportPrivateUsage]
    hearing.begin("stalled", "agent", 8000)
    hearing.speak("stalled", voice(112))
    await Talk(call, live).go_on(4, (anna, 20, 0))
    assert len([frame for _, speaker, turn, frame in bert.audio if turn is None]) >= 190
    await call.board.close()
