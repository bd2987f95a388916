"""Azure's speech protocol as described, and its engine against a server that speaks it."""

import asyncio
import json
import struct
from datetime import UTC, datetime
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from tests.fakes.remote.azure_recognition import AzureListening, end_turn
from tests.fakes.remote.server import Fault
from tests.fakes.remote.words import say, text

from kallglot.speech.providers.azure_recognition import AzureRecognizer
from kallglot.speech.providers.azure_recognition_turns import KEPT_MS, Sending, Turns
from kallglot.speech.providers.azure_recognition_wire import AzureCodec, audio_message, parse, text_message
from kallglot.speech.providers.recognition_locales import LOCALES, locale_of
from kallglot.speech.remote.codec import Acknowledged, Flushed, Heard, Message, Opening
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.types import EngineError, Final, Partial, RecognizerEvent, RecognizerOptions, Restarted

KEY = "az-secret-123"
AT = datetime(2026, 11, 21, 9, 8, 7, 6500, tzinfo=UTC)
SECOND = 10_000_000
REGION = {"region": "westeurope"}


def codec(**options: Any) -> AzureCodec:
    numbers = count(1)
    opening = Opening("wss://nowhere.example")
    return AzureCodec(opening, 8000, now=lambda: AT, new_id=lambda: f"id{next(numbers)}", **options)


def told(path: str, request_id: str = "id1", **document: Any) -> str:
    return f"X-RequestId:{request_id}\r\nPath:{path}\r\n\r\n{json.dumps(document)}"


def phrase(start_s: float, end_s: float, said: str, status: str = "Success", request_id: str = "id1") -> str:
    offset = round(start_s * SECOND)
    best = [{"Display": said, "Confidence": 0.7}] if said else []
    return told(
        "speech.phrase", request_id, RecognitionStatus=status, Offset=offset, Duration=round(end_s * SECOND) - offset,
        NBest=best,
    )  # fmt: skip


def audio(ms: int, value: int = 0) -> bytes:
    return bytes([value]) * (ms * 16)


def paths(messages: Any) -> list[tuple[str, str, int]]:
    found = [parse(message) for message in messages]
    return [(one.path, one.request_id, len(one.body)) for one in found]


# Messages


def test_messages_as_they_are_on_the_wire() -> None:
    assert text_message("speech.config", "id1", AT, {"a": "ü"}) == (
        "Path: speech.config\r\nX-RequestId: id1\r\nX-Timestamp: 2026-11-21T09:08:07.006Z\r\n"
        'Content-Type: application/json\r\n\r\n{"a":"ü"}'
    )
    message = audio_message("id1", AT, b"\x01\x02")
    (length,) = struct.unpack_from(">H", message)
    headers = message[2 : 2 + length]
    assert headers == b"Path: audio\r\nX-RequestId: id1\r\nX-Timestamp: 2026-11-21T09:08:07.006Z\r\n"
    assert message[2 + length :] == b"\x01\x02"
    assert parse(message).body == b"\x01\x02"
    assert parse(told("turn.end")).path == "turn.end"


@pytest.mark.parametrize(
    "junk", ["", "{}", "Path", "X-RequestId: 1\r\n\r\n", b"", b"\x00", b"\x00\x09Path: a", b"\xff\xff"]
)
def test_what_is_no_message_is_refused(junk: Message) -> None:
    with pytest.raises(ValueError, match="message"):
        parse(junk)
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        list(codec().read(junk))


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        list(codec().read("X-RequestId: id1\r\nPath: speech.phrase\r\n\r\n{"))


def test_a_turn_begins_with_a_header_and_ends_with_nothing() -> None:
    one = codec(terms=("Kallglot", "Kallglot", " "))
    opening = one.open()
    (config,) = map(parse, opening.greeting)
    assert (config.path, config.request_id) == ("speech.config", "id1")
    assert json.loads(config.body)["context"]["audio"]["source"]["samplerate"] == 8000
    first = list(one.audio(audio(60)))
    assert paths(first) == [("speech.context", "id1", 69), ("audio", "id1", 44), ("audio", "id1", 960)]
    assert json.loads(parse(first[0]).body) == {
        "dgi": {"Groups": [{"Type": "Generic", "Items": [{"Text": "Kallglot"}]}]}
    }
    header = parse(first[1]).body
    assert isinstance(header, bytes)
    assert header[:4] + header[8:16] == b"RIFFWAVEfmt "
    assert struct.unpack_from("<HHIIHH", header, 20) == (1, 1, 8000, 16000, 2, 16)
    assert paths(one.audio(audio(60))) == [("audio", "id1", 960)]
    assert paths(one.finish()) == [("audio", "id1", 0)]
    assert list(one.audio(audio(100))) == []
    assert list(one.read(told("turn.end"))) == [Acknowledged(120), Flushed()]
    again = paths(one.audio(audio(20)))
    assert again[1:] == [("audio", "id2", 44), ("audio", "id2", 1920)]


