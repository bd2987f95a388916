from __future__ import annotations

from kallglot.session.timings import MOST_OPEN, Timings, TurnTimes


def times(turn_id: str = "t1") -> TurnTimes:
    return TurnTimes(turn_id, "s", 1000, 3000, 3600, first_partial_ms=1450, translated_ms=3620, final_ms=3630)


def test_a_turn_is_done_when_everyone_has_heard_it() -> None:
    timings = Timings()
    timings.committed(times(), 1)
    timings.begin("t1", "a", "agent", "es")
    timings.begin("t1", "b", "agent", "es")
    timings.spoken("t1")
    timings.note("t1", "a", first_audio_ms=3700)
    timings.note("t1", "b", first_audio_ms=3650)
    timings.note("t1", "a", heard_ms=5000)
    assert timings.done() == []
    timings.note("t1", "b", heard_ms=5100)
    (done,) = timings.done()
    assert (done.first_audio_ms, done.heard_ms) == (3650, 5100)
    assert done.lags() == {
        "first_partial": 0.45,
        "commit": 0.6,
        "translation": 0.02,
        "playout": 0.03,
        "first_audio": 0.65,
        "heard": 2.1,
    }
    assert timings.rest() == []


def test_a_turn_that_nobody_hears_is_done_at_once() -> None:
    timings = Timings()
    timings.committed(times(), 0)
    assert [one.turn_id for one in timings.done()] == ["t1"]


def test_a_turn_whose_synthesis_failed_is_done() -> None:
    timings = Timings()
    timings.committed(times(), 1)
    timings.spoken("t1")
    (done,) = timings.done()
    assert "first_audio" not in done.lags()


def test_cut_off_is_over() -> None:
    timings = Timings()
    timings.committed(times(), 1)
    timings.begin("t1", "a", "agent", "es")
    timings.spoken("t1")
    timings.note("t1", "a", first_audio_ms=3700)
    timings.note("t1", "a", cleared=True)
    assert timings.done()[0].heard_ms is None


def test_what_never_ends_is_bounded_and_kept_in_the_end() -> None:
    timings = Timings()
    for n in range(MOST_OPEN + 3):
        timings.committed(times(f"t{n}"), 1)
    assert [one.turn_id for one in timings.done()] == ["t0", "t1", "t2"]
    assert len(timings.rest()) == MOST_OPEN


def test_media_ahead_of_the_clock_has_no_negative_lag() -> None:
    assert min(TurnTimes("t", "s", 5000, 9000, 100).lags().values()) == 0


def test_a_second_language_is_waited_for() -> None:
    timings = Timings()
    timings.committed(times(), 2)
    timings.begin("t1", "a", "agent", "es")
    timings.spoken("t1")
    timings.note("t1", "a", first_audio_ms=3700, heard_ms=5000)
    assert timings.done() == []
    timings.begin("t1", "b", "agent", "fr")
    timings.note("t1", "b", first_audio_ms=4000, heard_ms=6000)
    timings.spoken("t1")
    assert timings.done()[0].heard_ms == 6000
