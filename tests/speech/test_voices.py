"""The real loader of voices over ones that sing: pieces as they are made, speakers, speed, and whatever dies."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import pytest_asyncio
from tests.speech.standins import voices as standins
from tests.waiting import until

from kallglot.models.installed import InstalledModel
from kallglot.speech.engines import voice_worker, voices
from kallglot.speech.engines.voice_worker import Level, symbols_of
from kallglot.speech.engines.voices import SherpaVoice, synthesizers_of
from kallglot.speech.request_worker import Job, Refused
from kallglot.speech.types import EngineError, Voice

pytestmark = [pytest.mark.speech, pytest.mark.xdist_group("voices")]
one_loop = pytest.mark.asyncio(loop_scope="module")
PLAIN = Voice()
SENTENCE = "Guten Tag, wie geht es Ihnen heute?"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InstalledModel:
    return standins.build(tmp_path_factory.mktemp("models"), "piper-de-two", "de-DE", speakers=("anna", "bernd"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def voice(model: InstalledModel) -> AsyncIterator[SherpaVoice]:
    (engine,) = synthesizers_of([model])
    await engine.start()
    yield engine
    await engine.close()
    assert engine.pids == []


async def heard(engine: SherpaVoice, text: str, voice: Voice = PLAIN, language: str = "de") -> bytes:
    return b"".join([pcm async for pcm in engine.synthesize(text, language, voice)])


def pitch(pcm: bytes) -> float:
    """Crossings of zero in a sample."""
    samples = np.frombuffer(pcm, "<i2")
    return float(np.mean(np.diff(np.signbit(samples).astype(int)) != 0))


@one_loop
async def test_a_text_is_spoken(voice: SherpaVoice) -> None:
    assert voice.sample_rate_hz == standins.RATE
    assert voice.languages == {"de", "de-DE"}
    pieces = [pcm async for pcm in voice.synthesize(SENTENCE, "de-AT", PLAIN)]
    assert len(pieces) > 2
    assert all(len(pcm) % 2 == 0 and len(pcm) <= voices.CHUNK_BYTES for pcm in pieces)
    samples = np.frombuffer(b"".join(pieces), "<i2") / 32768
    assert 0.4 < len(samples) / standins.RATE < 3.0
    assert -25 < 20 * np.log10(np.sqrt(np.mean(samples**2))) < -19


@one_loop
async def test_speakers_and_speed(voice: SherpaVoice) -> None:
    anna = await heard(voice, SENTENCE, Voice("anna"))
    bernd = await heard(voice, SENTENCE, Voice("bernd"))
    assert pitch(bernd) > 1.5 * pitch(anna)
    for name, expected in (("1", bernd), ("0", anna), ("2", anna), ("carla", anna), (None, anna), ("-1", anna)):
        assert pitch(await heard(voice, SENTENCE, Voice(name))) == pytest.approx(pitch(expected), rel=0.01)
    for speed, factor in ((2.0, 0.5), (0.5, 2.0), (99.0, 0.5), (0.01, 2.0), (float("nan"), 1.0)):
        faster = await heard(voice, SENTENCE, Voice(speed=speed))
        assert len(faster) == pytest.approx(factor * len(anna), rel=0.01)


@one_loop
async def test_sentences_come_in_order_and_no_more_are_made_than_the_next(voice: SherpaVoice) -> None:
    text = " ".join(f"Dies ist der Satz Nummer {'x' * number}." for number in range(1, 30))
    speaking = voice.synthesize(text, "de", PLAIN)
    assert await anext(speaking)
    await until(lambda: voice.processes.streams <= 1)
    async with contextlib.aclosing(speaking):
        assert await anext(speaking)
    assert voice.processes.streams == 0
    one = await heard(voice, "Dies ist der Satz Nummer eins.")
    two = await heard(voice, "Dies ist der Satz Nummer zwei.")
    both = await heard(voice, "Dies ist der Satz Nummer eins. Dies ist der Satz Nummer zwei.")
    assert len(both) == len(one) + len(two)
    assert pitch(both[: len(one)]) == pytest.approx(pitch(one), rel=0.01)


@one_loop
async def test_many_at_once(voice: SherpaVoice) -> None:
    texts = ["Ja.", "Guten Tag.", SENTENCE, f"{SENTENCE} {SENTENCE}"] * 4
    alone = [len(await heard(voice, text)) for text in texts[:4]]
    together = await asyncio.gather(*(heard(voice, text) for text in texts))
    assert [len(pcm) for pcm in together] == alone * 4


@one_loop
async def test_any_text_is_spoken_or_silent(voice: SherpaVoice) -> None:
    for text in ("", "  \n", "…!?", "—"):
        assert await heard(voice, text) == b""
    for text in ("42", "\ud800 ja \0", "😀 ja", "[[ja]] <b>", "-v fr ja", "ja" * 2000, "1" * 200, "ja\n\nnein"):
        assert await heard(voice, text), text
    with pytest.raises(EngineError, match="expected at most 20000 characters"):
        await heard(voice, "x" * 20_001)
    with pytest.raises(EngineError, match="piper-de-two: has no voice for fr"):
        await heard(voice, "oui", language="fr")


@one_loop
async def test_who_stops_listening_holds_up_nobody(voice: SherpaVoice) -> None:
    (pid,) = voice.pids
    os.kill(pid, signal.SIGSTOP)
    left = [asyncio.create_task(heard(voice, f"{SENTENCE} " * 10)) for _ in range(20)]
    await until(lambda: voice.processes.streams == 20)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    os.kill(pid, signal.SIGCONT)
    assert await heard(voice, SENTENCE)
    assert voice.pids == [pid]
    assert voice.processes.streams == 0


@one_loop
async def test_a_process_that_dies_in_mid_sentence(voice: SherpaVoice) -> None:
    expected = await heard(voice, SENTENCE)
    (pid,), restarts = voice.pids, voice.processes.restarts
    os.kill(pid, signal.SIGSTOP)
    speaking = asyncio.create_task(heard(voice, SENTENCE))
    await until(lambda: voice.processes.streams == 1)
    os.kill(pid, signal.SIGKILL)
    assert len(await speaking) == len(expected)
    assert voice.processes.restarts == restarts + 1


async def test_closing_ends_what_is_spoken(model: InstalledModel) -> None:
    engine = SherpaVoice(model)
    with pytest.raises(EngineError, match="closed"):
        await heard(engine, SENTENCE)
    await engine.start()
    await engine.start()
    speaking = engine.synthesize(f"{SENTENCE} " * 20, "de", PLAIN)
    assert await anext(speaking)
    await engine.close()
    with pytest.raises(EngineError, match="closed"):
        async for _ in speaking:
            pass
    await engine.close()


async def test_kokoro(tmp_path: Path) -> None:
    engine = SherpaVoice(standins.build_kokoro(tmp_path))
    await engine.start()
    try:
        assert engine.sample_rate_hz == 24000
        assert engine.languages == {"en", "en-US", "en-GB", "es"}
        one = await heard(engine, "The nice choice", language="en-US")
        assert pitch(await heard(engine, "The nice choice", language="en-GB")) > 1.5 * pitch(one)
        assert pitch(await heard(engine, "The nice choice", Voice("af_one"), "en")) == pytest.approx(
            pitch(one), rel=0.01
        )
        assert await heard(engine, "Buenos días.", language="es-MX")
        # More phonemes than a model of this family takes at once: it would end its process.
        assert await heard(engine, "1" * 240, language="en")
        assert engine.processes.restarts == 0
    finally:
        await engine.close()


@pytest.mark.parametrize("trouble", ["garbage", "metadata", "tokens"])
async def test_files_that_are_no_voice(tmp_path: Path, model: InstalledModel, trouble: str) -> None:
    broken = standins.build_german(tmp_path)
    if trouble == "garbage":
        broken.files["model"].write_bytes(b"\x08\x07nothing" * 100)
    elif trouble == "metadata":
        nameless = onnx.load(str(broken.files["model"]))
        del nameless.metadata_props[:]
        onnx.save(nameless, str(broken.files["model"]))
    else:
        broken.files["tokens"].write_bytes(b"\xff\xfe\n")
    bad, good = synthesizers_of([broken, model])
    await good.start()
    with pytest.raises(EngineError, match=r"piper-de-standin: .+; kallglot models verify piper-de-standin"):
        await bad.start()
    assert bad.pids == []
    assert await heard(good, SENTENCE)
    await good.close()


def test_missing(model: InstalledModel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SherpaVoice(model).missing() is None
    gone = replace(model, files={**model.files, "tokens": model.folder / "gone.txt"})
    assert SherpaVoice(gone).missing() == "piper-de-two lacks gone.txt: kallglot models pull piper-de-two"
    assert SherpaVoice(replace(model, family="kokoro")).missing() == (
        "piper-de-two has no voices: kallglot models pull piper-de-two"
    )
    assert synthesizers_of([replace(model, family="new"), replace(model, kind="translation")]) == []
    monkeypatch.setattr(voices.shutil, "which", lambda _: None)
    assert "apt-get install espeak-ng" in (SherpaVoice(model).missing() or "")
    lexicon = replace(model, files={**model.files, "lexicon": model.files["tokens"]})
    assert SherpaVoice(lexicon).missing() is None
    monkeypatch.setattr(voices.importlib.util, "find_spec", lambda _: None)
    assert "sherpa-onnx cannot be imported" in (SherpaVoice(model).missing() or "")


class Leaves(Job):
    """Somebody who stops listening after a while."""

    looks = 0

    def __getattribute__(self, name: str) -> Any:
        if name == "cancelled":
            Leaves.looks += 1
            return Leaves.looks > 3
        return super().__getattribute__(name)


def test_the_work_ends_in_mid_sentence(model: InstalledModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_worker, "LONGEST_PART", 10)
    work = voice_worker.Speaking(voices._files(model))
    asked = voices._told(f"{SENTENCE} {SENTENCE}", 0, 1.0, "de")
    (whole,) = work.perform([Job(1, asked)])
    (part,) = work.perform([Leaves(2, asked)])
    assert 0 < len(part) < len(whole) / 2
    assert work.perform([Job(3, asked, cancelled=True)]) == [b""]


def test_levels_come_together_and_nothing_is_clipped() -> None:
    level = Level()
    tone = np.sin(np.arange(22050) * 0.1, dtype=np.float32)
    loud = np.frombuffer(level.pcm(tone), "<i2") / 32768
    assert np.sqrt(np.mean(loud**2)) == pytest.approx(0.177, rel=0.02)
    quiet = Level()
    for _ in range(20):
        pcm = np.frombuffer(quiet.pcm(tone * 0.05), "<i2") / 32768
    assert np.sqrt(np.mean(pcm**2)) == pytest.approx(0.089, rel=0.02)
    assert quiet.pcm(np.zeros(1000, np.float32)) == bytes(2000)
    assert quiet.pcm(np.zeros(0, np.float32)) == b""
    assert np.abs(np.frombuffer(quiet.pcm(tone * 3), "<i2")).max() < 32767


def test_symbols(tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text("_ 0\n  3\nə 4\n")
    assert symbols_of(str(path)) == {"_", " ", "ə"}
    with pytest.raises(Refused, match=r"tokens\.txt cannot be read"):
        symbols_of(str(tmp_path / "gone"))
