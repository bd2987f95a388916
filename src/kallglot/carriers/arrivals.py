"""A call's stream that asks to be let in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Handshake:
    """The upgrade request: its target with the query, and its headers, names in lower case."""

    target: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CarrierStart:
    """A carrier's ``start``. ``parameters`` are those of the document or command that opened the stream."""

    dialect: Literal["twilio", "telnyx"]
    stream_id: str
    call_id: str
    account_id: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    encoding: str = "PCMU"
    sample_rate_hz: int = 8000
    from_: str | None = None
    to: str | None = None

    @property
    def token(self) -> str | None:
        return self.parameters.get("token")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A carrier's stream that may come in. ``call_id`` is None where no call is kept for it."""

    call_id: str | None
    livemode: bool
    participant: str | None = None
    """Id or role; None where the call has none yet."""
    held: bool = False
    muted: bool = False
