"""API key secrets: made here, shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import secrets
import string
from typing import Final

_ALPHABET: Final = string.ascii_letters + string.digits
_RANDOM_CHARACTERS: Final = 40
MINIMUM_LENGTH: Final = len("sk_live_") + 24


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
