"""A vendor that is lost in the middle of an utterance, over real sockets, with another behind it."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.fakes.remote.deepgram import DeepgramListening
from tests.fakes.remote.server import Fault
from tests.fakes.remote.words import say, text

from kallglot.speech.failover.recognizer import FailoverRecognizer
from kallglot.speech.failover.rests import Rests
from kallglot.speech.providers.deepgram import DeepgramRecognizer
from kallglot.speech.remote.config import Patience, ProviderConfig
from kallglot.speech.types import Final, RecognizerEvent, RecognizerOptions

RATE = 16_000
SAID = [(0, 1, 2, 3, 4, 5), (6, 7, 8, 9, 10, 11), (12, 13, 14, 15, 16, 17)]


@pytest.mark.parametrize("fault", ["killed", "limited"])
async def test_every_word_is_told_once(fault: str) -> None:
    first, second = DeepgramListening(), DeepgramListening()
    async with first, second:
        engines = [
            DeepgramRecognizer(
                ProviderConfig(
                    name, url=server.url, api_key="k", languages=("de",), patience=Patience(give_up_s=0.3, connect_s=1)
                )
            )
            for name, server in (("first", first), ("spare", second))
        ]
        for engine in engines:
            await engine.start()
        told: list[RecognizerEvent] = []
        finals = asyncio.Event()

        def on_event(event: RecognizerEvent) -> None:
            told.append(event)
            if isinstance(event, Final):
                finals.set()

        recognizer = FailoverRecognizer(engines, Rests(time.monotonic))
        stream = await recognizer.open(RecognizerOptions(RATE, "de"), on_event)
        stream.push(say(SAID[0], RATE))
        await asyncio.wait_for(finals.wait(), 20)
        speech = say(SAID[1], RATE)
        half = len(speech) // 4 * 2
        stream.push(speech[:half])
        first.always = Fault("refuse", status=429, headers={"Retry-After": "30"})
        for session in first.sessions:
            transport = session.request.transport
            assert transport is not None
            transport.abort()
        if fault == "killed":
            await first.__aexit__()
        stream.push(speech[half:])
        stream.push(say(SAID[2], RATE))
        stream.finish()
        await asyncio.wait_for(stream.drain(), 30)
        await stream.close()
        for engine in engines:
            await engine.close()
    heard = [one for one in told if isinstance(one, Final)]
    assert " ".join(one.text for one in heard) == " ".join(text(one) for one in SAID)
    times = [ms for one in heard for ms in (one.start_ms, one.end_ms)]
    assert times == sorted(times)
    assert second.connections == 1
