"""German and English over downloaded models: real loaders with stand-in models, from the ear to the other's ear.

What is said is gibberish; everything else has to be right.
"""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soxr
from tests.acceptance.client import StreamClient
from tests.serverprocess import ServerProcess
from tests.speech.standins import recognition, translation, voices

from kallglot.audio.codec import encoder
from kallglot.models.installed import installed
from kallglot.speech.engines.espeak import EspeakSynthesizer
from kallglot.speech.engines.translation_models import translators_of
from kallglot.speech.engines.voices import synthesizers_of
from kallglot.speech.types import Voice

pytestmark = [pytest.mark.speech, pytest.mark.server, pytest.mark.xdist_group("models")]
RATE = 8000


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    recognition.build_german(folder)
    translation.build_german_english(folder)
    voices.build_german(folder)
    voices.build(folder, "piper-en-standin", "en-US")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[ServerProcess]:
    settings = {"KALLGLOT_MODELS_DIR": str(models_dir)}
    with ServerProcess(tmp_path_factory.mktemp("models-server") / "data", settings=settings) as process:
        yield process


@asynccontextmanager
async def conversation(server: ServerProcess) -> AsyncIterator[tuple[StreamClient, StreamClient, str]]:
    """The German customer's connection, the English agent's, and the session's id."""
    body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
    async with server.rest() as rest:
        session: dict[str, Any] = (await rest.post("/v1/sessions", json=body)).raise_for_status().json()
    url, token = session["stream"]["url"], session["stream"]["token"]
    async with (
        await StreamClient.open(url, token, "&participant=customer&audio=pcm_s16le_8000") as customer,
        await StreamClient.open(url, token, "&participant=agent&audio=pcm_s16le_8000") as agent,
    ):
        await customer.until("session.ready")
        await agent.until("session.ready")
        yield customer, agent, session["id"]


