"""Two people in one call, each on a connection of their own: what each of them hears, by their ears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import soxr
from benchmarks.speech import prompts
from benchmarks.words import normalise
from tests.acceptance.client import LOUD, SILENT, StreamClient
from tests.serverprocess import ServerProcess

from kallglot.audio.levels import to_float
from kallglot.cli.phone import Phone, Samples, dial
from kallglot.speech.engines.espeak import EspeakSynthesizer
from kallglot.speech.engines.moonshine_model import MoonshineModel, model_folder
from kallglot.speech.types import Voice

RATE = 8000


@pytest.fixture(scope="module")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("real") / "data") as process:
        yield process


@pytest.fixture(scope="module")
def ear() -> MoonshineModel:
    folder = model_folder()
    assert folder is not None
    return MoonshineModel(folder)


@pytest.fixture
async def voice() -> AsyncIterator[EspeakSynthesizer]:
    synthesizer = EspeakSynthesizer()
    await synthesizer.start()
    yield synthesizer
    await synthesizer.close()


@asynccontextmanager
async def both(session: dict[str, Any]) -> AsyncIterator[tuple[StreamClient, StreamClient]]:
    """The customer's connection and the agent's, both ready."""
    url, token = session["stream"]["url"], session["stream"]["token"]
    async with (
        await StreamClient.open(url, token, "&participant=customer") as customer,
        await StreamClient.open(url, token, "&participant=agent") as agent,
    ):
        await customer.until("session.ready")
        await agent.until("session.ready")
        yield customer, agent


async def create(server: ServerProcess, **fields: Any) -> dict[str, Any]:
    body = {"mode": "bidirectional_translation", "source_language": "en", "target_language": "es"} | fields
    async with server.rest() as rest:
        return (await rest.post("/v1/sessions", json=body)).raise_for_status().json()


async def connect(session: dict[str, Any], participant: str) -> Phone:
    return await dial(session["stream"]["url"], session["stream"]["token"], query=f"&participant={participant}")


def recognised(ear: MoonshineModel, samples: Samples) -> str:
    return normalise(ear.recognise(to_float(samples.tobytes()), RATE)[0])


def errors(reference: str, heard: str) -> float:
    return jiwer.wer(normalise(reference), heard)


async def spoken(voice: EspeakSynthesizer, text: str, language: str) -> np.ndarray:
    pcm = b"".join([piece async for piece in voice.synthesize(text, language, Voice())])
    return soxr.resample(np.frombuffer(pcm, "<i2").astype(np.float32), voice.sample_rate_hz, RATE)


def alikeness(heard: Samples, expected: np.ndarray) -> float:
    """The normalised correlation of what was heard with what it should be, where they fit best."""
    a, b = heard.astype(np.float64), expected.astype(np.float64)
    size = len(a) + len(b)
    product = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    return float(np.abs(product).max() / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.mark.speech
@pytest.mark.xdist_group("moonshine")
@pytest.mark.parametrize("mode", ["bidirectional_translation", "assistive_translation"])
async def test_each_hears_what_the_mode_says(
    real_server: ServerProcess, ear: MoonshineModel, voice: EspeakSynthesizer, testdata: Path, mode: str
) -> None:
    session = await create(real_server, mode=mode)
    clip = next(clip for clip in prompts(testdata) if 6 <= len(clip.text.split()) <= 9)
    customer, agent = await connect(session, "customer"), await connect(session, "agent")
    silence = np.zeros(RATE * 2, np.int16)
    await asyncio.gather(
        customer.say(np.concatenate([silence[: RATE // 2], clip.samples, silence]), "customer"),
        agent.say(silence[:RATE], "agent"),
    )
    await agent.type("Buenos días. Su pedido llega el lunes por la mañana.", "agent")
    await asyncio.gather(customer.listen("customer"), agent.listen("agent"))
    await customer.hang_up()

    finals = customer.record.finals()
    assert [final["speaker"] for final in finals] == ["customer", "agent"]
    said = " ".join(final["text"] for final in finals if final["speaker"] == "customer")
    to_agent = " ".join(final["translation"]["text"] for final in finals if final["speaker"] == "customer")
    to_customer = next(final["translation"]["text"] for final in finals if final["speaker"] == "agent")
    assert errors(clip.text, normalise(said)) <= 0.25

    assert customer.record.heard.keys() == {"customer"}
    heard = customer.record.heard["customer"].together()
    assert errors(to_customer, recognised(ear, heard)) <= 0.5, "the synthetic voice is hard for the small model"
    assert alikeness(heard, await spoken(voice, to_customer, "en")) > 0.9

    assert agent.record.heard.keys() == {"agent"}
    heard = agent.record.heard["agent"].together()
    if mode == "assistive_translation":
        assert errors(clip.text, recognised(ear, heard)) <= 0.25
    else:
        assert errors(clip.text, recognised(ear, heard)) > 0.8
        assert alikeness(heard, await spoken(voice, to_agent, "es")) > 0.9


async def test_with_both_speaking_each_hears_only_the_other(scripted_server: ServerProcess) -> None:
    session = await create(scripted_server, source_language="de", target_language="en")
    async with both(session) as (customer, agent):
        await asyncio.gather(customer.say(speaker=None), agent.say(speaker=None))
        for client, own in ((customer, "customer"), (agent, "agent")):
            await client.until("playback.finished", lambda message, own=own: message["listener"] == own)
        for client, own, other in ((customer, "customer", "agent"), (agent, "agent", "customer")):
            assert {(audio["listener"], audio["speaker"]) for audio in client.audio} == {(own, other)}
            finals = {final["speaker"]: final for final in client.of("transcript.final")}
            assert {audio["turn_id"] for audio in client.audio} == {finals[other]["turn_id"]}


async def test_a_participant_goes_on_in_another_language(scripted_server: ServerProcess) -> None:
    session = await create(scripted_server, source_language="de", target_language="en")
    async with both(session) as (customer, agent):
        await agent.send({"type": "participant.update", "language": "es"})
        updated = await customer.until("participant.updated")
        assert (updated["participant"]["role"], updated["participant"]["language"]) == ("agent", "es")
        await customer.say(speaker=None)
        final = await agent.until("transcript.final")
        assert final["translation"] == {"language": "es", "text": "[es] eins"}
        await customer.send({"type": "participant.update", "language": "tlh"})
        await customer.until("participant.updated")
    async with scripted_server.rest() as rest:
        found = (await rest.get(f"/v1/sessions/{session['id']}")).json()
        assert [one["language"] for one in found["participants"]] == ["tlh", "es"]


async def test_the_original_is_heard_beneath_the_translation(scripted_server: ServerProcess) -> None:
    session = await create(
        scripted_server, source_language="de", target_language="en", translation={"original_audio": "duck"}
    )
    async with both(session) as (customer, agent):
        await customer.say(speaker=None)
        await agent.until("playback.finished")
        own_voice = [audio for audio in agent.audio if audio["turn_id"] is None]
        assert own_voice
        assert own_voice[0]["speaker"] == "customer"
        assert [audio for audio in agent.audio if audio["turn_id"] is not None]
        assert not customer.audio


async def test_both_sides_drop_and_come_back(scripted_server: ServerProcess) -> None:
    """Either side, both, and the same one twice; the transcript goes on, and so does what each hears."""
    session = await create(scripted_server, source_language="de", target_language="en")
    url, token = session["stream"]["url"], session["stream"]["token"]

    async def back(client: StreamClient | None, who: str) -> StreamClient:
        if client is not None:
            client.socket.transport.abort()
        opened = await StreamClient.open(url, token, f"&participant={who}")
        await opened.until("session.ready")
        return opened

    customer, agent = await back(None, "customer"), await back(None, "agent")
    for side in ("customer", "agent", "both"):
        customer = customer if side == "agent" else await back(customer, "customer")
        agent = agent if side == "customer" else await back(agent, "agent")
        await customer.say(speaker=None)
        final = await agent.until("transcript.final")
        await agent.until("playback.finished", lambda message, turn=final["turn_id"]: message["turn_id"] == turn)
        assert final["turn_id"] in {audio["turn_id"] for audio in agent.audio}
    async with scripted_server.rest() as rest:
        turns = (await rest.get(f"/v1/sessions/{session['id']}/transcript")).json()["turns"]
    assert [turn["sequence"] for turn in turns] == [1, 2, 3]
    await customer.socket.close()
    await agent.socket.close()


async def test_the_newer_connection_of_a_participant_wins(scripted_server: ServerProcess) -> None:
    session = await create(scripted_server, source_language="de", target_language="en")
    url, token = session["stream"]["url"], session["stream"]["token"]
    async with (
        await StreamClient.open(url, token, "&participant=customer") as stale,
        await StreamClient.open(url, token, "&participant=agent") as agent,
        await StreamClient.open(url, token, "&participant=customer") as fresh,
    ):
        for client in (stale, agent, fresh):
            await client.until("session.ready")
        await asyncio.gather(
            *(client.send_frames([LOUD] * 30 + [SILENT] * 25, paced=True) for client in (stale, fresh))
        )
        final = await agent.until("transcript.final")
        assert final["text"] == "eins"
        await agent.until("playback.finished")
        assert len(agent.of("playback.started")) == 1
        await agent.send({"type": "text.input", "text": "hello there"})
        for client in (stale, fresh):
            await client.until("playback.finished", lambda message: message["listener"] == "customer")
        assert len(agent.of("transcript.final")) == 1 or agent.of("transcript.final")[-1]["speaker"] == "agent"


async def test_when_each_turn_was_heard(scripted_server: ServerProcess) -> None:
    session = await create(scripted_server, source_language="de", target_language="en")
    async with both(session) as (customer, agent):
        await customer.say(speaker=None)
        await agent.until("playback.finished")
        await customer.send({"type": "session.end"})
        await agent.until("session.ended")
    async with scripted_server.rest() as rest:
        timings = (await rest.get(f"/v1/sessions/{session['id']}/timings")).json()
        metrics = (await rest.get("/metrics")).text
    (turn,) = timings["turns"]
    assert turn["speech_start_ms"] < turn["speech_end_ms"]
    assert turn["committed_ms"] <= turn["translated_ms"] <= turn["final_ms"]
    assert turn["first_audio_ms"] < turn["heard_ms"]
    assert [one["listener"] for one in turn["listeners"]] == ["agent"]
    assert timings["lags"].keys() == {"first_partial", "commit", "translation", "playout", "first_audio", "heard"}
    assert 'kallglot_turn_first_audio_seconds_bucket{le="0.05"}' in metrics
