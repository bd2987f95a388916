import json
from typing import Any

import pytest
from tests.fakes.remote import words
from tests.fakes.remote.deepl import KEY
from tests.fakes.remote.deepl_voice import FakeDeeplVoice
from tests.fakes.remote.plain import translated

from kallglot.speech.providers.deepl_voice import CATCH_UP, DeeplRecognizer
from kallglot.speech.providers.deepl_voice_codec import DeeplVoiceCodec, voice_code
from kallglot.speech.providers.deepl_voice_socket import END, ENDED, IDLE, VoiceOpening, allowed
from kallglot.speech.remote.codec import Flushed, Heard
from kallglot.speech.remote.config import Patience, ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.types import Final, Partial, RecognizerEvent, RecognizerOptions

RATE = 16_000


def codec(language: str | None = "en", translate_to: str | None = None, **options: Any) -> DeeplVoiceCodec:
    config = ProviderConfig("deepl-voice", api_key=KEY, options=options)
    made = DeeplVoiceCodec(config, RecognizerOptions(RATE, language, translate_to=translate_to))
    made.audio(bytes(RATE * 2))
    return made


def segment(text: str, start: int, end: int, language: str = "en") -> dict[str, Any]:
    return {"language": language, "text": text, "start_time": start, "end_time": end}


def source(*concluded: dict[str, Any], tentative: list[dict[str, Any]] | None = None) -> str:
    return json.dumps({"source_transcript_update": {"concluded": concluded, "tentative": tentative or []}})


def target(*concluded: dict[str, Any]) -> str:
    return json.dumps({"target_transcript_update": {"language": "es", "concluded": concluded, "tentative": []}})


def heard(made: DeeplVoiceCodec, *messages: str) -> list[Heard]:
    return [event for message in messages for event in made.read(message)]


def test_asks_for_a_session() -> None:
    made = codec("de-AT", "en-GB", formality="more", glossary_id="g1")
    opening = made.open()
    assert isinstance(opening, VoiceOpening)
    assert opening.url == "https://api.deepl.com/v3/voice/realtime"
    assert opening.headers == {"Authorization": f"DeepL-Auth-Key {KEY}"}
    assert opening.document == {
        "source_media_content_type": "audio/pcm;encoding=s16le;rate=16000",
        "message_format": "json",
        "source_language": "de",
        "source_language_mode": "fixed",
        "target_languages": ["en-GB"],
        "formality": "more",
        "glossary_id": "g1",
    }
    assert KEY not in repr(opening)


def test_a_language_that_is_not_known_is_left_out() -> None:
    document = codec(None).open().document
    assert "source_language" not in document
    assert document["target_languages"] == []


@pytest.mark.parametrize(
    ("code", "tag"), [("DE", "de"), ("EN-US", "en-US"), ("ZH-HANT", "zh-Hant"), ("ES-419", "es-419")]
)
def test_tags(code: str, tag: str) -> None:
    assert voice_code(code) == tag


