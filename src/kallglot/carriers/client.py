"""What is asked of a carrier's REST API, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kallglot.carriers.model import Call


@dataclass(frozen=True, slots=True)
class Stream:
    """Where the carrier takes a call's audio: ``url`` wss, ``parameters`` come back in the stream's first message."""

    url: str
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class Order:
    """A call to be placed. ``call_id`` is ours: it makes a repeated order one call.

    ``answer_url`` answers with TwiML or TeXML once somebody has picked up; ``status_url`` gets what becomes of the
    call; ``amd_url`` whether a machine has answered. ``stream`` is for carriers that are told at once.
    """

    call_id: str
    to: str
    from_: str
    answer_url: str
    status_url: str
    amd_url: str
    stream: Stream
    timeout_seconds: int = 60
    send_digits: str | None = None
    machine_detection: bool = False
    ordered_at: datetime | None = None
    """When it was ordered before; it may have been placed then."""
    session_id: str | None = None


class CarrierError(Exception):
    """The carrier refused, or could not be reached.

    ``code`` is the carrier's own, ``status`` the HTTP status of its answer, None where there was none. ``gone``: the
    call has ended already. ``unclear``: nobody knows whether it was done.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        gone: bool = False,
        unclear: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.gone = gone
        self.unclear = unclear

    @property
    def brief(self) -> str:
        """For the log: carriers quote telephone numbers in what they say."""
        said = "there was no answer" if self.status is None else f"it answered {self.status}"
        return f"{said} (code {self.code})" if self.code else said


class CarrierClient(Protocol):
    """One connection's. Every method raises :class:`CarrierError`."""

    async def dial(self, order: Order) -> str:
        """Places the call; the carrier's id of it. Safe to repeat with the same ``call_id``."""
        ...

    async def hang_up(self, call: Call) -> None:
        """A call that is over already is no error."""
        ...

    async def transfer(self, call: Call, to: str, *, from_: str | None, timeout_seconds: int, result_url: str) -> None:
        """Blind: the caller is connected with somebody else, and our stream of the call ends. ``result_url`` is
        asked what to do when that fails."""
        ...

    async def restream(self, call: Call, stream: Stream, answer_url: str) -> None:
        """Brings the call's audio here again."""
        ...

    async def send_digits(self, call: Call, digits: str) -> bool:
        """0-9, A-D, *, #, w for half a second, W for a second; False where they have to be sent as tones."""
        ...

    async def answer(self, call: Call, stream: Stream) -> None:
        """Picks up an incoming call and brings its audio here; only where no document does it."""
        ...

    async def reject(self, carrier_call_id: str, *, busy: bool) -> None:
        """Does not pick up an incoming call; only where no document does it."""
        ...

    async def close(self) -> None: ...
