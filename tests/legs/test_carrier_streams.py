"""Twilio's and Telnyx's streams, message by message."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from kallglot.audio.codec import decoder, encoder
from kallglot.carriers.arrivals import CarrierStart
from kallglot.legs import mp3
from kallglot.legs.commands import Audio, BadMessage, Digits, HungUp
from kallglot.legs.telnyx import MP3_EVERY_MS, MP3_GATHER_MS, MP3_LEAD_MS, TelnyxCodec
from kallglot.legs.twilio import TwilioCodec
from kallglot.session import events
from kallglot.session.model import Participant
from kallglot.session.switchboard import StreamRefused

CUSTOMER = Participant("part_c", "customer", "de")
TONE = np.rint(9000 * np.sin(2 * np.pi * 440 * np.arange(160) / 8000)).astype("<i2").tobytes()
SID = "MZ" + "a" * 32


def twilio(**changes: Any) -> TwilioCodec:
    return TwilioCodec(CarrierStart("twilio", SID, "CA1", **{"encoding": "audio/x-mulaw", **changes}), CUSTOMER)


def telnyx(encoding: str = "PCMU", rate: int = 8000, **parameters: str) -> TelnyxCodec:
    start = CarrierStart("telnyx", "stream", "v3:1", parameters=parameters, encoding=encoding, sample_rate_hz=rate)
    return TelnyxCodec(start, CUSTOMER)


def receive(codec: TwilioCodec | TelnyxCodec, message: dict[str, Any] | bytes, now_ms: float = 0.0) -> list[Any]:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return list(codec.receive(data, binary=False, now_ms=now_ms))


def media(payload: bytes, chunk: Any = "2", timestamp: Any = "20", **more: Any) -> dict[str, Any]:
    body = {"track": "inbound", "chunk": chunk, "timestamp": timestamp, "payload": base64.b64encode(payload).decode()}
    return {"event": "media", "sequenceNumber": "4", "streamSid": SID, "media": {**body, **more}}


def sent(messages: Any) -> list[dict[str, Any]]:
    return [json.loads(message) for message in messages]


MULAW = encoder("mulaw", 8000).encode(TONE)


# Twilio


@pytest.mark.parametrize(("chunk", "timestamp"), [("2", "20"), (2, 20), (None, 20.0)])
def test_media_with_numbers_as_they_come(chunk: Any, timestamp: Any) -> None:
    (audio,) = receive(twilio(), media(MULAW, chunk, timestamp))
    assert audio == Audio("part_c", decoder("mulaw", 8000).decode(MULAW), 8000, 20.0)


def test_media_of_any_length_without_a_timestamp() -> None:
    message = {"event": "media", "media": {"payload": base64.b64encode(MULAW * 3).decode()}}
    (audio,) = receive(twilio(), message)
    assert (len(audio.pcm), audio.timestamp_ms) == (960, None)


def test_the_other_track_is_not_the_callers() -> None:
    assert receive(twilio(), media(MULAW, track="outbound")) == []


def test_digits_and_the_end() -> None:
    codec = twilio()
    digit = {"event": "dtmf", "streamSid": SID, "sequenceNumber": "5", "dtmf": {"track": "inbound_track", "digit": "#"}}
    assert receive(codec, digit) == [Digits("#")]
    assert receive(codec, {**digit, "dtmf": {"digit": "x"}}) == []
    assert receive(codec, {"event": "stop", "streamSid": SID, "stop": {"callSid": "CA1"}}) == [HungUp()]


def test_what_comes_some_day_is_passed_over() -> None:
    for message in (
        {"event": "connected"},
        {"event": "future", "media": 5},
        {"event": "mark"},
        {"event": "mark", "mark": {}},
    ):
        assert receive(twilio(), message) == []


@pytest.mark.parametrize(
    "message",
    [b"", b"[]", b'{"event":"media","media":{"payload":"%%%"}}', b'{"event":"media","media":5}', b'{"media":{}}'],
)
def test_nonsense_is_said_to_be_that(message: bytes) -> None:
    with pytest.raises(BadMessage):
        receive(twilio(), message)


def test_a_frame_of_nothing_or_of_far_too_much() -> None:
    for payload in (b"", MULAW * 60):
        with pytest.raises(BadMessage):
            receive(twilio(), media(payload))
    with pytest.raises(BadMessage):
        twilio().receive(b"\x00", binary=True, now_ms=0)


def test_what_goes_out_is_what_twilio_takes() -> None:
    codec = twilio()
    out = [one for n in range(50) for one in sent(codec.audio(CUSTOMER, "agent", "turn_1", MULAW, n * 20.0))]
    assert [one["event"] for one in out].count("media") == 50
    marks = [one for one in out if one["event"] == "mark"]
    assert len(marks) == 2
    assert all(one["streamSid"] == SID for one in out)
    assert base64.b64decode(out[0]["media"]["payload"]) == MULAW
    assert set(out[0]) == {"event", "streamSid", "media"}
    assert marks[0]["mark"]["name"]


def test_marks_tell_how_late_it_is_heard() -> None:
    codec = twilio()
    for n in range(500):
        for one in sent(codec.audio(CUSTOMER, "agent", "turn_1", MULAW, n * 20.0)):
            if one["event"] == "mark":
                receive(codec, {"event": "mark", "streamSid": SID, "mark": one["mark"]}, n * 20.0 + 20 + 200)
    assert 190 < codec.late_ms <= 200


def test_only_what_plays_is_cleared() -> None:
    codec = twilio()
    codec.audio(CUSTOMER, "agent", "turn_1", MULAW, 0)
    assert codec.event(events.PlaybackCleared("turn_2", "customer"), 10) is None
    assert json.loads(codec.event(events.PlaybackCleared("turn_1", "customer"), 10) or b"") == {
        "event": "clear",
        "streamSid": SID,
    }
    assert codec.event(events.PlaybackCleared("turn_1", "customer"), 10) is None
    assert codec.event(events.Warned("x", "y"), 10) is None
    assert codec.error("invalid_message", "no") is None


@pytest.mark.parametrize("changes", [{"encoding": "audio/l16"}, {"sample_rate_hz": 16000}])
def test_another_format_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(StreamRefused) as refused:
        twilio(**changes)
    assert refused.value.code == "invalid_audio_format"


@given(st.binary(max_size=300))
def test_garbage_harms_nothing(data: bytes) -> None:
    try:
        receive(twilio(), data)
        receive(telnyx(), data)
    except BadMessage:
        pass


# Telnyx


@pytest.mark.parametrize(
    ("encoding", "rate", "ours", "parameters"),
    [
        ("PCMU", 8000, "mulaw", {}),
        ("PCMA", 8000, "alaw", {}),
        ("G722", 8000, "g722", {}),
        ("OPUS", 16000, "opus", {}),
        ("L16", 16000, "l16", {}),
        ("L16", 16000, "pcm_s16le", {"l16_byte_order": "little"}),
    ],
)
def test_each_codec_is_heard(encoding: str, rate: int, ours: str, parameters: dict[str, str]) -> None:
    codec = telnyx(encoding, rate, **parameters)
    hz = 16000 if ours == "g722" else rate
    at = np.arange(hz // 50)
    made = encoder(ours, hz)
    heard = b""
    for n in range(25):
        tone = np.rint(9000 * np.sin(2 * np.pi * 440 * (at + n * len(at)) / hz)).astype("<i2").tobytes()
        for audio in receive(codec, media(made.encode(tone), n, n * 20)):
            assert audio.sample_rate_hz == hz
            heard += audio.pcm
    samples = np.frombuffer(heard, "<i2").astype(float)[hz // 10 :]
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(np.argmax(spectrum) * hz / len(samples) - 440) < 6
    assert np.abs(samples).max() == pytest.approx(9000, rel=0.15)


def test_out_of_order_is_put_right() -> None:
    codec = telnyx()
    frames = [bytes([n]) * 160 for n in range(6)]
    order = [0, 2, 1, 3, 5, 4]
    heard = [one.timestamp_ms for n in order for one in receive(codec, media(frames[n], n, n * 20))]
    assert heard == [0, 20, 40, 60, 80, 100]


def test_what_waits_is_heard_before_the_end() -> None:
    codec = telnyx()
    receive(codec, media(MULAW, 1, 0))
    assert receive(codec, media(MULAW, 3, 40)) == []
    last, end = receive(codec, {"event": "stop", "stop": {}})
    assert (last.timestamp_ms, end) == (40, HungUp())


def test_no_stream_id_and_each_direction_its_codec() -> None:
    codec = telnyx("PCMA", bidirectional_codec="G722", bidirectional_mode="rtp")
    assert (codec.output.encoding, codec.output.sample_rate_hz) == ("g722", 16000)
    (out,) = sent(codec.audio(CUSTOMER, "agent", None, b"\x01" * 160, 0))
    assert set(out) == {"event", "media"}
    codec.audio(CUSTOMER, "agent", "turn_1", b"\x01" * 160, 0)
    assert json.loads(codec.event(events.PlaybackCleared("turn_1", "customer"), 0) or b"") == {"event": "clear"}


@pytest.mark.parametrize(
    ("encoding", "parameters"),
    [
        ("AMR-WB", {}),
        ("PCMU", {"bidirectional_codec": "pcmu"}),
        ("PCMU", {"bidirectional_mode": "wav"}),
        ("PCMU", {"bidirectional_codec": "L16", "bidirectional_sampling_rate": "22050"}),
    ],
)
def test_what_cannot_be_spoken_is_refused(encoding: str, parameters: dict[str, str]) -> None:
    with pytest.raises(StreamRefused):
        telnyx(encoding, **parameters)


def test_mp3_when_asked_for() -> None:
    codec = telnyx(bidirectional_mode="mp3")
    assert codec.output.lead_ms == MP3_LEAD_MS
    packing = codec.packing
    assert packing is not None
    assert packing.due_ms is None
    for n in range(100):
        assert codec.audio(CUSTOMER, "agent", "turn_1", MULAW, n) == ()
    assert packing.due_ms == MP3_GATHER_MS
    pcm = packing.take(MP3_GATHER_MS)
    assert len(pcm) == 100 * 320
    message, *marks = sent(codec.packed(mp3.encode(pcm), 2000, 70))
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(message["media"]["payload"])))
    assert rate == 8000
    assert len(sound) == pytest.approx(16000, abs=1200)
    assert np.abs(sound).max() == pytest.approx(9000 / 32768, rel=0.2)
    assert [mark["event"] for mark in marks] == ["mark"]
    codec.audio(CUSTOMER, "agent", "turn_1", MULAW, 200)
    assert packing.due_ms == MP3_GATHER_MS + MP3_EVERY_MS


def test_mp3_when_the_carrier_complains_and_nobody_said_rtp() -> None:
    codec = telnyx()
    codec.audio(CUSTOMER, "agent", "turn_1", MULAW, 0)
    trouble = {"event": "error", "stream_id": "s", "payload": {"code": 100005, "title": "rate_limit_reached"}}
    assert receive(codec, trouble) == []
    assert codec.packing is not None
    assert len(codec.packing.take(0)) == 320
    heard = telnyx()
    for n in range(300):
        heard.audio(CUSTOMER, "agent", "turn_1", MULAW, n)
    receive(heard, trouble)
    assert heard.packing is None
    sure = telnyx(bidirectional_mode="rtp")
    receive(sure, trouble)
    assert sure.packing is None
    wide = telnyx(bidirectional_codec="G722")
    receive(wide, trouble)
    assert wide.packing is None


def test_clearing_drops_what_was_gathered() -> None:
    codec = telnyx(bidirectional_mode="mp3")
    codec.audio(CUSTOMER, "agent", "turn_1", MULAW, 0)
    assert codec.packing is not None
    before = codec.packing.generation
    assert codec.event(events.PlaybackCleared("turn_1", "customer"), 10)
    assert codec.packing.due_ms is None
    assert codec.packing.generation > before
