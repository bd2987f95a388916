"""The first messages of a connection: in which dialect it speaks, and by what token it asks to be let in. Sans-IO.

A carrier opens its connection without a word of authentication (Twilio drops the query of a stream's address); its
token comes as a parameter of its ``start`` message. Until then nobody is told anything, and little is listened to.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from kallglot.carriers.arrivals import CarrierStart
from kallglot.session.switchboard import StreamRefused

DEADLINE_S: Final = 5.0
MOST_FRAMES: Final = 32
MOST_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class NativeStart:
    """The first message is of the native dialect."""


class Opening:
    """Fed with text messages until one says what the connection is.

    ``expected`` is what the address named, None where it named nothing.
    """

    def __init__(self, expected: str | None) -> None:
        self._expected = expected
        self._frames = 0

    @property
    def silent(self) -> bool:
        """Nothing has come."""
        return not self._frames

    def feed(self, data: bytes, *, binary: bool = False) -> CarrierStart | NativeStart | None:
        """None: more has to come. Raises :class:`StreamRefused`."""
        self._frames += 1
        if self._frames > MOST_FRAMES or len(data) > MOST_BYTES:
            raise StreamRefused(1008, "invalid_message", "Too much before a token.")
        if binary:
            return NativeStart()
        try:
            message = msgspec.json.decode(data, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError):
            return NativeStart()
        event = message.get("event")
        if "type" in message or not isinstance(event, str):
            return NativeStart()
        if event != "start":
            return None
        start = _started(message)
        if start is None:
            raise StreamRefused(1008, "invalid_message", "The start message names no stream or no call.")
        if self._expected not in (None, start.dialect):
            raise StreamRefused(1008, "invalid_message", f"Expected a stream of {self._expected}.")
        return start


def is_carriers(data: bytes) -> bool:
    """Whether a connection that was taken for a native one has begun as a carrier does."""
    if len(data) > MOST_BYTES or b'"event"' not in data:
        return False
    try:
        message = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return False
    return "type" not in message and message.get("event") in ("connected", "start")


def _started(message: dict[str, Any]) -> CarrierStart | None:
    body = _object(message.get("start"))
    twilio_stream = _text(message.get("streamSid") or body.get("streamSid"))
    telnyx_stream = _text(message.get("stream_id") or body.get("stream_id"))
    if twilio_stream and (call := _text(body.get("callSid"))):
        form = _object(body.get("mediaFormat"))
        return CarrierStart(
            "twilio",
            twilio_stream,
            call,
            _text(body.get("accountSid")),
            _parameters(body.get("customParameters")),
            _text(form.get("encoding")) or "audio/x-mulaw",
            _number(form.get("sampleRate"), 8000),
        )
    if telnyx_stream and (call := _text(body.get("call_control_id"))):
        form = _object(body.get("media_format"))
        return CarrierStart(
            "telnyx",
            telnyx_stream,
            call,
            _text(body.get("user_id")),
            {**_state(body.get("client_state")), **_parameters(body.get("custom_parameters"))},
            _text(form.get("encoding")) or "PCMU",
            _number(form.get("sample_rate"), 8000),
            _text(body.get("from")),
            _text(body.get("to")),
        )
    return None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _text(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) and value else None


def _number(value: Any, default: int) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return default


def _parameters(given: Any) -> dict[str, str]:
    """An object, or Telnyx's list of names and values."""
    if isinstance(given, list):
        entries = [_object(one) for one in cast("list[Any]", given)]
        given = {one["name"]: one.get("value") for one in entries if isinstance(one.get("name"), str)}
    pairs = _object(given).items()
    return {str(name)[:200]: value[:500] for name, value in pairs if isinstance(value, str)}


def _state(given: Any) -> dict[str, str]:
    """Telnyx's ``client_state``, which comes back as it was sent with the call: our parameters as JSON."""
    if not isinstance(given, str):
        return {}
    try:
        return _parameters(msgspec.json.decode(base64.b64decode(given, validate=True)))
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        return {}
