"""API keys: secrets that are made here, shown once and kept as a hash; keys that replace others; who is left to
administer."""

from __future__ import annotations

import hashlib
import secrets
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from kallglot.accounts.model import SCOPES, ApiKey
from kallglot.ids import API_KEY, new_id

_ALPHABET: Final = string.ascii_letters + string.digits
_RANDOM_CHARACTERS: Final = 40
MINIMUM_LENGTH: Final = len("sk_live_") + 24

ADMIN: Final = "admin"
OVERLAP: Final = timedelta(days=1)
"""How long a key that was replaced is still good for, where nobody says otherwise."""
LONGEST_OVERLAP: Final = timedelta(days=30)
NOTICE: Final = timedelta(days=1)
"""How long at least an organisation can still administer itself after a key of it was ended or narrowed."""
_FOREVER: Final = datetime.max.replace(tzinfo=UTC)


class KeyOver(Exception):
    """The key was revoked, has expired, or was replaced; the message says which."""


@dataclass(frozen=True, slots=True)
class Rotation:
    old: ApiKey
    new: ApiKey
    secret: str
    """Of the new one."""


def new_secret(livemode: bool) -> str:
    """``sk_live_…`` or ``sk_test_…`` with 238 random bits."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARACTERS))
    return f"sk_{'live' if livemode else 'test'}_{random}"


def hash_secret(secret: str) -> str:
    """SHA-256, hex. A slow, salted hash protects guessable passwords; nobody guesses 238 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_live(secret: str) -> bool:
    """Raises ``ValueError`` for what cannot be a key."""
    if len(secret) < MINIMUM_LENGTH or not secret.startswith(("sk_live_", "sk_test_")):
        raise ValueError(f"an API key is sk_live_… or sk_test_… with at least {MINIMUM_LENGTH} characters")
    return secret.startswith("sk_live_")


def make(
    organization_id: str,
    name: str,
    *,
    livemode: bool,
    scopes: Sequence[str] | None,
    now: datetime,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A key and its secret; ``scopes`` None or empty is all of them."""
    secret = new_secret(livemode)
    key = ApiKey(
        id=new_id(API_KEY),
        organization_id=organization_id,
        name=name,
        livemode=livemode,
        scopes=tuple(dict.fromkeys(scopes or SCOPES)),
        secret_hash=hash_secret(secret),
        hint=secret[-4:],
        created_at=now,
        expires_at=expires_at,
    )
    return key, secret


def rotate(key: ApiKey, now: datetime, overlap: timedelta) -> Rotation:
    """A new key like ``key``, which ends after ``overlap``, if not before.

    The new one lives as long as the old one was meant to: a key made for 90 days is followed by one for 90 days.
    Raises :class:`KeyOver`.
    """
    check_usable(key, now)
    if key.replaced_by is not None:
        raise KeyOver(f"The API key was rotated before: {key.replaced_by} takes its place.")
    expires_at = None if key.expires_at is None else later(now, key.expires_at - key.created_at)
    new, secret = make(
        key.organization_id, key.name, livemode=key.livemode, scopes=key.scopes, now=now, expires_at=expires_at
    )
    old = replace(key, expires_at=min(now + overlap, key.expires_at or _FOREVER), replaced_by=new.id)
    return Rotation(old, new, secret)


def check_usable(key: ApiKey, now: datetime) -> None:
    """Raises :class:`KeyOver` for a key that nobody can call with any more."""
    if key.revoked_at is not None:
        raise KeyOver("The API key was revoked.")
    if key.expires_at is not None and key.expires_at <= now:
        raise KeyOver("The API key has expired.")


def usable(key: ApiKey, now: datetime) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def locks_out(keys: Iterable[ApiKey], key: ApiKey, changed: ApiKey, now: datetime) -> bool:
    """Whether an organisation with ``keys`` could no longer administer itself a day from now because ``key`` of it
    became ``changed``. What was so before, and does not get worse, is no reason."""
    others = [one for one in keys if one.id != key.id]
    before = _administered_until([*others, key], now)
    after = _administered_until([*others, changed], now)
    return after < before and after < now + NOTICE


def later(at: datetime, by: timedelta) -> datetime:
    """``at + by``, at most the last moment that there is."""
    return at + by if _FOREVER - at > by else _FOREVER.replace(microsecond=0)


def _administered_until(keys: Iterable[ApiKey], now: datetime) -> datetime:
    """Until when one of ``keys`` can be used to administer, ``now`` where none can."""
    ends = (key.expires_at or _FOREVER for key in keys if key.livemode and ADMIN in key.scopes and usable(key, now))
    return max(ends, default=now)
