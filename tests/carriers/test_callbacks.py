from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.carriers.callbacks import (
    CallChange,
    Incoming,
    apply,
    telnyx_event,
    telnyx_texml_status,
    twilio_amd,
    twilio_status,
)
from kallglot.carriers.model import AnsweredBy, Call, CallStatus

NOW = datetime(2026, 3, 26, 12, 0, tzinfo=UTC)
CALL = Call("call_1", "sess_1", "org_1", True, "twilio", "outbound", "queued", NOW - timedelta(hours=1))
SID = "CA" + "0" * 32
LEG = "v3:MdI91X4lWFEs7IgbBEOT9M4AigoY08M0WWZFISt1Yw2axZ_IiE4pqg"


def twilio(status: str, number: int, second: int, **more: str) -> CallChange:
    return twilio_status(
        {
            "CallSid": SID,
            "CallStatus": status,
            "SequenceNumber": str(number),
            "Timestamp": f"Thu, 26 Mar 2026 11:00:{second:02} +0000",
            "Something": "new",
            **more,
        }
    )


def event(kind: str, second: int = 0, **payload: object) -> dict[str, Any]:
    return {
        "data": {
            "record_type": "event",
            "event_type": kind,
            "id": "0ccc7b54-4df3-4bca-a65a-3da1ecc777f0",
            "occurred_at": f"2026-03-26T11:00:{second:02}.521992Z",
            "payload": {"call_control_id": LEG, "from": "+35319605860", "to": "+35319605861", **payload},
        },
        "meta": {"attempt": 1},
    }


def change(event: object) -> CallChange:
    told = telnyx_event(event)
    assert isinstance(told, CallChange)
    return told


TWILIO = [
    twilio("initiated", 0, 0),
    twilio("ringing", 1, 1),
    twilio("in-progress", 2, 5),
    twilio_amd({"CallSid": SID, "AnsweredBy": "machine_start", "MachineDetectionDuration": "3000"}),
    twilio("completed", 3, 30, CallDuration="25", SipResponseCode="200"),
]
TELNYX = [
    change(event("call.initiated", 1, direction="outgoing", state="bridging")),
    change(event("call.answered", 5)),
    change(event("call.machine.premium.detection.ended", 7, result="human_residence")),
    change(event("call.hangup", 30, hangup_cause="normal_clearing", sip_hangup_cause="200")),
]


def after(call: Call, changes: list[CallChange]) -> Call:
    for one in changes:
        call = apply(call, one, NOW)
    return call


class TestTwilio:
    def test_a_call(self) -> None:
        call = after(CALL, TWILIO)
        assert (call.carrier_call_id, call.status, call.answered_by, call.order) == (SID, "completed", "machine", 3)
        assert call.answered_at == datetime(2026, 3, 26, 11, 0, 5, tzinfo=UTC)
        assert call.ended_at == datetime(2026, 3, 26, 11, 0, 30, tzinfo=UTC)
        assert call.hangup_cause == "completed"
        assert TWILIO[-1].duration == 25

    @pytest.mark.parametrize(
        ("said", "status"),
        [
            ("queued", "queued"),
            ("initiated", "queued"),
            ("in-progress", "in_progress"),
            ("answered", "in_progress"),
            ("no-answer", "no_answer"),
            ("busy", "busy"),
            ("failed", "failed"),
            ("canceled", "canceled"),
            ("levitating", None),
            ("", None),
        ],
    )
    def test_statuses(self, said: str, status: CallStatus | None) -> None:
        assert twilio_status({"CallSid": SID, "CallStatus": said}).status == status

    @pytest.mark.parametrize(
        ("said", "who"),
        [
            ("human", "human"),
            ("fax", "fax"),
            ("unknown", "unknown"),
            ("machine_start", "machine"),
            ("machine_end_beep", "machine"),
            ("machine_end_other", "machine"),
            ("dog", None),
        ],
    )
    def test_who_answered(self, said: str, who: AnsweredBy | None) -> None:
        assert twilio_amd({"CallSid": SID, "AnsweredBy": said}) == CallChange(SID, answered_by=who)

    def test_why_it_failed(self) -> None:
        assert twilio("failed", 1, 1, SipResponseCode="404").hangup_cause == "sip_404"
        assert twilio("no-answer", 1, 1).hangup_cause == "no-answer"
        assert twilio("ringing", 1, 1, SipResponseCode="180").hangup_cause is None

    def test_nothing(self) -> None:
        assert twilio_status({}) == CallChange("")
        assert after(replace(CALL, carrier_call_id=SID), [twilio_status({})]) == replace(CALL, carrier_call_id=SID)


