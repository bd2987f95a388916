"""Everybody who listens: one hearing for each listener on each leg, and what is told of them.

A participant may be on several legs at once, a telephone and a browser, or an old connection that nobody has noticed
is dead. All of them carry sound; the newest is the one that counts: it is recorded, and its playback is what the others
are told of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kallglot.session import events
from kallglot.session.hearing import Hearing
from kallglot.session.leg import Leg
from kallglot.session.model import Participant

OnHeard = Callable[[str, float, bytes, int], None]
"""Listener's id, monotonic millisecond, PCM, sample rate."""
Noted = tuple[Hearing, events.PlaybackStarted | events.PlaybackFinished | events.PlaybackCleared]


class Audience:
    def __init__(self, on_heard: OnHeard) -> None:
        self._on_heard = on_heard
        self._hearings: list[Hearing] = []

    def join(self, leg: Leg, listeners: Sequence[Participant]) -> None:
        self._hearings.extend(Hearing(leg, listener) for listener in listeners)
        self._elect()

    def leave(self, leg: Leg) -> list[str]:
        """The listeners whom nobody carries sound to any more."""
        before = {hearing.listener.id for hearing in self._hearings}
        self._hearings = [hearing for hearing in self._hearings if hearing.leg is not leg]
        self._elect()
        return sorted(before - {hearing.listener.id for hearing in self._hearings})

    def clear_all(self) -> None:
        self._hearings.clear()

    def of(self, listener_ids: Sequence[str]) -> list[Hearing]:
        return [hearing for hearing in self._hearings if hearing.listener.id in listener_ids]

    def on(self, leg: Leg) -> list[Hearing]:
        return [hearing for hearing in self._hearings if hearing.leg is leg]

    def counts(self, hearing: Hearing) -> bool:
        """Whether this is the listener's newest leg."""
        return hearing.on_heard is not None

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
            if hearing.listener.id in listener_ids:
                hearing.original(speaker, pcm, sample_rate_hz, now_ms, ducks=ducks)

    def tick(self, now_ms: float) -> list[Noted]:
        """Hands out what is due; the playback events that count."""
        noted: list[Noted] = []
        for hearing in self._hearings:
            for event in hearing.tick(now_ms):
                self._tell(hearing, event, noted)
        return noted

    def clear(self, leg: Leg, now_ms: float) -> list[Noted]:
        noted: list[Noted] = []
        for hearing in self.on(leg):
            for event in hearing.clear(now_ms):
                self._tell(hearing, event, noted)
        return noted

    def _tell(self, hearing: Hearing, event: events.SessionEvent, noted: list[Noted]) -> None:
        hearing.leg.deliver(event)
        if isinstance(event, events.PlaybackMark) or not self.counts(hearing):
            return
        own = {other.leg.id for other in self._hearings if other.listener.id == hearing.listener.id}
        for leg in {other.leg.id: other.leg for other in self._hearings}.values():
            if leg.id not in own:
                leg.deliver(event)
        if isinstance(event, events.PlaybackStarted | events.PlaybackFinished | events.PlaybackCleared):
            noted.append((hearing, event))

    def _elect(self) -> None:
        newest = {hearing.listener.id: hearing for hearing in self._hearings}
        for hearing in self._hearings:
            if newest[hearing.listener.id] is not hearing:
                hearing.on_heard = None
            elif hearing.on_heard is None:
                hearing.on_heard = self._listen(hearing.listener.id)

    def _listen(self, listener_id: str) -> Callable[[float, bytes, int], None]:
        return lambda at_ms, pcm, rate: self._on_heard(listener_id, at_ms, pcm, rate)
