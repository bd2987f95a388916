"""When a process refuses: what late ticks, a busy loop and sessions on their way lead to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.session.calls import Call
from tests.session.fakes import FakeLeg, a_session, settle

from kallglot.session.saturation import FEWEST_KNOWN, PLEDGE_SECONDS, Saturation, Thresholds
from kallglot.session.switchboard import StreamRefused

TICK_S = 0.02


class Loop:
    """A loop that has been busy, and late, for a while."""

    def __init__(self, busy: float = 0.0, late_ms: float = 0.0, *, every: int = 1) -> None:
        self.now = self.worked = 0.0
        self.saturation = Saturation(Thresholds(late_ms=60, busy=0.9))
        self.passes(10, busy, late_ms, every=every)

    def passes(self, seconds: float, busy: float, late_ms: float = 0.0, *, every: int = 1) -> None:
        for n in range(round(seconds / TICK_S)):
            self.now += TICK_S
            self.worked += TICK_S * busy
            self.saturation.ticked(self.now, late_ms if n % every == 0 else 0.0, self.worked)

    def refuses(self, live: int = 100) -> tuple[bool, bool]:
        return self.saturation.refuses_sessions(self.now, live), self.saturation.refuses_streams(live)


def test_a_loop_with_time_left_takes_all() -> None:
    assert Loop(busy=0.85, late_ms=5).refuses() == (False, False)


def test_what_was_while_the_process_started_does_not_count() -> None:
    loop = Loop(busy=1.0, late_ms=200)
    assert loop.refuses(live=1) == (True, True)
    loop.saturation.begin()
    assert loop.refuses(live=1) == (False, False)
    assert (loop.saturation.late_ms, loop.saturation.lag_ms, loop.saturation.busy) == (0.0, 0.0, 0.0)
    loop.passes(1, busy=0.1, late_ms=1)
    assert loop.refuses(live=1) == (False, False)


def test_a_busy_loop_refuses_sessions_before_streams() -> None:
    assert Loop(busy=0.93).refuses() == (True, False)
    assert Loop(busy=1.0).refuses() == (True, True)


def test_a_late_loop_refuses_though_it_is_not_busy() -> None:
    assert Loop(busy=0.1, late_ms=80).refuses() == (True, True)


def test_a_tick_that_comes_late_now_and_then_refuses_nobody() -> None:
    loop = Loop(late_ms=300, every=40)
    assert loop.refuses() == (False, False)
    assert loop.saturation.late_ms == 0.0


def test_where_nobody_is_nobody_suffers() -> None:
    assert Loop(busy=1.0, late_ms=500).refuses(live=0) == (False, False)


def test_what_was_let_in_is_reckoned_with_until_it_has_come() -> None:
    loop = Loop(busy=0.6)
    for n in range(51):
        assert loop.refuses() == (False, False)
        loop.saturation.pledge(f"sess_{n}", loop.now)
    assert loop.refuses() == (True, False)
    loop.saturation.redeem("sess_0")
    assert loop.refuses() == (False, False)
    loop.saturation.pledge("sess_0", loop.now)
    loop.passes(PLEDGE_SECONDS + TICK_S, busy=0.6)
    assert loop.refuses() == (False, False)


def test_a_few_sessions_do_not_say_what_one_costs() -> None:
    loop = Loop(busy=0.6)
    for n in range(500):
        loop.saturation.pledge(f"sess_{n}", loop.now)
    assert loop.refuses(live=FEWEST_KNOWN - 1) == (False, False)


def test_it_takes_calls_again_when_the_rush_is_over() -> None:
    loop = Loop(busy=1.0, late_ms=200)
    loop.passes(3, busy=0.5)
    assert loop.refuses() == (False, False)


async def test_a_full_board_turns_new_sessions_away_and_lets_running_ones_be_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = Call()
    live = await call.connect(FakeLeg("one"))
    assert not call.board.refuses_sessions()
    monkeypatch.setattr(call.board, "saturation", Loop(busy=1.0).saturation)
    assert call.board.refuses_sessions()
    assert await call.connect(FakeLeg("two")) is live
    call.journal.sessions["sess_2"] = replace(a_session(), id="sess_2")
    with pytest.raises(StreamRefused) as refused:
        await call.board.connect("sess_2", True, lambda _: FakeLeg("three"))
    assert (refused.value.close_code, refused.value.code) == (1013, "overloaded")
    await settle()
    await call.board.close()