class TestTexml:
    def test_its_sample(self) -> None:
        told = telnyx_texml_status(
            {
                "AccountSid": "cb6cfbbc-eb00-41af-a3f3-0d7b32009e4b",
                "CallDuration": "2",
                "CallSid": "v2:7V3r4VFCGLTzKLOveE0-7vM9dX17-NRQgU1byo-uuOIX9JcDadLLKw",
                "CallStatus": "completed",
                "HangupCause": "normal_clearing",
                "HangupSource": "callee",
                "SequenceNumber": "0",
                "Timestamp": "2021-04-28 21:51:18.731479Z",
            }
        )
        assert told == CallChange(
            "v2:7V3r4VFCGLTzKLOveE0-7vM9dX17-NRQgU1byo-uuOIX9JcDadLLKw",
            "completed",
            0,
            datetime(2021, 4, 28, 21, 51, 18, 731479, UTC),
            "normal_clearing",
            duration=2,
        )

    def test_a_sequence_that_does_not_count(self) -> None:
        changes = [replace(one, order=0) for one in TWILIO]
        assert after(CALL, changes).status == "completed"


class TestTelnyx:
    def test_a_call(self) -> None:
        call = after(CALL, TELNYX)
        assert (call.carrier_call_id, call.status, call.answered_by) == (LEG, "completed", "human")
        assert call.hangup_cause == "normal_clearing"
        assert call.answered_at == datetime(2026, 3, 26, 11, 0, 5, 521992, UTC)
        assert call.order == int(datetime(2026, 3, 26, 11, 0, 30, 521992, UTC).timestamp() * 1000)

    def test_an_incoming_one(self) -> None:
        told = telnyx_event(event("call.initiated", direction="incoming", state="parked", connection_id=7267))
        assert told == Incoming(
            LEG,
            "0ccc7b54-4df3-4bca-a65a-3da1ecc777f0",
            "+35319605860",
            "+35319605861",
            "7267",
            datetime(2026, 3, 26, 11, 0, 0, 521992, UTC),
        )

    @pytest.mark.parametrize(
        ("cause", "sip", "status"),
        [
            ("normal_clearing", "200", "completed"),
            ("time_limit", "", "completed"),
            ("user_busy", "486", "busy"),
            ("call_rejected", "603", "busy"),
            ("call_rejected", "403", "failed"),
            ("no_answer", "480", "no_answer"),
            ("timeout", "487", "no_answer"),
            ("originator_cancel", "487", "canceled"),
            ("not_found", "404", "failed"),
            ("unspecified", "503", "failed"),
            ("unspecified", 503, "failed"),
            ("unspecified", "200", "completed"),
            ("something_new", None, "completed"),
            (None, None, "completed"),
        ],
    )
    def test_hangups(self, cause: str | None, sip: object, status: CallStatus) -> None:
        assert change(event("call.hangup", hangup_cause=cause, sip_hangup_cause=sip)).status == status

    @pytest.mark.parametrize(
        ("kind", "result", "who"),
        [
            ("call.machine.detection.ended", "human", "human"),
            ("call.machine.detection.ended", "not_sure", "unknown"),
            ("call.machine.premium.detection.ended", "human_business", "human"),
            ("call.machine.premium.detection.ended", "fax_detected", "fax"),
            ("call.machine.premium.detection.ended", "silence", "unknown"),
            ("call.machine.greeting.ended", "beep_detected", "machine"),
            ("call.machine.premium.greeting.ended", "no_beep_detected", "machine"),
        ],
    )
    def test_who_answered(self, kind: str, result: str, who: AnsweredBy) -> None:
        told = change(event(kind, result=result))
        assert (told.status, told.answered_by) == (None, who)

    def test_our_state(self) -> None:
        state = base64.b64encode(json.dumps({"call_id": "call_1", "n": 1}).encode()).decode()
        assert change(event("call.answered", client_state=state)).state == {"call_id": "call_1"}
        for other in ("aGF2ZSBhIG5pY2UgZGF5ID1d", "!", None, 7):
            assert change(event("call.answered", client_state=other)).state == {}

    @pytest.mark.parametrize(
        "kind", ["streaming.started", "call.bridged", "call.dtmf.received", "conference.created", "", None]
    )
    def test_what_does_not_matter(self, kind: Any) -> None:
        assert telnyx_event(event(kind)) is None

    @pytest.mark.parametrize("wrong", [None, [], {}, {"data": 1}, {"data": {"payload": []}}, "x", {"data": {}}])
    def test_no_event(self, wrong: object) -> None:
        assert telnyx_event(wrong) is None


