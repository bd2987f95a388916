from hypothesis import given
from hypothesis import strategies as st

from kallglot.audio.playout import LEAD_MS, Cleared, Finished, Frame, Marked, Playout, PlayoutEvent, Started

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
    assert told[0] == (0, Started("t1", "customer"))
    assert sum(isinstance(event, Frame) for _, event in told) == 50
    assert [(at, event) for at, event in told if isinstance(event, Finished)] == [(1000, Finished("t1"))]
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
    assert told[-1] == Finished("t1")


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
    assert out[: len(whole)] == whole
    assert len(out) - len(whole) < 20 * MS
