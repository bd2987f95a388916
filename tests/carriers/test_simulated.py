"""The carrier that test keys reach."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from kallglot.carriers.callbacks import CallChange
from kallglot.carriers.client import CarrierError, Order, Stream
from kallglot.carriers.model import Call
from kallglot.carriers.simulated import INVALID, MACHINE, OUTCOMES, SimulatedCarrier, SimulatedLeg
from kallglot.clock import FakeClock
from kallglot.session.model import Participant
from kallglot.session.switchboard import StreamRefused

CUSTOMER = Participant("part_c", "customer", "de")
AGENT = Participant("part_a", "agent", "en")
ORDER = Order(
    "call_1",
    "+4930901820",
    "+15005550006",
    "https://example.com/answer",
    "https://example.com/status",
    "https://example.com/amd",
    Stream("wss://example.com/v1/sessions/sess_1/connect", {"token": "t", "participant": CUSTOMER.id}),
)
CALL = Call(
    "call_1", "sess_1", "org_1", False, "simulated", "outbound", "in_progress", FakeClock().now(), None, "CAsim1"
)


async def soon(happens: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await happens.wait()


class Live:
    def __init__(self) -> None:
        self.frames: list[tuple[str, bytes, int]] = []
        self.heard = asyncio.Event()

    def find(self, name: str) -> Participant | None:
        return next((one for one in (CUSTOMER, AGENT) if name in (one.id, one.role)), None)

    def audio(self, leg: Any, participant_id: str, pcm: bytes, rate_hz: int, timestamp_ms: float | None) -> None:
        self.frames.append((participant_id, pcm, rate_hz))
        if len(self.frames) >= 3:
            self.heard.set()


class Board:
    def __init__(self) -> None:
        self.live = Live()
        self.connects: list[tuple[str, bool]] = []
        self.legs: list[SimulatedLeg] = []
        self.gone: list[SimulatedLeg] = []
        self.refuses: StreamRefused | None = None

    async def connect(self, session_id: str, livemode: bool, admit: Any) -> Live:
        self.connects.append((session_id, livemode))
        if self.refuses is not None:
            raise self.refuses
        self.legs.append(admit(self.live))
        return self.live

    async def disconnect(self, live: Live, leg: SimulatedLeg) -> None:
        self.gone.append(leg)


class Bench:
    """A simulated carrier whose time is an ``asyncio.sleep(0)``, and what it tells."""

    def __init__(self) -> None:
        self.board = Board()
        self.waits: list[float] = []
        self.told: list[tuple[str, CallChange]] = []
        self.over = asyncio.Event()
        self.fails = False
        self.carrier = SimulatedCarrier(cast("Any", self.board), sleep=self._sleep)
        self.carrier.tells(self._tell)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    async def _tell(self, call_id: str, change: CallChange) -> None:
        self.told.append((call_id, change))
        if change.status not in ("ringing", "in_progress"):
            self.over.set()
        if self.fails:
            raise RuntimeError("no database")

    @property
    def statuses(self) -> list[str | None]:
        return [change.status for _, change in self.told]


@pytest.fixture
async def bench() -> Any:
    made = Bench()
    yield made
    await made.carrier.close()


async def test_somebody_answers_and_is_hung_up(bench: Bench) -> None:
    sid = await bench.carrier.dial(ORDER)
    assert sid == "CAsim1"
    await soon(bench.board.live.heard)
    assert bench.board.connects == [("sess_1", False)]
    assert bench.board.live.frames[0] == (CUSTOMER.id, bytes(320), 8000)
    assert bench.statuses == ["ringing", "in_progress"]
    assert bench.told[1][1].answered_by is None
    await bench.carrier.hang_up(CALL)
    await soon(bench.over)
    assert bench.statuses == ["ringing", "in_progress", "completed"]
    assert {(call_id, change.carrier_call_id) for call_id, change in bench.told} == {("call_1", sid)}
    assert [change.order for _, change in bench.told] == [1, 2, 3]
    assert bench.told[-1][1].hangup_cause == "hangup"
    assert bench.board.gone == bench.board.legs


async def test_the_session_closes_the_leg(bench: Bench) -> None:
    await bench.carrier.dial(ORDER)
    await soon(bench.board.live.heard)
    bench.board.legs[0].close(1000, "completed")
    await soon(bench.over)
    assert bench.statuses[-1] == "completed"
    assert bench.board.gone == bench.board.legs


@pytest.mark.parametrize("to", OUTCOMES)
async def test_what_becomes_of_a_call_is_in_its_number(bench: Bench, to: str) -> None:
    await bench.carrier.dial(replace(ORDER, to=to))
    await soon(bench.over)
    assert bench.statuses == ["ringing", OUTCOMES[to]]
    assert bench.told[-1][1].hangup_cause == OUTCOMES[to]
    assert bench.board.connects == []


def test_the_numbers_are_different_ones_and_end_calls() -> None:
    assert len({*OUTCOMES, INVALID, MACHINE}) == len(OUTCOMES) + 2
    assert set(OUTCOMES.values()) == {"busy", "no_answer", "failed"}


async def test_a_number_that_is_none(bench: Bench) -> None:
    with pytest.raises(CarrierError) as refused:
        await bench.carrier.dial(replace(ORDER, to=INVALID))
    assert (refused.value.code, refused.value.status) == ("21211", 400)
    with pytest.raises(CarrierError):
        await bench.carrier.transfer(CALL, INVALID, from_=None, timeout_seconds=30, result_url="")
    assert bench.told == []


@pytest.mark.parametrize(("to", "answerer"), [(MACHINE, "machine"), (ORDER.to, "human")])
async def test_who_answers_is_told_to_who_asks(bench: Bench, to: str, answerer: str) -> None:
    await bench.carrier.dial(replace(ORDER, to=to, machine_detection=True))
    await soon(bench.board.live.heard)
    assert bench.told[1][1].answered_by == answerer


async def test_the_same_order_is_one_call(bench: Bench) -> None:
    assert await bench.carrier.dial(ORDER) == await bench.carrier.dial(ORDER)
    await soon(bench.board.live.heard)
    assert await bench.carrier.dial(ORDER) == "CAsim1"
    assert len(bench.board.connects) == 1
    other = await bench.carrier.dial(replace(ORDER, call_id="call_2"))
    assert other == "CAsim2"


async def test_hung_up_while_it_rings(bench: Bench) -> None:
    await bench.carrier.dial(ORDER)
    await bench.carrier.hang_up(CALL)
    await bench.carrier.hang_up(CALL)
    await bench.carrier.close()
    assert "in_progress" not in bench.statuses
    assert bench.board.connects == []


async def test_hanging_up_what_is_not_there(bench: Bench) -> None:
    await bench.carrier.hang_up(CALL)
    assert bench.told == []


@pytest.mark.parametrize("refusal", [(4409, "session_already_ended"), (4404, "session_not_found")])
async def test_a_session_that_lets_nobody_in(bench: Bench, refusal: tuple[int, str]) -> None:
    bench.board.refuses = StreamRefused(*refusal, "No.")
    await bench.carrier.dial(ORDER)
    await soon(bench.over)
    assert bench.statuses == ["ringing", "failed"]
    assert bench.told[-1][1].hangup_cause == refusal[1]


async def test_a_participant_who_is_none(bench: Bench) -> None:
    parameters = {"token": "t", "participant": "part_gone"}
    await bench.carrier.dial(replace(ORDER, stream=Stream(ORDER.stream.url, parameters)))
    await soon(bench.over)
    assert bench.told[-1][1].hangup_cause == "unknown_speaker"


async def test_for_the_customer_where_nobody_is_named(bench: Bench) -> None:
    await bench.carrier.dial(replace(ORDER, stream=Stream(ORDER.stream.url, {"token": "t"})))
    await soon(bench.board.live.heard)
    assert bench.board.legs[0].participant_id == CUSTOMER.id


async def test_a_call_goes_on_when_it_cannot_be_stored(bench: Bench) -> None:
    bench.fails = True
    await bench.carrier.dial(ORDER)
    await soon(bench.board.live.heard)
    assert bench.statuses == ["ringing", "in_progress"]


async def test_a_transfer_ends_the_call_here(bench: Bench) -> None:
    await bench.carrier.dial(ORDER)
    await soon(bench.board.live.heard)
    await bench.carrier.transfer(CALL, "+4930901821", from_=None, timeout_seconds=30, result_url="")
    await soon(bench.over)
    assert bench.statuses[-1] == "completed"


async def test_what_a_simulated_call_cannot(bench: Bench) -> None:
    assert not await bench.carrier.send_digits(CALL, "1")
    with pytest.raises(CarrierError):
        await bench.carrier.restream(CALL, ORDER.stream, "")
    with pytest.raises(CarrierError):
        await bench.carrier.answer(CALL, ORDER.stream)


async def test_closing_leaves_no_call_behind(bench: Bench) -> None:
    for n in range(5):
        await bench.carrier.dial(replace(ORDER, call_id=f"call_{n}"))
    await soon(bench.board.live.heard)
    await bench.carrier.close()
    assert len(bench.board.gone) == len(bench.board.legs)
    assert bench.statuses.count("completed") == len(bench.board.legs)
    await bench.carrier.close()
