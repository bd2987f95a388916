"""What a session asks of a connection that carries its audio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kallglot.audio.playout import LEAD_MS
from kallglot.session.events import SessionEvent
from kallglot.session.model import Participant


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """``encoding`` is one of ``mulaw``, ``alaw``, ``pcm_s16le``, ``opus``."""

    encoding: str = "mulaw"
    sample_rate_hz: int = 8000
    burst: bool = False
    """Audio is handed out as it is made instead of at the pace at which it is heard."""
    lead_ms: float = LEAD_MS
    """So far ahead of real time, else."""


class Leg(Protocol):
    """No method blocks or raises; what cannot be delivered is the leg's to drop or to close for."""

    @property
    def id(self) -> str: ...

    @property
    def participant_id(self) -> str | None:
        """Whom the leg is bound to; None speaks and hears for everybody."""
        ...

    @property
    def output(self) -> OutputFormat: ...

    @property
    def writable(self) -> bool:
        """False while the peer does not read: audio for it waits in its bounded playout."""
        ...

    @property
    def late_ms(self) -> float:
        """How much later than by the clock its peer hears what it is sent, as far as the peer tells."""
        ...

    def deliver(self, event: SessionEvent) -> None: ...

    def deliver_audio(
        self, listener: Participant, speaker: str, turn_id: str | None, payload: bytes, now_ms: float
    ) -> None:
        """One 20 ms frame in the leg's output encoding, at a monotonic millisecond. ``turn_id`` is None for the
        speaker's own voice."""
        ...

    def hold_input(self, held: bool) -> None:
        """Stops reading from the peer, or goes on: engines are behind, and waiting audio belongs in the socket."""
        ...

    def close(self, code: int, reason: str) -> None: ...
