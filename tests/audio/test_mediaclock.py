from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.audio.mediaclock import FAR_SLEW, HOLE_MS, LOST_MS, MediaClock
from kallglot.audio.timeline import MAX_GAP_MS

HOUR_MS = 3_600_000


def live(
    clock: MediaClock, start: float, end: float, *, ppm: float = 0.0, stamped: bool = True, seed: int = 1, by: str = "a"
) -> tuple[float, float]:
    """20 ms chunks of a sender whose crystal is off by ``ppm``, over a path that queues; the worst and last error."""
    rng = random.Random(seed)
    worst = error = 0.0
    period = 20 * (1 + ppm / 1e6)
    n = 0
    while start + (n + 1) * period < end:
        captured = start + n * period
        arrival = captured + period + 5 + rng.expovariate(1 / 4)
        placed = clock.place(by, arrival, 20, n * 20 if stamped else None)
        error = placed.at_ms - captured
        worst = max(worst, abs(error - 5))
        n += 1
    return worst, error


def test_the_first_chunk_ends_when_it_came() -> None:
    assert MediaClock().place("a", 120, 100, None).at_ms == 20


def test_time_runs_by_samples_whatever_the_path_does() -> None:
    clock = MediaClock()
    clock.place("a", 20, 20, 0)
    assert [clock.place("a", 400, 20, n * 20).at_ms for n in range(1, 20)] == [n * 20.0 for n in range(1, 20)]


def test_a_stamped_gap_is_silence() -> None:
    clock = MediaClock()
    clock.place("a", 20, 20, 0)
    placed = clock.place("a", 5020, 20, 5000)
    assert (placed.at_ms, placed.gap_ms) == (5000, 4980)


def test_a_stamp_from_the_future_is_a_clock_that_jumped() -> None:
    clock = MediaClock()
    for n in range(100):
        clock.place("a", 20 + n * 20, 20, n * 20)
    placed = clock.place("a", 2020, 20, 9000)
    assert (round(placed.at_ms), placed.gap_ms) == (2000, 0)
    assert round(clock.place("a", 2040, 20, 9020).at_ms) == 2020


def test_a_file_sent_faster_than_real_time_keeps_its_own_gaps() -> None:
    clock = MediaClock()
    for n in range(100):
        clock.place("a", 20, 20, n * 20)
    assert clock.place("a", 20, 20, 2000 + 30_000).gap_ms == 30_000


def test_a_stall_and_the_burst_after_it_move_nothing() -> None:
    for stamped in (True, False):
        clock = MediaClock()
        for n in range(500):
            clock.place("a", 20 + n * 20, 20, n * 20 if stamped else None)
        at = [clock.place("a", 15_000, 20, n * 20 if stamped else None).at_ms for n in range(500, 750)]
        # Without stamps the first chunk of the burst cannot be told from speech after a pause.
        assert [round(one) for one in at[1:]] == [n * 20 for n in range(501, 750)]
        assert round(clock.place("a", 15_020, 20, 750 * 20 if stamped else None).at_ms) == 15_000


def test_speech_after_a_pause_without_stamps_is_where_it_came() -> None:
    clock = MediaClock()
    clock.place("a", 20, 20, None)
    placed = clock.place("a", 20 + HOLE_MS + 500, 20, None)
    assert (placed.at_ms, placed.gap_ms) == (HOLE_MS + 500, HOLE_MS + 480)
    assert clock.place("a", 40 + HOLE_MS + 500, 20, None).at_ms == HOLE_MS + 520


def test_a_new_connection_goes_on_where_time_is_and_never_back() -> None:
    clock = MediaClock()
    clock.place("a", 20, 20, 0)
    assert clock.place("b", 90_000, 20, 77).at_ms == 89_980
    assert clock.place("c", 90_005, 20, 5).at_ms == 90_000


