from __future__ import annotations

import base64
import hashlib
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey
from telnyx import Telnyx
from twilio.request_validator import RequestValidator

from kallglot.carriers.model import Connection
from kallglot.carriers.signatures import check_telnyx, check_twilio

NOW = datetime(2026, 3, 26, 11, 0, tzinfo=UTC)
TWILIO = Connection(
    "pcon_1",
    "org_1",
    "twilio",
    "Main",
    NOW,
    settings={"account_sid": "AC1"},
    secrets={"auth_token": "12345", "previous_auth_token": "older", "shared_keys": {"whk_1": "shared secret"}},
)
KEY = SigningKey(bytes(range(32)))
TELNYX = Connection(
    "pcon_2",
    "org_1",
    "telnyx",
    "Main",
    NOW,
    settings={"public_key": base64.b64encode(bytes(KEY.verify_key)).decode()},
    secrets={"api_key": "KEY1"},
)
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
URL = "https://voice.example.com/v1/twilio/pcon_1/voice?a=1&b=%20"


def signed(url: str, fields: dict[str, str] | None = None, token: str = "12345") -> dict[str, str]:
    return {"X-Twilio-Signature": RequestValidator(token).compute_signature(url, fields or {})}


class TestTwilio:
    def test_the_vector_of_its_documentation(self) -> None:
        fields = {
            "CallSid": "CA1234567890ABCDE",
            "Caller": "+14158675309",
            "Digits": "1234",
            "From": "+14158675309",
            "To": "+18005551212",
        }
        url = "https://mycompany.com/myapp.php?foo=1&bar=2"
        headers = {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}
        assert check_twilio(TWILIO, url, fields, headers)
        assert check_twilio(TWILIO, url, urlencode(fields).encode(), headers | FORM)
        assert not check_twilio(TWILIO, url, fields | {"Digits": "1235"}, headers)
        assert not check_twilio(TWILIO, url, fields | {"New": ""}, headers)
        assert not check_twilio(TWILIO, url + "3", fields, headers)

    @pytest.mark.parametrize("token", ["12345", "older"])
    def test_the_token_and_the_one_before_it(self, token: str) -> None:
        fields = {"CallSid": "CA1", "Empty": "", "Name": "Zoë & Søn"}
        headers = signed(URL, fields, token) | FORM
        assert check_twilio(TWILIO, URL, urlencode(fields).encode(), headers)
        assert not check_twilio(TWILIO, URL, urlencode(fields).encode() + b"x", headers)

    @pytest.mark.parametrize("token", ["wrong", ""])
    def test_other_tokens(self, token: str) -> None:
        connection = replace(TWILIO, secrets={"auth_token": "", "previous_auth_token": None})
        for one in (TWILIO, connection):
            assert not check_twilio(one, URL, b"", signed(URL, token=token))

    def test_fields_that_come_twice(self) -> None:
        class Several(dict[str, list[str]]):
            def getlist(self, name: str) -> list[str]:
                return self[name]

        fields = Several({"b": ["2", "1", "2"], "a": ["x"]})
        headers = {"X-Twilio-Signature": RequestValidator("12345").compute_signature(URL, fields)} | FORM
        assert check_twilio(TWILIO, URL, b"b=2&a=x&b=1&b=2", headers)
        assert check_twilio(TWILIO, URL, fields, headers)
        assert not check_twilio(TWILIO, URL, b"b=2&a=x", headers)

    @pytest.mark.parametrize(
        ("told", "signs"),
        [
            ("https://h.example/x?q=1", "https://h.example:443/x?q=1"),
            ("https://h.example:443/x", "https://h.example/x"),
            ("https://h.example:8443/x", "https://h.example/x"),
            ("https://h.example:8443/x", "https://h.example:8443/x"),
            ("http://h.example/x", "http://h.example:80/x"),
            ("wss://h.example/v1/sessions/sess_1/connect", "wss://h.example/v1/sessions/sess_1/connect"),
            ("wss://h.example/v1/sessions/sess_1/connect", "wss://h.example:443/v1/sessions/sess_1/connect"),
            ("wss://[2001:db8::1]:8443/x", "wss://[2001:db8::1]/x"),
            ("wss://[2001:db8::1]/x", "wss://[2001:db8::1]:443/x"),
            ("https://user:pass@h.example/x", "https://user:pass@h.example:443/x"),
            ("https://h.example/x#rc=5&rp=all", "https://h.example/x"),
        ],
    )
    def test_ports_and_handshakes(self, told: str, signs: str) -> None:
        assert check_twilio(TWILIO, told, {}, signed(signs))
        assert not check_twilio(TWILIO, told.replace("h.", "g.").replace("db8", "db9"), {}, signed(signs))

    def test_json_bodies(self) -> None:
        body = json.dumps({"a": "ü"}).encode()
        url = f"{URL}&bodySHA256={hashlib.sha256(body).hexdigest()}"
        headers = signed(url) | {"Content-Type": "application/json"}
        assert RequestValidator("12345").validate(url, body.decode(), headers["X-Twilio-Signature"])
        assert check_twilio(TWILIO, url, body, headers)
        assert not check_twilio(TWILIO, url, body + b" ", headers)
        assert not check_twilio(TWILIO, URL, body, signed(URL) | {"Content-Type": "application/json"})

    def test_shared_keys(self) -> None:
        fields = {"CallSid": "CA1"}
        made = RequestValidator("shared secret").compute_signature(URL, fields, "HMAC_SHA256")
        settings = "X-Twilio-Webhooks-Signature-Settings"
        headers = {"X-Twilio-Signature": made, settings: "key=whk_1,algorithm=HMAC_SHA256"}
        assert check_twilio(TWILIO, URL, fields, headers)
        assert check_twilio(TWILIO, URL, fields, headers | {settings: " algorithm=HMAC_SHA256 , key=whk_1"})
        for other in (
            "key=whk_2,algorithm=HMAC_SHA256",
            "algorithm=HMAC_SHA256",
            "key=whk_1",
            "key=whk_1,algorithm=MD5",
        ):
            assert not check_twilio(TWILIO, URL, fields, headers | {settings: other})
        by_token = RequestValidator("12345").compute_signature(URL, fields, "HMAC_SHA256")
        assert not check_twilio(TWILIO, URL, fields, headers | {"X-Twilio-Signature": by_token})
        assert not check_twilio(replace(TWILIO, secrets={"auth_token": "12345"}), URL, fields, headers)

    def test_unsigned(self) -> None:
        lenient = replace(TWILIO, settings={"require_signature": False})
        assert not check_twilio(TWILIO, URL, b"", {})
        assert check_twilio(lenient, URL, b"", {})
        assert not check_twilio(lenient, URL, b"", {"X-Twilio-Signature": "wrong"})

    @given(
        url=st.text(max_size=40) | st.text(max_size=20).map(lambda text: f"https://{text}:1/"),
        content=st.binary(max_size=60) | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
        signature=st.text(min_size=1, max_size=30),
        settings=st.text(max_size=30) | st.just("key=whk_1,algorithm=HMAC_SHA256"),
        kind=st.sampled_from(["application/json", FORM["Content-Type"], ""]),
    )
    def test_garbage(self, url: str, content: bytes | dict[str, str], signature: str, settings: str, kind: str) -> None:
        headers = {"X-Twilio-Signature": signature, "X-Twilio-Webhooks-Signature-Settings": settings}
        assert not check_twilio(TWILIO, url, content, headers | {"Content-Type": kind})

    def test_too_many_fields(self) -> None:
        body = b"&".join(b"a%d=1" % number for number in range(2000))
        fields = {f"a{number}": "1" for number in range(2000)}
        assert not check_twilio(TWILIO, URL, body, signed(URL, fields) | FORM)

    def test_no_secret_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            check_twilio(TWILIO, URL, {"a": "b"}, signed(URL))
            check_twilio(TWILIO, URL, {"a": "b"}, signed(URL) | {"X-Twilio-Webhooks-Signature-Settings": "algorithm=X"})
        assert not caplog.records


