"""``kallglot eval`` from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from kallglot.cli.main import app

SCRIPT = {"languages": ["en", "es"], "recognition": {"en": ["hello there"]}, "translation": {"en>es": {"one": "uno"}}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "engines.json").write_text(json.dumps(SCRIPT))
    monkeypatch.setenv("KALLGLOT_SCRIPTED_ENGINES", str(tmp_path / "engines.json"))
    monkeypatch.setenv("KALLGLOT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    found = tmp_path / "corpus"
    (found / "en").mkdir(parents=True)
    tone = 0.3 * np.sin(2 * np.pi * 1_000 * np.arange(8_000) / 16_000)
    soundfile.write(found / "en" / "a.wav", tone, 16_000)
    (found / "en" / "a.txt").write_text("Hello there, you.")
    return found


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["eval", *map(str, arguments)])
    return result.exit_code, result.output


def test_a_table_and_the_worst_and_json(folder: Path, tmp_path: Path) -> None:
    (folder / "en" / "b.wav").write_bytes(b"")
    status, told = run(folder, "--timed", "0", "--json", tmp_path / "out.json")
    assert status == 0
    assert "33.3%" in told
    assert "a.wav: 1 of 3 words" in told
    assert "left out: en/b.wav: there is neither b.txt" in told
    written = json.loads((tmp_path / "out.json").read_text())
    assert [(one["engine"], one["line"]) for one in written["recognition"]] == [
        ("scripted", "clean"),
        ("scripted", "telephone"),
    ]
    assert written["left_out"][0]["what"] == "en/b.wav"


def test_two_texts(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "a").write_text("one\n")
    (tmp_path / "b").write_text("uno\n")
    status, told = run("--parallel", tmp_path / "a", tmp_path / "b", "--from", "en", "--to", "es")
    assert status == 0
    assert "100.0" in told
    status, told = run("--parallel", tmp_path / "a", tmp_path / "b")
    assert status == 2
    assert "say --from and --to" in told


def test_nothing_to_evaluate(tmp_path: Path, folder: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(empty)[0] == 1
    assert run(folder, "--language", "fr", "--timed", "0")[0] == 1
    status, told = run(tmp_path / "none")
    assert status == 2
    assert "is not a folder" in " ".join(told.split())
    assert run()[0] == 2


def test_an_engine_that_there_is_not(folder: Path) -> None:
    status, told = run(folder, "--engine", "deepgram")
    assert status == 2
    assert "there is no engine deepgram" in told


def test_a_file_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    status, told = run(folder, "--timed", "0", "--line", "clean", "--json", tmp_path / "none" / "out.json")
    assert status == 1
    assert "cannot be written" in told