def test_a_crystal_that_is_off_is_followed() -> None:
    for ppm in (-100, -20, 35, 100):
        worst, last = live(MediaClock(), 0, HOUR_MS, ppm=ppm)
        assert worst < 12, ppm
        assert abs(last - 5) < 8, ppm


def test_audio_lost_without_a_word_is_made_up_for_within_two_windows() -> None:
    clock = MediaClock()
    live(clock, 0, 60_000, stamped=False)
    live(clock, 60_400, 90_000, stamped=False)
    _, last = live(clock, 90_000, 120_000, stamped=False)
    assert abs(last - 5) < LOST_MS / 4


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(10, 1000)), min_size=1, max_size=200), st.booleans())
def test_time_never_runs_back_but_into_a_hole(steps: list[tuple[int, int]], stamped: bool) -> None:
    clock = MediaClock()
    now, before = 0.0, 0.0
    for wait, duration in steps:
        now += wait
        placed = clock.place("a", now, duration, now if stamped else None)
        assert placed.gap_ms >= 0
        if stamped:
            assert placed.at_ms >= before - duration * FAR_SLEW - 1e-6
        before = clock.end_ms


def stalled(clock: MediaClock, *, spacing: float) -> int:
    """Four seconds of a stall without stamps, which then come at ``spacing``; how many chunks are misplaced after."""
    wrong = 0
    came = 0.0
    for n in range(3000):
        arrives = (n + 1) * 20.0
        if 20_000 <= n * 20 < 24_000:
            arrives = max(arrives, 24_000)
        came = max(came + spacing, arrives) if came >= 24_000 else max(came, arrives)
        wrong += abs(clock.place("a", came, 20, None).at_ms - n * 20) > LOST_MS
    return wrong


@pytest.mark.parametrize(("spacing", "most"), [(0.2, 1), (5, 1), (9, 1), (12, 25), (15, 40)])
def test_what_a_stall_kept_back_comes_as_slowly_as_the_path_allows(spacing: float, most: int) -> None:
    assert stalled(MediaClock(), spacing=spacing) <= most


def test_words_after_pauses_without_stamps_are_where_they_were_said() -> None:
    rng = random.Random(1)
    clock, came, wrong = MediaClock(), 0.0, 0
    for spurt in range(100):
        for n in range(100):
            captured = spurt * 5000 + n * 20
            came = max(came + 0.2, captured + 20 + rng.expovariate(1 / 8))
            wrong += abs(clock.place("a", came, 20, None).at_ms - captured) > LOST_MS
    # A chunk that comes right behind the first might be the rest of a stall.
    assert wrong < 30


def test_a_first_chunk_that_waited_for_its_connection_is_made_up_for_within_half_a_minute() -> None:
    for late in (20, 60, 100):
        clock = MediaClock()
        clock.place("a", 20 + late, 20, 0)
        error = 0.0
        for n in range(1, 1500):
            arrives = max(20.0 + late, 20.0 + n * 20)
            error = clock.place("a", arrives, 20, n * 20).at_ms - n * 20
        assert abs(error) < 3, late


def test_nobody_lays_audio_further_ahead_than_a_silence_may_be() -> None:
    clock = MediaClock()
    stamp = 0.0
    for n in range(500):
        clock.place("a", 20.0 * (n + 1), 20, stamp)
        stamp += 20 if n < 100 else 29 * 60_000
    assert clock.end_ms <= 10_000 + MAX_GAP_MS + 1000


def test_stamps_that_go_on_say_how_late_the_first_audio_of_a_connection_is() -> None:
    clock = MediaClock()
    for n in range(100):
        clock.place("a", 20.0 * (n + 1), 20, 1e12 + 20 * n)
    assert clock.place("b", 92_065, 20, 1e12 + 92_000).at_ms == 92_000
    assert clock.place("c", 93_000, 20, 5).at_ms == 92_980


def test_an_earlier_life_is_not_written_over() -> None:
    assert MediaClock(60_000).place("a", 5000, 20, None).at_ms == 60_000
