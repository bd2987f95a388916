from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tests.fakes.remote.words import say, silence

from kallglot.speech.providers.openai_realtime import RATE_HZ, OpenAIRealtimeRecognizer, RealtimeCodec
from kallglot.speech.remote.codec import Acknowledged, Flushed, Heard, Ready
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.types import EngineError, Final, Partial, RecognizerOptions, SpeechStarted, SpeechStopped

DONE, DELTA = (f"conversation.item.input_audio_transcription.{what}" for what in ("completed", "delta"))


def codec(*, server: bool = False, **changes: Any) -> RealtimeCodec:
    config = ProviderConfig("rt", changes.pop("url", None), "sk-1")
    return RealtimeCodec(config, "m", RecognizerOptions(8000, **{"language": "de-AT", **changes}), server_turns=server)


def hear(one: RealtimeCodec, *told: dict[str, Any]) -> list[Heard]:
    return [heard for message in told for heard in one.read(json.dumps(message))]


def sent(messages: Any) -> list[str]:
    return [json.loads(message)["type"].removeprefix("input_audio_buffer.") for message in messages]


def committed(item: str) -> dict[str, Any]:
    return {"type": "input_audio_buffer.committed", "item_id": item}


def done(item: str, text: str) -> dict[str, Any]:
    return {"type": DONE, "item_id": item, "transcript": text}


def test_how_a_session_is_opened() -> None:
    opening = codec(server=True, terms=("Kallglot",)).open()
    assert opening.url == "https://api.openai.com/v1/realtime?intent=transcription"
    assert opening.headers == {"Authorization": "Bearer sk-1"}
    assert "sk-1" not in repr(opening)
    update = json.loads(opening.greeting[0])
    assert update["type"] == "session.update"
    assert update["session"]["type"] == "transcription"
    audio = update["session"]["audio"]["input"]
    assert audio["format"] == {"type": "audio/pcm", "rate": 24000}
    assert audio["transcription"] == {"model": "m", "language": "de", "prompt": "Kallglot"}
    assert audio["turn_detection"]["type"] == "server_vad"
    own = codec(url="http://here/v1").open()
    assert own.url == "http://here/v1/realtime?intent=transcription&model=m"
    assert json.loads(own.greeting[0])["session"]["audio"]["input"]["turn_detection"] is None
    assert hear(codec(), {"type": "session.updated"}) == [Ready()]


def test_audio_goes_as_base64() -> None:
    (message,) = codec().audio(b"\1\2\3\4")
    assert base64.b64decode(json.loads(message)["audio"]) == b"\1\2\3\4"


def test_our_turns_are_committed_after_a_pause() -> None:
    one = codec()
    messages = [
        m for at in range(30) for m in one.audio((say([1, 2], RATE_HZ, after_ms=1000))[at * 4800 : (at + 1) * 4800])
    ]
    assert sent(messages).count("commit") == 1
    assert sent(messages)[-1] == "append"
    partials = hear(
        one, {"type": DELTA, "item_id": "a", "delta": "zwei"}, {"type": DELTA, "item_id": "a", "delta": " drei"}
    )
    assert [(p.text, p.start_ms) for p in partials if isinstance(p, Partial)] == [("zwei", 96), ("zwei drei", 96)]
    (final,) = hear(one, committed("a"), done("a", "zwei drei"))
    assert isinstance(final, Final)
    assert (final.text, final.start_ms) == ("zwei drei", 96)
    assert abs(final.end_ms - 460) <= 32


def test_finals_come_in_the_order_of_speech_whatever_the_server_does() -> None:
    one = codec()
    for _ in range(2):
        one.audio(say([1], RATE_HZ, after_ms=0))
        one.finish()
    assert hear(one, committed("a"), committed("b"), done("b", "zwei")) == []
    told = hear(
        one, done("a", "eins"), done("a", "eins"), committed("a"), {"type": DELTA, "item_id": "a", "delta": "x"}
    )
    assert [type(heard) for heard in told] == [Final, Flushed, Final, Flushed]
    assert [heard.text for heard in told if isinstance(heard, Final)] == ["eins", "zwei"]


def test_a_text_that_comes_before_its_commit_is_kept() -> None:
    one = codec()
    one.audio(say([1], RATE_HZ, after_ms=0))
    one.finish()
    assert hear(one, done("a", "eins")) == []
    assert [type(heard) for heard in hear(one, committed("a"))] == [Final, Flushed]


def test_silence_is_not_transcribed() -> None:
    one = codec()
    one.audio(silence(500, RATE_HZ))
    assert sent(one.finish()) == ["clear"]
    assert hear(one, {"type": "input_audio_buffer.cleared"}) == [Flushed()]
    assert hear(one, {"type": "input_audio_buffer.cleared"}) == []