class TestApply:
    def test_late_ringing(self) -> None:
        call = after(CALL, TWILIO[:3])
        assert apply(call, TWILIO[1], NOW) == call
        assert call.status == "in_progress"

    def test_what_is_over_stays_over(self) -> None:
        call = after(CALL, [twilio("busy", 2, 2)])
        for one in [*TWILIO[:2], twilio("failed", 9, 9)]:
            assert apply(call, one, NOW) == call

    def test_without_times(self) -> None:
        call = after(CALL, [CallChange(SID, "in_progress"), CallChange(SID, "completed")])
        assert (call.answered_at, call.ended_at) == (NOW, NOW)

    def test_another_calls_changes(self) -> None:
        call = replace(CALL, carrier_call_id="CA" + "1" * 32)
        assert after(call, TWILIO) == call

    @given(st.sampled_from([TWILIO, TELNYX]), st.data())
    def test_any_order_any_number_of_times(self, changes: list[CallChange], data: st.DataObject) -> None:
        more = data.draw(st.lists(st.sampled_from(changes), max_size=5))
        shuffled = data.draw(st.permutations(changes + more))
        assert after(CALL, shuffled) == after(CALL, changes)

    @given(st.sampled_from([TWILIO, TELNYX]), st.data())
    def test_any_of_them_may_be_missing(self, changes: list[CallChange], data: st.DataObject) -> None:
        some = data.draw(st.lists(st.sampled_from(changes), unique_by=id, max_size=5))
        shuffled = data.draw(st.permutations(some))
        assert after(CALL, shuffled) == after(CALL, sorted(some, key=changes.index))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
TIMES = st.text(max_size=20) | st.sampled_from(
    ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "Mon, 99 Foo", "2026-03-26", "0", "20260326T110000Z"]
)


@given(st.dictionaries(st.sampled_from(["CallStatus", "CallSid", "SequenceNumber", "CallDuration"]), anything), TIMES)
def test_garbage_in_forms(form: dict[str, Any], time: str) -> None:
    told = twilio_status({**form, "Timestamp": time})
    assert 0 <= told.order < 2**31
    apply(CALL, told, NOW)
    twilio_amd({**form, "AnsweredBy": time})


@given(
    st.dictionaries(
        st.sampled_from(["call_control_id", "direction", "hangup_cause", "sip_hangup_cause", "client_state", "result"]),
        anything,
    ),
    st.sampled_from(["call.initiated", "call.hangup", "call.machine.detection.ended"]) | anything,
    TIMES | anything,
)
def test_garbage_in_events(payload: dict[str, Any], kind: object, time: object) -> None:
    told = telnyx_event({"data": {"event_type": kind, "occurred_at": time, "payload": payload}})
    if isinstance(told, CallChange):
        apply(CALL, told, NOW)
