"""What a stream's socket asks of the dialect its peer speaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kallglot.legs.commands import Command
from kallglot.session.events import SessionEvent
from kallglot.session.leg import OutputFormat
from kallglot.session.model import Participant


class Dialect(Protocol):
    """Sans-IO; ``now_ms`` is monotonic. Messages are text unless ``binary_out`` says that audio is binary."""

    @property
    def kind(self) -> str:
        """``native``, or the carrier."""
        ...

    @property
    def output(self) -> OutputFormat: ...

    @property
    def binary_out(self) -> bool: ...

    @property
    def late_ms(self) -> float:
        """How much later than it is sent and played by the clock the peer hears its audio."""
        ...

    def receive(self, data: bytes, *, binary: bool, now_ms: float) -> Sequence[Command]:
        """What one message asks for. Raises :class:`~kallglot.legs.commands.BadMessage`."""
        ...

    def event(self, event: SessionEvent, now_ms: float) -> bytes | None: ...

    def audio(
        self, listener: Participant, speaker: str, turn_id: str | None, payload: bytes, now_ms: float
    ) -> Sequence[bytes]:
        """One 20 ms frame."""
        ...

    def error(self, code: str, message: str) -> bytes | None: ...
