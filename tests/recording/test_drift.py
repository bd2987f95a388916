"""Both sides of a call stay together in its recording, whatever networks, crystals and stamps do.

Two people hear the same chirps at the same true moments and send them over legs of their own. In the recording every
chirp has to be where it was, on both sides: after half a minute in which the path of a leg becomes known.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.session.fakes import AGENT, CUSTOMER, FakeEngines, FakeJournal, FakeLeg, a_session

from kallglot.clock import FakeClock
from kallglot.recording import tape as tapes
from kallglot.recording.mixdown import blocks
from kallglot.recording.tape import Tape, tracks
from kallglot.session.live import LiveSession
from kallglot.session.model import Participant

SETTLED_S = 30.0
APART_MS = 20.0
OFF_MS = 40.0
RATE = 16000
CHIRP_S = 0.06
CUSTOMER_PPM, AGENT_PPM = -40.0, 60.0

_Floats = npt.NDArray[np.float64]


class Inline(Executor):
    """Does at once what it is given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


def chirp(at: _Floats) -> _Floats:
    """The value of a chirp that begins at 0, at these seconds."""
    inside = (at >= 0) & (at < CHIRP_S)
    sweep = np.sin(2 * np.pi * (500 * at + 2500 / (2 * CHIRP_S) * at**2))
    return np.where(inside, 8000 * sweep * np.sin(np.pi * np.clip(at / CHIRP_S, 0, 1)) ** 2, 0.0)


@dataclass(frozen=True)
class Disturbances:
    seconds: float = 300.0
    crystals: bool = False
    bursts: bool = False
    away: float | None = None
    """The customer's leg drops here for a while, and comes back as another with other stamps."""
    away_seconds: float = 90.0
    stall: float | None = None
    """The agent's leg keeps back four seconds from here on."""
    stalled_stamps: bool = False
    ahead: float | None = None
    back: float | None = None
    slow_start: bool = False
    """A leg's first chunk comes late: it had been waiting for the connection."""


@dataclass
class Sender:
    """One microphone and the legs it was connected by."""

    who: Participant
    rate: int
    chunk_ms: int
    ppm: float
    stamped: bool
    path_s: float
    rng: random.Random
    given: Disturbances
    chirps: list[float]
    begins: float = 0.0
    sent: list[float] = field(default_factory=list)
    """The chirps that went out in whole."""

    def chunks(self) -> Iterator[tuple[float, int, bytes, float | None]]:
        """When each arrives, over which leg, its samples and its stamp."""
        count = self.rate * self.chunk_ms // 1000
        period = (1 + self.ppm / 1e6) / self.rate
        silence = bytes(count * 2)
        arrives = blocked_until = 0.0
        n = leg = 0
        away_from = away_to = float("inf")
        if self.who is CUSTOMER and self.given.away is not None:
            away_from, away_to = self.given.away, self.given.away + self.given.away_seconds
        while (end := self.begins + (n + 1) * count * period) < self.given.seconds:
            start = end - count * period
            n += 1
            if away_from - 0.1 < start < away_to:
                continue
            connected, leg = leg, 2 if start >= away_to else 1
            wait = self.rng.expovariate(1 / 0.006)
            if self.given.bursts and self.rng.random() < 0.0005:
                blocked_until = end + self.rng.uniform(0.1, 0.8)
            if self.who is AGENT and self.given.stall is not None and 0 <= end - self.given.stall < 4.0:
                blocked_until = self.given.stall + 4.0
            if connected != leg and self.given.slow_start:
                wait = 0.045
            arrives = max(arrives + 0.0002, end + self.path_s + wait, blocked_until + 0.0002)
            yield arrives, leg, self._pcm(start, count, period) or silence, self._stamp(start, n - 1, leg)
        for moment in self.chirps:
            inside = self.begins <= moment and moment + CHIRP_S < self.given.seconds - 1
            if inside and not away_from - 0.2 < moment < away_to:
                self.sent.append(moment)

    def _pcm(self, start: float, count: int, period: float) -> bytes | None:
        near = [moment for moment in self.chirps if moment - count * period <= start <= moment + CHIRP_S]
        if not near:
            return None
        at = start + np.arange(count) * period
        return np.rint(chirp(at - near[0])).astype("<i2").tobytes()

    def _stamp(self, start: float, n: int, leg: int) -> float | None:
        if not self.stamped:
            return None
        # The first leg counts its samples, the second reads a wall clock.
        stamp = n * self.chunk_ms if leg == 1 else 1.7e12 + start * 1000 + self.rng.uniform(0, 4)
        if self.given.ahead is not None and start >= self.given.ahead:
            stamp += 7000
        if self.given.back is not None and start >= self.given.back:
            stamp -= 3000
        return stamp


