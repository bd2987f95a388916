"""What is found installed, and what is left aside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.models.making import sha

from kallglot.models.catalogue import catalogue
from kallglot.models.installed import installed
from kallglot.models.manifest import MANIFEST, Download, FileRecord, Manifest, ManifestError, inside
from kallglot.models.verify import verify


def put(models: Path, name: str = "m", version: str = "1", **more: object) -> Path:
    folder = models / f"{name}@{version}"
    (folder / "data" / "lang").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"weights")
    (folder / "data" / "lang" / "de").write_bytes(b"de")
    said = {
        "name": name,
        "version": version,
        "kind": "synthesis",
        "family": "piper",
        "licence": "MIT",
        "installed_at": "2026-11-21T12:00:00+00:00",
        "roles": {"model": "model.onnx", "data": "data"},
        "files": {
            "model.onnx": FileRecord(7, sha(b"weights")),
            "data/lang/de": FileRecord(2, sha(b"de")),
        },
        "languages": ("de-DE",),
        "options": {"speakers": {"a": 0}},
        "downloads": (Download("https://example.com/m", 9, sha(b"archive"), "first-use"),),
        **more,
    }
    (folder / MANIFEST).write_bytes(Manifest(**said).to_json())  # type: ignore[arg-type]
    return folder


def edited(folder: Path, **changes: object) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_manifest_survives(tmp_path: Path) -> None:
    folder = put(tmp_path, quality="good", rank=3, pairs=(("de", "en"),))
    told = Manifest.read(folder)
    assert Manifest.of(json.loads(told.to_json())) == told
    assert told.pairs == (("de", "en"),)
    assert told.downloads[0].known == "first-use"
    assert told.size == 9


def test_an_installed_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    (one,) = installed(Path("models"))
    assert one.name == "m"
    assert one.kind == "synthesis"
    assert one.files == {"model": tmp_path / "models/m@1/model.onnx", "data": tmp_path / "models/m@1/data"}
    assert one.languages == ("de-DE",)
    assert one.options == {"speakers": {"a": 0}}


def test_no_folder_no_models(tmp_path: Path) -> None:
    assert installed(tmp_path / "absent") == []
    (tmp_path / "file").write_text("")
    assert installed(tmp_path / "file") == []


def test_preferred_ones_first_and_the_newest_of_each(tmp_path: Path) -> None:
    put(tmp_path, "b", rank=5)
    put(tmp_path, "a", rank=10)
    put(tmp_path, "c", rank=10)
    put(tmp_path, "a", "0", rank=10, installed_at="2026-11-22T12:00:00+00:00")
    assert [(one.name, one.version) for one in installed(tmp_path)] == [("b", "1"), ("a", "0"), ("c", "1")]


def test_what_is_being_made_is_not_there_yet(tmp_path: Path) -> None:
    put(tmp_path, ".staging")
    put(tmp_path / ".staging")
    (tmp_path / "notes").mkdir()
    assert installed(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": 2}, "another version"),
        ({"kind": "guess"}, "kind"),
        ({"name": 7}, "expected text"),
        ({"roles": {"model": "../../../etc/passwd"}}, "no path inside"),
        ({"roles": {"model": "/etc/passwd"}}, "no path inside"),
        ({"roles": {"model": "absent.onnx"}}, "absent.onnx"),
        ({"roles": []}, "not as expected"),
        ({"files": {"model.onnx": {"size": -1, "sha256": "x"}}}, "expected a number"),
        ({"files": {"model.onnx": {"size": True, "sha256": "x"}}}, "expected a number"),
        ({"files": {"model.onnx": {"size": 8, "sha256": "x"}}}, "7 bytes instead of 8"),
        ({"files": {"gone": {"size": 8, "sha256": "x"}}}, "gone is missing"),
        ({"pairs": [["de"]]}, "not as expected"),
        ({"languages": None}, "not as expected"),
        ({"downloads": [{"url": "u", "size": 1, "sha256": "x", "known": "guess"}]}, "neither"),
    ],
)
def test_a_manifest_that_is_wrong(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, object], why: str
) -> None:
    folder = put(tmp_path)
    edited(folder, **change)
    assert installed(tmp_path) == []
    assert why in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 50_000, b" " * 5_000_000])
def test_no_manifest_at_all(tmp_path: Path, content: bytes) -> None:
    folder = put(tmp_path)
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(ManifestError):
        Manifest.read(folder)
    assert installed(tmp_path) == []
    assert next(verify(tmp_path, catalogue())).problems


@pytest.mark.parametrize("path", ["..", "a/../b", "/a", "", "a\\b", "a\0b", "C:/a", 7, None])
def test_paths_that_lead_out(path: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        inside(path)
    assert inside("./a//b") == "a/b"


def test_verify_reads_every_byte(tmp_path: Path) -> None:
    folder = put(tmp_path)
    put(tmp_path, "n")
    read: list[str] = []
    found = list(verify(tmp_path, catalogue(), told=lambda path: read.append(path.name)))
    assert [one.problems for one in found] == [(), ()]
    assert sorted(read) == ["de", "de", "model.onnx", "model.onnx"]
    assert found[0].on_trust == ("https://example.com/m",)
    (folder / "model.onnx").write_bytes(b"weighty")
    (folder / "data" / "lang" / "de").unlink()
    (examined,) = verify(tmp_path, catalogue(), {"m"})
    assert examined.problems[0].startswith("model.onnx has other content")
    assert examined.problems[1] == "data/lang/de is missing"


def test_a_folder_of_another_name(tmp_path: Path) -> None:
    put(tmp_path).rename(tmp_path / "n@1")
    (examined,) = verify(tmp_path, catalogue())
    assert "is of m, in the folder of n" in examined.problems[0]


def test_reading_costs_no_library() -> None:
    """Neither a client nor an engine is loaded for looking at what is there."""
    code = (
        "import sys, kallglot.models.installed, kallglot.models.catalogue, kallglot.models.pull; "
        "print([name for name in ('httpx', 'aiohttp', 'rich', 'sherpa_onnx', 'ctranslate2', 'numpy', 'kallglot.app', "
        "'kallglot.speech') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
