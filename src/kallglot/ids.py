"""Object ids: a prefix that says what it is, and a ULID that sorts by time."""

from __future__ import annotations

import threading
import time

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
WEBHOOK_ENDPOINT = "wh_"
DELIVERY = "wh_del_"
ANALYSIS = "anl_"
AUDIT = "aud_"

_RANDOM_BITS = 80


class _Monotonic:
    """ULIDs of one process that sort in the order in which they were made, also those of one millisecond."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> ULID:
        fresh = int(ULID.from_timestamp(time.time()))
        with self._lock:
            if fresh >> _RANDOM_BITS <= self._last >> _RANDOM_BITS:
                fresh = self._last + 1
            self._last = fresh
        return ULID.from_int(fresh)


_ulids = _Monotonic()


def new_id(prefix: str) -> str:
    return prefix + str(_ulids.next())


def transcript_id(session_id: str) -> str:
    """A transcript carries the ULID of its session."""
    return TRANSCRIPT + session_id.removeprefix(SESSION)