class TestTelnyx:
    BODY = '{"data":{"event_type":"call.hangup"},"ü":1}'.encode()

    def signed(self, body: bytes = BODY, at: datetime = NOW, key: SigningKey = KEY) -> dict[str, str]:
        timestamp = str(int(at.timestamp()))
        signature = key.sign(f"{timestamp}|".encode() + body).signature
        return {
            "Telnyx-Signature-Ed25519": base64.b64encode(signature).decode(),
            "Telnyx-Timestamp": timestamp,
        }

    def test_what_the_sdk_takes_we_take(self) -> None:
        now = datetime.now(UTC)
        headers = self.signed(at=now)
        sdk = Telnyx(api_key="KEY1", public_key=TELNYX.settings["public_key"])
        assert sdk.webhooks.unwrap(self.BODY.decode(), headers=headers)
        assert check_telnyx(TELNYX, self.BODY, headers, now)

    @pytest.mark.parametrize("body", [b"", BODY, b"CallSid=v3%3Aabc&From=%2B1", b"\xff\x00"])
    def test_any_body(self, body: bytes) -> None:
        assert check_telnyx(TELNYX, body, self.signed(body), NOW)

    def test_one_byte(self) -> None:
        headers = self.signed()
        for place in range(len(self.BODY)):
            body = bytearray(self.BODY)
            body[place] ^= 1
            assert not check_telnyx(TELNYX, bytes(body), headers, NOW)
        assert not check_telnyx(TELNYX, self.BODY + b"\n", headers, NOW)

    @pytest.mark.parametrize(("off", "fine"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
    def test_tolerance(self, off: int, fine: bool) -> None:
        assert check_telnyx(TELNYX, self.BODY, self.signed(at=NOW + timedelta(seconds=off)), NOW) is fine

    def test_another_key(self) -> None:
        assert not check_telnyx(TELNYX, self.BODY, self.signed(key=SigningKey(bytes(32))), NOW)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"Telnyx-Timestamp": ""},
            {"Telnyx-Signature-Ed25519": ""},
            {"Telnyx-Timestamp": "soon"},
            {"Telnyx-Timestamp": "٣"},
            {"Telnyx-Timestamp": "9" * 400},
            {"Telnyx-Signature-Ed25519": "!"},
            {"Telnyx-Signature-Ed25519": base64.b64encode(b"x" * 63).decode()},
            {"Telnyx-Signature-Ed25519": "ü"},
        ],
    )
    def test_wrong_headers(self, wrong: dict[str, str]) -> None:
        lenient = replace(TELNYX, settings={**TELNYX.settings, "require_signature": False})
        for connection in (TELNYX, lenient):
            assert not check_telnyx(connection, self.BODY, self.signed() | wrong, NOW)

    @pytest.mark.parametrize("key", [None, "", "!", "AAAA", 7, base64.b64encode(bytes(31)).decode()])
    def test_wrong_public_keys(self, key: object) -> None:
        assert not check_telnyx(replace(TELNYX, settings={"public_key": key}), self.BODY, self.signed(), NOW)
        assert not check_telnyx(replace(TELNYX, settings={}), self.BODY, self.signed(), NOW)

    def test_unsigned(self) -> None:
        assert not check_telnyx(TELNYX, self.BODY, {}, NOW)
        assert check_telnyx(replace(TELNYX, settings={"require_signature": False}), self.BODY, {}, NOW)

    @given(body=st.binary(max_size=40), signature=st.text(max_size=90), timestamp=st.text(max_size=20))
    def test_garbage(self, body: bytes, signature: str, timestamp: str) -> None:
        headers = {"telnyx-signature-ed25519": signature, "telnyx-timestamp": timestamp}
        assert not check_telnyx(TELNYX, body, headers, NOW)
