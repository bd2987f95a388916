import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.audio.playout import (
    CUSHION_MS,
    FADE_MS,
    FASTEST,
    LEAD_MS,
    Cleared,
    Finished,
    Frame,
    Marked,
    Playout,
    PlayoutEvent,
    Started,
)

RATE = 8000
MS = RATE // 1000 * 2


def speech(ms: int) -> bytes:
    return b"\x01\x02" * (ms * RATE // 1000)


def run(playout: Playout, until_ms: int, step: int = 20) -> list[tuple[int, PlayoutEvent]]:
    return [(now, event) for now in range(0, until_ms, step) for event in playout.due(now)]


def test_a_turn_starts_at_once_and_finishes_when_it_was_heard() -> None:
    playout = Playout(RATE)
    playout.begin("t1", "customer")
    playout.add("t1", speech(1000))
    playout.end("t1")
    told = run(playout, 2000)
    assert told[0] == (0, Started("t1", "customer", 0))
    assert sum(isinstance(event, Frame) for _, event in told) == 50
    assert [(at, event) for at, event in told if isinstance(event, Finished)] == [(1000, Finished("t1", 1000))]
    assert playout.idle


def test_frames_are_never_more_than_the_lead_ahead() -> None:
    playout = Playout(RATE)
    playout.begin("t1", "customer")
    playout.add("t1", speech(5000))
    playout.end("t1")
    sent = 0
    for now in range(0, 4000, 20):
        sent += sum(isinstance(event, Frame) for event in playout.due(now))
        assert sent * 20 <= now + LEAD_MS + 20


def test_burst_hands_out_everything_at_once() -> None:
    playout = Playout(RATE, burst=True)
    playout.begin("t1", "agent")
    playout.add("t1", speech(5000))
    playout.end("t1")
    told = playout.due(0)
    assert len([event for event in told if isinstance(event, Frame)]) == 250
    assert told[-1] == Finished("t1", 5000)


def test_turns_play_in_order_even_when_the_second_is_ready_first() -> None:
    playout = Playout(RATE, burst=True)
    playout.begin("t1", "customer")
    playout.begin("t2", "customer")
    playout.add("t2", speech(100))
    playout.end("t2")
    assert playout.due(0) == []
    playout.add("t1", speech(100))
    playout.end("t1")
    order = [event.turn_id for event in playout.due(0) if isinstance(event, Finished)]
    assert order == ["t1", "t2"]


def test_the_last_frame_is_filled_up_with_silence() -> None:
    playout = Playout(RATE, burst=True)
    playout.begin("t1", "customer")
    playout.add("t1", speech(30))
    playout.end("t1")
    frames = [event for event in playout.due(0) if isinstance(event, Frame)]
    assert [len(frame.pcm) for frame in frames] == [20 * MS, 20 * MS]
    assert frames[1].pcm.endswith(bytes(10 * MS))


def test_a_mark_comes_back_when_what_was_before_it_was_heard() -> None:
    playout = Playout(RATE)
    playout.begin("t1", "customer")
    playout.add("t1", speech(300))
    playout.end("t1")
    playout.mark("here")
    told = run(playout, 1000)
    assert [at for at, event in told if event == Marked("here")] == [300]


def test_a_mark_with_nothing_before_it_comes_back_at_once() -> None:
    playout = Playout(RATE)
    playout.mark("now")
    assert playout.due(5) == [Marked("now")]


def test_clear_cuts_off_and_what_comes_late_for_the_turn_is_dropped() -> None:
    playout = Playout(RATE)
    playout.begin("t1", "customer")
    playout.add("t1", speech(2000))
    playout.mark("end")
    playout.due(0)
    assert playout.clear() == [Cleared("t1"), Marked("end")]
    playout.add("t1", speech(2000))
    playout.end("t1")
    assert playout.idle
    assert playout.backlog_ms == 0


def test_a_turn_waiting_to_have_been_heard_is_cleared_too() -> None:
    playout = Playout(RATE)
    playout.begin("t1", "customer")
    playout.add("t1", speech(200))
    playout.end("t1")
    playout.due(0)
    assert playout.clear() == [Cleared("t1")]
    assert playout.due(10_000) == []


def test_far_too_much_drops_the_oldest_that_has_not_begun() -> None:
    playout = Playout(RATE, max_backlog_ms=1000)
    for turn in ("t1", "t2", "t3"):
        playout.begin(turn, "customer")
        playout.add(turn, speech(400))
        playout.end(turn)
        playout.due(0)
    assert playout.backlog_ms <= 1000
    playout.begin("t4", "customer")
    playout.add("t4", speech(400))
    playout.end("t4")
    told = run(playout, 5000)
    assert Cleared("t2") in [event for _, event in told]
    assert [event.turn_id for _, event in told if isinstance(event, Finished)] == ["t1", "t3", "t4"]


@given(st.lists(st.integers(1, 700), min_size=1, max_size=20), st.integers(5, 90))
def test_no_sample_is_lost_or_repeated_however_it_comes(pieces: list[int], step: int) -> None:
    playout = Playout(RATE, burst=False, max_backlog_ms=60_000)
    whole = b"".join(bytes([n % 251, 1]) * (ms * 8) for n, ms in enumerate(pieces))
    playout.begin("t1", "customer")
    out = b""
    now = 0
    at = 0
    for ms in pieces:
        playout.add("t1", whole[at : at + ms * 16])
        at += ms * 16
        now += step
        out += b"".join(event.pcm for event in playout.due(now) if isinstance(event, Frame))
    playout.end("t1")
    while not playout.idle:
        now += step
        out += b"".join(event.pcm for event in playout.due(now) if isinstance(event, Frame))
    fade = FADE_MS * MS
    if len(whole) > 2 * fade:
        assert out[fade : len(whole) - fade] == whole[fade:-fade]
    assert len(whole) <= len(out) < len(whole) + 20 * MS


def frames(told: list[tuple[int, PlayoutEvent]]) -> list[Frame]:
    return [event for _, event in told if isinstance(event, Frame)]


def test_a_spurt_begins_when_a_cushion_is_there() -> None:
    playout = Playout(RATE)
    playout.begin("t1", "customer")
    playout.add("t1", speech(CUSHION_MS - 10))
    assert playout.due(0) == []
    playout.add("t1", speech(10))
    assert len([event for event in playout.due(20) if isinstance(event, Frame)]) == CUSHION_MS // 20


def test_a_synthesiser_that_stutters_gathers_a_new_cushion() -> None:
    playout = Playout(RATE)
    playout.begin("t1", "customer")
    playout.add("t1", speech(100))
    run(playout, 400)
    playout.add("t1", speech(20))
    assert playout.due(400) == []
    playout.add("t1", speech(40))
    assert [event.at_ms for event in playout.due(420) if isinstance(event, Frame)] == [420, 440, 460]


def test_edges_are_faded_and_the_middle_is_untouched() -> None:
    playout = Playout(RATE, burst=True)
    playout.begin("t1", "customer")
    playout.add("t1", b"\x00\x40" * 160 * 5)
    playout.end("t1")
    heard = np.frombuffer(b"".join(event.pcm for event in playout.due(0) if isinstance(event, Frame)), "<i2")
    assert heard[0] == 0
    assert heard[-1] == 0
    assert abs(np.diff(heard.astype(int))).max() < 0x4000 / (FADE_MS * 8) + 20
    assert (heard[FADE_MS * 8 : -FADE_MS * 8] == 0x4000).all()


def test_frames_say_when_they_are_heard() -> None:
    playout = Playout(RATE)
    playout.begin("t1", "customer")
    playout.add("t1", speech(1000))
    playout.end("t1")
    assert [frame.at_ms for frame in frames(run(playout, 1000))] == [float(n * 20) for n in range(50)]


def waiting(playout: Playout, *turns: tuple[str, int]) -> None:
    for turn, ms in turns:
        playout.begin(turn, "customer")
        playout.add(turn, speech(ms))
        playout.end(turn)


def test_a_turn_that_nobody_waits_behind_is_played_at_its_own_speed() -> None:
    playout = Playout(RATE)
    waiting(playout, ("t1", 8000))
    assert len(frames(run(playout, 9000))) == 400


def test_turns_are_played_faster_while_others_wait() -> None:
    playout = Playout(RATE)
    waiting(playout, ("t1", 4000), ("t2", 4000), ("t3", 4000))
    told = run(playout, 12_000)
    finished = {event.turn_id: at for at, event in told if isinstance(event, Finished)}
    assert 4000 / FASTEST < finished["t1"] < 3400
    assert finished["t2"] - finished["t1"] < 4000
    assert finished["t3"] < 11_000
    assert playout.tempo == pytest.approx(1.0)


def test_tempo_never_steps() -> None:
    playout = Playout(RATE)
    waiting(playout, ("t1", 4000), ("t2", 4000), ("t3", 1000))
    tempos = [1.0]
    for now in range(0, 9000, 20):
        playout.due(now)
        tempos.append(playout.tempo)
    assert max(tempos) <= FASTEST
    # One call may hand out more than one frame.
    assert max(abs(a - b) for a, b in itertools.pairwise(tempos)) <= 0.01 * (LEAD_MS // 20 + 1)


def test_two_people_who_never_pause_are_followed_and_the_backlog_is_bounded() -> None:
    playout = Playout(RATE, max_backlog_ms=15_000)
    worst = 0.0
    for now in range(0, 600_000, 20):
        if now % 3000 == 0:
            waiting(playout, (f"t{now}", 3750))
        playout.due(now)
        worst = max(worst, playout.backlog_ms)
    assert worst < 8000


def test_faster_than_it_can_be_played_drops_whole_turns_and_says_which() -> None:
    playout = Playout(RATE, max_backlog_ms=15_000)
    told: list[tuple[int, PlayoutEvent]] = []
    for now in range(0, 120_000, 20):
        if now % 2000 == 0:
            waiting(playout, (f"t{now}", 4000))
        told += [(now, event) for event in playout.due(now)]
        assert playout.backlog_ms <= 15_000
    started = [event.turn_id for _, event in told if isinstance(event, Started)]
    cleared = [event.turn_id for _, event in told if isinstance(event, Cleared)]
    assert cleared
    assert not set(started) & set(cleared)
    assert started == sorted(started, key=lambda turn: int(turn[1:]))


def test_a_turn_longer_than_the_bound_is_played() -> None:
    playout = Playout(RATE, max_backlog_ms=1000)
    waiting(playout, ("t1", 5000))
    told = run(playout, 6000)
    assert len(frames(told)) == 250
    assert not [event for _, event in told if isinstance(event, Cleared)]


def test_a_synthesiser_that_stops_in_mid_frame_no_longer_flows() -> None:
    playout = Playout(RATE)
    playout.begin("t1", "customer")
    playout.add("t1", speech(112))
    run(playout, 1000)
    assert not playout.flowing
    playout.add("t1", speech(20))
    assert not playout.due(1000)
    playout.add("t1", speech(60))
    assert playout.due(1020)


def test_one_large_piece_drops_as_many_waiting_turns_as_it_takes() -> None:
    playout = Playout(RATE, max_backlog_ms=3000)
    for n in range(6):
        playout.begin(f"t{n}", "customer")
        playout.add(f"t{n}", speech(500))
        playout.end(f"t{n}")
    playout.due(0)
    playout.begin("last", "customer")
    playout.add("last", speech(2000))
    assert playout.backlog_ms <= 3000


def test_what_the_other_side_hears_late_is_told_late() -> None:
    playout = Playout(RATE)
    playout.late_ms = 150
    playout.begin("t1", "customer")
    playout.add("t1", speech(200))
    playout.end("t1")
    told = run(playout, 1000)
    assert told[0] == (0, Started("t1", "customer", 150))
    assert told[-1] == (360, Finished("t1", 350))