def test_what_is_heard_is_on_the_connections_time() -> None:
    one = codec()
    one.audio(audio(2000))
    heard: list[Heard] = [
        *one.read(told("turn.start")),
        *one.read(told("speech.hypothesis", Text="guten", Offset=SECOND // 10, Duration=SECOND)),
        *one.read(phrase(0.1, 1.5, "Guten Tag.")),
    ]
    assert heard == [Partial("guten", "", 100, "guten"), Final("Guten Tag.", 100, 1500, 0.7)]
    one.finish()
    list(one.read(told("turn.end")))
    one.audio(audio(1000))
    assert list(one.read(phrase(0.2, 0.9, "Ja.", request_id="id2"))) == [Final("Ja.", 2200, 2900, 0.7)]
    assert list(one.read(phrase(0.2, 0.9, "Ja.", request_id="id1"))) == []


def test_what_is_null_or_a_text_costs_no_word() -> None:
    one = codec()
    one.audio(audio(2000))
    best = {"Display": None, "Confidence": "0.5"}
    odd = told(
        "speech.phrase", RecognitionStatus="Success", DisplayText="Ja.", Offset="1000000", Duration=9e6, NBest=[best]
    )
    assert list(one.read(odd)) == [Final("Ja.", 100, 1000, 0.5)]
    odd = told(
        "speech.phrase", RecognitionStatus="Success", DisplayText="Nein.", Offset=None, Duration=None, NBest=None
    )
    assert list(one.read(odd)) == [Final("Nein.", 0, 0)]
    assert list(one.read(told("speech.hypothesis", Text=None, Offset=None))) == []


def test_hypotheses_are_stable_where_three_agree() -> None:
    one = codec()
    one.audio(audio(2000))
    messages = [
        told("speech.hypothesis", Text=said, Offset=0) for said in ("ich", "ich bin", "ich bin da", "bin ich da")
    ]
    partials = [heard for message in messages for heard in one.read(message) if isinstance(heard, Partial)]
    assert [partial.stable_text for partial in partials] == ["", "", "ich", "ich"]
    assert all(partial.text.startswith(partial.stable_text) for partial in partials)
    assert partials[-1].hypothesis == "bin ich da"
    assert list(codec(partials=False).read(messages[0])) == []


@pytest.mark.parametrize("status", ["NoMatch", "InitialSilenceTimeout", "BabbleTimeout", "EndOfDictation"])
def test_what_had_no_words_is_acknowledged(status: str) -> None:
    one = codec()
    one.audio(audio(5000))
    assert list(one.read(phrase(0.0, 4.5, "", status))) == [Acknowledged(4500)]


@pytest.mark.parametrize(
    ("status", "blame"),
    [("TooManyRequests", "engine"), ("Error", "engine"), ("BadRequest", "request"), ("Forbidden", "key")],
)
def test_statuses_that_are_errors(status: str, blame: str) -> None:
    with pytest.raises(RemoteError, match=status) as failed:
        list(codec().read(phrase(0.0, 0.0, "", status)))
    assert failed.value.blame == blame
    closed = codec().closed(1007)
    assert closed is not None
    assert not closed.passing
    assert codec().closed(1011) is None


# Turns


def test_audio_waits_while_a_turn_is_ending() -> None:
    turns = Turns(8000)
    assert turns.push(b"aa") == [Sending(b"aa", begins=True)]
    assert turns.push(b"bb") == [Sending(b"bb")]
    assert turns.flush() == [Sending(b"", ends=True)]
    assert turns.push(b"cc") == []
    assert turns.ended() == 1
    assert turns.push(b"dd") == [Sending(b"ccdd", begins=True)]
    assert turns.start_ms == 0
    assert turns.sent_ms == 0


def test_a_flush_while_a_turn_is_ending() -> None:
    turns = Turns(8000)
    turns.push(b"aa")
    turns.flush()
    assert turns.flush() == []
    assert turns.ended() == 2
    turns.push(b"bb")
    turns.flush()
    turns.push(b"cc")
    assert turns.flush() == []
    assert turns.ended() == 1
    assert turns.due() == [Sending(b"cc", begins=True, ends=True)]
    assert turns.due() == []
    assert turns.push(b"dd") == []
    assert turns.ended() == 1
    assert turns.push(b"ee") == [Sending(b"ddee", begins=True)]


def test_between_turns_there_is_nothing_to_flush() -> None:
    turns = Turns(8000)
    assert turns.flush() == []
    assert turns.ended() == 0


def test_a_turn_that_the_service_ends_leaves_what_was_not_settled() -> None:
    turns = Turns(8000)
    turns.push(audio(1000, 1))
    turns.push(audio(500, 2))
    turns.settle(1000)
    assert turns.ended() == 0
    assert turns.push(audio(100, 3)) == [Sending(audio(500, 2) + audio(100, 3), begins=True)]
    assert turns.start_ms == 1000


def loud(ms: int) -> bytes:
    return struct.pack("<2h", 9000, -9000) * (ms * 4)


def test_a_turn_that_the_service_ended_before_it_heard_our_end() -> None:
    """Its end crosses ours: what came after what it told was not heard, and is no answer."""
    turns = Turns(8000)
    turns.push(loud(1000))
    turns.push(loud(500))
    turns.flush()
    turns.settle(1000)
    assert turns.ended() == 0
    assert turns.due() == [Sending(loud(500), begins=True, ends=True)]
    assert turns.start_ms == 1000
    # Noise that it makes nothing of once more is dealt with.
    assert turns.ended() == 1
    assert turns.due() == []
    assert turns.push(b"aa") == [Sending(b"aa", begins=True)]


def test_what_comes_meanwhile_follows_what_is_sent_again() -> None:
    turns = Turns(8000)
    turns.push(loud(500))
    turns.flush()
    turns.push(loud(20))
    turns.flush()
    assert turns.ended() == 0
    assert turns.due() == [Sending(loud(520), begins=True, ends=True)]
    turns.settle(520)
    assert turns.ended() == 2


def test_the_tail_of_a_word_and_silence_are_dealt_with_by_the_turns_end() -> None:
    turns = Turns(8000)
    turns.push(loud(1000) + audio(500))
    turns.flush()
    turns.settle(920)
    assert turns.ended() == 1
    assert turns.due() == []


def test_an_utterance_of_which_too_little_was_kept_is_heard_by_another_connection() -> None:
    one = codec()
    for _ in range(2 * KEPT_MS // 100):
        one.audio(loud(100))
    list(one.read(told("speech.hypothesis", Text="guten", Offset=SECOND, Duration=SECOND)))
    with pytest.raises(RemoteError, match="in the middle of what was said") as caught:
        list(one.read(told("turn.end")))
    assert caught.value.passing


def test_a_hypothesis_of_what_was_told_already_begins_nothing() -> None:
    one = codec()
    one.audio(loud(2000))
    late = told("speech.hypothesis", Text="guten", Offset=SECOND // 10, Duration=SECOND)
    for message in (late, phrase(0.1, 1.9, "Guten Tag."), late):
        list(one.read(message))
    one.finish()
    assert list(one.read(told("turn.end"))) == [Acknowledged(2000), Flushed()]


def test_what_is_kept_for_the_next_turn_is_bounded() -> None:
    turns = Turns(8000)
    for _ in range(100):
        turns.push(audio(100, 1))
    turns.ended()
    (sending,) = turns.push(b"")
    assert len(sending.audio) == KEPT_MS * 16
    assert turns.start_ms == 10_000 - KEPT_MS


# Locales


@pytest.mark.parametrize(
    ("tag", "configured", "locale"),
    [
        ("de", (), "de-DE"), ("de-at", (), "de-AT"), ("de-LU", (), "de-DE"), ("de", ("de-CH", "fr"), "de-CH"),
        ("no", (), "nb-NO"), ("tl", (), "fil-PH"), ("yue", (), "zh-HK"), ("wuu", ("wuu-CN",), "wuu-CN"),
        ("tlh", (), None),
    ],
)  # fmt: skip
def test_locales(tag: str, configured: tuple[str, ...], locale: str | None) -> None:
    assert locale_of(tag, configured) == locale
    assert all(own and own[0].startswith(("zh", language)) for language, own in LOCALES.items())


# Against a server


def engine_at(url: str, **more: Any) -> AzureRecognizer:
    return AzureRecognizer(ProviderConfig("azure", url, KEY, **{"options": REGION, **more}))


def finals(events: list[RecognizerEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, Final)]


@pytest.mark.parametrize("rate", [8000, 16000])
async def test_flushed_utterances_are_turns_of_one_connection(rate: int) -> None:
    async with AzureListening() as server:
        assert isinstance(server, AzureListening)
        engine = engine_at(server.url)
        await engine.start()
        events: list[RecognizerEvent] = []
        stream = await engine.open(RecognizerOptions(rate, language="de", terms=("Kallglot",)), events.append)
        for numbers in ([1, 2], [3], [4, 5]):
            stream.push(say(numbers, rate, after_ms=0))
            await stream.drain()
        await engine.close()
        assert finals(events) == [text([1, 2]), text([3]), text([4, 5])]
        (session,) = server.sessions
        assert session.data["turns"] == 3
        assert session.rate == rate
        assert session.data["told"]["speech.context"]["dgi"]["Groups"][0]["Items"] == [{"Text": "Kallglot"}]
        asked = server.asked[0]
        assert asked.query == {"language": "de-DE", "format": "detailed"}
        assert asked.headers["Ocp-Apim-Subscription-Key"] == KEY
        assert len(asked.headers["X-ConnectionId"]) == 32


async def test_a_turn_that_the_service_ends_is_followed_by_another() -> None:
    async with AzureListening() as server:
        assert isinstance(server, AzureListening)
        engine = engine_at(server.url)
        await engine.start()
        events: list[RecognizerEvent] = []
        stream = await engine.open(RecognizerOptions(8000, language="de"), events.append)
        stream.push(say([1, 2], 8000))
        await stream.drain()
        session = server.sessions[0]
        # What is on its way to a turn that is over is sent again in the next.
        for turns in (2, 3):
            async with asyncio.timeout(10):
                while session.data["turns"] < turns:
                    stream.push(bytes(16 * 60))
                    await asyncio.sleep(0)
            if turns == 2:
                await session.socket.send_str(end_turn(session))
        stream.push(say([3], 8000))
        await stream.drain()
        await engine.close()
        assert finals(events) == [text([1, 2]), text([3])]
        assert not any(isinstance(event, Restarted) for event in events)
        assert len(server.sessions) == 1


async def test_a_turn_whose_end_crosses_ours_costs_no_word() -> None:
    class Crossing(AzureListening):
        """Ends the first turn by itself, just before the client does, and hears nothing more of it."""

        def read(self, session: Any, message: Message) -> Any:
            command = super().read(session, message)
            if session.data.get("turns") == 1 and session.data["turn"] is not None:
                if isinstance(command, bytes):
                    return b""
                if command == "finish":
                    self.crossed = end_turn(session)
                    return None
            return command

        def replies(self, session: Any, message: Message) -> Any:
            crossed, self.crossed = self.crossed, ""
            return (crossed,) if crossed else ()

        crossed = ""

    async with Crossing() as server:
        engine = engine_at(server.url)
        await engine.start()
        events: list[RecognizerEvent] = []
        stream = await engine.open(RecognizerOptions(8000, language="de"), events.append)
        stream.push(say([1, 2], 8000, after_ms=0))
        async with asyncio.timeout(10):
            await stream.drain()
        assert finals(events) == [text([1, 2])]
        assert not any(isinstance(event, Restarted) for event in events)
        await engine.close()


async def test_a_key_that_is_refused_is_not_quoted() -> None:
    async with AzureListening() as server:
        server.always = Fault("refuse", status=401)
        engine = engine_at(server.url)
        await engine.start()
        with pytest.raises(EngineError) as refused:
            await engine.open(RecognizerOptions(8000, language="de"), lambda _: None)
        await engine.close()
        assert KEY not in f"{refused.value} {engine.config!r}"


def test_its_address_is_that_of_the_region() -> None:
    engine = AzureRecognizer(
        ProviderConfig("azure", None, KEY, options={**REGION, "endpoint_id": "abc", "profanity": "raw"})
    )
    opening = engine.codec(RecognizerOptions(8000, language="en-GB")).open()
    parts = urlsplit(opening.url)
    assert parts.netloc == "westeurope.stt.speech.microsoft.com"
    assert parts.path == "/speech/recognition/conversation/cognitiveservices/v1"
    assert parse_qs(parts.query) == {
        "language": ["en-GB"], "format": ["detailed"], "cid": ["abc"], "profanity": ["raw"]
    }  # fmt: skip
    assert KEY not in opening.url


@pytest.mark.parametrize(("languages", "heard"), [((), "en-US"), (("de", "en"), "de-DE")])
def test_without_a_language_it_hears_its_first(languages: tuple[str, ...], heard: str) -> None:
    engine = engine_at("ws://127.0.0.1:1", languages=languages)
    assert f"language={heard}" in engine.codec(RecognizerOptions(8000)).open().url


def test_what_is_missing() -> None:
    assert "region" in (AzureRecognizer(ProviderConfig("azure", None, KEY)).missing() or "")
    evil = AzureRecognizer(ProviderConfig("azure", None, KEY, options={"region": "evil.example/"}))
    assert "region" in (evil.missing() or "")
    assert "key" in (AzureRecognizer(ProviderConfig("azure", options=REGION)).missing() or "")
