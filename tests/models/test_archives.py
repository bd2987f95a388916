"""Archives that want out of their folder, and honest ones."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.models.making import noise, sha, tar, tree, zipped

from kallglot.models.archives import Limits, is_archive, unpack
from kallglot.models.errors import ArchiveError

LIMITS = Limits(total=1_000_000, files=100)
HONEST: list[tuple[str, bytes]] = [
    ("m/model.onnx", noise(5000)),
    ("m/espeak-ng-data/lang/de", b"de"),
    ("m/empty", b""),
    ("m/test_wavs/0.wav", noise(512)),
]


def out(
    content: bytes,
    folder: Path,
    *,
    root: str = "m",
    wants: Callable[[str], bool] | None = None,
    limits: Limits = LIMITS,
):
    archive = folder / "a.archive"
    archive.write_bytes(content)
    target = folder / "out"
    target.mkdir()
    return unpack(archive, target, root=root, wants=wants or (lambda _: True), limits=limits), target


def entry(kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:bz2", "w:xz"])
def test_tar(tmp_path: Path, mode: str) -> None:
    written, target = out(tar(HONEST, mode), tmp_path)
    assert tree(target) == {name[2:]: content for name, content in HONEST}
    assert {path: record.sha256 for path, record in written.items()} == {name[2:]: sha(c) for name, c in HONEST}
    assert is_archive(tmp_path / "a.archive")


def test_zip(tmp_path: Path) -> None:
    written, target = out(zipped([("m/", b""), *HONEST]), tmp_path)
    assert tree(target) == {name[2:]: content for name, content in HONEST}
    assert written["model.onnx"].size == 5000


def test_only_what_is_wanted_below_the_root(tmp_path: Path) -> None:
    entries = [*HONEST, ("other/model.onnx", b"other"), ("README", b"read")]
    _, target = out(tar(entries), tmp_path, wants=lambda path: not path.startswith("test_wavs/"))
    assert set(tree(target)) == {"model.onnx", "espeak-ng-data/lang/de", "empty"}


def test_any_root_and_none(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    assert "model.onnx" in tree(out(tar(HONEST), tmp_path / "1", root="*")[1])
    assert "m/model.onnx" in tree(out(tar([("./" + name, c) for name, c in HONEST]), tmp_path / "2", root="")[1])


@pytest.mark.parametrize(
    "name",
    ["../evil", "m/../../evil", "/etc/evil", "m/..", "C:/evil", "m\\..\\..\\evil", "m/ev\x07il", "m/" + "x" * 300],
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_traversal(tmp_path: Path, name: str, kind: str) -> None:
    entries = [("m/good", b"good"), (name, b"evil")]
    with pytest.raises(ArchiveError):
        out(tar(entries) if kind == "tar" else zipped([*entries]), tmp_path)  # type: ignore[list-item]
    assert set(tree(tmp_path)) == {"a.archive", "out/good"}
    assert not (tmp_path.parent / "evil").exists()


def test_traversal_even_where_it_is_not_wanted(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="outside"):
        out(tar([("m/good", b"good"), ("../evil", b"evil")]), tmp_path, wants=lambda path: path == "good")


@pytest.mark.parametrize(
    "info",
    [
        entry(tarfile.SYMTYPE, "/etc/passwd"),
        entry(tarfile.SYMTYPE, "good"),
        entry(tarfile.LNKTYPE, "m/good"),
        entry(tarfile.CHRTYPE),
        entry(tarfile.BLKTYPE),
        entry(tarfile.FIFOTYPE),
    ],
)
def test_links_and_devices(tmp_path: Path, info: tarfile.TarInfo) -> None:
    with pytest.raises(ArchiveError, match="no plain file"):
        out(tar([("m/good", b"good"), ("m/bad", info)]), tmp_path)
    assert not (tmp_path / "out" / "bad").exists()


def test_a_link_of_a_zip(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("m/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(ArchiveError, match="no plain file"):
        out(zipped([(info, b"/etc/passwd")]), tmp_path)


def test_writing_through_a_link_is_impossible(tmp_path: Path) -> None:
    info = entry(tarfile.SYMTYPE, str(tmp_path))
    with pytest.raises(ArchiveError):
        out(tar([("m/dir", info), ("m/dir/evil", b"evil")]), tmp_path, wants=lambda path: path.endswith("evil"))
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "names",
    [("m/a", "m/A"), ("m/a", "m/a"), ("m/ä", "m/a\u0308"), ("m/a", "m/a/b"), ("m/a/b", "m/a"), ("m/x/a", "m/X/b")],
)
def test_names_that_fall_together(tmp_path: Path, names: tuple[str, str]) -> None:
    with pytest.raises(ArchiveError, match="would be one file"):
        out(tar([(name, name.encode()) for name in names]), tmp_path)


@pytest.mark.parametrize("make", [tar, zipped])
def test_bombs_by_what_they_say(tmp_path: Path, make: Callable[[list[tuple[str, bytes]]], bytes]) -> None:
    bomb = make([("m/zeros", bytes(5_000_000))])
    assert len(bomb) < 10_000
    with pytest.raises(ArchiveError, match="more than"):
        out(bomb, tmp_path)


def test_bombs_of_many_files(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="100 files"):
        out(tar([(f"m/{number}", b"") for number in range(200)]), tmp_path)


def test_a_bomb_that_says_it_is_small(tmp_path: Path) -> None:
    """A zip whose entry has more in it than its size says."""
    content = bytearray(zipped([("m/zeros", bytes(3_000_000))]))
    size = (3_000_000).to_bytes(4, "little")
    while (at := content.find(size)) >= 0:
        content[at : at + 4] = (1000).to_bytes(4, "little")
    with pytest.raises(ArchiveError):
        out(bytes(content), tmp_path)
    assert sum(len(one) for one in tree(tmp_path / "out").values()) <= 1_000_000


def test_a_header_that_fills_the_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("m/pax")
    info.type, info.size = tarfile.XHDTYPE, 900_000_000
    block = info.tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(ArchiveError, match=r"header larger|more than"):
        out(block + bytes(10_240), tmp_path, limits=Limits(10_000_000_000))


def test_a_sparse_file_is_not_believed(tmp_path: Path) -> None:
    info = entry(tarfile.GNUTYPE_SPARSE)
    with pytest.raises(ArchiveError):
        out(tar([("m/holes", info)], "w:"), tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"not an archive", noise(3000), b"BZh9" + noise(500), b"PK\x03\x04" + noise(500)]
)
def test_no_archive(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ArchiveError):
        out(content, tmp_path)


@pytest.mark.parametrize(
    "make", [tar, zipped, lambda entries: tar(entries, "w:gz"), lambda entries: tar(entries, "w:xz")]
)
def test_cut_off_and_bitten(tmp_path: Path, make: Callable[[list[tuple[str, bytes]]], bytes]) -> None:
    content = make(HONEST)
    half = len(content) // 2
    for number, wrong in enumerate((content[:half], content[:half] + b"\xff" * 8 + content[half + 8 :])):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(ArchiveError):
            out(wrong, tmp_path / str(number))


def test_encrypted(tmp_path: Path) -> None:
    content = bytearray(zipped([("m/a", b"aaaa")]))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(signature) + offset] |= 1
    with pytest.raises(ArchiveError, match="cannot be read"):
        out(bytes(content), tmp_path)


def test_a_file_that_was_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar(HONEST))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.onnx").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        unpack(tmp_path / "a.tar", tmp_path / "out", root="m", wants=lambda _: True, limits=LIMITS)
    assert (tmp_path / "out" / "model.onnx").read_bytes() == b"mine"


def test_the_stream_is_read_as_it_is(tmp_path: Path) -> None:
    """A file whose end falls on a block, and the one after it: tarfile goes back a byte there."""
    entries = [(f"m/{number}", noise(512 * number, number)) for number in range(20)]
    _, target = out(tar(entries), tmp_path)
    assert tree(target) == {name[2:]: content for name, content in entries}
    assert not is_archive(target / "1")


@pytest.mark.parametrize("headers", [{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, {"GNU.sparse.map": "x"}])
def test_headers_that_only_the_reader_believes_in(tmp_path: Path, headers: dict[str, str]) -> None:
    made_up = io.BytesIO()
    with tarfile.open(fileobj=made_up, mode="w", format=tarfile.PAX_FORMAT) as made:
        info = tarfile.TarInfo("m/a")
        info.size, info.pax_headers = 3, headers
        made.addfile(info, io.BytesIO(b"abc"))
    with pytest.raises(ArchiveError, match="is damaged"):
        out(made_up.getvalue(), tmp_path)


def test_a_zip_whose_member_lies_before_its_beginning(tmp_path: Path) -> None:
    content = bytearray(zipped([("m/a", b"some words")]))
    end = content.index(b"PK\x05\x06") + 16
    directory = int.from_bytes(content[end : end + 4], "little")
    content[end : end + 4] = (directory + 5).to_bytes(4, "little")
    with pytest.raises(ArchiveError, match="is damaged"):
        out(bytes(content), tmp_path)