def test_the_documented_messages() -> None:
    made = codec()
    assert made.audio(b"\x01\x00") == ('{"source_media_chunk":{"data":"AQA="}}',)
    update = source(segment("Hello, how are you", 0, 1500), tentative=[segment(" today?", 1500, 2000)])
    assert heard(made, update) == [Partial("Hello, how are you today?", "Hello, how are you", 0)]
    assert heard(made, source(segment(" today?", 1500, 2000))) == [Final("Hello, how are you today?", 0, 2000)]
    assert heard(made, '{"end_of_source_transcript":{}}', '{"end_of_target_transcript":{"language":"fr"}}') == []
    made.finish()
    assert heard(made, '{"end_of_stream":{}}') == [Flushed()]
    error = (
        '{"error":{"request_type":"source_media_chunk","error_code":400,"reason_code":4000403,"error_message":"%s"}}'
    )
    with pytest.raises(RemoteError, match=r"deepl-voice refused the request: 400 \(4000403\)") as caught:
        heard(made, error % KEY)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "message", ["", "[]", "{}", '{"acknowledged":{}}', '{"source_transcript_update":{"concluded":1}}']
)
def test_what_is_no_message(message: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        heard(codec(), message)


def test_sentences_and_pauses_end_utterances() -> None:
    made = codec()
    events = heard(
        made,
        source(segment("One.", 0, 400), segment(" Two", 400, 700), tentative=[segment(" and", 700, 800)]),
        source(segment("three", 1600, 1900), tentative=[segment(" four", 1900, 2000)]),
        source(segment(" four", 1900, 2100)),
    )
    assert [event for event in events if isinstance(event, Final)] == [
        Final("One.", 0, 400),
        Final("Two", 400, 700),
        Final("three four", 1600, 2100),
    ]
    assert [event.text for event in events if isinstance(event, Partial)] == ["Two and", "three four"]


def test_a_final_waits_for_its_translation() -> None:
    made = codec("en", "es")
    assert heard(made, source(segment("Hello, how are you today?", 0, 2000))) == []
    assert heard(made, target(segment("Hola, ¿cómo estás", 0, 1500))) == []
    assert heard(made, target(segment(" hoy?", 1500, 2000))) == [
        Final("Hello, how are you today?", 0, 2000, translation="Hola, ¿cómo estás hoy?")
    ]


def test_translations_go_to_their_own_sentences() -> None:
    made = codec("en", "es")
    events = heard(
        made,
        source(segment("One is here.", 0, 1000), segment(" Two is there.", 1000, 2000)),
        target(segment("Uno está aquí.", 0, 1050), segment(" Dos está allí.", 1050, 2000)),
    )
    assert events == [
        Final("One is here.", 0, 1000, translation="Uno está aquí."),
        Final("Two is there.", 1000, 2000, translation="Dos está allí."),
    ]


def test_who_waits_too_long_goes_without_a_translation() -> None:
    made = codec("en", "es")
    sentences = [segment(f"Sentence {number}.", number * 1000, number * 1000 + 900) for number in range(4)]
    assert heard(made, *(source(one) for one in sentences)) == [Final("Sentence 0.", 0, 900)]
    made.finish()
    rest = heard(made, '{"end_of_source_transcript":{}}', '{"end_of_stream":{}}')
    assert [event.text for event in rest if isinstance(event, Final)] == ["Sentence 1.", "Sentence 2.", "Sentence 3."]
    assert rest[-1] == Flushed()


def test_what_was_not_concluded_is_told_at_the_end() -> None:
    made = codec()
    tentative = [segment(" two", 500, 900)]
    assert heard(made, source(segment("one", 100, 500), tentative=tentative)) == [Partial("one two", "one", 100)]
    made.finish()
    assert heard(made, '{"end_of_stream":{}}') == [Final("one", 100, 500), Flushed()]


def test_times_are_of_all_sessions_together() -> None:
    made = codec()
    assert made.finish() == (END,)
    made.audio(bytes(RATE * 2))
    assert heard(made, source(segment("One.", 100, 400)), '{"end_of_stream":{}}') == [
        Final("One.", 100, 400),
        Flushed(),
    ]
    assert heard(made, source(segment("Two.", 100, 400))) == [Final("Two.", 1100, 1400)]
    assert made.keepalive() == (IDLE,)
    assert heard(made, '{"end_of_stream":{}}') == []
    made.audio(bytes(RATE * 2))
    assert heard(made, source(segment("Three.", 100, 400))) == [Final("Three.", 2100, 2400)]


def test_the_end_of_an_idle_session_answers_nothing() -> None:
    made = codec()
    made.keepalive()
    made.audio(bytes(RATE * 2))
    made.finish()
    assert heard(made, '{"end_of_stream":{}}') == []
    assert heard(made, source(segment("Two.", 100, 400)), '{"end_of_stream":{}}') == [
        Final("Two.", 1100, 1400),
        Flushed(),
    ]


def test_a_session_that_got_no_audio_takes_nobody_elses_place() -> None:
    made = DeeplVoiceCodec(ProviderConfig("deepl-voice", api_key=KEY), RecognizerOptions(RATE, "de"))
    made.finish()
    made.audio(bytes(RATE * 2))
    made.finish()
    made.finish()
    made.audio(bytes(RATE * 2))
    assert heard(made, '{"end_of_stream":{}}') == [Flushed()]
    assert heard(made, source(segment("One.", 100, 400)))[0] == Final("One.", 100, 400)
    assert heard(made, '{"end_of_stream":{}}', '{"end_of_stream":{}}') == [Flushed(), Flushed()]
    assert heard(made, source(segment("Two.", 100, 400)))[0] == Final("Two.", 1100, 1400)


def test_a_session_that_the_vendor_ends_is_a_lost_connection() -> None:
    made = codec()
    told = made.read('{"end_of_stream":{}}')
    with pytest.raises(RemoteError, match="deepl-voice ended the session") as caught:
        list(told)
    assert caught.value.passing


@pytest.mark.parametrize("number", ["null", '"1500"', "1500.4"])
def test_times_that_are_no_whole_numbers(number: str) -> None:
    text = '{"source_transcript_update":{"concluded":[{"text":"One.","start_time":START,"end_time":2000}]}}'
    (final,) = heard(codec(), text.replace("START", number))
    assert isinstance(final, Final)
    assert (final.text, final.end_ms) == ("One.", 2000)
    assert final.start_ms == (0 if number == "null" else 1500)


@pytest.mark.parametrize(
    "streaming_url",
    [
        "ws://elsewhere.example/v3/voice/realtime/connect",
        "wss://api.deepl.com.elsewhere.example/connect",
        "ws://api.deepl.com/connect",
        "http://127.0.0.1/connect",
        "file:///etc/passwd",
        "ws://[",
        "",
    ],
)
async def test_a_session_is_not_spoken_with_anywhere(streaming_url: str) -> None:
    async with FakeDeeplVoice() as server:
        assert isinstance(server, FakeDeeplVoice)
        server.streaming_url = streaming_url
        engine = DeeplRecognizer(ProviderConfig("deepl-voice", server.url.replace("http:", "https:"), KEY))
        assert not allowed(engine.codec(RecognizerOptions(RATE, "de")).open().url, streaming_url)
        engine = DeeplRecognizer(ProviderConfig("deepl-voice", server.url, KEY))
        await engine.start()
        if not streaming_url.startswith("ws://api.deepl.com/"):
            with pytest.raises(RemoteError, match="deepl-voice: the address of the session"):
                await engine.open(RecognizerOptions(RATE, "de"), lambda event: None)
        await engine.close()


@pytest.mark.parametrize(
    ("asked", "streaming_url"),
    [
        ("https://api.deepl.com/v3/voice/realtime", "wss://api.deepl.com/v3/voice/realtime/connect"),
        ("https://api.deepl.com/v3/voice/realtime", "wss://eu.voice.deepl.com/connect?a=b"),
        ("https://gateway.example/v3/voice/realtime", "wss://gateway.example:444/connect"),
        ("http://127.0.0.1:9/v3/voice/realtime", "ws://127.0.0.1:9/connect"),
    ],
)
def test_where_a_session_may_be_spoken_with(asked: str, streaming_url: str) -> None:
    assert allowed(asked, streaming_url)


async def test_a_token_is_quoted_and_a_proxy_is_used() -> None:
    async with FakeDeeplVoice() as server:
        assert isinstance(server, FakeDeeplVoice)
        server.token = "a+b&c="
        server.streaming_url = "ws://api.deepl.invalid/v3/voice/realtime/connect?region=eu"
        config = ProviderConfig("deepl-voice", "http://api.deepl.invalid", KEY, options={"proxy": server.url})
        engine = DeeplRecognizer(config)
        await engine.start()
        events: list[RecognizerEvent] = []
        stream = await engine.open(RecognizerOptions(RATE, "de"), events.append)
        stream.push(words.say([1], RATE, after_ms=0))
        await stream.drain()
        await engine.close()
        assert [event.text for event in events if isinstance(event, Final)] == [words.text([1])]
        assert server.asked[-1].query == {"region": "eu", "token": "a+b&c=1"}


def test_the_language_that_was_heard_is_told_where_none_was_known() -> None:
    [final] = heard(codec(None), source(segment("Guten Tag.", 0, 900, "de")))
    assert final == Final("Guten Tag.", 0, 900, language="de")


def test_kept_audio_is_not_sent_faster_than_the_vendor_takes_it() -> None:
    assert DeeplRecognizer(ProviderConfig("d", api_key=KEY)).config.patience.catch_up == CATCH_UP
    wanted = ProviderConfig("d", api_key=KEY, patience=Patience(catch_up=1.0))
    assert DeeplRecognizer(wanted).config.patience.catch_up == 1.0


async def test_two_languages_in_one_stream_over_several_sessions() -> None:
    async with FakeDeeplVoice() as server:
        engine = DeeplRecognizer(ProviderConfig("deepl-voice", server.url, KEY))
        await engine.start()
        events: list[RecognizerEvent] = []
        stream = await engine.open(RecognizerOptions(RATE, "de", translate_to="en"), events.append)
        for numbers in ([1, 2], [3, 4]):
            stream.push(words.say(numbers, RATE, after_ms=0))
            await stream.drain()
        await stream.close()
        await engine.close()
        finals = [event for event in events if isinstance(event, Final)]
        assert [(final.text, final.translation) for final in finals] == [
            (words.text(numbers), translated(words.text(numbers), "en-US")) for numbers in ([1, 2], [3, 4])
        ]
        assert len(server.requests) == 2
        assert not any(KEY in f"{asked.path}{asked.query}" for asked in server.asked)


async def test_sessions_begin_and_end_behind_one_socket() -> None:
    async with FakeDeeplVoice() as server:
        engine = DeeplRecognizer(ProviderConfig("deepl-voice", server.url, KEY))
        await engine.start()
        made = engine.codec(RecognizerOptions(RATE, "de"))
        socket = await engine.http.connect(made.open(), engine.config.patience)
        [audio] = made.audio(words.say([1], RATE, after_ms=0))
        await socket.send_str(audio)
        for message in made.keepalive():
            await socket.send_str(message)
            await socket.send_str(message)
        told = [(await socket.receive()).data]
        while told[-1] != ENDED:
            told.append((await socket.receive()).data)
        finals = [event.text for event in heard(made, *told) if isinstance(event, Final)]
        assert finals == [words.text([1])]
        # There is no session now, and none is needed to say that nothing is out.
        await socket.send_str(END)
        assert (await socket.receive()).data == ENDED
        assert len(server.requests) == 1
        await socket.send_str(audio)
        await socket.send_str(END)
        assert "source_transcript_update" in (await socket.receive()).data
        assert len(server.requests) == 2
        await socket.close()
        await engine.close()


async def test_an_answer_without_a_session() -> None:
    async with FakeDeeplVoice() as server:
        server.sessionless = True
        engine = DeeplRecognizer(ProviderConfig("deepl-voice", server.url, KEY))
        await engine.start()
        with pytest.raises(RemoteError, match="cannot be understood"):
            await engine.open(RecognizerOptions(RATE, "de"), lambda event: None)
        assert engine.spending.running == 0
        await engine.close()
