from hypothesis import given
from hypothesis import strategies as st

from kallglot.audio.timeline import GAP_MS, MAX_GAP_MS, SourceTimeline


def test_contiguous_audio_has_no_gaps() -> None:
    timeline = SourceTimeline()
    assert [timeline.place(n * 20, 20) for n in range(100)] == [0] * 100


def test_a_gap_is_silence_once() -> None:
    timeline = SourceTimeline()
    timeline.place(0, 20)
    assert timeline.place(1020, 20) == 1000
    assert timeline.place(1040, 20) == 0


def test_the_wall_clock_is_as_good_as_a_counter() -> None:
    timeline = SourceTimeline()
    start = 1_774_522_800_000
    timeline.place(start, 100)
    assert timeline.place(start + 600, 100) == 500


def test_a_jump_backwards_is_ignored_and_what_follows_is_placed_after_it() -> None:
    timeline = SourceTimeline()
    timeline.place(50_000, 20)
    assert timeline.place(10, 20) == 0
    assert timeline.place(30, 20) == 0
    assert timeline.place(530, 20) == 480


def test_a_changed_clock_is_not_a_silence() -> None:
    timeline = SourceTimeline()
    timeline.place(0, 20)
    assert timeline.place(MAX_GAP_MS * 50, 20) == 0
    assert timeline.place(MAX_GAP_MS * 50 + 20, 20) == 0


def test_audio_without_stamps_moves_the_timeline_too() -> None:
    timeline = SourceTimeline()
    timeline.place(0, 20)
    for _ in range(50):
        assert timeline.place(None, 20) == 0
    assert timeline.place(1020 + 20, 20) == 0


@given(st.lists(st.floats(-60, 60), min_size=1, max_size=400))
def test_scheduling_jitter_never_becomes_silence(jitters: list[float]) -> None:
    timeline = SourceTimeline()
    gaps = [timeline.place(n * 20 + jitter, 20) for n, jitter in enumerate(jitters)]
    assert sum(gaps) == 0


def test_a_clock_that_runs_fast_by_a_thousandth_never_adds_up_to_a_gap() -> None:
    timeline = SourceTimeline()
    assert sum(timeline.place(n * 20 * 1.001, 20) for n in range(60 * 50)) < GAP_MS
