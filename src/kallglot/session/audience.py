"""Everybody who listens: one hearing for each listener on each leg, and what is told of them.

A participant may be on several legs at once, a telephone and a browser, or an old connection that nobody has noticed
is dead. All of them carry sound; the newest is the one that counts: it is recorded, and its playback is what the others
are told of. A turn is told of by the leg that was the newest when it began, or by the next when that one goes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from kallglot.session import events
from kallglot.session.hearing import Hearing
from kallglot.session.leg import Leg
from kallglot.session.model import Participant

log = logging.getLogger(__name__)

OnHeard = Callable[[str, float, bytes, int], None]
"""Listener's id, monotonic millisecond, PCM, sample rate."""
Noted = tuple[Hearing, events.PlaybackStarted | events.PlaybackFinished | events.PlaybackCleared]


class Audience:
    def __init__(self) -> None:
        self._on_heard: OnHeard | None = None
        self._hearings: list[Hearing] = []
        self._held: set[str] = set()
        self._telling: dict[tuple[str, str], Hearing] = {}
        """By turn and listener, until it was heard or cleared."""

    def record(self, on_heard: OnHeard) -> None:
        """From now on what is heard is told frame by frame."""
        self._on_heard = on_heard
        self._elect()

    def join(self, leg: Leg, listeners: Sequence[Participant]) -> None:
        for listener in listeners:
            hearing = Hearing(leg, listener)
            hearing.held = listener.id in self._held
            self._hearings.append(hearing)
        self._elect()

    def leave(self, leg: Leg) -> list[Noted]:
        """What nobody carries to its listener any more is told of as cleared."""
        for hearing in self.on(leg):
            hearing.counts, hearing.on_heard = False, None
        self._hearings = [hearing for hearing in self._hearings if hearing.leg is not leg]
        self._elect()
        noted: list[Noted] = []
        for (turn_id, listener_id), hearing in list(self._telling.items()):
            if hearing.leg is not leg:
                continue
            others = [one for one in self.of([listener_id]) if one.holds(turn_id)]
            if others:
                self._telling[turn_id, listener_id] = others[-1]
            else:
                self._note(hearing, events.PlaybackCleared(turn_id, hearing.listener.role), noted)
        return noted

    def leave_all(self) -> list[Noted]:
        return [noted for leg in {one.leg.id: one.leg for one in self._hearings}.values() for noted in self.leave(leg)]

    def begin(self, turn_id: str, hearings: Sequence[Hearing]) -> list[Participant]:
        """A turn is about to be heard; by whom."""
        told = [hearing for hearing in hearings if hearing.counts]
        self._telling.update({(turn_id, hearing.listener.id): hearing for hearing in told})
        return [hearing.listener for hearing in told]

    def of(self, listener_ids: Sequence[str]) -> list[Hearing]:
        """Those of these listeners who are not on hold."""
        return [one for one in self._hearings if one.listener.id in listener_ids and not one.held]

    @property
    def all(self) -> Sequence[Hearing]:
        return self._hearings

    def everything_of(self, listener_id: str) -> list[Hearing]:
        return [one for one in self._hearings if one.listener.id == listener_id]

    def hold(self, listener_id: str, held: bool, now_ms: float) -> list[Noted]:
        """What the listener was about to hear is cleared."""
        (self._held.add if held else self._held.discard)(listener_id)
        noted: list[Noted] = []
        for hearing in self.everything_of(listener_id):
            hearing.held = held
            for event in hearing.clear(now_ms):
                self._tell(hearing, event, noted)
        return noted

    def on(self, leg: Leg) -> list[Hearing]:
        return [hearing for hearing in self._hearings if hearing.leg is leg]

    def original(
        self,
        speaker: Participant,
        listener_ids: Sequence[str],
        pcm: bytes,
        sample_rate_hz: int,
        now_ms: float,
        *,
        ducks: bool,
    ) -> None:
        for hearing in self._hearings:
            if hearing.listener.id in listener_ids and not hearing.held:
                hearing.original(speaker, pcm, sample_rate_hz, now_ms, ducks=ducks)

    def tick(self, now_ms: float) -> list[Noted]:
        """Hands out what is due; the playback events that count."""
        noted: list[Noted] = []
        for hearing in self._hearings:
            if not hearing.due:
                continue
            try:
                for event in hearing.tick(now_ms):
                    self._tell(hearing, event, noted)
            except Exception:
                log.exception("leg %s cannot be played to", hearing.leg.id)
                hearing.leg.close(1011, "internal error")
        return noted

    def clear(self, leg: Leg, now_ms: float) -> list[Noted]:
        noted: list[Noted] = []
        for hearing in self.on(leg):
            for event in hearing.clear(now_ms):
                self._tell(hearing, event, noted)
        return noted

    def _tell(self, hearing: Hearing, event: events.SessionEvent, noted: list[Noted]) -> None:
        hearing.leg.deliver(event)
        if (
            isinstance(event, events.PlaybackStarted | events.PlaybackFinished | events.PlaybackCleared)
            and self._telling.get((event.turn_id, hearing.listener.id)) is hearing
        ):
            self._note(hearing, event, noted)

    def _note(
        self,
        hearing: Hearing,
        event: events.PlaybackStarted | events.PlaybackFinished | events.PlaybackCleared,
        noted: list[Noted],
    ) -> None:
        """Tells everybody but the listener, whose legs tell of themselves."""
        if not isinstance(event, events.PlaybackStarted):
            del self._telling[event.turn_id, hearing.listener.id]
        own = {other.leg.id for other in self._hearings if other.listener.id == hearing.listener.id}
        for leg in {other.leg.id: other.leg for other in self._hearings}.values():
            if leg.id not in own:
                leg.deliver(event)
        noted.append((hearing, event))

    def _elect(self) -> None:
        newest = {hearing.listener.id: hearing for hearing in self._hearings}
        for hearing in self._hearings:
            hearing.counts = newest[hearing.listener.id] is hearing
            recorded = self._on_heard if hearing.counts else None
            hearing.on_heard = None if recorded is None else partial(recorded, hearing.listener.id)
