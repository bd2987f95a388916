"""Deepgram's wire as documented, and its engines against a server that speaks it."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from tests.fakes.remote.deepgram import DeepgramListening, DeepgramSpeaking
from tests.fakes.remote.plain import spoken
from tests.fakes.remote.server import Fault
from tests.fakes.remote.words import say, text

from kallglot.speech.providers.deepgram import DeepgramRecognizer, DeepgramSynthesizer
from kallglot.speech.providers.deepgram_wire import (
    MOST_TERM_TOKENS,
    MOST_TERMS,
    DeepgramCodec,
    language_code,
    languages,
    listen_parameters,
    term_parameters,
)
from kallglot.speech.remote.codec import Acknowledged, Flushed, Heard, Opening
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.types import EngineError, Final, Partial, RecognizerEvent, RecognizerOptions, Restarted, Voice

KEY = "dg-secret-123"


def results(transcript: str, start: float, duration: float, **more: Any) -> str:
    words = transcript.split()
    step = duration / max(1, len(words))
    placed = [
        {"word": word, "start": start + at * step, "end": start + (at + 1) * step, "confidence": 0.9}
        for at, word in enumerate(words)
    ]
    languages_told = {"languages": more.pop("languages")} if "languages" in more else {}
    alternative = {"transcript": transcript, "confidence": more.pop("confidence", 0.9), "words": placed}
    told = {"type": "Results", "start": start, "duration": duration, "is_final": False, "speech_final": False}
    told["channel"] = {"alternatives": [{**alternative, **languages_told}]}
    return json.dumps({**told, **more})


def codec(**options: Any) -> DeepgramCodec:
    return DeepgramCodec(Opening("wss://nowhere.example"), 16000, **options)


def hear(*messages: str, **options: Any) -> list[Heard]:
    one = codec(**options)
    return [heard for message in messages for heard in one.read(message)]


def test_what_is_null_or_a_text_costs_no_word() -> None:
    words = [{"start": "0.1", "end": None, "language": None}, {"start": None, "end": "0.9", "language": None}]
    alternative = {"transcript": "Ja, nein.", "confidence": None, "words": words, "languages": None}
    odd = {"type": "Results", "start": None, "duration": "1.0", "is_final": True, "speech_final": True}
    odd |= {"from_finalize": None, "channel": {"alternatives": [alternative]}}
    one = DeepgramCodec(Opening("wss://nowhere.example"), 16000)
    assert list(one.read(json.dumps(odd))) == [Final("Ja, nein.", 100, 900), Acknowledged(1000)]
    alternative |= {"words": None, "confidence": "0.5"}
    odd |= {"start": 1, "duration": 1, "speech_final": None, "from_finalize": True}
    assert list(one.read(json.dumps(odd))) == [Final("Ja, nein.", 1000, 2000, 0.5), Acknowledged(2000), Flushed()]
    assert list(one.read('{"type":"Results","channel":null,"start":2,"duration":1,"is_final":true}')) == [
        Acknowledged(3000)
    ]
    assert list(one.read('{"type":"UtteranceEnd","last_word_end":null}')) == []


def test_settled_pieces_make_one_utterance() -> None:
    heard = hear(
        results("guten", 0.0, 1.0),
        results("guten tag", 0.0, 1.6, is_final=True, confidence=0.95),
        results("ich", 1.6, 0.5),
        results("ich rufe an", 1.6, 1.4, is_final=True, speech_final=True, confidence=0.8),
    )
    assert heard == [
        Partial("guten", "", 0),
        Partial("guten tag", "guten tag", 0),
        Partial("guten tag ich", "guten tag", 0),
        Final("guten tag ich rufe an", 0, 3000, 0.8),
        Acknowledged(3000),
    ]


def test_an_utterance_ends_with_utterance_end_where_no_pause_was_told() -> None:
    heard = hear(
        results("hello", 0.4, 0.6, is_final=True),
        '{"type":"UtteranceEnd","channel":[0,1],"last_word_end":1.0}',
        '{"type":"UtteranceEnd","channel":[0,1],"last_word_end":1.0}',
    )
    assert [event for event in heard if isinstance(event, Final)] == [Final("hello", 400, 1000, 0.9)]


def test_a_flush_is_answered_after_its_final_and_without_words() -> None:
    assert hear(results("ja", 0.0, 0.5, is_final=True, from_finalize=True)) == [
        Final("ja", 0, 500, 0.9),
        Acknowledged(500),
        Flushed(),
    ]
    assert hear(results("", 2.0, 0.25, is_final=True, from_finalize=True)) == [Acknowledged(2250), Flushed()]


def test_silence_is_acknowledged_and_words_taken_back_leave_nothing() -> None:
    heard = hear(results("", 0.0, 3.0, is_final=True), results("hm", 3.0, 0.5), results("", 3.0, 2.0, is_final=True))
    assert heard == [Acknowledged(3000), Partial("hm", "", 3000), Acknowledged(5000)]
    assert hear(results("hm", 3.0, 0.5), partials=False) == []


def test_an_utterance_without_a_pause_ends_after_twenty_seconds() -> None:
    messages = [results(f"piece{at}", at * 4.0, 4.0, is_final=True) for at in range(6)]
    finals = [event for event in hear(*messages) if isinstance(event, Final)]
    assert finals == [Final("piece0 piece1 piece2 piece3 piece4", 0, 20_000, 0.9)]


def test_the_language_is_that_of_most_words() -> None:
    mixed = json.loads(results("hola what is the", 0.0, 1.0, is_final=True, speech_final=True, languages=["es", "en"]))
    heard = hear(json.dumps(mixed), tells_language=True)
    assert isinstance(heard[0], Final)
    assert heard[0].language == "es"
    for word in mixed["channel"]["alternatives"][0]["words"][1:]:
        word["language"] = "en"
    heard = hear(json.dumps(mixed), tells_language=True)
    assert isinstance(heard[0], Final)
    assert heard[0].language == "en"


@pytest.mark.parametrize(
    "junk", ["", "{", "[]", "null", "{}", '{"type":7}', '{"type":"Results","start":"now"}', b"\xff"]
)
def test_what_is_no_message_is_refused(junk: str | bytes) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        list(codec().read(junk))


def test_what_is_not_known_is_passed_over() -> None:
    assert hear('{"type":"SomethingNew","start":"now"}', '{"type":"Metadata","duration":1.5}') == []


def test_errors_name_no_words_of_the_server() -> None:
    with pytest.raises(RemoteError, match=r"^deepgram told an error \(NET0001\)$") as told:
        hear(f'{{"type":"Error","variant":"NET0001","description":"bad key {KEY}"}}')
    assert told.value.passing
    closed = codec().closed(1008)
    assert closed is not None
    assert not closed.passing
    assert codec().closed(1011) is None


def test_what_is_asked_for() -> None:
    asked = dict(listen_parameters("de", 8000, more={"mip_opt_out": "true", "punctuate": "false"}))
    assert asked["model"] == "nova-3"
    assert asked["encoding"] == "linear16"
    assert (asked["sample_rate"], asked["channels"]) == ("8000", "1")
    assert (asked["interim_results"], asked["punctuate"], asked["mip_opt_out"]) == ("true", "false", "true")
    assert codec().finish() == ('{"type":"Finalize"}',)
    assert codec().keepalive() == ('{"type":"KeepAlive"}',)
    assert codec().close() == ('{"type":"CloseStream"}',)


def test_terms_by_model_and_never_more_than_it_takes() -> None:
    assert term_parameters("nova-3", ["Kallglot", " New York ", "Kallglot", ""]) == [
        ("keyterm", "Kallglot"),
        ("keyterm", "New York"),
    ]
    assert term_parameters("nova-2-phonecall", ["Kallglot", "New York"]) == [("keywords", "Kallglot")]
    many = term_parameters("nova-3", [f"{number}" for number in range(1000)])
    assert len(many) == MOST_TERMS
    long = term_parameters("nova-3", [f"Bundesverfassungsgericht {number}" for number in range(100)])
    assert 0 < sum(len(term) / 2 for _, term in long) <= MOST_TERM_TOKENS


@pytest.mark.parametrize(
    ("tag", "code"),
    [("de", "de"), ("de-AT", "de"), ("de-ch", "de-CH"), ("nb", "no"), ("yue", "zh-HK"), (None, "multi"), ("xh", None)],
)
def test_languages_by_their_own_codes(tag: str | None, code: str | None) -> None:
    assert language_code(tag, languages()) == code


# Against a server


def config(url: str, **more: Any) -> ProviderConfig:
    return ProviderConfig("deepgram", url=url, api_key=KEY, **more)


async def recognised(
    server: DeepgramListening, audio: bytes, options: RecognizerOptions, **more: Any
) -> list[RecognizerEvent]:
    engine = DeepgramRecognizer(config(server.url, **more))
    await engine.start()
    events: list[RecognizerEvent] = []
    try:
        stream = await engine.open(options, events.append)
        for at in range(0, len(audio), 640):
            stream.push(audio[at : at + 640])
        await stream.drain()
        await stream.close()
    finally:
        await engine.close()
    return events


@pytest.mark.parametrize("rate", [8000, 16000])
async def test_utterances_are_heard_at_both_rates(rate: int) -> None:
    async with DeepgramListening() as server:
        assert isinstance(server, DeepgramListening)
        audio = say([0, 1, 2], rate) + say([3, 4], rate)
        events = await recognised(server, audio, RecognizerOptions(rate, language="de-AT", terms=("Kallglot",)))
        finals = [event for event in events if isinstance(event, Final)]
        assert [final.text for final in finals] == [text([0, 1, 2]), text([3, 4])]
        assert all(final.language is None for final in finals)
        partials = [event for event in events if isinstance(event, Partial)]
        assert any(partial.stable_text for partial in partials)
        assert all(partial.text.startswith(partial.stable_text) for partial in partials)
        query = server.sessions[0].request.query
        assert (query["language"], query["keyterm"], query["sample_rate"]) == ("de", "Kallglot", str(rate))
        assert server.asked[0].headers["Authorization"] == f"Token {KEY}"
        assert all(KEY not in value for value in server.asked[0].query.values())


async def test_without_a_language_it_tells_which_it_was() -> None:
    async with DeepgramListening() as server:
        assert isinstance(server, DeepgramListening)
        events = await recognised(server, say([5, 6], 16000), RecognizerOptions(16000))
        assert [event.language for event in events if isinstance(event, Final)] == ["pt"]
        assert server.asked[0].query["language"] == "multi"


async def test_a_stream_that_is_closed_for_want_of_audio_goes_on() -> None:
    async with DeepgramListening() as server:
        assert isinstance(server, DeepgramListening)
        engine = DeepgramRecognizer(config(server.url))
        await engine.start()
        events: list[RecognizerEvent] = []
        again = asyncio.Event()

        def on_event(event: RecognizerEvent) -> None:
            events.append(event)
            if isinstance(event, Restarted):
                again.set()

        stream = await engine.open(RecognizerOptions(16000, language="de"), on_event)
        stream.push(say([1, 2], 16000))
        await stream.drain()
        await server.sessions[0].socket.close(code=1011, message=b"NET-0001")
        await again.wait()
        stream.push(say([3], 16000))
        await stream.drain()
        await engine.close()
        assert [event.text for event in events if isinstance(event, Final)] == [text([1, 2]), text([3])]


async def test_a_key_that_is_refused_is_not_quoted() -> None:
    async with DeepgramListening() as server:
        server.always = Fault("refuse", status=401)
        engine = DeepgramRecognizer(config(server.url))
        await engine.start()
        with pytest.raises(EngineError) as refused:
            await engine.open(RecognizerOptions(16000, language="de"), lambda _: None)
        assert not refused.value.passing
        assert KEY not in str(refused.value)
        assert KEY not in repr(engine.config)
        assert not engine.healthy
        await engine.close()


async def test_too_many_streams_are_told_with_the_time_to_wait() -> None:
    async with DeepgramListening() as server:
        server.always = Fault("refuse", status=429, headers={"Retry-After": "7"})
        engine = DeepgramRecognizer(config(server.url))
        await engine.start()
        with pytest.raises(EngineError) as refused:
            await engine.open(RecognizerOptions(16000, language="de"), lambda _: None)
        assert refused.value.passing
        assert refused.value.retry_after_s == 7
        await engine.close()


async def test_languages_and_models_that_it_does_not_have() -> None:
    engine = DeepgramRecognizer(config("http://127.0.0.1:1"))
    with pytest.raises(EngineError, match="xh"):
        await engine.open(RecognizerOptions(16000, language="xh"), lambda _: None)
    assert "flux" in (DeepgramRecognizer(config("http://x", model="flux-general-en")).missing() or "")
    assert DeepgramRecognizer(ProviderConfig("deepgram")).missing() == "deepgram needs an API key"


# Speaking


async def spoken_by(engine: DeepgramSynthesizer, said: str, language: str, voice: Voice) -> bytes:
    return b"".join([piece async for piece in engine.synthesize(said, language, voice)])


async def test_speech_comes_as_it_was_sent() -> None:
    async with DeepgramSpeaking() as server:
        engine = DeepgramSynthesizer(config(server.url, options={"sample_rate_hz": 16000, "mip_opt_out": True}))
        await engine.start()
        said = "Grüße aus Köln, 你好."
        assert await spoken_by(engine, said, "de-AT", Voice()) == spoken(said, 16000)
        assert await spoken_by(engine, "Hi", "en", Voice("luna", 1.7)) == spoken("Hi", 16000)
        await engine.close()
        first, second = server.asked
        assert first.query["model"] == "aura-2-aurelia-de"
        assert "speed" not in first.query
        assert first.query["mip_opt_out"] == "true"
        assert (second.query["model"], second.query["speed"]) == ("aura-2-luna-en", "1.5")
        assert first.headers["Authorization"] == f"Token {KEY}"
        assert json.loads(first.body) == {"text": said}


async def test_a_long_text_is_spoken_to_its_end() -> None:
    said = "Guten Tag. " * 180
    async with DeepgramSpeaking() as server:
        engine = DeepgramSynthesizer(config(server.url, options={"sample_rate_hz": 48000}))
        await engine.start()
        pcm = await spoken_by(engine, said, "de", Voice())
        await engine.close()
    assert pcm == spoken(said, 48000)
    assert len(pcm) > 1024 * 1024


async def test_voices_as_configured_and_none_for_other_languages() -> None:
    engine = DeepgramSynthesizer(config("http://x", options={"voices": {"de": "aura-2-viktoria-de"}}))
    assert engine.request("ja", "de-CH", Voice()).query["model"] == "aura-2-viktoria-de"
    assert engine.request("ja", "de", Voice("aura-2-julius-de")).query["model"] == "aura-2-julius-de"
    with pytest.raises(EngineError, match="pl"):
        engine.request("tak", "pl", Voice())
    wrong = DeepgramSynthesizer(config("http://x", options={"sample_rate_hz": 11025}))
    assert "sample_rate_hz" in (wrong.missing() or "")


async def test_a_refusal_to_speak_names_its_code_only() -> None:
    async with DeepgramSpeaking() as server:
        server.always = Fault("refuse", status=429, headers={"Retry-After": "30"})
        engine = DeepgramSynthesizer(config(server.url))
        await engine.start()
        with pytest.raises(EngineError) as refused:
            await spoken_by(engine, "Hallo", "de", Voice())
        await engine.close()
        assert "TOO_MANY_REQUESTS" in str(refused.value)
        assert KEY not in str(refused.value)
        assert refused.value.retry_after_s == 30


def test_the_address_has_the_query_and_no_key() -> None:
    engine = DeepgramRecognizer(config("https://api.eu.deepgram.com/"))
    opening = engine.codec(RecognizerOptions(8000, language="en-GB", terms=("H&M",))).open()
    parts = urlsplit(opening.url)
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "api.eu.deepgram.com", "/v1/listen")
    assert ("keyterm", "H&M") in parse_qsl(parts.query)
    assert KEY not in opening.url
    assert KEY not in repr(opening)
