"""Access tokens for a Google service account, from its key file.

Source: https://developers.google.com/identity/protocols/oauth2/service-account (signed JWT, RFC 7523).
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from kallglot.clock import Clock
from kallglot.speech.remote.errors import RemoteError, unusable
from kallglot.speech.remote.exchange import Answer, Request

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
LIVES_S: Final = 3600
SPARE_S: Final = 120
"""A token is renewed so long before its end."""
LARGEST_FILE: Final = 64 * 1024


class Account(msgspec.Struct):
    """The parts of a key file that are used."""

    client_email: str
    private_key: str
    project_id: str | None = None
    private_key_id: str | None = None
    token_uri: str = "https://oauth2.googleapis.com/token"

    def __repr__(self) -> str:
        return f"Account({self.client_email!r})"


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float = LIVES_S


class Tokens:
    """``ask`` is the engine's own way to ask."""

    def __init__(self, name: str, file: Path, ask: Callable[[Request], Awaitable[Answer]], clock: Clock) -> None:
        self._name = name
        self._file = file
        self._ask = ask
        self._clock = clock
        self._account: Account | None = None
        self._token = ""
        self._until: float | None = None
        """By the clock that is never put back."""
        self._renewing = asyncio.Lock()

    async def account(self) -> Account:
        """Raises :class:`RemoteError` where the file is none."""
        if self._account is None:
            try:
                data = await asyncio.to_thread(_read, self._file)
                self._account = msgspec.json.decode(data, type=Account)
            except (OSError, ValueError, msgspec.MsgspecError):
                raise RemoteError(
                    f"{self._name}: the option credentials has to be the path of a service account's key file",
                    blame="key",
                ) from None
        return self._account

    async def token(self) -> str:
        """Raises :class:`EngineError`."""
        async with self._renewing:
            if self._until is None or self._clock.monotonic() >= self._until - SPARE_S:
                account = await self.account()
                asked = self._clock.monotonic()
                moment = int(self._clock.now().timestamp())
                assertion = await asyncio.to_thread(signed, account, moment, self._name)
                form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
                answer = await self._ask(
                    Request(
                        account.token_uri,
                        headers={"Content-Type": "application/x-www-form-urlencoded"},
                        body=urlencode(form).encode(),
                    )
                )
                try:
                    got = msgspec.json.decode(answer.body, type=_Token)
                except msgspec.MsgspecError:
                    raise unusable(self._name, "the answer to the request for a token cannot be understood") from None
                self._token, self._until = got.access_token, asked + got.expires_in
            return self._token


def signed(account: Account, now: int, name: str) -> str:
    """A JWT (RFC 7519), signed with RS256, that asks for a token. Raises :class:`RemoteError` where the key is none."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    head: dict[str, Any] = {"alg": "RS256", "typ": "JWT"}
    if account.private_key_id:
        head["kid"] = account.private_key_id
    claims = {
        "iss": account.client_email,
        "scope": SCOPE,
        "aud": account.token_uri,
        "iat": now,
        "exp": now + LIVES_S,
    }
    said = b".".join(_part(msgspec.json.encode(part)) for part in (head, claims))
    try:
        key = load_pem_private_key(account.private_key.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise RemoteError(f"{name}: the private key of the service account is none", blame="key")
    return b".".join((said, _part(key.sign(said, padding.PKCS1v15(), hashes.SHA256())))).decode()


def _part(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(LARGEST_FILE)
