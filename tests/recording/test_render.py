from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from kallglot.child import Child
from kallglot.recording.mixdown import Track
from kallglot.recording.render import Format, Order, Output, Renderer, RenderFailed

FORMATS: tuple[Format, ...] = ("wav", "flac", "ogg", "mp3")


def speech(path: Path, rate: int, seconds: float, hz: float = 300) -> Track:
    at = np.arange(round(rate * seconds))
    tone = 9000 * np.sin(2 * np.pi * hz * at / rate) * (np.sin(2 * np.pi * at / rate) > 0)
    path.write_bytes((tone + np.random.default_rng(0).normal(0, 300, len(at))).astype("<i2").tobytes())
    return Track(path, rate, "left" if hz == 300 else "right")


def long_order(folder: Path, name: str = "long") -> Order:
    """Takes some ten seconds."""
    folder.mkdir(exist_ok=True)
    tracks = (speech(folder.parent / f"{name}.l", 16000, 400), speech(folder.parent / f"{name}.r", 16000, 400, 500))
    outputs = (Output(folder / f"{name}.mp3", "mp3"), Output(folder / f"{name}.flac", "flac"))
    return Order(outputs, tracks=tracks)


async def child_writing(folder: Path) -> psutil.Process:
    """The child, once it has begun to write into ``folder``."""
    async with asyncio.timeout(20):
        while True:
            for child in psutil.Process().children():
                if any(one.stat().st_size for one in folder.glob(f".*.{child.pid}.part")):
                    return child
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """What is started within it finds the disk full there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("channels", ["dual", "mono"])
async def test_every_format_opens_again(tmp_path: Path, rate: int, channels: str) -> None:
    tracks = (speech(tmp_path / "l", 8000, 7.3), speech(tmp_path / "r", 16000, 6, 500))
    outputs = tuple(Output(tmp_path / f"audio.{name}", name) for name in FORMATS)
    rendered = await Renderer().render(Order(outputs, None, tracks, channels, rate))  # type: ignore[arg-type]
    count = 2 if channels == "dual" else 1
    assert (rendered.seconds, rendered.sample_rate_hz, rendered.channels) == (7.3, rate, count)
    kinds = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}
    for output in outputs:
        assert rendered.sizes[str(output.path)] == output.path.stat().st_size
        info = soundfile.info(str(output.path))
        assert (info.samplerate, info.channels, info.subtype) == (rate, count, kinds[output.format])
        assert info.duration == pytest.approx(7.3, abs=0.25 if output.format == "mp3" else 0)
        audio, _ = soundfile.read(str(output.path), dtype="int16", always_2d=True)
        assert 1500 < np.sqrt(np.mean(audio[: 6 * rate, 0].astype(float) ** 2)) < 9000
    assert not list(tmp_path.glob(".*"))


async def test_stereo_mp3_is_what_was_said(tmp_path: Path) -> None:
    rate, at = 16000, np.arange(16000 * 4)
    tracks: list[Track] = []
    for side, hz in (("left", 300), ("right", 700)):
        (tmp_path / side).write_bytes(np.rint(9000 * np.sin(2 * np.pi * hz * at / rate)).astype("<i2").tobytes())
        tracks.append(Track(tmp_path / side, rate, side))  # type: ignore[arg-type]
    await Renderer().render(Order((Output(tmp_path / "out.mp3", "mp3"),), tracks=tuple(tracks)))
    audio, _ = soundfile.read(str(tmp_path / "out.mp3"))
    middle = audio[rate : 3 * rate]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))[:, None], axis=0)) * 4 / len(middle) * 32768
    for channel, hz in enumerate((300, 700)):
        assert spectrum[2 * hz, channel] == pytest.approx(9000, rel=0.05)
        spectrum[2 * hz - 10 : 2 * hz + 11, channel] = 0
    assert spectrum.max() < 200


@pytest.mark.parametrize("source", ["flac", "ogg", "mp3"])
async def test_from_one_file_to_others(tmp_path: Path, source: Format) -> None:
    tracks = (speech(tmp_path / "l", 16000, 5), speech(tmp_path / "r", 16000, 5, 500))
    await Renderer().render(Order((Output(tmp_path / f"first.{source}", source),), tracks=tracks))
    outputs = tuple(Output(tmp_path / f"second.{name}", name) for name in FORMATS)
    rendered = await Renderer().render(Order(outputs, source=tmp_path / f"first.{source}"))
    assert (rendered.sample_rate_hz, rendered.channels) == (16000, 2)
    assert rendered.seconds == pytest.approx(5, abs=0.25)
    first, _ = soundfile.read(str(tmp_path / f"first.{source}"))
    for output in outputs[:2]:
        second, _ = soundfile.read(str(output.path))
        assert second.shape == first.shape
        assert np.abs(second - first).max() < 2 / 32768


async def test_loud_sources_clip(tmp_path: Path) -> None:
    loud = np.tile(np.array([1.9, -1.9], np.float32), 8000)
    soundfile.write(str(tmp_path / "loud.wav"), loud, 8000, "FLOAT")
    await Renderer().render(Order((Output(tmp_path / "out.wav", "wav"),), source=tmp_path / "loud.wav"))
    audio, _ = soundfile.read(str(tmp_path / "out.wav"), dtype="int16")
    assert audio[:2].tolist() == [32767, -32768]


async def test_silence_of_a_length(tmp_path: Path) -> None:
    rendered = await Renderer().render(Order((Output(tmp_path / "a.flac", "flac"),), seconds=61.5))
    assert rendered.seconds == soundfile.info(str(tmp_path / "a.flac")).duration == 61.5


@pytest.mark.parametrize("name", FORMATS)
async def test_nothing_at_all(tmp_path: Path, name: Format) -> None:
    rendered = await Renderer().render(Order((Output(tmp_path / "empty", name),)))
    assert rendered.seconds == 0
    assert (tmp_path / "empty").is_file()


@pytest.mark.slow
async def test_an_hour_with_few_words(tmp_path: Path) -> None:
    at = [1.0, 1800.5, 3599.0]
    tracks: list[Track] = []
    for side in ("left", "right"):
        with (tmp_path / side).open("wb") as file:
            for second in at:
                file.seek(round(second * 8000) * 2)
                file.write(np.array([20000], "<i2").tobytes())
            file.truncate(3600 * 8000 * 2)
        tracks.append(Track(tmp_path / side, 8000, side))
    outputs = (Output(tmp_path / "hour.flac", "flac"), Output(tmp_path / "hour.ogg", "ogg"))
    rendered = await Renderer().render(Order(outputs, tracks=tuple(tracks)))
    assert rendered.seconds == 3600
    for output in outputs:
        assert soundfile.info(str(output.path)).frames == 3600 * 16000
        heard: list[float] = []
        for number, block in enumerate(soundfile.blocks(str(output.path), blocksize=160_000, dtype="int16")):
            levels = np.abs(block.astype(int)).max(axis=1)
            if levels.max() > 1000:
                heard.append(10 * number + float(np.argmax(levels)) / 16000)
        assert heard == pytest.approx(at, abs=1.1 / 16000)


async def test_a_source_that_cannot_be_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "noise.flac").write_bytes(os.urandom(10_000))
    for source in ("noise.flac", "missing.flac"):
        with pytest.raises(RenderFailed) as raised, caplog.at_level(logging.ERROR):
            await Renderer().render(Order((Output(tmp_path / "out.mp3", "mp3"),), source=tmp_path / source))
        assert source not in str(raised.value)
        assert source in caplog.text
    assert [one.name for one in tmp_path.iterdir()] == ["noise.flac"]


async def test_a_killed_child_leaves_nothing(tmp_path: Path) -> None:
    order = long_order(tmp_path / "out")
    rendering = asyncio.create_task(Renderer().render(order))
    (await child_writing(tmp_path / "out")).kill()
    with pytest.raises(RenderFailed):
        await rendering
    assert not list((tmp_path / "out").iterdir())


async def test_cancelling_kills_the_child(tmp_path: Path) -> None:
    renderer = Renderer()
    rendering = asyncio.create_task(renderer.render(long_order(tmp_path / "out")))
    child = await child_writing(tmp_path / "out")
    assert child.nice() == min(19, psutil.Process().nice() + 10)
    rendering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rendering
    assert not psutil.pid_exists(child.pid)
    assert not list((tmp_path / "out").iterdir())
    await renderer.render(Order((Output(tmp_path / "out" / "next.wav", "wav"),), seconds=1))


async def test_taking_too_long(tmp_path: Path) -> None:
    with pytest.raises(RenderFailed, match=r"more than 0\.8 s"):
        await Renderer().render(long_order(tmp_path / "out"), timeout_s=0.8)
    assert not psutil.Process().children()
    assert not list((tmp_path / "out").iterdir())


async def test_one_at_a_time(tmp_path: Path) -> None:
    renderer = Renderer(at_once=2)
    track = speech(tmp_path / "l", 16000, 60)
    orders = [Order((Output(tmp_path / f"{number}.ogg", "ogg"),), tracks=(track,)) for number in range(5)]
    renderings = asyncio.gather(*map(renderer.render, orders))
    most = 0
    while not renderings.done():
        most = max(most, len(psutil.Process().children()))
        await asyncio.sleep(0.005)
    assert most == 2
    assert [rendered.seconds for rendered in await renderings] == [60] * 5


async def test_who_waited_is_given_the_child_of_whoever_was_before(tmp_path: Path) -> None:
    renderer = Renderer()
    track = speech(tmp_path / "l", 16000, 60)
    orders = [Order((Output(tmp_path / f"{number}.ogg", "ogg"),), tracks=(track,)) for number in range(4)]
    renderings = asyncio.gather(*map(renderer.render, orders))
    pids: set[int] = set()
    while not renderings.done():
        pids |= {child.pid for child in psutil.Process().children()}
        await asyncio.sleep(0.005)
    assert len(pids) == 1
    assert [rendered.seconds for rendered in await renderings] == [60] * 4
    # With nobody left it has gone.
    assert not psutil.Process().children()


async def test_who_waits_behind_a_child_that_dies_is_given_another(tmp_path: Path) -> None:
    renderer = Renderer()
    first = asyncio.create_task(renderer.render(long_order(tmp_path / "out")))
    killed = await child_writing(tmp_path / "out")
    order = Order((Output(tmp_path / "out" / "b.wav", "wav"),), seconds=1)
    second = asyncio.create_task(renderer.render(order))
    await asyncio.sleep(0)
    killed.kill()
    with pytest.raises(RenderFailed):
        await first
    assert (await second).seconds == 1


async def test_who_is_cancelled_while_the_child_leaves_gives_the_turn_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renderer, leaving, end = Renderer(), asyncio.Event(), Child.end

    async def slow(self: Child) -> None:
        leaving.set()
        try:
            await asyncio.Event().wait()
        finally:
            await end(self)

    monkeypatch.setattr(Child, "end", slow)
    first = asyncio.create_task(renderer.render(Order((Output(tmp_path / "a.wav", "wav"),), seconds=1)))
    await leaving.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    monkeypatch.setattr(Child, "end", end)
    async with asyncio.timeout(20):
        assert (await renderer.render(Order((Output(tmp_path / "b.wav", "wav"),), seconds=1))).seconds == 1


async def test_a_child_that_was_waited_for_goes_when_nobody_does_any_more(tmp_path: Path) -> None:
    renderer = Renderer()
    first = asyncio.create_task(renderer.render(long_order(tmp_path / "out")))
    await child_writing(tmp_path / "out")
    order = Order((Output(tmp_path / "out" / "b.wav", "wav"),), seconds=1)
    second = asyncio.create_task(renderer.render(order))
    first.add_done_callback(lambda _: second.cancel())
    await first
    with pytest.raises(asyncio.CancelledError):
        await second
    assert not psutil.Process().children()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("missing", [1, 200, 10_000])
async def test_a_full_disk(tmp_path: Path, name: Format, missing: int, caplog: pytest.LogCaptureFixture) -> None:
    """Even one that lacks only the last byte."""
    (tmp_path / "out").mkdir()
    order = Order((Output(tmp_path / "out" / "audio", name),), tracks=(speech(tmp_path / "l", 16000, 10),))
    size = (await Renderer().render(order)).sizes[str(tmp_path / "out" / "audio")]
    (tmp_path / "out" / "audio").unlink()
    with files_at_most(size - missing), pytest.raises(RenderFailed):
        await Renderer().render(order)
    assert "File too large" in caplog.text
    assert not list((tmp_path / "out").iterdir())
    with files_at_most(size):
        await Renderer().render(order)


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RenderFailed):
        await Renderer().render(Order((Output(tmp_path / "nowhere" / "a.wav", "wav"),), seconds=1))


async def test_a_failure_keeps_the_earlier_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("earlier")
    with pytest.raises(RenderFailed):
        await Renderer().render(Order((Output(tmp_path / "a.wav", "wav"),), source=tmp_path / "missing"))
    assert (tmp_path / "a.wav").read_text() == "earlier"


def test_orders_that_make_no_sense(tmp_path: Path) -> None:
    output = Output(tmp_path / "a", "wav")
    with pytest.raises(ValueError, match="both"):
        Order((output,), source=tmp_path / "b", tracks=(Track(tmp_path / "c", 8000, "left"),))
    with pytest.raises(ValueError, match="different"):
        Order((output, output), seconds=1)


def test_the_child_goes_with_its_parent(tmp_path: Path) -> None:
    order = long_order(tmp_path / "out")
    lines = (
        "import asyncio, sys; from pathlib import Path",
        "from kallglot.recording.mixdown import Track; from kallglot.recording.render import *",
        "folder = Path(sys.argv[1])",
        "tracks = (Track(folder / 'long.l', 16000, 'left'), Track(folder / 'long.r', 16000, 'right'))",
        "asyncio.run(Renderer().render(Order((Output(folder / 'out' / 'a.mp3', 'mp3'),), tracks=tracks)))",
    )
    assert order.tracks[0].path == tmp_path / "long.l"
    with subprocess.Popen([sys.executable, "-c", "\n".join(lines), str(tmp_path)]) as parent:
        begun = time.monotonic()
        children: list[psutil.Process] = []
        while not any(one.stat().st_size for one in (tmp_path / "out").glob(".*.part")):
            assert time.monotonic() - begun < 20
            time.sleep(0.02)
            children = psutil.Process(parent.pid).children()
        parent.send_signal(signal.SIGKILL)
    assert len(children) == 1
    assert not psutil.wait_procs(children, timeout=5)[1]
    assert not list((tmp_path / "out").iterdir())
