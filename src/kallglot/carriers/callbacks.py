"""What a carrier's callbacks say of a call. They come late, twice, and overtake each other; any of them may be missing.

Fields: https://www.twilio.com/docs/voice/api/call-resource#statuscallback,
https://developers.telnyx.com/api-reference/callbacks/texml-call-completed and
https://developers.telnyx.com/docs/voice/programmable-voice/voice-api-webhooks. Nothing here raises, whatever comes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

import msgspec

from kallglot.carriers.model import OVER, AnsweredBy, Call, CallStatus
from kallglot.texts import cleaned

_STATUSES: Final[dict[str, CallStatus]] = {
    "queued": "queued",
    "initiated": "queued",
    "ringing": "ringing",
    "answered": "in_progress",
    "in-progress": "in_progress",
    "completed": "completed",
    "busy": "busy",
    "no-answer": "no_answer",
    "failed": "failed",
    "canceled": "canceled",
    "cancelled": "canceled",
}
_EVENTS: Final[dict[str, CallStatus]] = {
    "call.initiated": "ringing",
    "call.ringing": "ringing",
    "call.answered": "in_progress",
}
_HANGUPS: Final[dict[str, CallStatus]] = {
    "user_busy": "busy",
    "no_answer": "no_answer",
    "timeout": "no_answer",
    "originator_cancel": "canceled",
    "not_found": "failed",
    "call_rejected": "failed",
}
_BUSY: Final = frozenset({"486", "600", "603"})
"""SIP: busy here, busy everywhere, declined."""
_RANKS: Final[dict[CallStatus, int]] = {"queued": 0, "ringing": 1, "in_progress": 2, **dict.fromkeys(OVER, 3)}
_ANSWERERS: Final[dict[str, AnsweredBy]] = {
    "human": "human",
    "human_residence": "human",
    "human_business": "human",
    "machine": "machine",
    "machine_start": "machine",
    "fax": "fax",
    "fax_detected": "fax",
    "unknown": "unknown",
    "not_sure": "unknown",
    "silence": "unknown",
}
_CERTAINTY: Final[tuple[AnsweredBy | None, ...]] = (None, "unknown", "human", "machine", "fax")


@dataclass(frozen=True, slots=True)
class CallChange:
    """What has become of a call; ``status`` None: nothing but what else is told.

    ``order`` sorts the changes of one call: Twilio's and TeXML's sequence number, milliseconds since 1970 in Call
    Control. ``duration`` is in seconds. ``state`` is the ``client_state`` that we gave the leg.
    """

    carrier_call_id: str
    status: CallStatus | None = None
    order: int = 0
    occurred_at: datetime | None = None
    hangup_cause: str | None = None
    answered_by: AnsweredBy | None = None
    duration: int | None = None
    state: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A call that waits to be answered by Call Control. ``app_id`` is the application's, at the carrier."""

    carrier_call_id: str
    event_id: str | None = None
    from_: str | None = None
    to: str | None = None
    app_id: str | None = None
    occurred_at: datetime | None = None


def apply(call: Call, change: CallChange, now: datetime) -> Call:
    """The call after the change, whichever came before: the status only moves forward, and what is over stays over.

    A change of another call, as of the leg that a transfer has opened, changes nothing.
    """
    if change.carrier_call_id and call.carrier_call_id not in (None, change.carrier_call_id):
        return call
    after = replace(call, carrier_call_id=call.carrier_call_id or change.carrier_call_id or None)
    if _CERTAINTY.index(change.answered_by) > _CERTAINTY.index(call.answered_by):
        after = replace(after, answered_by=change.answered_by)
    if change.status is None:
        return after
    at = change.occurred_at or now
    if change.status == "in_progress" and call.answered_at is None:
        after = replace(after, answered_at=at if call.ended_at is None else min(at, call.ended_at))
    if _RANKS[change.status] <= _RANKS[call.status]:
        return after
    after = replace(after, status=change.status, order=change.order)
    if not after.over:
        return after
    ended_at = call.ended_at or at
    answered_at = None if after.answered_at is None else min(after.answered_at, ended_at)
    cause = call.hangup_cause or change.hangup_cause
    return replace(after, ended_at=ended_at, answered_at=answered_at, hangup_cause=cause)


