"""Whether a webhook, or the handshake of a stream, was made by the carrier whose connection it names.

Twilio: https://www.twilio.com/docs/usage/security#validating-requests and
https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys. Telnyx:
https://developers.telnyx.com/docs/development/api-fundamentals/webhooks. Nothing here raises, whatever comes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast
from urllib.parse import SplitResult, parse_qs, parse_qsl, urldefrag, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from twilio.request_validator import (  # pyright: ignore[reportMissingTypeStubs]
    HMAC_SHA1,
    HMAC_SHA256,
    RequestValidator,
)

from kallglot.carriers.model import Connection

TOLERANCE_SECONDS: Final = 300
_MOST_FIELDS: Final = 1000
_TWILIO_SECRETS: Final = ("auth_token", "previous_auth_token", "shared_keys")
_PORTS: Final = {"https": 443, "wss": 443, "http": 80, "ws": 80}

Fields = Mapping[str, str | Sequence[str]]


def check_twilio(connection: Connection, url: str, content: Fields | bytes, headers: Mapping[str, str]) -> bool:
    """``url`` is the public one, as Twilio was told it: for a stream's handshake ``wss://…`` with no ``content``.

    ``content`` is the fields of the form, all of them, or the raw body: a form, or else what the URL's ``bodySHA256``
    covers. A body that no signature covers is refused. Where the connection does not ``require_signature``, a request
    without one passes; one with a wrong signature does only where there is nothing to check it with.
    """
    try:
        if _unsigned_is_fine(connection) and not any(connection.secrets.get(name) for name in _TWILIO_SECRETS):
            return True
        given = {name.lower(): value for name, value in headers.items()}
        signature = given.get("x-twilio-signature")
        if not signature:
            return _unsigned_is_fine(connection)
        fields = content if isinstance(content, Mapping) else _fields(url, content, given.get("content-type", ""))
        if fields is None:
            return False
        algorithm, secrets = _twilio_secrets(connection, given.get("x-twilio-webhooks-signature-settings", ""))
        genuine = False
        for secret in secrets:
            validator = cast("Any", RequestValidator(secret))
            for variant in _variants(url):
                computed: str = validator.compute_signature(variant, _Form(fields), algorithm)
                genuine |= hmac.compare_digest(computed.encode(), signature.encode())
        return genuine
    except (TypeError, ValueError, AttributeError):
        return False


def check_telnyx(connection: Connection, body: bytes, headers: Mapping[str, str], now: datetime) -> bool:
    """Of Call Control and of TeXML alike; ``body`` as it came. A signature of more than 300 s ago, or ahead, is none.

    Where the connection does not ``require_signature``, a request without one passes.
    """
    try:
        if _unsigned_is_fine(connection) and not connection.settings.get("public_key"):
            return True
        given = {name.lower(): value for name, value in headers.items()}
        signature, timestamp = given.get("telnyx-signature-ed25519"), given.get("telnyx-timestamp")
        if not signature and not timestamp:
            return _unsigned_is_fine(connection)
        if not signature or not timestamp or not _is_number(timestamp):
            return False
        if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
            return False
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(connection.settings["public_key"], validate=True))
        key.verify(base64.b64decode(signature, validate=True), b"%b|%b" % (timestamp.encode(), body))
        return True
    except (InvalidSignature, TypeError, ValueError, AttributeError, KeyError):
        return False


def _unsigned_is_fine(connection: Connection) -> bool:
    return connection.settings.get("require_signature", True) is False


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 16


class _Form(dict[str, list[str]]):
    """As the SDK wants a form in which a field may come more than once."""

    def __init__(self, fields: Fields) -> None:
        super().__init__({name: [one] if isinstance(one, str) else list(one) for name, one in fields.items()})

    def getlist(self, name: str) -> list[str]:
        return self[name]


def _fields(url: str, body: bytes, content_type: str) -> Fields | None:
    """What of the body is signed with the URL; None where the body is not what was signed."""
    if not body:
        return {}
    if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        fields: dict[str, list[str]] = {}
        text = body.decode()
        for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS):
            fields.setdefault(name, []).append(value)
        return fields
    digest = parse_qs(urlsplit(url).query, max_num_fields=_MOST_FIELDS).get("bodySHA256", [""])[0]
    return {} if hmac.compare_digest(hashlib.sha256(body).hexdigest().encode(), digest.lower().encode()) else None


def _twilio_secrets(connection: Connection, settings: str) -> tuple[str, list[str]]:
    """The algorithm, and every secret that the signature may have been made with."""
    named = {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in settings.split(","))}
    algorithm = named.get("algorithm") or HMAC_SHA1
    if key := named.get("key"):
        shared: Any = connection.secrets.get("shared_keys") or {}
        found: list[Any] = [shared.get(key)]
    else:
        found = [connection.secrets.get(name) for name in ("auth_token", "previous_auth_token")]
    known = algorithm == HMAC_SHA256 if key else algorithm == HMAC_SHA1
    return algorithm, [secret for secret in found if isinstance(secret, str) and secret] if known else []


def _variants(url: str) -> Iterator[str]:
    """As it is, without its port, and with the port that its scheme implies: Twilio signs now one, now the other.

    The SDK's own variants give wss the port 80 and break IPv6 addresses.
    """
    url = urldefrag(url).url
    parts = urlsplit(url)
    yield url
    credentials, at, host = parts.netloc.rpartition("@")
    if parts.port is not None:
        yield _at(parts, credentials + at + host.rpartition(":")[0])
    elif (port := _PORTS.get(parts.scheme)) is not None:
        yield _at(parts, f"{credentials}{at}{host.rstrip(':')}:{port}")


def _at(parts: SplitResult, netloc: str) -> str:
    return parts._replace(netloc=netloc).geturl()