def test_clearing_waits_for_what_was_committed_before() -> None:
    one = codec()
    one.audio(say([1], RATE_HZ, after_ms=1000))
    one.finish()
    assert hear(one, committed("a"), {"type": "input_audio_buffer.cleared"}) == []
    assert [type(heard) for heard in hear(one, done("a", "eins"))] == [Final, Flushed]


def test_a_commit_of_nothing_is_answered_by_an_error_that_is_none() -> None:
    one = codec()
    one.audio(say([1], RATE_HZ, before_ms=0, after_ms=0)[:3072])
    assert sent(one.finish()) == ["commit"]
    error = {"type": "invalid_request_error", "code": "input_audio_buffer_commit_empty", "message": "too small"}
    assert hear(one, {"type": "error", "error": error}) == [Flushed()]


def test_no_words_are_an_acknowledgement() -> None:
    one = codec()
    one.audio(say([1], RATE_HZ, after_ms=0))
    one.finish()
    acknowledged, flushed = hear(one, committed("a"), done("a", " "))
    assert isinstance(acknowledged, Acknowledged)
    assert flushed == Flushed()


def test_the_servers_turns() -> None:
    one = codec(server=True)
    assert sent(one.audio(say([1], RATE_HZ, before_ms=1000, after_ms=1000))) == ["append"]
    started = {"type": "input_audio_buffer.speech_started", "item_id": "a", "audio_start_ms": 700}
    stopped = {"type": "input_audio_buffer.speech_stopped", "item_id": "a", "audio_end_ms": 1660}
    told = hear(
        one, started, stopped, committed("a"), {"type": DELTA, "item_id": "a", "delta": "zwei"}, done("a", "zwei")
    )
    assert told == [SpeechStarted(992), SpeechStopped(1160), Partial("zwei", "", 992), Final("zwei", 992, 1160)]
    assert sent(one.finish()) == ["clear"]


def test_finish_in_the_middle_of_a_servers_turn() -> None:
    one = codec(server=True)
    one.audio(say([1], RATE_HZ, before_ms=1000, after_ms=0))
    hear(one, {"type": "input_audio_buffer.speech_started", "item_id": "a", "audio_start_ms": 700})
    assert sent(one.finish()) == ["commit"]
    told = hear(one, committed("a"), done("a", "zwei"))
    assert [type(heard) for heard in told] == [Final, Flushed]


@pytest.mark.parametrize(
    ("error", "blame", "passing"),
    [
        ({"type": "invalid_request_error", "code": "invalid_api_key"}, "key", False),
        ({"type": "authentication_error"}, "key", False),
        ({"type": "invalid_request_error", "code": "insufficient_quota"}, "key", False),
        ({"type": "invalid_request_error", "code": "session_expired"}, "engine", True),
        ({"type": "server_error", "code": None, "message": "sk-1 broke"}, "engine", True),
        ({"type": "rate_limit_error", "code": "rate_limit_exceeded"}, "engine", True),
        ({"type": "invalid_request_error", "code": "unknown_parameter"}, "request", False),
    ],
)
def test_errors(error: dict[str, Any], blame: str, passing: bool) -> None:
    with pytest.raises(RemoteError) as caught:
        hear(codec(), {"type": "error", "error": error})
    assert (caught.value.blame, caught.value.passing) == (blame, passing)
    assert "sk-1" not in str(caught.value)


def test_a_failed_transcription_is_heard_again_elsewhere() -> None:
    with pytest.raises(RemoteError) as caught:
        hear(codec(), {"type": "conversation.item.input_audio_transcription.failed", "item_id": "a", "error": {}})
    assert caught.value.passing


def test_what_is_kept_of_turns_that_never_end_is_bounded() -> None:
    one = codec(server=True)
    for number in range(1000):
        started = {"type": "input_audio_buffer.speech_started", "item_id": f"i{number}", "audio_start_ms": number}
        hear(one, started, {"type": DELTA, "item_id": f"i{number}", "delta": "x"}, done(f"j{number}", "y"))
    assert all(len(kept) <= 32 for kept in (one._texts, one._times, one._early))


def test_who_ends_turns() -> None:
    def made(model: str, **options: Any) -> OpenAIRealtimeRecognizer:
        return OpenAIRealtimeRecognizer(ProviderConfig("rt", api_key="k", model=model, options=options))

    options = RecognizerOptions(8000, "de")
    assert not made("gpt-live-transcribe").codec(options)._server_turns
    assert made("gpt-4o-transcribe").codec(options)._server_turns
    assert not made("gpt-4o-transcribe", turns="ours").codec(options)._server_turns
    with pytest.raises(EngineError, match="turns has to be server or ours"):
        made("m", turns="x").codec(options)