def twilio_status(form: Mapping[str, str]) -> CallChange:
    """Of a ``StatusCallback``; ``carrier_call_id`` is empty where the form names no call."""
    raw = _text(form.get("CallStatus")).lower()
    status = _STATUSES.get(raw)
    sip = _text(form.get("SipResponseCode"))
    cause = _text(form.get("HangupCause")) or (f"sip_{sip}" if sip not in ("", "0", "200") else raw)
    return CallChange(
        _text(form.get("CallSid")),
        status,
        _count(form.get("SequenceNumber")) or 0,
        _moment(form.get("OccurredAt")) or _moment(form.get("Timestamp")),
        cause if status in OVER else None,
        _answerer(form.get("AnsweredBy")),
        _count(form.get("CallDuration")),
    )


def telnyx_texml_status(form: Mapping[str, str]) -> CallChange:
    """Twilio's form, with Telnyx's ids, times and causes."""
    return twilio_status(form)


def twilio_amd(form: Mapping[str, str]) -> CallChange:
    """Of an ``AsyncAmdStatusCallback``, TeXML's too."""
    return CallChange(_text(form.get("CallSid")), answered_by=_answerer(form.get("AnsweredBy")))


def telnyx_event(event: object) -> CallChange | Incoming | None:
    """Of a Call Control webhook's JSON; None where it says nothing of what becomes of a call."""
    data = _object(_object(event).get("data"))
    payload = _object(data.get("payload"))
    kind = _text(data.get("event_type"))
    call = _text(payload.get("call_control_id"))
    occurred_at = _moment(data.get("occurred_at"))
    if not call:
        return None
    if kind == "call.initiated" and payload.get("direction") == "incoming":
        from_, to, app_id = (_text(payload.get(name)) or None for name in ("from", "to", "connection_id"))
        return Incoming(call, _text(data.get("id")) or None, from_, to, app_id, occurred_at)
    order = 0 if occurred_at is None else max(0, int(occurred_at.timestamp() * 1000))
    change = CallChange(call, order=order, occurred_at=occurred_at, state=_state(payload.get("client_state")))
    if (status := _EVENTS.get(kind)) is not None:
        return replace(change, status=status)
    if kind == "call.hangup":
        cause, sip = _text(payload.get("hangup_cause")), _text(payload.get("sip_hangup_cause"))
        return replace(change, status=_ended(cause, sip), hangup_cause=cause or None)
    if kind.startswith("call.machine.") and kind.endswith(".detection.ended"):
        return replace(change, answered_by=_answerer(payload.get("result")))
    if kind.startswith("call.machine.") and kind.endswith(".greeting.ended"):
        return replace(change, answered_by="machine")
    return None


def _ended(cause: str, sip: str) -> CallStatus:
    if cause == "call_rejected" and sip in _BUSY:
        return "busy"
    if cause in ("", "unspecified") and sip[:1] in ("4", "5", "6"):
        return "failed"
    return _HANGUPS.get(cause, "completed")


def _answerer(value: object) -> AnsweredBy | None:
    text = _text(value).lower()
    return "machine" if text.startswith("machine_") else _ANSWERERS.get(text)


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**18 else ""
    return cleaned(value)[:200] if isinstance(value, str) else ""


def _count(value: object) -> int | None:
    text = _text(value).strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _moment(value: object) -> datetime | None:
    """ISO 8601 or RFC 2822, UTC where it names no zone."""
    text = _text(value).strip()
    if not text:
        return None
    try:
        moment = _parsed(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(text)


def _state(value: object) -> dict[str, str]:
    if not isinstance(value, str):
        return {}
    try:
        state = _object(msgspec.json.decode(base64.b64decode(value, validate=True)))
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        return {}
    return {name: one for name, one in state.items() if isinstance(one, str)}
