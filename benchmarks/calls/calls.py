"""Two-party calls in real time, and what is measured of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.calls import words
from benchmarks.calls.conversation import FRAMES_PER_SECOND, Conversation, Side
from benchmarks.calls.figures import Figures, spread
from benchmarks.calls.legs import FRAME_S, Leg, NativeLeg, TwilioLeg
from benchmarks.calls.plant import Plant

GROUPS: Final = 20
"""Legs send at so many moments within 20 ms."""


@dataclass
class Window:
    """While ``open``, what is heard counts for lateness."""

    open: bool = False
    began: float = 0.0
    ended: float = float("inf")


@dataclass
class Call:
    number: int
    session: dict[str, Any]
    legs: dict[Side, Leg]
    conversation: Conversation
    frame: int = 0
    began: float = 0.0
    stopped: dict[Side, list[float]] = field(default_factory=lambda: {"customer": [], "agent": []})
    """When each turn of a side ended, at the moment at which its last frame was handed over."""

    def say(self, now: float) -> None:
        for side, leg in self.legs.items():
            speaks = self.conversation.speaks(side, self.frame)
            leg.say(speaks, now)
            if not speaks and self.frame and self.conversation.speaks(side, self.frame - 1):
                self.stopped[side].append(now - FRAME_S)
        self.frame += 1

    @property
    def ready(self) -> bool:
        """Nobody speaks before the line is there."""
        return all(leg.ready for leg in self.legs.values())

    @property
    def over(self) -> bool:
        return self.frame >= self.conversation.frames

    def turns(self, window: Window) -> Figures:
        """Expected, told and heard, by side of the speaker; seconds from the end of speech to its translation's first
        sound, of those that ended in the window."""
        agent = self.legs["agent"]
        assert isinstance(agent, NativeLeg)
        counted: Figures = {"expected": 0, "told": 0, "begun": 0, "finished": 0, "heard": 0, "delays": []}
        sides: tuple[tuple[Side, Side], ...] = (("customer", "agent"), ("agent", "customer"))
        for side, other in sides:
            stops = self.stopped[side]
            counted["expected"] += len(stops)
            counted["told"] += agent.said.count(side)
            counted["begun"] += sum(listener == other for listener, _ in agent.playback["started"])
            counted["finished"] += sum(listener == other for listener, _ in agent.playback["finished"])
            delays = matched(stops, self.legs[other].heard.turns)
            counted["heard"] += sum(delay is not None for delay in delays)
            counted["delays"] += [
                delay
                for stop, delay in zip(stops, delays, strict=True)
                if delay is not None and window.began <= stop < window.ended
            ]
        return counted


def matched(stops: Sequence[float], heard: Sequence[tuple[int, float]]) -> list[float | None]:
    """For each utterance of a speaker the time from its end to the first sound of its own translation."""
    found: list[float | None] = []
    left = list(heard)
    for number, stop in enumerate(stops):
        family = number % len(words.FAMILIES)
        at = next((n for n, (one, moment) in enumerate(left) if one == family and moment > stop - 5), None)
        found.append(None if at is None else left.pop(at)[1] - stop)
    return found


async def connected(plant: Plant, number: int, frames: int, measuring: Callable[[], bool]) -> Call:
    session = await plant.create()
    url = f"{plant.stream_url}/v1/sessions/{session['id']}/connect"
    token = session["stream"]["token"]
    customer = TwilioLeg(number, url, {"token": token, "participant": "customer"}, measuring)
    agent = NativeLeg(number, f"{url}?token={token}&participant=agent", measuring)
    await customer.connect()
    await agent.connect()
    return Call(number, session, {"customer": customer, "agent": agent}, Conversation(number, frames))


class Pacer:
    """Says every call's next 20 ms when it is due, each call at its own moment within them."""

    def __init__(self) -> None:
        self.calls: list[list[Call]] = [[] for _ in range(GROUPS)]
        self.late_ms: list[float] = []
        """By how much groups were said later than they were due."""
        self._stopped = False

    def add(self, call: Call) -> None:
        min(self.calls, key=len).append(call)

    def remove(self, call: Call) -> None:
        for group in self.calls:
            if call in group:
                group.remove(call)

    def stop(self) -> None:
        self._stopped = True

    async def run(self) -> None:
        began = time.perf_counter()
        step = 0
        while not self._stopped:
            due = began + step * FRAME_S / GROUPS
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            now = time.perf_counter()
            self.late_ms.append((now - due) * 1000)
            for call in self.calls[step % GROUPS]:
                if call.ready and not call.over:
                    call.say(now)
            step += 1


def lateness(calls: Sequence[Call]) -> Figures:
    """Milliseconds, of every frame that was heard while it was measured."""
    found: Figures = {}
    for side in ("customer", "agent"):
        found[side] = spread([late for call in calls for late in call.legs[side].heard.late_ms])
    worst = [one["p99"] for call in calls for leg in call.legs.values() if (one := spread(leg.heard.late_ms))]
    found["all"] = spread([late for call in calls for leg in call.legs.values() for late in leg.heard.late_ms])
    found["worst_leg_p99"] = max(worst, default=None)
    return found


def frames_of(seconds: float) -> int:
    return round(seconds * FRAMES_PER_SECOND)
