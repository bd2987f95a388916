from __future__ import annotations

import base64
import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot.audio.codec import encoder
from kallglot.clock import FakeClock
from kallglot.legs import compat
from kallglot.legs.commands import Audio, BadMessage, Clear, Command, Digits, End, Mark, Reply, SetMute, Text
from kallglot.legs.native import NativeCodec
from kallglot.session import events
from kallglot.session.leg import OutputFormat
from kallglot.session.model import Participant, Translation, Turn

CUSTOMER = Participant("part_c", "customer", "de", "Erika")
AGENT = Participant("part_a", "agent", "en")
PCM = b"\x00\x20" * 160
MULAW = encoder("mulaw", 8000).encode(PCM)


def codec(bound: Participant | None = None, output: OutputFormat | None = None) -> NativeCodec:
    people = {person.id: person for person in (CUSTOMER, AGENT)} | {"customer": CUSTOMER, "agent": AGENT}
    older = partial(compat.current, speaker=None if bound else "customer")
    return NativeCodec("sess_1", output or OutputFormat(), bound, people.get, older)


def send(codec: NativeCodec, message: dict[str, Any]) -> Command | None:
    return codec.text(json.dumps(message).encode())


def audio_input(**changes: Any) -> dict[str, Any]:
    audio = {"encoding": "mulaw", "sample_rate_hz": 8000, "payload": base64.b64encode(MULAW).decode()}
    return {"type": "audio.input", "sequence": 1, "timestamp_ms": 0, "speaker": "customer", "audio": audio} | changes


def test_audio_as_the_documentation_prints_it() -> None:
    message = audio_input(sequence=1729481920, timestamp_ms=1729481920000)
    command = send(codec(), message)
    assert isinstance(command, Audio)
    assert (command.participant_id, command.sample_rate_hz, command.timestamp_ms) == ("part_c", 8000, 1729481920000)
    assert len(command.pcm) == 320


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"type": "ping"}, Reply(b'{"type":"pong","session_id":"sess_1"}')),
        ({"type": "session.end"}, End()),
        ({"type": "mute", "speaker": "agent"}, SetMute("part_a", True)),
        ({"type": "unmute", "speaker": "part_a"}, SetMute("part_a", False)),
        ({"type": "playback.mark", "name": "m"}, Mark("m")),
        ({"type": "playback.clear"}, Clear()),
        ({"type": "text.input", "speaker": "agent", "text": " hola "}, Text("part_a", "hola")),
        ({"type": "dtmf", "digits": "12#"}, Digits("12#")),
        ({"type": "end"}, End()),
        ({"type": "control", "action": "mute"}, SetMute("part_c", True)),
        ({"type": "control", "action": "resume_transcription"}, SetMute("part_c", False)),
        ({"type": "ping", "unknown": {"future": [1]}}, Reply(b'{"type":"pong","session_id":"sess_1"}')),
    ],
)
def test_every_message_is_understood(message: dict[str, Any], expected: Command) -> None:
    assert send(codec(), message) == expected


@pytest.mark.parametrize(
    ("message", "frames"),
    [
        ({"encoding": "pcm_16", "sample_rate": 16000, "channels": 1, "data": PCM}, 320),
        ({"encoding": "pcm_16", "sample_rate": 16000, "channels": 2, "data": PCM}, 160),
        ({"encoding": "pcm_8", "sample_rate": 8000, "channels": 1, "data": b"\x80" * 160}, 320),
        ({"encoding": "mulaw", "sample_rate": 8000, "channels": 1, "data": MULAW}, 320),
    ],
)
def test_older_audio(message: dict[str, Any], frames: int) -> None:
    message = {"type": "audio"} | message | {"data": base64.b64encode(message["data"]).decode()}
    command = send(codec(), message)
    assert isinstance(command, Audio)
    assert command.participant_id == "part_c"
    assert len(command.pcm) == frames


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "nonsense"}, "invalid_message"),
        ({"no": "type"}, "invalid_message"),
        ({"event": "start", "streamSid": "MZ"}, "invalid_message"),
        (audio_input(speaker="nobody"), "unknown_speaker"),
        (audio_input(speaker=None), "unknown_speaker"),
        (audio_input(audio={"encoding": "mp3", "sample_rate_hz": 8000, "payload": "AAAA"}), "invalid_audio_format"),
        (audio_input(audio={"encoding": "mulaw", "sample_rate_hz": 16000, "payload": "AA=="}), "invalid_audio_format"),
        (audio_input(audio={"encoding": "mulaw", "sample_rate_hz": 8000, "payload": "!!"}), "invalid_message"),
        (audio_input(audio={"encoding": "mulaw", "sample_rate_hz": 8000, "payload": ""}), "invalid_audio_format"),
        (
            audio_input(audio={"encoding": "pcm_s16le", "sample_rate_hz": 8000, "payload": "AAAA"}),
            "invalid_audio_format",
        ),
        (
            audio_input(
                audio={"encoding": "mulaw", "sample_rate_hz": 8000, "payload": base64.b64encode(bytes(8001)).decode()}
            ),
            "invalid_audio_format",
        ),
        (audio_input(timestamp_ms=1e300), "invalid_message"),
        ({"type": "text.input", "speaker": "agent", "text": "  "}, "invalid_message"),
        ({"type": "text.input", "speaker": "agent", "text": "x" * 4001}, "invalid_message"),
        ({"type": "dtmf", "digits": "12x"}, "invalid_message"),
        ({"type": "control", "action": "explode"}, "invalid_message"),
        ({"type": "audio", "data": "AAAA", "encoding": "flac"}, "invalid_audio_format"),
        ({"type": "audio.format", "encoding": "mulaw", "speaker": "agent", "output": "binary"}, "invalid_message"),
    ],
)
def test_bad_messages_say_what_is_wrong(message: dict[str, Any], code: str) -> None:
    with pytest.raises(BadMessage) as bad:
        send(codec(), message)
    assert bad.value.code == code
    assert bad.value.message


