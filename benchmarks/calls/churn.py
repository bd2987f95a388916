"""What calls of a soak do: most behave, and the others do what telephones, networks and programmers do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

import httpx
import pybase64
from picows import WSError, WSMsgType

from benchmarks.calls.calls import Call, Pacer, Window, connected, frames_of
from benchmarks.calls.figures import Figures
from benchmarks.calls.plant import Plant

Way = Literal["good", "hang up", "end by socket", "drop", "come back", "garbage", "flood", "abandon", "never connect"]
WAYS: Final[dict[Way, int]] = {
    "good": 50,
    "hang up": 10,
    "end by socket": 10,
    "drop": 8,
    "come back": 6,
    "garbage": 6,
    "flood": 3,
    "abandon": 5,
    "never connect": 2,
}
"""In a hundred. ``drop``: the carrier's socket goes without a word, and the session is ended; ``come back``: the
same, and it is there again two seconds later; ``garbage``: so little nonsense that the server bears it; ``flood``: as
much as makes it hang up; ``abandon``: both sides go and nobody ends the session."""
TURNS_COUNT: Final[tuple[Way, ...]] = ("good", "hang up", "end by socket")
GARBAGE: Final = (
    b"{",
    b"null",
    b'{"event":"media"}',
    b'{"event":"media","media":{"payload":"*not base64*"}}',
    b'{"event":"media","media":{"payload":"%b"}}' % pybase64.b64encode(os.urandom(20_000)),
    b'{"event":"never heard of"}',
    b'{"event":"mark","mark":{"name":"nobody\'s"}}',
    b"\xff\xfe\x00",
    b"[" * 2000,
)


LATE_S: Final = 60.0
"""A call that is not over so long after it should be has failed."""


FULL: Final = 1013
"""What a server that is full closes a session's first stream with."""


class TurnedAway(Exception):
    """A leg was closed before it was ready; with which code."""


@dataclass
class Churn:
    """Keeps so many calls going. ``late_ms`` is what calls that behave have heard since it was last emptied."""

    plant: Plant
    calls: int
    pacer: Pacer
    shortest_s: float = 20.0
    longest_s: float = 60.0
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    late_ms: list[float] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    turns: Counter[str] = field(default_factory=Counter)
    stopping: bool = False
    _live: dict[int, tuple[Call, Way]] = field(default_factory=dict)
    _number: int = 0

    async def run(self) -> None:
        """Until ``stopping``; calls that have begun go on to their end."""
        await asyncio.gather(*(self._line(place) for place in range(self.calls)))

    def heard(self) -> list[float]:
        """Milliseconds by which frames were late, since this was last asked."""
        for call, way in self._live.values():
            self._take(call, way)
        late, self.late_ms = self.late_ms, []
        return late

    async def _line(self, place: int) -> None:
        await asyncio.sleep(place * self.shortest_s / self.calls)
        while not self.stopping:
            way = self.chance.choices(list(WAYS), list(WAYS.values()))[0]
            try:
                await self._one(way)
                self.done[way] += 1
            except httpx.HTTPStatusError as error:
                self.refused[str(error.response.status_code)] += 1
                await asyncio.sleep(1)
            except TurnedAway as error:
                if error.args[0] == FULL:
                    self.refused[str(FULL)] += 1
                else:
                    self.failed[f"{way}: closed with {error.args[0]}"] += 1
                await asyncio.sleep(1)
            except (httpx.HTTPError, OSError, WSError) as error:
                self.failed[f"{way}: {type(error).__name__}"] += 1
                await asyncio.sleep(1)

    async def _one(self, way: Way) -> None:
        number, self._number = self._number, self._number + 1
        if way == "never connect":
            await self.plant.create()
            return
        lasts_s = self.chance.uniform(self.shortest_s, self.longest_s)
        call = await connected(self.plant, number, frames_of(lasts_s), lambda: True)
        self._live[number] = (call, way)
        self.pacer.add(call)
        try:
            async with asyncio.timeout(lasts_s + LATE_S):
                await self._until(lambda: call.over, call, way)
        finally:
            self.pacer.remove(call)
            del self._live[number]
            self._take(call, way)
        await self._end(call, way)

    async def _until(self, over: Callable[[], bool], call: Call, way: Way) -> None:
        at = self.chance.uniform(0.2, 0.6) * call.conversation.frames
        done = False
        while not over():
            await asyncio.sleep(0.25)
            away = [leg.close_code for leg in call.legs.values() if leg.gone and not leg.ready]
            if away:
                raise TurnedAway(away[0])
            if way == "garbage" and self.chance.random() < 0.1:
                self._nonsense(call)
            if done or call.frame < at:
                continue
            done = True
            if way in ("drop", "abandon"):
                call.legs["customer"].drop()
                if way == "abandon":
                    call.legs["agent"].drop()
                return
            if way == "come back":
                call.legs["customer"].drop()
                await asyncio.sleep(2)
                await call.legs["customer"].connect()
            elif way == "flood":
                for _ in range(60):
                    self._nonsense(call)

    def _nonsense(self, call: Call) -> None:
        leg = call.legs[self.chance.choice(("customer", "agent"))]
        leg.send(self.chance.choice(GARBAGE), self.chance.choice((WSMsgType.TEXT, WSMsgType.BINARY)))

    async def _end(self, call: Call, way: Way) -> None:
        customer, agent = call.legs["customer"], call.legs["agent"]
        if way == "end by socket":
            agent.send(b'{"type":"session.end"}')
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(15):
                    while not agent.gone:  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
        elif way == "hang up":
            customer.end()
        if way in TURNS_COUNT:
            window = Window(True, 0.0, time.perf_counter())
            found = call.turns(window)
            for name in ("expected", "told", "begun", "finished", "heard"):
                self.turns[name] += found[name]
        if way not in ("abandon", "end by socket"):
            (await self.plant.rest.post(f"/v1/sessions/{call.session['id']}/end")).raise_for_status()
        customer.drop()
        agent.drop()

    def _take(self, call: Call, way: Way) -> None:
        for leg in call.legs.values():
            if way in TURNS_COUNT:
                self.late_ms += leg.heard.late_ms
            leg.heard.late_ms.clear()

    def described(self) -> Figures:
        return {
            "done": dict(self.done),
            "refused": dict(self.refused),
            "failed": dict(self.failed),
            "turns": dict(self.turns),
        }
