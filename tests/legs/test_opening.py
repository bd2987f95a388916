import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.carriers.arrivals import CarrierStart
from kallglot.legs.opening import MOST_BYTES, MOST_FRAMES, NativeStart, Opening, is_carriers
from kallglot.session.switchboard import StreamRefused

CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
TWILIO = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ" + "1" * 32,
    "start": {
        "accountSid": "AC" + "2" * 32,
        "streamSid": "MZ" + "1" * 32,
        "callSid": "CA" + "3" * 32,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": "kst_live_x"},
    },
}
TELNYX = {
    "event": "start",
    "sequence_number": "1",
    "stream_id": "32DE0DEA",
    "start": {
        "user_id": "3E6F",
        "call_control_id": "v2:T02ll",
        "call_session_id": "ff55",
        "from": "+13125550100",
        "to": "+13125550101",
        "client_state": base64.b64encode(b'{"token":"kst_live_state"}').decode(),
        "media_format": {"encoding": "PCMA", "sample_rate": 8000, "channels": 1},
    },
}


def fed(*messages: Any, expected: str | None = None) -> Any:
    opening = Opening(expected)
    found = None
    for message in messages:
        found = opening.feed(json.dumps(message).encode())
    return found


def test_twilio() -> None:
    assert fed(CONNECTED, TWILIO) == CarrierStart(
        "twilio", "MZ" + "1" * 32, "CA" + "3" * 32, "AC" + "2" * 32, {"token": "kst_live_x"}, "audio/x-mulaw", 8000
    )


def test_telnyx_with_the_token_in_the_client_state() -> None:
    start = fed({"event": "connected", "version": "1.0.0"}, TELNYX)
    assert start == CarrierStart(
        "telnyx",
        "32DE0DEA",
        "v2:T02ll",
        "3E6F",
        {"token": "kst_live_state"},
        "PCMA",
        8000,
        "+13125550100",
        "+13125550101",
    )


@pytest.mark.parametrize(
    "parameters", [{"token": "kst_live_p", "n": 5}, [{"name": "token", "value": "kst_live_p"}, "x", {"value": "y"}]]
)
def test_a_parameter_is_worth_more_than_the_client_state(parameters: Any) -> None:
    start = fed({**TELNYX, "start": {**TELNYX["start"], "custom_parameters": parameters}})
    assert start.token == "kst_live_p"


@pytest.mark.parametrize("state", ["not base64!", base64.b64encode(b"not json").decode(), "", 5, None])
def test_a_client_state_of_somebody_else(state: Any) -> None:
    assert fed({**TELNYX, "start": {**TELNYX["start"], "client_state": state}}).token is None


def test_mocks_leave_out_most_of_it() -> None:
    start = fed({"event": "start", "streamSid": "MZ1", "start": {"callSid": "CA1"}})
    assert (start.dialect, start.stream_id, start.call_id, start.encoding) == ("twilio", "MZ1", "CA1", "audio/x-mulaw")


@pytest.mark.parametrize(
    "message", [{"type": "ping"}, {"type": "x", "event": "start"}, {}, {"event": 5}, {"hello": "world"}]
)
def test_native(message: Any) -> None:
    assert fed(message) == NativeStart()


def test_what_is_no_message_is_left_to_the_native_dialect_to_complain_of() -> None:
    assert Opening(None).feed(b"\x00\x01", binary=True) == NativeStart()
    assert Opening(None).feed(b"not json") == NativeStart()
    assert Opening(None).feed(b"[1]") == NativeStart()


@pytest.mark.parametrize(
    "start", [None, {}, {"callSid": ""}, {"callSid": 5}, {"call_control_id": "v3:x"}, {"callSid": ["CA"]}]
)
def test_a_start_that_names_no_call(start: Any) -> None:
    with pytest.raises(StreamRefused) as refused:
        fed({"event": "start", "streamSid": "MZ1", "start": start})
    assert refused.value.close_code == 1008


def test_another_carrier_than_the_address_says() -> None:
    with pytest.raises(StreamRefused):
        fed(TWILIO, expected="telnyx")
    assert fed(TWILIO, expected="twilio").dialect == "twilio"


def test_a_stranger_is_not_listened_to_for_long() -> None:
    opening = Opening(None)
    for _ in range(MOST_FRAMES):
        assert opening.feed(b'{"event":"connected"}') is None
    with pytest.raises(StreamRefused):
        opening.feed(json.dumps(TWILIO).encode())
    with pytest.raises(StreamRefused):
        Opening(None).feed(b'{"event":"' + b"x" * MOST_BYTES + b'"}')


def test_a_carrier_that_was_taken_for_native() -> None:
    assert is_carriers(json.dumps(CONNECTED).encode())
    assert is_carriers(json.dumps(TELNYX).encode())
    assert not is_carriers(b'{"type":"text.input","text":"\\"event\\""}')
    assert not is_carriers(b'{"event":"media"}')
    assert not is_carriers(b'"event')


NAMES = (
    "event start streamSid stream_id callSid call_control_id customParameters custom_parameters client_state"
    " mediaFormat encoding sampleRate"
).split()
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
)


@given(ANYTHING)
def test_anything_is_taken_or_refused(message: Any) -> None:
    with contextlib.suppress(StreamRefused):
        fed({"event": "start", **message} if isinstance(message, dict) else message)
