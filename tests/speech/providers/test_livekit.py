"""The bridge to plugins. What needs ``livekit-agents`` itself is skipped where it is not installed.

The contract tests run the bridge with a plugin over real sockets (``tests/speech/contract/makers_livekit.py``).
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.fakes.remote import words
from tests.fakes.remote.plain import PlainFake, PlainServer, spoken
from tests.fakes.remote.server import Fault
from tests.speech.contract import makers_livekit

from kallglot.clock import SystemClock
from kallglot.speech.providers.livekit import LivekitRecognizer, LivekitSynthesizer
from kallglot.speech.providers.livekit_codec import LivekitCodec
from kallglot.speech.providers.livekit_plugin import in_words, missing
from kallglot.speech.providers.livekit_socket import FLUSH, StreamOpening
from kallglot.speech.remote.codec import Flushed
from kallglot.speech.remote.config import Patience, ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.types import Failed, Final, Partial, RecognizerEvent, RecognizerOptions, Voice

KEY = "sk-1f2e3d4c"
PLUGIN = makers_livekit.PLUGIN
RATE = 8000

installed = pytest.mark.skipif(makers_livekit.missing() is not None, reason=str(makers_livekit.missing()))


def config(plugin: str = f"{PLUGIN}.Ears", **named: Any) -> ProviderConfig:
    options = {"plugin": plugin, **named.pop("options", {})}
    return ProviderConfig(named.pop("name", "bridge"), api_key=KEY, options=options, languages=("de", "en"), **named)


def codec(language: str | None = "de", translate_to: str | None = None, **options: Any) -> LivekitCodec:
    return LivekitCodec(config(options=options), RecognizerOptions(RATE, language, translate_to=translate_to))


def told(kind: str, text: str = "", **said: Any) -> str:
    return json.dumps({"type": kind, "text": text, **said})


def test_opens_in_a_language_at_its_rate() -> None:
    opening = codec("de-AT").open()
    assert isinstance(opening, StreamOpening)
    assert (opening.language, opening.sample_rate_hz) == ("de-AT", RATE)


def test_partials_and_finals_have_the_plugins_times() -> None:
    wire = codec()
    wire.audio(bytes(2 * RATE * 2))
    assert list(wire.read(told("interim_transcript", "Guten", start=0.3))) == [Partial("Guten", "", 300)]
    assert list(wire.read(told("preflight_transcript", " "))) == []
    assert list(wire.read(told("end_of_speech"))) == []
    [final] = wire.read(told("final_transcript", " Guten Tag ", start=0.3, end=1.1, confidence=0.8, language="de"))
    assert final == Final("Guten Tag", 300, 1100, confidence=0.8)
    assert list(wire.read(told("final_transcript"))) == []


def test_pieces_are_put_together_from_the_start_to_the_end_of_speech() -> None:
    wire = codec()
    wire.audio(bytes(3 * RATE * 2))
    wire.finish()
    assert list(wire.read(told("start_of_speech"))) == []
    first = told("final_transcript", "Guten", start=0.3, end=0.7, confidence=0.8)
    assert list(wire.read(first)) == [Partial("Guten", "Guten", 300)]
    assert list(wire.read(told("interim_transcript", "Ta", start=0.8))) == [Partial("Guten Ta", "Guten", 300)]
    second = told("final_transcript", "Tag", start=0.8, end=2.6, confidence=0.6)
    assert list(wire.read(second)) == [Partial("Guten Tag", "Guten Tag", 300)]
    whole = Final("Guten Tag", 300, 2600, confidence=0.6)
    assert list(wire.read(told("end_of_speech"))) == [whole, Flushed()]
    assert list(wire.read(told("end_of_speech"))) == []
    assert list(wire.read(told("final_transcript", "Ja", start=2.7, end=2.9))) == [Final("Ja", 2700, 2900)]


def test_a_piece_that_comes_twice_is_said_once() -> None:
    wire = codec()
    wire.audio(bytes(3 * RATE * 2))
    list(wire.read(told("start_of_speech")))
    for text, start, end in (("eins", 0.1, 0.5), ("eins", 0.1, 0.5), ("zwei", 0.49, 0.9), ("eins", 0.1, 0.5)):
        list(wire.read(told("final_transcript", text, start=start, end=end)))
    assert list(wire.read(told("end_of_speech"))) == [Final("eins zwei", 100, 900)]


def test_an_utterance_that_never_ends_is_told_all_the_same() -> None:
    wire = codec()
    wire.audio(bytes(60 * RATE * 2))
    list(wire.read(told("start_of_speech")))
    assert list(wire.read(told("final_transcript", "eins", start=1.0, end=20.0))) == [Partial("eins", "eins", 1000)]
    [final] = wire.read(told("final_transcript", "zwei", start=20.0, end=31.0))
    assert final == Final("eins zwei", 1000, 31_000)


def test_a_plugin_without_times_is_taken_to_speak_of_now() -> None:
    wire = codec()
    wire.audio(bytes(RATE * 2))
    assert list(wire.read(told("interim_transcript", "eins"))) == [Partial("eins", "", 0)]
    assert list(wire.read(told("final_transcript", "eins"))) == [Final("eins", 0, 1000)]
    wire.audio(bytes(RATE * 2))
    assert list(wire.read(told("final_transcript", "zwei"))) == [Final("zwei", 1000, 2000)]


def test_a_plugins_end_is_never_after_the_audio() -> None:
    wire = codec()
    wire.audio(bytes(RATE * 2))
    assert list(wire.read(told("final_transcript", "eins", start=1.2, end=9.0))) == [Final("eins", 1000, 1000)]


def test_the_silence_that_we_add_is_not_on_the_timeline() -> None:
    wire = codec(silence_ms=800)
    wire.audio(bytes(RATE * 2))
    sent = wire.finish()
    assert sent[-1] == FLUSH
    assert sum(len(piece) for piece in sent[:-1]) == RATE * 2 * 8 // 10
    [first, flushed] = wire.read(told("final_transcript", "eins", start=0.2, end=0.9))
    assert (first, flushed) == (Final("eins", 200, 900), Flushed())
    wire.audio(bytes(RATE * 2))
    [second] = wire.read(told("final_transcript", "zwei", start=2.0, end=2.6))
    assert second == Final("zwei", 1200, 1800)


def test_very_many_silences_are_still_left_out() -> None:
    wire = codec(silence_ms=100)
    for _ in range(200):
        wire.audio(bytes(RATE * 2))
        wire.finish()
    [final, *_] = wire.read(told("final_transcript", "eins", start=220.0 - 1, end=220.0 - 0.5))
    assert (final.start_ms, final.end_ms) == (199_100, 199_600)  # type: ignore[union-attr]


def test_a_question_is_answered_by_the_final_before_it() -> None:
    wire = codec()
    wire.audio(bytes(3 * RATE * 2))
    wire.finish()
    assert list(wire.read(told("final_transcript", "eins", start=0.1, end=0.9))) == [Final("eins", 100, 900)]
    [_, flushed] = wire.read(told("final_transcript", "zwei", start=1.8, end=2.5))
    assert flushed == Flushed()


def test_no_silence_is_added_where_none_is_wanted() -> None:
    assert codec(silence_ms=0).finish() == (FLUSH,)
    assert codec(silence_ms=0).gap_silence_ms == 0


def test_a_plugin_that_translates() -> None:
    message = told("final_transcript", "Good day", start=0.1, end=0.9, language="en", sources=["Guten", "Tag"])
    for translate_to, translation in (("en-GB", "Good day"), ("fr", None), (None, None)):
        wire = codec(translate_to=translate_to)
        wire.audio(bytes(RATE * 2))
        assert list(wire.read(message)) == [Final("Guten Tag", 100, 900, translation=translation)]


def test_the_language_that_was_heard_is_told_where_none_was_known() -> None:
    wire = codec(language=None)
    wire.audio(bytes(RATE * 2))
    [final] = wire.read(told("final_transcript", "Good day", start=0.1, end=0.9, language="en"))
    assert final.language == "en"  # type: ignore[union-attr]


class Refused(Exception):
    status_code = 401
    retryable = False


class Unreachable(Exception):
    retryable = True


@pytest.mark.parametrize(
    ("error", "said", "passing"),
    [
        (Refused(KEY), "bridge refused the key: 401", False),
        (Unreachable(KEY), r"bridge failed \(Unreachable\)", True),
        (TimeoutError(), "did not answer in time", True),
        (ValueError(KEY), r"bridge failed \(ValueError\)", True),
    ],
)
def test_errors_are_in_words_of_our_own(error: Exception, said: str, passing: bool) -> None:
    with pytest.raises(RemoteError, match=said) as caught, in_words("bridge", SystemClock()):
        raise error
    assert caught.value.passing is passing
    assert KEY not in str(caught.value)


def test_cancelling_is_no_error() -> None:
    with pytest.raises(asyncio.CancelledError), in_words("bridge", SystemClock()):
        raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("options", "languages", "said"),
    [
        ({}, ("de",), "option plugin"),
        ({"plugin": 1}, ("de",), "option plugin"),
        ({"plugin": "a.B", "arguments": "x"}, ("de",), "arguments"),
        ({"plugin": "a.B", "by_language": {"de": "x"}}, ("de",), "by_language"),
        ({"plugin": "a.B"}, (), "languages"),
        ({"plugin": "no_such_package.stt.STT"}, ("de",), "not installed"),
    ],
)
def test_what_is_missing(options: dict[str, Any], languages: tuple[str, ...], said: str) -> None:
    for engine in (LivekitRecognizer, LivekitSynthesizer):
        assert said in (engine(ProviderConfig("bridge", options=options, languages=languages)).missing() or "")


def test_a_package_that_is_no_package_is_not_installed() -> None:
    assert "not installed" in (missing("bridge", "json.decoder.nothing.STT") or "")


async def test_what_cannot_be_imported_is_said_when_it_is_started() -> None:
    with pytest.raises(RemoteError, match=r"no\.such\.STT cannot be imported"):
        await LivekitRecognizer(config("no.such.STT")).start()


@contextlib.asynccontextmanager
async def speaking(server: PlainServer, **options: Any) -> AsyncIterator[LivekitSynthesizer]:
    arguments = {"url": server.url, **options.pop("arguments", {})}
    engine = LivekitSynthesizer(config(f"{PLUGIN}:Voice", options={"arguments": arguments, **options}))
    assert engine.missing() is None
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def heard(engine: LivekitSynthesizer, text: str, language: str = "de", voice: str | None = None) -> bytes:
    return b"".join([pcm async for pcm in engine.synthesize(text, language, Voice(voice))])


@installed
async def test_speaks_with_the_plugins_sound_and_rate() -> None:
    async with PlainServer() as server, speaking(server) as engine:
        assert engine.sample_rate_hz == 16_000
        pcm = await heard(engine, "Guten Tag.")
        assert pcm.startswith(spoken("Guten Tag.", 16_000))
        assert len(pcm) - len(spoken("Guten Tag.", 16_000)) < 3200
        assert engine.spending.characters_today == 10


@installed
async def test_one_instance_for_each_language_and_voice() -> None:
    from tests.fakes.remote import livekit_plugin

    livekit_plugin.Voice.made.clear()
    livekit_plugin.Voice.closed = 0
    async with PlainServer() as server:
        async with speaking(server, by_language={"en": {"voice": "amy"}}, voice_argument="voice") as engine:
            for language, voice in (("de", None), ("de", "anna"), ("en-GB", None), ("en", None), ("de", "anna")):
                await heard(engine, "x1", language, voice)
        assert livekit_plugin.Voice.made == [
            {"language": "de", "voice": ""},
            {"language": "de", "voice": "anna"},
            {"language": "en-GB", "voice": "amy"},
        ]
        assert livekit_plugin.Voice.closed == 3


@installed
async def test_sound_of_another_shape_is_refused() -> None:
    async with PlainServer() as server, speaking(server, arguments={"channels": 2}) as engine:
        with pytest.raises(RemoteError, match="expected mono"):
            await heard(engine, "Guten Tag.")


@installed
async def test_a_plugin_that_cannot_be_constructed() -> None:
    async with PlainServer() as server:
        engine = LivekitRecognizer(config(options={"arguments": {"url": server.url, "colour": KEY}}))
        with pytest.raises(RemoteError, match="cannot be constructed") as caught:
            await engine.start()
        assert KEY not in str(caught.value)
        await engine.close()


@installed
@pytest.mark.parametrize("timed", [True, False])
async def test_a_long_call_with_pauses_keeps_nothing_for_long(timed: bool) -> None:
    async with PlainFake() as server:
        arguments = {"url": server.url, "rate": RATE, "timed": timed}
        hurry = Patience(catch_up=1e9, burst_ms=10**9)
        engine = LivekitRecognizer(config(options={"arguments": arguments}, patience=hurry))
        await engine.start()
        finals: list[Final] = []
        news = asyncio.Event()

        def tell(event: RecognizerEvent) -> None:
            assert not isinstance(event, Failed)
            if isinstance(event, Final):
                finals.append(event)
                news.set()

        stream = await engine.open(RecognizerOptions(RATE, "de"), tell)
        most = 0
        for number in range(20):
            pcm = words.say([number % 12], RATE, after_ms=20_000)
            for at in range(0, len(pcm), RATE // 2):
                stream.push(pcm[at : at + RATE // 2])
                await asyncio.sleep(0)
            async with asyncio.timeout(30):
                while len(finals) <= number:
                    news.clear()
                    await news.wait()
            most = max(most, stream.backlog_ms)
        assert [final.text for final in finals] == [words.text([number % 12]) for number in range(20)]
        assert most < 30_000
        await stream.close()
        await engine.close()


@installed
async def test_two_trials_of_one_text_say_it_once() -> None:
    async with PlainServer() as server, speaking(server) as engine:
        server.fail_next(Fault("refuse", 503))
        assert (await heard(engine, "Guten Tag.")).startswith(spoken("Guten Tag.", 16_000))
        assert engine.counters.retries == 1
