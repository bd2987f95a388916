"""Connections to carriers, numbers and calls as they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

Carrier = Literal["twilio", "telnyx", "simulated"]
Direction = Literal["inbound", "outbound"]
CallStatus = Literal["queued", "ringing", "in_progress", "completed", "busy", "no_answer", "failed", "canceled"]
AnsweredBy = Literal["human", "machine", "fax", "unknown"]

OVER: Final = frozenset[CallStatus]({"completed", "busy", "no_answer", "failed", "canceled"})


@dataclass(frozen=True, slots=True)
class Connection:
    """An account at a carrier. ``secrets`` are encrypted where it is kept, and leave it only towards the carrier.

    ``settings``, by carrier:

    * Twilio: ``account_sid``; ``api_key_sid`` where the REST API is used with an API key instead of the auth token;
      ``region``, ``edge``.
    * Telnyx: ``call_control_app_id`` and ``texml_app_id``, at least one; ``account_sid`` of the TeXML REST API;
      ``public_key`` (base64, Ed25519).
    * Both: ``require_signature`` (true), false for a carrier's product that does not sign.

    ``secrets``: Twilio ``auth_token``, ``previous_auth_token`` while it rotates, ``api_key_secret``, and
    ``shared_keys`` by id for signatures made with HMAC-SHA256; Telnyx ``api_key``.
    """

    id: str
    organization_id: str
    carrier: Carrier
    name: str
    created_at: datetime
    livemode: bool = True
    active: bool = True
    default: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    secrets: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A telephone call of a session. ``carrier_call_id`` is Twilio's CallSid, Telnyx's call_control_id."""

    id: str
    session_id: str
    organization_id: str
    livemode: bool
    carrier: Carrier
    direction: Direction
    status: CallStatus
    created_at: datetime
    connection_id: str | None = None
    carrier_call_id: str | None = None
    from_: str | None = None
    to: str | None = None
    participant_id: str | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    hangup_cause: str | None = None
    """The carrier's word for it."""
    answered_by: AnsweredBy | None = None
    held: bool = False
    muted: bool = False
    order: int = 0
    """Of the last status that was taken: carriers' callbacks overtake each other."""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the call was asked to be: timeout, digits to send, machine detection, a transfer that is under way; and the
    process that had its stream last."""

    @property
    def over(self) -> bool:
        return self.status in OVER
