"""Google's streaming recognition against a gRPC server of the SDK's own protocol buffers."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.remote.server import Fault
from tests.fakes.remote.words import say, text

from kallglot.speech.providers.google_recognition import GoogleRecognizer, address
from kallglot.speech.providers.google_recognition_wire import (
    CALL_MS,
    END,
    LONGEST_CALL_MS,
    MOST_AUDIO_BYTES,
    READY,
    GoogleCodec,
    bcp47,
    configuration,
    protos,
)
from kallglot.speech.remote.codec import Acknowledged, Flushed, Heard, Opening, Ready
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.types import EngineError, Final, Partial, RecognizerEvent, RecognizerOptions, Restarted

pytest.importorskip("google.cloud.speech_v2", reason="needs the extra google")

KEY = "gg-secret-123"
PROJECT = {"project": "kallglot-test"}
RATE = 8000


def server() -> Any:
    return importlib.import_module("tests.fakes.remote.google_recognition").GoogleListening()


@pytest.fixture(scope="module")
def messages() -> Any:
    return protos()


def codec(messages: Any, **options: Any) -> GoogleCodec:
    return GoogleCodec(Opening("https://nowhere.example"), RATE, messages, b"first", **options)


def answer(messages: Any, *results: dict[str, Any], **fields: Any) -> bytes:
    told = messages.StreamingRecognizeResponse(results=list(results), **fields)
    return messages.StreamingRecognizeResponse.serialize(told)


def result(
    said: str, end_s: float, *, final: bool = False, start_s: float | None = None, **more: Any
) -> dict[str, Any]:
    words = (
        []
        if start_s is None
        else [{"word": said.split()[0], "start_offset": {"seconds": 0, "nanos": int(start_s * 1e9)}}]
    )
    end = {"seconds": int(end_s), "nanos": round(end_s % 1 * 1e9)}
    best = {"transcript": said, "confidence": 0.5 if final else 0.0, "words": words}
    return {"alternatives": [best], "is_final": final, "result_end_offset": end, **more}


def test_the_first_request_configures(messages: Any) -> None:
    first = configuration(
        messages, recognizer="projects/p/locations/eu/recognizers/_", languages=["de-DE"], sample_rate_hz=8000,
        model="telephony", terms=["Kallglot", "Kallglot", "", "x" * 101],
    )  # fmt: skip
    request = messages.StreamingRecognizeRequest.deserialize(first)
    config = request.streaming_config.config
    assert request.recognizer == "projects/p/locations/eu/recognizers/_"
    assert (config.model, list(config.language_codes)) == ("telephony", ["de-DE"])
    assert config.explicit_decoding_config.encoding.name == "LINEAR16"
    assert config.explicit_decoding_config.sample_rate_hertz == 8000
    assert config.explicit_decoding_config.audio_channel_count == 1
    assert [phrase.value for phrase in config.adaptation.phrase_sets[0].inline_phrase_set.phrases] == ["Kallglot"]
    assert config.features.enable_word_time_offsets
    assert request.streaming_config.streaming_features.interim_results
    bare = messages.StreamingRecognizeRequest.deserialize(
        configuration(messages, recognizer="r", languages=["de-DE"], sample_rate_hz=8000, model="chirp_2")
    )
    assert not bare.streaming_config.config.features.enable_word_time_offsets
    assert not bare.streaming_config.config.adaptation.phrase_sets


def test_what_is_heard(messages: Any) -> None:
    one = codec(messages)
    begin = messages.StreamingRecognizeResponse.SpeechEventType.SPEECH_ACTIVITY_BEGIN
    heard: list[Heard] = [
        *one.read(READY),
        *one.read(answer(messages, speech_event_type=begin, speech_event_offset={"nanos": 300_000_000})),
        *one.read(answer(messages, result("guten", 0.8, stability=0.9), result(" tag", 1.0, stability=0.1))),
        *one.read(answer(messages, result("Guten Tag.", 1.25, final=True, start_s=0.4))),
        *one.read(answer(messages, result("guten", 0.8, stability=0.9))),
        *one.read(answer(messages, result("", 3.0, final=True))),
        *one.read(answer(messages, result("Ja", 3.5, final=True))),
    ]
    assert heard == [
        Ready(),
        Partial("guten tag", "", 300, "guten tag"),
        Final("Guten Tag.", 400, 1250, 0.5),
        Acknowledged(3000),
        Final("Ja", 3000, 3500, 0.5),
    ]


def test_hypotheses_are_stable_where_three_agree(messages: Any) -> None:
    one = codec(messages)
    partials: list[Any] = []
    for said in ("ich", "ich bin", "ich bin da", "bin ich da"):
        partials += one.read(answer(messages, result(said, 1.0)))
    assert [partial.stable_text for partial in partials] == ["", "", "ich", "ich"]
    assert all(partial.text.startswith(partial.stable_text) for partial in partials)
    assert list(codec(messages, partials=False).read(answer(messages, result("ich", 1.0)))) == []


def test_the_language_is_told_where_there_was_a_choice(messages: Any) -> None:
    said = answer(messages, result("Olá", 1.0, final=True, language_code="pt-br"))
    (final,) = codec(messages, tells_language=True).read(said)
    assert isinstance(final, Final)
    assert final.language == "pt-BR"
    (final,) = codec(messages).read(said)
    assert isinstance(final, Final)
    assert final.language is None
    assert [bcp47(code) for code in ("de-de", "cmn-hans-cn", "EN")] == ["de-DE", "cmn-hans-cn", "en"]


def test_a_flush_ends_the_call_and_the_next_audio_begins_another(messages: Any) -> None:
    one = codec(messages)
    assert one.open().greeting == (b"first",)
    (request,) = one.audio(bytes(1600))
    assert messages.StreamingRecognizeRequest.deserialize(request).audio == bytes(1600)
    assert one.finish() == [END]
    assert one.finish() == []
    again = list(one.audio(bytes(800)))
    assert again[0] == b"first"
    assert len(again) == 2
    assert list(one.read(answer(messages, result("Ja", 0.05, final=True)))) == [Final("Ja", 0, 50, 0.5)]
    assert list(one.read(END)) == [Acknowledged(100), Flushed(), Flushed()]
    assert list(one.read(answer(messages, result("Nein", 0.05, final=True)))) == [Final("Nein", 100, 150, 0.5)]


def test_a_call_without_audio_is_ended_and_tells_no_flush(messages: Any) -> None:
    one = codec(messages, idle_s=3.0)
    assert one.keepalive_s == 3.0
    one.audio(bytes(1600))
    assert one.keepalive() == [END]
    assert one.keepalive() == []
    assert list(one.read(END)) == [Acknowledged(100)]
    assert one.finish() == []


def test_a_call_is_replaced_in_a_pause_before_it_is_too_long(messages: Any) -> None:
    one = codec(messages)
    second = bytes(RATE * 2)
    for _ in range(CALL_MS // 1000 - 1):
        assert END not in one.audio(second)
    list(one.read(answer(messages, result("ich rede", 239.0))))
    assert END not in one.audio(second)
    list(one.read(answer(messages, result("Ich rede.", 240.0, final=True))))
    assert one.audio(second)[-1] == END
    assert one.audio(second)[0] == b"first"
    list(one.read(END))
    list(one.read(answer(messages, result("ich rede und rede", 1.0))))
    sent = [message for _ in range(LONGEST_CALL_MS // 1000 - 1) for message in one.audio(second)]
    assert sent[-1] == END
    assert END not in sent[:-1]


def test_requests_are_no_larger_than_is_taken(messages: Any) -> None:
    requests = list(codec(messages).audio(bytes(MOST_AUDIO_BYTES + 2)))
    sizes = [len(messages.StreamingRecognizeRequest.deserialize(request).audio) for request in requests]
    assert sizes == [MOST_AUDIO_BYTES, 2]


def test_what_is_no_response_is_refused(messages: Any) -> None:
    one = codec(messages)
    with pytest.raises(ValueError, match="response"):
        list(one.read(b"\x0a\xff"))
    list(one.read(END))
    with pytest.raises(ValueError, match="call"):
        list(one.read(END))


# Against a server


def engine_at(url: str, **more: Any) -> GoogleRecognizer:
    return GoogleRecognizer(ProviderConfig("google", url, KEY, **{"options": PROJECT, **more}))


async def test_utterances_calls_and_what_is_asked_for() -> None:
    async with server() as fake:
        engine = engine_at(fake.url, languages=("pt", "de-AT"))
        await engine.start()
        await engine.start()
        events: list[RecognizerEvent] = []
        stream = await engine.open(RecognizerOptions(RATE, terms=("Kallglot",)), events.append)
        for numbers in ([1, 2], [3]):
            stream.push(say(numbers, RATE, after_ms=0))
            await stream.drain()
        await engine.close()
        await engine.close()
        finals = [event for event in events if isinstance(event, Final)]
        assert [(final.text, final.language) for final in finals] == [(text([1, 2]), "pt-BR"), (text([3]), "pt-BR")]
        assert len(fake.sessions) == 2
        assert all(session.closed_well for session in fake.sessions)
        request = fake.sessions[0].data["request"]
        assert request.recognizer == "projects/kallglot-test/locations/global/recognizers/_"
        assert list(request.streaming_config.config.language_codes) == ["pt-BR", "de-AT"]
        metadata = fake.asked[0].headers
        assert metadata["x-goog-api-key"] == KEY
        recognizer = "projects%2Fkallglot-test%2Flocations%2Fglobal%2Frecognizers%2F_"
        assert metadata["x-goog-request-params"] == f"recognizer={recognizer}"
        assert metadata["user-agent"].startswith("kallglot")


async def test_a_server_that_answers_nothing_before_it_hears_something() -> None:
    async with server() as fake:
        fake.prompt = False
        engine = engine_at(fake.url)
        await engine.start()
        events: list[RecognizerEvent] = []
        stream = await engine.open(RecognizerOptions(RATE, language="de"), events.append)
        stream.push(say([7], RATE))
        await stream.drain()
        await engine.close()
        assert [event.text for event in events if isinstance(event, Final)] == [text([7])]


@pytest.mark.parametrize(("status", "passing"), [(401, False), (403, False), (400, False), (503, True)])
async def test_who_is_refused_learns_it_when_opening(status: int, passing: bool) -> None:
    async with server() as fake:
        fake.always = Fault("refuse", status=status)
        engine = engine_at(fake.url)
        await engine.start()
        with pytest.raises(EngineError, match=str(status)) as refused:
            await engine.open(RecognizerOptions(RATE, language="de"), lambda _: None)
        await engine.close()
        assert refused.value.passing is passing
        assert KEY not in f"{refused.value} {engine.config!r}"


async def test_the_quota_is_told_with_the_time_to_wait() -> None:
    async with server() as fake:
        fake.always = Fault("refuse", status=429, headers={"Retry-After": "12"})
        engine = engine_at(fake.url)
        await engine.start()
        with pytest.raises(EngineError) as refused:
            await engine.open(RecognizerOptions(RATE, language="de"), lambda _: None)
        await engine.close()
        assert refused.value.passing
        assert refused.value.retry_after_s == 12


async def test_a_call_that_is_broken_off_is_heard_again() -> None:
    async with server() as fake:
        fake.fail_next(Fault("drop", after=400))
        engine = engine_at(fake.url)
        await engine.start()
        events: list[RecognizerEvent] = []
        stream = await engine.open(RecognizerOptions(RATE, language="de"), events.append)
        stream.push(say([1, 2, 3], RATE))
        await stream.drain()
        await engine.close()
        assert [event.text for event in events if isinstance(event, Final)] == [text([1, 2, 3])]
        assert any(isinstance(event, Restarted) for event in events)


async def test_nobody_there() -> None:
    engine = engine_at("http://127.0.0.1:1", patience=ProviderConfig("x").patience.__class__(connect_s=0.05))
    await engine.start()
    with pytest.raises(EngineError, match="cannot be reached"):
        await engine.open(RecognizerOptions(RATE, language="de"), lambda _: None)
    await engine.close()
    with pytest.raises(EngineError, match="not started"):
        await engine.open(RecognizerOptions(RATE, language="de"), lambda _: None)


async def test_a_service_accounts_file(tmp_path: Path) -> None:
    rsa = importlib.import_module("cryptography.hazmat.primitives.asymmetric.rsa")
    serialization = importlib.import_module("cryptography.hazmat.primitives.serialization")
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path / "account.json"
    account = {
        "type": "service_account", "client_email": "a@p.example", "token_uri": "https://oauth2.example/token",
        "private_key": private.decode(), "project_id": "p", "private_key_id": "1",
    }  # fmt: skip
    file.write_text(json.dumps(account))
    options = {**PROJECT, "credentials": str(file), "location": "eu"}
    engine = GoogleRecognizer(ProviderConfig("google", options=options))
    assert engine.missing() is None
    await engine.start()
    opening = engine.codec(RecognizerOptions(RATE, language="de")).open()
    assert "x-goog-api-key" not in opening.headers
    await engine.close()
    file.write_text('{"private_key": "sécret"}')
    with pytest.raises(EngineError, match="credentials") as refused:
        await engine.start()
    assert "cret" not in str(refused.value)


def test_addresses_and_what_is_missing() -> None:
    assert address(ProviderConfig("google")) == "https://speech.googleapis.com"
    assert address(ProviderConfig("google", options={"location": "eu"})) == "https://eu-speech.googleapis.com"
    assert address(ProviderConfig("google", url="http://localhost:1")) == "http://localhost:1"
    assert "project" in (GoogleRecognizer(ProviderConfig("google", api_key=KEY)).missing() or "")
    assert "credentials" in (GoogleRecognizer(ProviderConfig("google", options=PROJECT)).missing() or "")


async def test_what_it_cannot_be_opened_for() -> None:
    engine = engine_at("http://127.0.0.1:1")
    with pytest.raises(EngineError, match="tlh"):
        await engine.open(RecognizerOptions(RATE, language="tlh"), lambda _: None)
    with pytest.raises(EngineError, match="not started"):
        await engine.open(RecognizerOptions(RATE, language="de"), lambda _: None)
