from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from kallglot.clock import FakeClock
from kallglot.recording.cache import Cache
from kallglot.recording.model import Recording
from kallglot.recording.render import Order, Renderer
from kallglot.recording.shelf import NotOnShelf, Shelf, ShelfError, open_shelf


class Counting(Renderer):
    def __init__(self) -> None:
        super().__init__()
        self.orders: list[Order] = []

    async def render(self, order: Order, timeout_s: float = 600) -> Any:
        self.orders.append(order)
        return await super().render(order, timeout_s)


class Remote:
    """A shelf whose files are not here."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.fetched: list[str] = []

    def local(self, _key: str) -> None:
        return None

    async def fetch(self, key: str, path: Path) -> None:
        self.fetched.append(key)
        await self._shelf.fetch(key, path)


async def kept(shelf: Shelf, folder: Path, name: str, seconds: float = 1.0) -> Recording:
    made = Recording(name, "sess_1", "org_1", True, "mixed", "ready", 2, FakeClock().now(), seconds, stored=True)
    noise = np.random.default_rng(1).normal(0, 3000, (round(seconds * 8000), 2)).astype(np.int16)
    for format in ("flac", "mp3"):
        path = folder / f"{name}.{format}"
        soundfile.write(str(path), noise, 8000)
        await shelf.put(made.key(format), path)
    return made


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return open_shelf(None, tmp_path / "shelf")


async def test_many_who_ask_at_once_are_served_by_one_rendering(shelf: Shelf, tmp_path: Path) -> None:
    one = await kept(shelf, tmp_path, "rec_1")
    renderer = Counting()
    cache = Cache(tmp_path / "cache", shelf, renderer)
    paths = await asyncio.gather(*(cache.get(one, "wav") for _ in range(10)))
    assert len(set(paths)) == len(renderer.orders) == 1
    changed = paths[0].stat().st_mtime_ns
    assert await cache.get(one, "wav") == paths[0]
    assert paths[0].stat().st_mtime_ns == changed, "its ETag stays"


async def test_a_folders_own_mp3_is_not_copied(shelf: Shelf, tmp_path: Path) -> None:
    one = await kept(shelf, tmp_path, "rec_1")
    cache = Cache(tmp_path / "cache", shelf, Renderer())
    assert await cache.get(one, "mp3") == tmp_path / "shelf" / "rec_1" / "audio.mp3"
    assert not (tmp_path / "cache").exists()


async def test_formats_made_at_the_same_time_do_not_disturb_each_other(shelf: Shelf, tmp_path: Path) -> None:
    one = await kept(shelf, tmp_path, "rec_1")
    remote: Any = Remote(shelf)
    cache = Cache(tmp_path / "cache", remote, Renderer(2))
    wav, ogg, mp3 = await asyncio.gather(*(cache.get(one, format) for format in ("wav", "ogg", "mp3")))
    for path in (wav, ogg, mp3):
        assert soundfile.info(str(path)).duration == pytest.approx(1.0, abs=0.25)
    assert sorted(path.name for path in wav.parent.iterdir()) == ["audio.mp3", "audio.ogg", "audio.wav"]
    fetched = len(remote.fetched)
    await cache.get(one, "mp3")
    assert len(remote.fetched) == fetched


async def test_what_was_used_longest_ago_goes_first(shelf: Shelf, tmp_path: Path) -> None:
    some = [await kept(shelf, tmp_path, f"rec_{n}") for n in range(4)]
    cache = Cache(tmp_path / "cache", shelf, Renderer(), most_bytes=2 * 33_000)
    await cache.get(some[0], "wav")
    await cache.get(some[1], "wav")
    await cache.get(some[0], "wav")
    await cache.get(some[2], "wav")
    assert sorted(path.parent.name for path in (tmp_path / "cache").glob("*/*")) == ["rec_0", "rec_2"]


async def test_a_file_larger_than_the_cache_is_served_all_the_same(shelf: Shelf, tmp_path: Path) -> None:
    one = await kept(shelf, tmp_path, "rec_1")
    path = await Cache(tmp_path / "cache", shelf, Renderer(), most_bytes=10).get(one, "wav")
    assert soundfile.info(str(path)).frames == 8000


async def test_what_is_not_on_the_shelf_leaves_nothing(shelf: Shelf, tmp_path: Path) -> None:
    one = await kept(shelf, tmp_path, "rec_1")
    await shelf.delete(one.key("flac"))
    await shelf.delete(one.key("mp3"))
    cache = Cache(tmp_path / "cache", shelf, Renderer())
    for format in ("mp3", "wav"):
        with pytest.raises(NotOnShelf):
            await cache.get(one, format)
    assert not list((tmp_path / "cache").glob("*/*"))


async def test_a_folder_that_cannot_be_written_is_no_answer(shelf: Shelf, tmp_path: Path) -> None:
    one = await kept(shelf, tmp_path, "rec_1")
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises((OSError, ShelfError)):
        await Cache(tmp_path / "cache", shelf, Renderer()).get(one, "wav")


async def test_what_a_killed_process_left_is_tidied_away(shelf: Shelf, tmp_path: Path) -> None:
    one = await kept(shelf, tmp_path, "rec_1")
    cache = Cache(tmp_path / "cache", shelf, Renderer())
    wav = await cache.get(one, "wav")
    (wav.parent / "master-of-audio.ogg.flac").write_bytes(b"half")
    (wav.parent / ".audio.ogg.4711.part").write_bytes(b"half")
    await cache.tidy()
    assert [path.name for path in wav.parent.iterdir()] == ["audio.wav"]
    assert await cache.kept() == {"rec_1"}
    await cache.forget("rec_1")
    await cache.forget("rec_1")
    assert await cache.kept() == set()
