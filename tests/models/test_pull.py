"""From a catalogue and a server to installed models, and what is left when that is cut short anywhere."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.models.making import Told, catalogue_of, model, noise, remote, sha, tar, tree
from tests.models.serving import Fault, FileServer
from tests.waiting import until

from kallglot.models.catalogue import CatalogueModel, catalogue
from kallglot.models.errors import ArchiveError, DownloadError, ModelsError, WrongContent
from kallglot.models.installed import installed
from kallglot.models.manifest import MANIFEST, Manifest
from kallglot.models.partial import read_journal
from kallglot.models.pull import Wishes, pull
from kallglot.models.store import Store
from kallglot.models.transfer import Manners
from kallglot.models.verify import verify

ENCODER, TOKENS = noise(300_000), b"tokens"
VOICE = tar(
    [("v/voice.onnx", noise(50_000, 2)), ("v/data/de", b"de"), ("v/test.wav", noise(900)), ("v/tokens.txt", b"t")]
)
QUICK = Manners(smallest_part=100_000, first_wait=0.001, tries=2)


@pytest.fixture
async def server() -> AsyncIterator[FileServer]:
    async with FileServer({"/encoder.onnx": ENCODER, "/tokens.txt": TOKENS, "/v.tar.bz2": VOICE}) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def whisper(server: FileServer, **more: Any) -> CatalogueModel:
    files = [remote(f"{server.url}/{name}", name, server.files["/" + name]) for name in ("encoder.onnx", "tokens.txt")]
    return model("whisper", *files, **more)


def voice(server: FileServer, name: str = "voice", **more: Any) -> CatalogueModel:
    known: dict[str, Any] = {
        "archive": True,
        "root": "v",
        "keep": ("*.onnx", "tokens.txt", "data/*"),
        "unpacked": 50_003,
    }
    archive = remote(server.url + "/v.tar.bz2", "v.tar.bz2", VOICE, **{**known, **more})
    roles = {"model": "voice.onnx", "tokens": "tokens.txt", "data": "data"}
    return model(name, archive, roles=roles, kind="synthesis", family="piper", options={"sample_rate_hz": 22050})


async def got(store: Store, *models: CatalogueModel, told: Told | None = None, **wishes: Any) -> Told:
    told = told or Told()
    await pull(list(models), store, told, Wishes(manners=QUICK, **wishes))
    return told


def nothing_is_left(store: Store) -> bool:
    return not any(tree(store.folder / name) for name in (".downloads", ".staging", ".trash", ".replaced"))


async def test_files_and_archives(server: FileServer, store: Store) -> None:
    told = await got(store, whisper(server), voice(server))
    assert told.finished == ["whisper", "voice"]
    first, second = installed(store.folder)
    assert (first.name, second.name) == ("voice", "whisper")
    assert second.files["encoder"].read_bytes() == ENCODER
    assert second.languages == ("de",)
    assert second.files["encoder"].is_absolute()
    assert set(tree(first.folder)) == {"voice.onnx", "tokens.txt", "data/de", MANIFEST}
    assert first.files["data"].is_dir()
    assert first.options == {"sample_rate_hz": 22050}
    manifest = Manifest.read(first.folder)
    assert manifest.files["voice.onnx"].sha256 == sha(noise(50_000, 2))
    assert manifest.downloads[0].known == "catalogue"
    assert nothing_is_left(store)
    assert all(not one.problems for one in verify(store.folder, catalogue_of()))


async def test_what_is_there_is_not_fetched_again(server: FileServer, store: Store) -> None:
    await got(store, whisper(server))
    server.asked.clear()
    told = await got(store, whisper(server))
    assert not server.asked
    assert [one.name for one in told.plans[0].present] == ["whisper"]
    await got(store, whisper(server), force=True)
    assert server.asked
    assert len(installed(store.folder)) == 1


async def test_a_new_version_takes_the_place_of_the_old(server: FileServer, store: Store) -> None:
    await got(store, whisper(server))
    await got(store, whisper(server, version="2"))
    assert [one.version for one in installed(store.folder)] == ["2"]
    assert [path.name for path in store.found("whisper")] == ["whisper@2"]


async def test_an_archive_of_two_models_is_fetched_once(server: FileServer, store: Store) -> None:
    told = await got(store, voice(server, "one"), voice(server, "two"))
    assert server.count("/v.tar.bz2") == 1
    assert told.finished == ["one", "two"]
    assert nothing_is_left(store)


async def test_one_that_fails_does_not_take_the_finished_ones_with_it(server: FileServer, store: Store) -> None:
    del server.files["/v.tar.bz2"]
    with pytest.raises(DownloadError, match="does not have the file"):
        await got(store, whisper(server), voice(server))
    assert [one.name for one in installed(store.folder)] == ["whisper"]


async def test_wrong_bytes_never_become_a_model(server: FileServer, store: Store) -> None:
    server.always["/encoder.onnx"] = Fault(garbled=True)
    with pytest.raises(WrongContent):
        await got(store, whisper(server))
    assert installed(store.folder) == []
    assert not store.found("whisper")


async def test_an_archive_without_what_was_promised(server: FileServer, store: Store) -> None:
    one = voice(server)
    with pytest.raises(ModelsError, match=r"has no lexicon.txt, which is its lexicon"):
        await got(store, replace(one, roles={**one.roles, "lexicon": "lexicon.txt"}))
    assert installed(store.folder) == []


async def test_an_evil_archive(server: FileServer, store: Store) -> None:
    evil = server.files["/v.tar.bz2"] = tar([("v/voice.onnx", b"good"), ("v/../../../evil", b"evil")])
    archive = remote(server.url + "/v.tar.bz2", "v.tar.bz2", evil, archive=True, root="v", unpacked=10)
    with pytest.raises(ArchiveError):
        await got(store, model("voice", archive, roles={"model": "voice.onnx"}))
    assert not list(store.folder.parent.rglob("evil"))
    assert installed(store.folder) == []


async def test_trust_on_first_use(server: FileServer, store: Store) -> None:
    def unknown() -> CatalogueModel:
        return model("m", remote(server.url + "/tokens.txt", "tokens.txt", TOKENS, size=False, checksum=False))

    await got(store, unknown())
    assert Manifest.read(store.found("m")[0]).downloads[0].known == "first-use"
    assert [one.on_trust for one in verify(store.folder, catalogue_of(unknown()))] == [(server.url + "/tokens.txt",)]
    await got(store, unknown(), force=True)
    server.files["/tokens.txt"] = b"something else"
    with pytest.raises(WrongContent, match="--accept-changed"):
        await got(store, unknown(), force=True)
    assert installed(store.folder)[0].files["tokens"].read_bytes() == TOKENS
    await got(store, unknown(), force=True, accept_changed=True)
    assert installed(store.folder)[0].files["tokens"].read_bytes() == b"something else"


async def test_a_checksum_that_becomes_known_later_is_compared(server: FileServer, store: Store) -> None:
    await got(store, model("m", remote(server.url + "/tokens.txt", "tokens.txt", TOKENS, checksum=False)))
    later = model("m", remote(server.url + "/tokens.txt", "tokens.txt", b"tokenz"))
    (examined,) = verify(store.folder, catalogue_of(later))
    assert "something else when it was downloaded" in examined.problems[0]


async def test_too_little_space(server: FileServer, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.disk_usage(store.folder.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=64 * 1024 * 1024 + 300_000))
    with pytest.raises(
        ModelsError, match=r"not enough space.*67.4 MB are needed.*67.4 MB are free.*KALLGLOT_MODELS_DIR"
    ):
        await got(store, whisper(server))
    assert not server.asked


async def test_a_folder_that_cannot_be_made(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelsError, match="cannot be written"):
        await got(Store(tmp_path / "file" / "models"), whisper(server))


async def test_two_at_once(server: FileServer, store: Store) -> None:
    """The second waits, and finds that there is nothing left to do."""
    server.faults["/tokens.txt"] += [Fault(hold_after=2)]
    first = asyncio.create_task(got(store, whisper(server)))
    await until(server.held.is_set)
    told = Told()
    second = asyncio.create_task(got(Store(store.folder), whisper(server), told=told))
    await until(lambda: told.notes)
    assert "another process is changing" in told.notes[0]
    server.gate.set()
    await asyncio.gather(first, second)
    assert server.count("/tokens.txt") == 1
    assert told.plans[0].fetch == ()


FILES = ("config.json", "model.bin", "shared_vocabulary.json", "source.spm", "target.spm")
NAME = "opus-mt-it-en"


def of_the_real_catalogue() -> dict[str, bytes]:
    """Of a model whose sizes and checksums nobody knows, as a mirror has it."""
    made: dict[str, bytes] = {}
    for number, one in enumerate(catalogue().models[NAME].remotes):
        made[one.url.replace("https://", "/m/")] = noise(4_000_000 if one.path == "model.bin" else 1000, number)
    return made


async def run(store: Store, server: FileServer) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.models.pullprocess", str(store.folder), server.url + "/m", NAME,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def test_killed_in_the_middle_it_goes_on(store: Store) -> None:
    """A process, real parts over real sockets, SIGKILL; then another process."""
    files = of_the_real_catalogue()
    async with FileServer(files) as server:
        weights = next(path for path in files if path.endswith("model.bin"))
        server.faults[weights] += [Fault(), *[Fault(hold_after=600_000)] * 4]
        process = await run(store, server)
        downloads = store.folder / ".downloads"
        url = weights.replace("/m/", "https://")
        await until(lambda: (saved := read_journal(downloads, url)) is not None and saved.done > 1_700_000)
        process.kill()
        await process.wait()
        assert installed(store.folder) == []
        server.gate.set()
        before = len(server.asked)

        process = await run(store, server)
        said, _ = await process.communicate()
        assert process.returncode == 0, said
        (there,) = installed(store.folder)
        assert there.pairs == (("it", "en"),)
        assert there.files["model"].read_bytes() == files[weights]
        later = [one.first for one in server.asked[before:] if one.path == weights]
        assert len(later) == 4
        assert sum(first % 1_000_000 for first in later) > 1_700_000, "none of it twice"
        assert nothing_is_left(store)


async def test_cut_short_anywhere_there_is_all_or_nothing(
    server: FileServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rename of an installation fails in turn, as if the process had been killed there."""

    class Killed(BaseException):
        pass

    for number in range(12):
        await got(store, voice(server))
        renames = 0
        real = Path.rename

        def rename(self: Path, target: Path, number: int = number) -> Path:
            nonlocal renames
            renames += 1
            if renames > number:
                raise Killed
            return real(self, target)  # noqa: B023

        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", rename)
            try:
                await got(store, voice(server), force=True)
            except* Killed:
                pass
        assert not any(one.problems for one in verify(store.folder, catalogue_of()))
        await got(store, whisper(server))
        assert {"voice", "whisper"} == {one.name for one in installed(store.folder)}, "what was replaced is back"
        if renames <= number:
            return
    raise AssertionError("it never got through")
