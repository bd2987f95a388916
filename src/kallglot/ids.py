"""Object ids: a prefix that says what it is, and a ULID that sorts by time."""

from __future__ import annotations

from ulid import ULID

SESSION = "sess_"
PARTICIPANT = "part_"
TRANSCRIPT = "trn_"
TURN = "turn_"
API_KEY = "key_"
ORGANIZATION = "org_"
REQUEST = "req_"
PHONE_NUMBER = "pn_"
CONNECTION = "pcon_"
RECORDING = "rec_"
CALL = "call_"
EVENT = "evt_"


def new_id(prefix: str) -> str:
    return prefix + str(ULID())


def transcript_id(session_id: str) -> str:
    """A transcript carries the ULID of its session."""
    return TRANSCRIPT + session_id.removeprefix(SESSION)
