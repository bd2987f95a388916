"""Two people who talk without a pause, both at once, for ten minutes."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import pytest
from tests.session.calls import TICK, ScriptedCall
from tests.session.fakes import FakeLeg, a_session, settle

from kallglot.audio.playout import MAX_BACKLOG_MS
from kallglot.session import events
from kallglot.session.live import WARN_AGAIN_SECONDS, LiveSession
from kallglot.session.model import Participant

PERIOD_MS = 4000
PAUSE_MS = 320
CHUNK_MS = 80
MINUTES = 10
LETTERS = 50
ENGLISH, SPANISH = Participant("part_c", "customer", "en"), Participant("part_a", "agent", "es")
TURNS = MINUTES * 60_000 // PERIOD_MS


def line(language: str, n: int) -> str:
    """As long as the others, five letters less than its translation, which has ``[es] `` in front."""
    return f"{language} sentence {n:04} goes on".ljust(LETTERS - 5, "x")


@dataclass
class Talk:
    call: ScriptedCall
    legs: tuple[FakeLeg, FakeLeg]
    worst_backlog_ms: float = 0.0

    def lags(self, minute: int) -> list[int]:
        """From the end of what was said in a minute until it was heard."""
        return [
            times.heard_ms - times.speech_end_ms
            for times in self.call.observed
            if times.heard_ms is not None and times.speech_end_ms // 60_000 == minute - 1
        ]


async def talk(times_as_long: float) -> Talk:
    ms_per_character = round(PERIOD_MS * times_as_long / LETTERS)
    call = ScriptedCall(
        a_session(participants=(ENGLISH, SPANISH)),
        {language: [line(language, n) for n in range(TURNS)] for language in ("en", "es")},
        ms_per_character=ms_per_character,
    )
    await call.start()
    made = Talk(call, (FakeLeg("c", ENGLISH.id), FakeLeg("a", SPANISH.id)))
    live = [await call.connect(leg) for leg in made.legs][-1]
    loud, quiet = b"\x00\x10" * (8 * CHUNK_MS), bytes(16 * CHUNK_MS)
    # The other side is half an utterance behind.
    offsets = (0, PERIOD_MS // 2)
    for at in range(0, MINUTES * 60_000 + PERIOD_MS // 2, CHUNK_MS):
        for leg, offset in zip(made.legs, offsets, strict=True):
            if 0 <= at - offset < MINUTES * 60_000:
                speaks = (at - offset) % PERIOD_MS < PERIOD_MS - PAUSE_MS
                live.audio(leg, leg.participant_id or "", loud if speaks else quiet, 8000, None)
        for _ in range(CHUNK_MS // 20):
            await call.step(live, 3)
            made.worst_backlog_ms = max(made.worst_backlog_ms, *(_backlogs(live)))
    for _ in range(round(40 / TICK)):
        await call.step(live, 1)
    await settle()
    await call.board.close()
    return made


def _backlogs(live: LiveSession) -> list[float]:
    return [hearing.backlog_ms for hearing in live._audience.of((ENGLISH.id, SPANISH.id))]  # pyright: ignore[reportPrivateUsage]


async def test_what_takes_longer_to_say_is_caught_up_with_and_nothing_is_dropped() -> None:
    made = await talk(1.25)
    assert made.worst_backlog_ms <= MAX_BACKLOG_MS
    for leg, language in zip(made.legs, ("en", "es"), strict=True):
        own = [turn for turn in made.call.journal.kept if turn.participant_id == leg.participant_id]
        assert [turn.text for turn in own] == [line(language, n) for n in range(TURNS)]
        assert not leg.of(events.PlaybackCleared)
        assert leg.warnings() == []
    assert [turn.sequence for turn in made.call.journal.kept] == list(range(1, 2 * TURNS + 1))
    assert len(made.call.observed) == len(made.call.journal.timings) == 2 * TURNS
    assert statistics.median(made.lags(10)) == pytest.approx(statistics.median(made.lags(2)), rel=0.2)


async def test_what_takes_twice_as_long_is_bounded_and_the_transcript_is_whole() -> None:
    made = await talk(2.0)
    assert made.worst_backlog_ms <= MAX_BACKLOG_MS
    for leg, language in zip(made.legs, ("en", "es"), strict=True):
        own = [turn for turn in made.call.journal.kept if turn.participant_id == leg.participant_id]
        assert [turn.text for turn in own] == [line(language, n) for n in range(TURNS)]
        cleared = [event.turn_id for event in leg.of(events.PlaybackCleared)]  # type: ignore[attr-defined]
        started = [event.turn_id for event in leg.of(events.PlaybackStarted)]  # type: ignore[attr-defined]
        finished = [event.turn_id for event in leg.of(events.PlaybackFinished)]  # type: ignore[attr-defined]
        assert cleared
        assert len(cleared) == len(set(cleared))
        assert set(started) == set(finished)
        assert not set(cleared) & set(started)
        assert set(cleared) | set(started) == {turn.id for turn in made.call.journal.kept}
        assert set(leg.warnings()) == {"playout_behind"}
        assert len(leg.warnings()) <= MINUTES * 60 / WARN_AGAIN_SECONDS + 1
    assert len(made.call.journal.timings) == 2 * TURNS
    assert max(made.lags(10)) <= max(made.lags(3)) * 1.2
