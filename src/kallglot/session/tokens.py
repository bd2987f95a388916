"""Stream tokens: short-lived, bound to one session, and kept nowhere.

``kst_live_`` + base64url(expiry, 4 bytes big-endian Unix seconds + HMAC-SHA256 of expiry, mode and session id).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from kallglot.clock import Clock

LIFETIME: Final = timedelta(minutes=5)
Verdict = Literal["ok", "invalid", "expired"]


class StreamTokens:
    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    def issue(self, session_id: str, livemode: bool) -> tuple[str, datetime]:
        """A fresh token and the moment at which it stops opening streams, whole seconds."""
        expires_at = (self._clock.now() + LIFETIME).replace(microsecond=0)
        expiry = int(expires_at.timestamp()).to_bytes(4, "big")
        body = base64.urlsafe_b64encode(expiry + self._signature(expiry, livemode, session_id)).rstrip(b"=").decode()
        return f"{_prefix(livemode)}{body}", expires_at

    def check(self, token: str, session_id: str) -> Verdict:
        livemode = token.startswith(_prefix(True))
        if not livemode and not token.startswith(_prefix(False)):
            return "invalid"
        body = token[len(_prefix(livemode)) :]
        if len(body) != 48:
            return "invalid"
        try:
            raw = base64.b64decode(body.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return "invalid"
        expiry, signature = raw[:4], raw[4:]
        if not hmac.compare_digest(signature, self._signature(expiry, livemode, session_id)):
            return "invalid"
        expires_at = datetime.fromtimestamp(int.from_bytes(expiry, "big"), UTC)
        return "ok" if self._clock.now() < expires_at else "expired"

    def _signature(self, expiry: bytes, livemode: bool, session_id: str) -> bytes:
        message = expiry + (b"live" if livemode else b"test") + session_id.encode()
        return hmac.digest(self._secret, message, "sha256")


def _prefix(livemode: bool) -> str:
    return "kst_live_" if livemode else "kst_test_"
