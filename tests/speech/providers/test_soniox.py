"""Soniox's wire as documented, and its engine against a server that speaks it."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from tests.fakes.remote.plain import translated
from tests.fakes.remote.soniox import SonioxFake, error
from tests.fakes.remote.words import say, text

from kallglot.speech.providers.soniox import SonioxRecognizer
from kallglot.speech.providers.soniox_wire import MOST_TERM_CHARACTERS, MOST_TERMS, SonioxCodec, start_request
from kallglot.speech.remote.codec import Acknowledged, Flushed, Heard, Opening
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.types import Failed, Final, Partial, RecognizerEvent, RecognizerOptions, Restarted

KEY = "sx-secret-123"


def token(said: str, start_ms: int | None = None, end_ms: int | None = None, **more: Any) -> dict[str, Any]:
    placed = {} if start_ms is None else {"start_ms": start_ms, "end_ms": end_ms, "confidence": 0.8}
    return {"text": said, "is_final": True, **placed, **more}


def maybe(said: str, start_ms: int, end_ms: int) -> dict[str, Any]:
    return token(said, start_ms, end_ms, is_final=False)


def translation(said: str, language: str) -> dict[str, Any]:
    return token(said, translation_status="translation", language=language, source_language="de")


def response(*tokens: dict[str, Any], settled_ms: int = 0, **more: Any) -> str:
    return json.dumps({"tokens": tokens, "final_audio_proc_ms": settled_ms, "total_audio_proc_ms": 9000, **more})


def codec(**options: Any) -> SonioxCodec:
    return SonioxCodec(Opening("wss://nowhere.example"), 16000, **options)


def hear(*messages: str, **options: Any) -> list[Heard]:
    one = codec(**options)
    return [heard for message in messages for heard in one.read(message)]


END = token("<end>")


def test_tokens_become_an_utterance() -> None:
    heard = hear(
        response(maybe("How", 100, 200), maybe("'re", 200, 300)),
        response(token("How", 100, 250), token(" are", 260, 400), maybe(" you", 420, 500)),
        response(token(" you", 420, 500), END, settled_ms=900),
    )
    assert heard == [
        Partial("How're", "", 100),
        Partial("How are you", "How are", 100),
        Final("How are you", 100, 500, pytest.approx(0.8)),
        Acknowledged(900),
    ]


def test_a_word_is_stable_when_all_of_it_is() -> None:
    heard = hear(
        response(token("Good", 0, 100), token(" Beau", 100, 200), maybe("tiful", 200, 300)),
        response(maybe("tiful", 200, 300), maybe(" day", 300, 400)),
        response(token("tiful", 200, 300), maybe(".", 300, 310)),
        response(maybe("!", 300, 310)),
    )
    told = [(event.text, event.stable_text) for event in heard if isinstance(event, Partial)]
    assert told == [
        ("Good Beautiful", "Good"),
        ("Good Beautiful day", "Good"),
        ("Good Beautiful.", "Good Beautiful"),
        ("Good Beautiful!", "Good Beautiful"),
    ]


def test_what_is_null_or_a_text_costs_no_word() -> None:
    odd = {"text": "Ja.", "is_final": True, "start_ms": "100", "end_ms": None, "confidence": "0.5", "language": None}
    odd |= {"translation_status": None}
    heard = hear(json.dumps({"tokens": [odd, END], "final_audio_proc_ms": None, "error_code": None, "finished": None}))
    assert heard == [Final("Ja.", 100, 100, 0.5)]
    assert hear(json.dumps({"tokens": None, "final_audio_proc_ms": "700"})) == [Acknowledged(700)]
    with pytest.raises(RemoteError, match="soniox told error 401"):
        hear(json.dumps({"tokens": None, "error_code": "401"}))


def test_two_utterances_in_one_message() -> None:
    heard = hear(response(token("Ja.", 0, 300), END, token("Nein.", 900, 1200), END, maybe("Doch", 1500, 1600)))
    assert heard == [
        Final("Ja.", 0, 300, pytest.approx(0.8)),
        Final("Nein.", 900, 1200, pytest.approx(0.8)),
        Partial("Doch", "", 1500),
    ]


def test_a_flush_is_answered_after_its_final_and_after_silence() -> None:
    said = Final("Ja.", 0, 300, pytest.approx(0.8))
    assert hear(response(token("Ja.", 0, 300), token("<fin>"))) == [said, Flushed()]
    assert hear(response(token("<fin>"), settled_ms=700)) == [Flushed(), Acknowledged(700)]


def test_the_translation_is_told_with_the_utterance() -> None:
    heard = hear(
        response(token("Guten", 0, 200, translation_status="original", language="de")),
        response(translation("Good", "en"), token(" Tag.", 200, 400, translation_status="original", language="de")),
        response(translation(" day.", "en"), translation("not yet", "en") | {"is_final": False}, END),
        translate_to="en-GB",
        tells_language=True,
        partials=False,
    )
    assert heard == [Final("Guten Tag.", 0, 400, pytest.approx(0.8), "de", "Good day.")]


def test_a_translation_into_another_language_is_left_out() -> None:
    heard = hear(
        response(
            token("Good day", 0, 400, translation_status="original", language="en"), translation("Guten Tag", "de")
        ),
        response(END),
        translate_to="en",
        tells_language=True,
        partials=False,
    )
    assert heard == [Final("Good day", 0, 400, pytest.approx(0.8), "en", None)]


def test_the_late_end_of_a_translation_is_spoken_with_the_next() -> None:
    heard = hear(
        response(token("Eins", 0, 100), translation("One", "en"), END),
        response(translation(" late", "en")),
        response(token("Zwei", 500, 600), translation(" two", "en"), END),
        translate_to="en",
        partials=False,
    )
    assert [event.translation for event in heard if isinstance(event, Final)] == ["One", "late two"]


def test_a_late_translation_of_what_was_told_untranslated_is_not_spoken_twice() -> None:
    heard = hear(
        response(token("Eins", 0, 100), END),
        response(translation("One", "en")),
        response(token("Zwei", 500, 600), translation("two", "en"), END),
        translate_to="en",
        partials=False,
    )
    assert [event.translation for event in heard if isinstance(event, Final)] == [None, "two"]


def test_the_language_is_that_of_most_letters() -> None:
    tokens = [token("Hi", 0, 100, language="en"), token(" zusammen", 100, 500, language="de"), END]
    (final,) = hear(response(*tokens), tells_language=True)
    assert isinstance(final, Final)
    assert final.language == "de"


def test_half_a_minute_without_an_end_is_an_utterance() -> None:
    tokens = [token(f" w{at}", at * 1000, at * 1000 + 900) for at in range(32)]
    heard = hear(response(*tokens, maybe(" next", 32_000, 32_300)))
    final, partial = heard
    assert isinstance(final, Final)
    assert (final.start_ms, final.end_ms) == (0, 31_900)
    assert partial == Partial("next", "", 32_000)


def test_the_end_of_the_stream_tells_what_is_left() -> None:
    assert hear(response(token("Ja", 0, 300), finished=True)) == [Final("Ja", 0, 300, pytest.approx(0.8))]


@pytest.mark.parametrize(
    ("code", "blame"), [(401, "key"), (402, "key"), (400, "request"), (429, "engine"), (408, "engine"), (503, "engine")]
)
def test_errors_by_their_codes(code: int, blame: str) -> None:
    with pytest.raises(RemoteError) as told:
        hear(error(code, f"Invalid API key {KEY}"))
    assert told.value.blame == blame
    assert str(told.value) == f"soniox told error {code}"


@pytest.mark.parametrize("junk", ["", "{", "[]", "null", '{"tokens":7}', '{"tokens":[{"is_final":true}]}', b"\xff"])
def test_what_is_no_message_is_refused(junk: str | bytes) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        list(codec().read(junk))


# What is asked for


def request(*given: Any, **more: Any) -> dict[str, Any]:
    return json.loads(start_request(*given, **more))


def test_a_known_language_is_a_hint_and_with_a_target_a_pair() -> None:
    asked = request(8000, language="de-AT", terms=["Kallglot", "Kallglot"])
    assert asked["model"] == "stt-rt-v5"
    assert (asked["audio_format"], asked["sample_rate"], asked["num_channels"]) == ("pcm_s16le", 8000, 1)
    assert (asked["language_hints"], asked["enable_language_identification"]) == (["de"], False)
    assert asked["context"] == {"terms": ["Kallglot"]}
    assert "translation" not in asked
    assert "api_key" not in asked
    both = request(16000, language="de", translate_to="en-US")
    assert both["translation"] == {"type": "two_way", "language_a": "de", "language_b": "en"}
    assert both["language_hints"] == ["de", "en"]
    assert both["enable_language_identification"]


def test_without_a_language_everything_is_translated_one_way() -> None:
    one_way = {"type": "one_way", "target_language": "en"}
    assert request(16000, hints=["nb", "de"], translate_to="en")["translation"] == one_way
    assert request(16000, hints=["nb", "de"])["language_hints"] == ["no", "de"]
    assert request(16000, language="de", translate_to="en", two_way=False)["translation"] == one_way
    assert "translation" not in request(16000, language="en-GB", translate_to="en-US")


def test_fields_may_be_replaced_and_terms_are_bounded() -> None:
    asked = request(16000, more={"max_endpoint_delay_ms": 800, "enable_endpoint_detection": False})
    assert (asked["max_endpoint_delay_ms"], asked["enable_endpoint_detection"]) == (800, False)
    assert len(request(16000, terms=[str(number) for number in range(5000)])["context"]["terms"]) == MOST_TERMS
    long = request(16000, terms=[f"{number}{'x' * 1000}" for number in range(50)])["context"]["terms"]
    assert sum(map(len, long)) <= MOST_TERM_CHARACTERS


def test_control_messages() -> None:
    assert codec().finish() == ('{"type":"finalize"}',)
    assert codec().keepalive() == ('{"type":"keepalive"}',)
    assert codec().close() == ("",)


# Against a server


def engine_at(url: str, **more: Any) -> SonioxRecognizer:
    return SonioxRecognizer(ProviderConfig("soniox", url=f"{url}/transcribe-websocket", api_key=KEY, **more))


@pytest.mark.parametrize("rate", [8000, 16000])
async def test_recognition_and_translation_in_one_stream(rate: int) -> None:
    async with SonioxFake() as server:
        assert isinstance(server, SonioxFake)
        engine = engine_at(server.url)
        await engine.start()
        events: list[RecognizerEvent] = []
        stream = await engine.open(RecognizerOptions(rate, language="de", translate_to="fr"), events.append)
        audio = say([0, 12, 13], rate) + say([20, 21], rate)
        for at in range(0, len(audio), 333):
            stream.push(audio[at : at + 333])
        await stream.drain()
        await stream.close()
        await engine.close()
        finals = [event for event in events if isinstance(event, Final)]
        assert [final.text for final in finals] == [text([0, 12, 13]), text([20, 21])]
        assert [final.translation for final in finals] == [translated(final.text, "fr") for final in finals]
        assert [final.language for final in finals] == ["de", "de"]
        assert server.asked[0].headers["Authorization"] == f"Bearer {KEY}"
        assert KEY not in json.dumps(server.sessions[0].data["request"])
        assert server.sessions[0].closed_well


async def test_a_request_that_is_terminated_is_begun_again() -> None:
    async with SonioxFake() as server:
        assert isinstance(server, SonioxFake)
        engine = engine_at(server.url)
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
        socket = server.sessions[0].socket
        await socket.send_str(error(503, "Cannot continue request (code 1). Please restart the request."))
        await socket.close()
        await again.wait()
        stream.push(say([3], 16000))
        await stream.drain()
        await engine.close()
        assert [event.text for event in events if isinstance(event, Final)] == [text([1, 2]), text([3])]


async def test_a_key_that_is_refused_in_the_stream_ends_it() -> None:
    async with SonioxFake() as server:
        assert isinstance(server, SonioxFake)
        engine = engine_at(server.url)
        await engine.start()
        failed: asyncio.Future[Failed] = asyncio.get_running_loop().create_future()

        def on_event(event: RecognizerEvent) -> None:
            if isinstance(event, Failed):
                failed.set_result(event)

        stream = await engine.open(RecognizerOptions(16000, language="de"), on_event)
        stream.push(say([1], 16000))
        await stream.drain()
        await server.sessions[0].socket.send_str(error(401, f"Incorrect API key {KEY}"))
        assert (await failed).reason == "soniox told error 401"
        assert not engine.healthy
        await engine.close()


async def test_what_it_does_not_serve() -> None:
    engine = engine_at("ws://127.0.0.1:1", options={"translation": "sideways"})
    assert "translation" in (engine.missing() or "")
    engine = engine_at("ws://127.0.0.1:1")
    asked = json.loads(str(engine.codec(RecognizerOptions(16000, language="de", translate_to="xh")).open().greeting[0]))
    assert "translation" not in asked
