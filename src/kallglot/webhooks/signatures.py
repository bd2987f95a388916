"""By what a receiver knows that a delivery is ours: two schemes over the same bytes, and what a secret is.

``Kallglot-Signature`` is keyed with the secret as it is shown, ``whsec_…``; ``webhook-signature`` (Standard Webhooks
1.0.0, https://www.standardwebhooks.com) with the bytes that the base64 behind ``whsec_`` stands for.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final

PREFIX: Final = "whsec_"
_BYTES: Final = 32


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def is_secret(text: str) -> bool:
    """Whether both schemes can be keyed with it: 24 to 64 bytes in base64, behind the prefix."""
    try:
        return 24 <= len(_behind_prefix(text)) <= 64
    except ValueError:
        return False


def signed(
    body: bytes,
    keys: Sequence[str],
    *,
    now: datetime,
    event_id: str,
    event_created_at: datetime,
    delivery_id: str,
    retries: int,
) -> dict[str, str]:
    """The headers of one attempt. ``keys``: the secrets that are valid, the current one first.

    ``webhook-id`` names the event, so that whoever looks for what was seen before finds a delivery sent again."""
    stamp = str(int(now.timestamp()))
    shown = f"{stamp}.".encode() + body
    standard = f"{event_id}.{stamp}.".encode() + body
    hexes = [hmac.digest(key.encode(), shown, hashlib.sha256).hex() for key in keys]
    codes = [base64.b64encode(hmac.digest(_behind_prefix(key), standard, hashlib.sha256)).decode() for key in keys]
    return {
        "Kallglot-Signature": ",".join([f"t={stamp}", *(f"v1={one}" for one in hexes)]),
        "Kallglot-Webhook-Id": delivery_id,
        "Kallglot-Retry-Count": str(retries),
        "Kallglot-Original-Timestamp": str(int(event_created_at.timestamp())),
        "webhook-id": event_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{one}" for one in codes),
    }


@functools.lru_cache(1024)
def _behind_prefix(key: str) -> bytes:
    """Raises ``ValueError``."""
    if not key.startswith(PREFIX):
        raise ValueError("a webhook secret begins with whsec_")
    try:
        return base64.b64decode(key.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a webhook secret is base64 behind its prefix") from None
