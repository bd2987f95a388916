"""Installing from what was carried here."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.models.making import Told, model, noise, remote, tar, tree, zipped

from kallglot.models.catalogue import CatalogueModel
from kallglot.models.crc32c import crc32c_of
from kallglot.models.errors import ModelsError, WrongContent
from kallglot.models.installed import installed
from kallglot.models.manifest import MANIFEST, Manifest
from kallglot.models.pull import Wishes, pull
from kallglot.models.store import Store

WEIGHTS = noise(20_000)
VOICE = tar([("v/voice.onnx", noise(5000)), ("v/wavs/0.wav", b"wav")])
PAIR = model(
    "pair",
    remote("https://example.com/pair/model.bin", "model.bin", WEIGHTS, checksum=False),
    remote("https://example.com/pair/source.spm", "source.spm", b"spm"),
    kind="translation",
    languages=(),
    pairs=(("de", "en"),),
)
SPOKEN = model(
    "voice",
    remote(
        "https://example.com/v.tar.bz2", "v.tar.bz2", VOICE, archive=True, root="v", keep=("*.onnx",), unpacked=5000
    ),
    roles={"model": "voice.onnx"},
    kind="synthesis",
)


async def offline(store: Store, source: Path, *models: CatalogueModel) -> None:
    await pull(list(models), store, Told(), Wishes(source=source))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("place", ["example.com/pair/", "pair/", "pair@1/"])
async def test_from_a_folder(store: Store, stick: Path, place: str) -> None:
    fill(stick, {place + "model.bin": WEIGHTS, place + "source.spm": b"spm", "v.tar.bz2": VOICE})
    await offline(store, stick, PAIR, SPOKEN)
    first, second = installed(store.folder)
    assert first.files["model"].read_bytes() == WEIGHTS
    assert set(tree(second.folder)) == {"voice.onnx", MANIFEST}
    known = {one.url[-5:]: one.known for one in Manifest.read(first.folder).downloads}
    assert known == {"l.bin": "first-use", "e.spm": "catalogue"}
    assert tree(stick)


async def test_from_the_models_of_another_machine(store: Store, stick: Path, tmp_path: Path) -> None:
    fill(stick, {"pair/model.bin": WEIGHTS, "pair/source.spm": b"spm", "v.tar.bz2": VOICE})
    there = Store(tmp_path / "there")
    await offline(there, stick, PAIR, SPOKEN)
    await offline(store, there.folder, PAIR, SPOKEN)
    assert len(installed(store.folder)) == 2

    shutil.rmtree(store.folder)
    archive = tmp_path / "models.tar.gz"
    archive.write_bytes(tar([(f"there/{name}", content) for name, content in tree(there.folder).items()], "w:gz"))
    await offline(store, archive, PAIR, SPOKEN)
    assert len(installed(store.folder)) == 2
    assert not any(tree(store.folder / ".staging"))

    (there.folder / "pair@1" / "model.bin").write_bytes(noise(20_000, 9))
    shutil.rmtree(store.folder)
    with pytest.raises(ModelsError, match=r"model.bin has other content than it should have"):
        await offline(store, there.folder, PAIR)
    assert installed(store.folder) == []


async def test_from_an_archive(store: Store, tmp_path: Path) -> None:
    archive = tmp_path / "models.zip"
    archive.write_bytes(zipped([("pair/model.bin", WEIGHTS), ("pair/source.spm", b"spm"), ("v.tar.bz2", VOICE)]))
    await offline(store, archive, PAIR, SPOKEN)
    assert len(installed(store.folder)) == 2


async def test_from_the_very_archive_of_a_model(store: Store, stick: Path) -> None:
    fill(stick, {"v.tar.bz2": VOICE})
    await offline(store, stick / "v.tar.bz2", SPOKEN)
    assert len(installed(store.folder)) == 1


async def test_what_is_missing_is_named_with_where_it_was_looked_for(store: Store, stick: Path) -> None:
    fill(stick, {"pair/model.bin": WEIGHTS})
    with pytest.raises(
        ModelsError, match=r"no source.spm for pair.*example.com/pair/source.spm, pair@1/source.spm, pair/"
    ):
        await offline(store, stick, PAIR)
    fill(stick, {"source.spm": b"spm", "model.bin": WEIGHTS})
    (stick / "pair" / "model.bin").unlink()
    with pytest.raises(ModelsError, match=r"no model.bin for pair"):
        await offline(store, stick, PAIR)
    assert installed(store.folder) == []


@pytest.mark.parametrize(("name", "content"), [("source.spm", b"xxx"), ("model.bin", WEIGHTS[1:])])
async def test_wrong_content(store: Store, stick: Path, name: str, content: bytes) -> None:
    fill(stick, {"pair/model.bin": WEIGHTS, "pair/source.spm": b"spm", f"pair/{name}": content})
    with pytest.raises(WrongContent, match="is not the"):
        await offline(store, stick, PAIR)
    assert installed(store.folder) == []


async def test_an_evil_archive_of_everything(store: Store, tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar"
    archive.write_bytes(tar([("pair/model.bin", WEIGHTS), ("../../evil", b"evil")], "w:"))
    with pytest.raises(ModelsError, match="outside"):
        await offline(store, archive, PAIR)
    assert not list(tmp_path.parent.glob("evil"))


async def test_something_else(store: Store, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear all")
    with pytest.raises(ModelsError, match="no archive"):
        await offline(store, tmp_path / "letter.txt", PAIR)
    with pytest.raises(ModelsError, match="neither a folder nor a file"):
        await offline(store, tmp_path / "absent", PAIR)


async def test_damage_that_only_a_crc_finds(store: Store, stick: Path) -> None:
    (stick / "right").write_bytes(WEIGHTS)
    known = replace(PAIR.remotes[0], crc32c=crc32c_of(stick / "right"))
    checked = replace(PAIR, remotes=(known, PAIR.remotes[1]))
    fill(stick / "pair", {"model.bin": WEIGHTS, "source.spm": b"spm"})
    await offline(store, stick, checked)
    fill(stick / "pair", {"model.bin": noise(20_000, 2)})
    other = Store(store.folder.parent / "other")
    with pytest.raises(WrongContent, match=r"model\.bin is not the model\.bin that the catalogue knows"):
        await offline(other, stick, checked)


async def test_an_archive_that_lacks_something_is_named_itself(store: Store, tmp_path: Path) -> None:
    (tmp_path / "models.tgz").write_bytes(tar([("models/pair/source.spm", b"spm")], "w:gz"))
    with pytest.raises(ModelsError, match=r"models\.tgz has no model\.bin for pair"):
        await offline(store, tmp_path / "models.tgz", PAIR)