async def recorded(folder: Path, senders: list[Sender], monkeypatch: pytest.MonkeyPatch) -> float:
    """Plays the call into a live session; the true time at which the session's time begins."""
    monkeypatch.setattr(tapes, "FLUSH_SECONDS", 0.0)
    clock = FakeClock()
    session = a_session()
    live = LiveSession(
        session,
        [],
        journal=FakeJournal(session),
        engines=FakeEngines(),
        clock=clock,
        reconnect_seconds=300,
        observe=lambda _: None,
    )
    warned: list[str] = []
    live.record_on(Tape(folder, warned.append, Inline()))
    ready = asyncio.Event()
    running = asyncio.create_task(live.run(ready))
    await ready.wait()
    legs: dict[tuple[str, int], FakeLeg] = {}
    now = 0.0
    zero: float | None = None
    for turn, (arrives, who, leg_number, pcm, stamp) in enumerate(heapq.merge(*(_arrivals(one) for one in senders))):
        sender = senders[who]
        clock.advance(arrives - now)
        now = arrives
        leg = legs.get((sender.who.id, leg_number))
        if leg is None:
            gone = legs.get((sender.who.id, leg_number - 1))
            if gone is not None:
                live.detach(gone)
            leg = legs[sender.who.id, leg_number] = FakeLeg(f"{sender.who.role}-{leg_number}", sender.who.id)
            live.attach(leg)
        if zero is None:
            zero = now - sender.chunk_ms / 1000
        live.audio(leg, sender.who.id, pcm, sender.rate, stamp)
        if turn % 50 == 0:
            live.tick()
            await asyncio.sleep(0)
    live.stop()
    await running
    assert not warned
    assert zero is not None
    return zero


def _arrivals(sender: Sender) -> Iterator[tuple[float, int, int, bytes, float | None]]:
    who = 0 if sender.who is CUSTOMER else 1
    for arrives, leg, pcm, stamp in sender.chunks():
        yield arrives, who, leg, pcm, stamp


async def found(
    folder: Path, given: Disturbances, monkeypatch: pytest.MonkeyPatch, seed: int
) -> tuple[dict[float, float], dict[float, float]]:
    """How late each chirp lies on each side, in milliseconds; what lies elsewhere fails."""
    rng = random.Random(seed)
    chirps: list[float] = []
    moment = 3.0
    while moment < given.seconds:
        chirps.append(moment)
        moment += rng.uniform(25, 35)
    customer_ppm, agent_ppm = (CUSTOMER_PPM, AGENT_PPM) if given.crystals else (0.0, 0.0)
    seeds = random.Random(rng.random()), random.Random(rng.random())
    customer = Sender(CUSTOMER, 8000, 20, customer_ppm, True, 0.020, seeds[0], given, chirps)
    agent = Sender(AGENT, 16000, 40, agent_ppm, given.stalled_stamps, 0.012, seeds[1], given, chirps, begins=0.7)
    zero = await recorded(folder, [customer, agent], monkeypatch)
    stereo = np.concatenate(list(blocks(tracks(folder, "said"), channels="dual", sample_rate_hz=RATE)))
    reference = chirp(np.arange(round(CHIRP_S * RATE)) / RATE)
    late: list[dict[float, float]] = []
    for side, sender in enumerate((customer, agent)):
        offsets: dict[float, float] = {}
        rest = stereo[:, side].copy()
        for moment in sender.sent:
            at = round((moment - zero) * RATE)
            reach = round(0.3 * RATE)
            begin = max(0, at - reach)
            window = stereo[begin : at + reach + len(reference), side].astype(float)
            match = np.correlate(window, reference, "valid")
            best = int(match.argmax())
            # A sample more or less in its middle, by which the clock is followed, costs some of the match.
            assert match[best] > 0.5 * float(reference @ reference), f"{sender.who.role}: no chirp at {moment:.1f} s"
            offsets[moment] = (begin + best - at) * 1000 / RATE
            rest[begin + best - 100 : begin + best + len(reference) + 100] = 0
        stray = np.flatnonzero(np.abs(rest.astype(int)) > 8)
        assert not len(stray), f"{sender.who.role}: sound at {stray[0] / RATE + zero:.3f} s, where there was none"
        late.append(offsets)
    return late[0], late[1]


ALL = Disturbances(
    seconds=3600,
    crystals=True,
    bursts=True,
    away=1200.0,
    stall=2000.4,
    ahead=700.0,
    back=2700.0,
    slow_start=True,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        pytest.param(Disturbances(), id="jitter"),
        pytest.param(Disturbances(slow_start=True), id="slow start"),
        pytest.param(Disturbances(crystals=True), id="crystals"),
        pytest.param(Disturbances(bursts=True), id="bursts"),
        pytest.param(Disturbances(away=100.0), id="away"),
        pytest.param(Disturbances(away=100.0, slow_start=True), id="away, slow start"),
        pytest.param(Disturbances(stall=100.4), id="stall without stamps"),
        pytest.param(Disturbances(stall=100.4, stalled_stamps=True), id="stall with stamps"),
        pytest.param(Disturbances(ahead=100.0), id="stamps ahead"),
        pytest.param(Disturbances(back=100.0), id="stamps back"),
        pytest.param(ALL, id="an hour of everything"),
    ],
)
async def test_both_sides_stay_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Disturbances) -> None:
    left, right = await found(tmp_path, given, monkeypatch, seed=7)
    both = [moment for moment in left if moment in right and moment > SETTLED_S]
    assert len(both) > given.seconds / 35 - 6
    apart = {moment: left[moment] - right[moment] for moment in both}
    worst = max(both, key=lambda moment: abs(apart[moment]))
    off = max(
        ((late, moment) for side in (left, right) for moment, late in side.items() if moment > SETTLED_S),
        key=lambda one: abs(one[0]),
    )
    said = (
        f"worst: {apart[worst]:+.1f} ms between the sides at {worst:.0f} s,"
        f" {off[0]:+.1f} ms from the truth at {off[1]:.0f} s"
    )
    print(said)
    assert abs(apart[worst]) < APART_MS, said
    assert abs(off[0]) < OFF_MS, said
