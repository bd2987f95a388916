"""Signatures, as their receivers verify them: by the documented text alone, and by the public library."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from kallglot.webhooks.model import Secrets
from kallglot.webhooks.signatures import is_secret, new_secret, signed

BODY = '{"id":"evt_1","type":"session.ended","data":{"text":"Grüezi"}}'.encode()
CREATED = datetime(2024, 3, 21, 9, 6, 40, tzinfo=UTC)

VECTOR = "03f175a932e49457f91f87bd49782cd3c5f7bfb97d4897ee17b6e09cf3d885c7"
STANDARD_VECTOR = "AC6202FdcTaqJ+SPvLPlYhea78zJ8ZRvNYePxjVDPXU="


def headers(body: bytes, keys: list[str], now: datetime, retries: int = 0) -> dict[str, str]:
    return signed(
        body,
        keys,
        now=now,
        event_id="evt_1",
        event_created_at=CREATED,
        delivery_id="wh_del_1",
        retries=retries,
    )


def documented(header: str, body: bytes, secret: str) -> bool:
    """``Kallglot-Signature: t=<unix seconds>,v1=<hex>``: split on ``,``, then on the first ``=``; v1 is the lower-case
    hex HMAC-SHA256 of ``{t}.{raw body}``."""
    pairs = [part.split("=", 1) for part in header.split(",")]
    (stamp,) = [value for name, value in pairs if name == "t"]
    expected = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(expected, value) for name, value in pairs if name == "v1")


@given(st.binary(max_size=500))
def test_the_documented_verifier_agrees(body: bytes) -> None:
    secret = new_secret()
    header = headers(body, [secret], datetime.now(UTC))["Kallglot-Signature"]
    assert documented(header, body, secret)
    assert not documented(header, body + b" ", secret)
    assert not documented(header, body, new_secret())


@given(st.text(max_size=500))
def test_the_public_library_agrees(text: str) -> None:
    secret = new_secret()
    given = headers(text.encode(), [secret], datetime.now(UTC))
    Webhook(secret).verify(text.encode(), given, json_parse=False)
    for wrong, key in ((text + " ", secret), (text, new_secret())):
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(wrong.encode(), given, json_parse=False)


def test_a_vector_computed_elsewhere() -> None:
    """``openssl dgst -sha256 -hmac`` over ``1711454400.{}`` and ``evt_1.1711454400.{}``."""
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    given = headers(b"{}", [secret], datetime.fromtimestamp(1711454400, UTC), retries=2)
    assert given == {
        "Kallglot-Signature": f"t=1711454400,v1={VECTOR}",
        "Kallglot-Webhook-Id": "wh_del_1",
        "Kallglot-Retry-Count": "2",
        "Kallglot-Original-Timestamp": "1711012000",
        "webhook-id": "evt_1",
        "webhook-timestamp": "1711454400",
        "webhook-signature": f"v1,{STANDARD_VECTOR}",
    }


def test_both_secrets_verify_while_one_rotates() -> None:
    old, new = new_secret(), new_secret()
    now = datetime.now(UTC)
    secrets = Secrets(new, old, now + timedelta(hours=24))
    given = headers(BODY, list(secrets.valid(now)), now)
    for key in (old, new):
        assert documented(given["Kallglot-Signature"], BODY, key)
        Webhook(key).verify(BODY, given)
    later = now + timedelta(hours=24)
    given = headers(BODY, list(secrets.valid(later)), now)
    assert documented(given["Kallglot-Signature"], BODY, new)
    assert not documented(given["Kallglot-Signature"], BODY, old)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(BODY, given)


def test_new_secrets() -> None:
    some = {new_secret() for _ in range(100)}
    assert len(some) == 100
    assert all(is_secret(one) and len(base64.b64decode(one.removeprefix("whsec_"))) >= 24 for one in some)


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_!!!!", "whsec_" + "A" * 30, "secret", "whsec_" + "A" * 200])
def test_what_is_no_secret(text: str) -> None:
    assert not is_secret(text)