@given(st.binary(max_size=400))
def test_garbage_is_a_bad_message_and_never_a_crash(data: bytes) -> None:
    with pytest.raises(BadMessage):
        codec().text(data)


def test_deep_nesting_is_a_bad_message() -> None:
    with pytest.raises(BadMessage):
        codec().text(b'{"type":"ping","x":' + b"[" * 100_000)


def test_a_bound_connection_speaks_for_itself_only() -> None:
    bound = codec(AGENT)
    command = send(bound, audio_input(speaker=None))
    assert isinstance(command, Audio)
    assert command.participant_id == "part_a"
    with pytest.raises(BadMessage, match="bound to agent"):
        send(bound, audio_input(speaker="customer"))


def test_binary_audio_both_ways() -> None:
    bound = codec(AGENT)
    with pytest.raises(BadMessage, match=r"before audio\.format"):
        bound.binary(PCM)
    announced = {"type": "audio.format", "encoding": "pcm_s16le", "sample_rate_hz": 16000, "output": "binary"}
    assert send(bound, announced) is None
    assert bound.binary(PCM) == Audio("part_a", PCM, 16000, None)
    assert bound.binary_out


def test_audio_output_is_json_with_everything_in_it() -> None:
    sender = codec(output=OutputFormat("pcm_s16le", 16000))
    for sequence in (1, 2):
        message = json.loads(*sender.audio(AGENT, "customer", "turn_1", b"\x01\x02"))
        assert message == {
            "type": "audio.output",
            "sequence": sequence,
            "speaker": "customer",
            "listener": "agent",
            "turn_id": "turn_1",
            "audio": {"encoding": "pcm_s16le", "sample_rate_hz": 16000, "payload": "AQI="},
        }
    assert json.loads(*sender.audio(AGENT, "customer", None, b""))["turn_id"] is None


def test_final_carries_the_translation_for_the_other_side_and_all_of_them() -> None:
    turn = Turn(
        "turn_1",
        "sess_1",
        3,
        "part_c",
        "customer",
        "de",
        "Hallo",
        100,
        900,
        FakeClock().now(),
        0.9,
        (Translation("en", "Hello"), Translation("fr", "Bonjour")),
    )
    assert json.loads(codec().event(events.TranscriptFinal(CUSTOMER, turn))) == {
        "type": "transcript.final",
        "speaker": "customer",
        "participant_id": "part_c",
        "turn_id": "turn_1",
        "text": "Hallo",
        "language": "de",
        "confidence": 0.9,
        "start_ms": 100,
        "end_ms": 900,
        "sequence": 3,
        "translation": {"language": "en", "text": "Hello"},
        "translations": [{"language": "en", "text": "Hello"}, {"language": "fr", "text": "Bonjour"}],
    }


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (events.Ready("sess_1", "active", (CUSTOMER, AGENT)), "session.ready"),
        (events.TranscriptPartial(CUSTOMER, "turn_1", "Ha", "", 5), "transcript.partial"),
        (events.SpeechStarted(CUSTOMER, 5), "speech.started"),
        (events.SpeechStopped(CUSTOMER, 5), "speech.stopped"),
        (events.PlaybackStarted("turn_1", "agent", 0.0), "playback.started"),
        (events.PlaybackFinished("turn_1", "agent", 0.0), "playback.finished"),
        (events.PlaybackCleared("turn_1", "agent"), "playback.cleared"),
        (events.PlaybackMark("m"), "playback.mark"),
        (events.ParticipantJoined(AGENT), "participant.joined"),
        (events.ParticipantLeft(AGENT), "participant.left"),
        (events.ParticipantUpdated(AGENT), "participant.updated"),
        (events.LanguageDetected(CUSTOMER, None, 0.9), "language.detected"),
        (events.FloorChanged(CUSTOMER, True, ("agent",)), "floor.held"),
        (events.FloorChanged(CUSTOMER, False, ()), "floor.released"),
        (events.Dtmf(None, "1"), "dtmf"),
        (events.Warned("code", "message"), "warning"),
        (events.Ended("sess_1", "explicit_end"), "session.ended"),
    ],
)
def test_every_event_has_its_message(event: events.SessionEvent, kind: str) -> None:
    assert json.loads(codec().event(event))["type"] == kind