async def spoken(text: str, language: str) -> list[bytes]:
    """Mu-law frames of a text that espeak-ng speaks, with the silence around it that ends an utterance."""
    voice = EspeakSynthesizer()
    await voice.start()
    pcm = b"".join([piece async for piece in voice.synthesize(text, language, Voice())])
    await voice.close()
    speech = soxr.resample(np.frombuffer(pcm, "<i2"), voice.sample_rate_hz, RATE)
    whole = np.concatenate([np.zeros(RATE // 2, np.int16), speech, np.zeros(RATE * 3 // 2, np.int16)])
    coded = encoder("mulaw", RATE).encode(whole.astype("<i2").tobytes())
    return [coded[at : at + 160] for at in range(0, len(coded) - 159, 160)]


def heard(client: StreamClient, turn: str) -> np.ndarray[Any, Any]:
    pieces = [base64.b64decode(audio["audio"]["payload"]) for audio in client.audio if audio["turn_id"] == turn]
    return np.frombuffer(b"".join(pieces), "<i2") / 32768


def workers(server: ServerProcess, what: str) -> list[psutil.Process]:
    return [child for child in server.process.children(recursive=True) if any(what in word for word in child.cmdline())]


async def test_the_languages_are_served_by_the_models(server: ServerProcess) -> None:
    async with server.rest() as rest:
        told = (await rest.get("/v1/languages")).raise_for_status().text
    for name in ("standin-german", "opus-mt-de-en", "opus-mt-en-de", "piper-de-standin", "piper-en-standin"):
        assert f'"{name}"' in told
    assert "random weights: gibberish" in told


async def test_both_speak_and_each_hears_the_other_translated(server: ServerProcess) -> None:
    german = await spoken("Guten Tag, ich möchte meine Bestellung ändern.", "de")
    english = await spoken("Good morning. Your order will arrive on Monday.", "en-us")
    async with conversation(server) as (customer, agent, number):
        await customer.send_frames(german, paced=True)
        first = await agent.until("transcript.final")
        await agent.until("playback.finished", lambda message: message["turn_id"] == first["turn_id"])
        assert first["speaker"] == "customer"
        assert set(first["text"].lower().strip(".").split()) <= set(recognition.WORDS["de"])
        assert first["translation"]["language"] == "en"
        assert first["translation"]["text"]
        assert agent.of("transcript.partial")

        await agent.send_frames(english)
        second = await customer.until("transcript.final", lambda message: message["speaker"] == "agent")
        await customer.until("playback.finished", lambda message: message["turn_id"] == second["turn_id"])
        assert "order" in second["text"].lower()
        assert second["translation"]["language"] == "de"

        # The stand-in voices sing at one loudness, from the first piece on.
        for client, turn, other in ((agent, first, second), (customer, second, first)):
            level = np.sqrt(np.mean(heard(client, turn["turn_id"]) ** 2))
            assert -27 < 20 * np.log10(level) < -17
            assert len(heard(client, other["turn_id"])) == 0
        await customer.send({"type": "session.end"})
        await agent.until("session.ended")
    async with server.rest() as rest:
        turns = (await rest.get(f"/v1/sessions/{number}/transcript")).json()["turns"]
        timings = (await rest.get(f"/v1/sessions/{number}/timings")).json()["turns"]
    assert [turn["text"] for turn in turns] == [first["text"], second["text"]]
    for turn in timings:
        assert turn["speech_start_ms"] < turn["speech_end_ms"]
        assert turn["committed_ms"] <= turn["translated_ms"] <= turn["final_ms"]
        assert turn["first_audio_ms"] < turn["heard_ms"]


async def test_who_hangs_up_in_mid_sentence_leaves_nothing_to_be_done(server: ServerProcess) -> None:
    async with conversation(server) as (customer, agent, _):
        await agent.send(
            {"type": "text.input", "text": "The order has come and we are on the way to the address. " * 20}
        )
        await customer.until("playback.started")
        await agent.send({"type": "session.end"})
        await customer.until("session.ended")
    async with conversation(server) as (customer, agent, _):
        await agent.send({"type": "text.input", "text": "Yes."})
        final = await customer.until("transcript.final")
        await customer.until("playback.finished", lambda message: message["turn_id"] == final["turn_id"])


@pytest.mark.parametrize("what", ["translation_worker", "voice_worker"])
async def test_killed_processes_are_not_noticed(server: ServerProcess, what: str) -> None:
    async with conversation(server) as (customer, agent, _):
        for text in ("The first one.", "The second one."):
            killed = workers(server, what)
            assert killed
            for process in killed:
                os.kill(process.pid, signal.SIGKILL)
            await agent.send({"type": "text.input", "text": text})
            final = await customer.until("transcript.final", lambda message, text=text: message["text"] == text)
            assert final["translation"]["text"]
            await customer.until("playback.finished", lambda message, turn=final["turn_id"]: message["turn_id"] == turn)
            assert len(heard(customer, final["turn_id"]))


async def test_hundreds_of_utterances_take_no_more_memory(models_dir: Path) -> None:
    models = installed(models_dir)
    engines = [*translators_of(models), *synthesizers_of(models)]
    german = next(engine for engine in translators_of(models) if ("en", "de") in engine.pairs)
    speaker = next(engine for engine in synthesizers_of(models) if "de" in engine.languages)
    assert len(engines) == 4
    await asyncio.gather(german.start(), speaker.start())

    async def utterances(first: int, count: int) -> None:
        for number in range(first, first + count, 10):
            texts = [f"The order number {one} is on the way." for one in range(number, number + 10)]
            for text in await asyncio.gather(*(german.translate(text, "en", "de") for text in texts)):
                assert [pcm async for pcm in speaker.synthesize(text, "de", Voice())]

    def footprint() -> int:
        return sum(psutil.Process(pid).memory_info().rss for pid in (*german.pids, *speaker.pids))

    try:
        await utterances(0, 100)
        before = footprint()
        await utterances(100, 150)
        assert footprint() < before + (8 << 20)
        assert german.processes.restarts == speaker.processes.restarts == 0
    finally:
        await asyncio.gather(german.close(), speaker.close())
