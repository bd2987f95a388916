"""``kallglot models``, and what the doctor says of them."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text
from tests.models.making import noise, tree
from tests.models.serving import Fault, FileServer
from typer.testing import CliRunner, Result

from kallglot.cli.doctor import Doctor
from kallglot.cli.main import app
from kallglot.cli.progress import reporter
from kallglot.models.catalogue import catalogue
from kallglot.models.manifest import MANIFEST
from kallglot.models.plan import plan, resolve
from kallglot.settings import Settings

NAME = "opus-mt-it-en"
"""Of the real catalogue; nobody knows its sizes and checksums, so anything passes for it."""


@cache
def on_the_mirror() -> dict[str, bytes]:
    return {
        one.url.replace("https://", "/m/"): noise(11_000_000 if one.path == "model.bin" else 100, number)
        for number, one in enumerate(catalogue().models[NAME].remotes)
    }


@pytest.fixture
def server() -> Iterator[FileServer]:
    """In a loop of its own: the command line runs one here."""
    loop, running = asyncio.new_event_loop(), FileServer(dict(on_the_mirror()))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(running.__aenter__(), loop).result(30)
    yield running
    asyncio.run_coroutine_threadsafe(running.__aexit__(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KALLGLOT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("KALLGLOT_MODELS_DIR", raising=False)
    return tmp_path / "data" / "models"


@pytest.fixture
def mirror(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    monkeypatch.setenv("KALLGLOT_MODELS_MIRROR", server.url + "/m/")
    return server


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["models", *words])


def listed(*words: str) -> dict[str, dict[str, object]]:
    result = run("list", "--json", *words)
    assert result.exit_code == 0
    return {one["name"]: one for one in json.loads(result.output)["models"]}


def test_list() -> None:
    result = run("list", "de")
    assert result.exit_code == 0
    for words in (
        "moonshine-small-streaming-de",
        "121.8 MB",
        "BLEU 41.2",
        "CC-BY-4.0",
        "German and English",
        "413.3 MB",
    ):
        assert words in result.output
    assert "piper-fr-siwis" not in result.output
    assert "No model serves xx" in run("list", "xx").output
    assert "No model is installed" in run("list", "--installed").output


def test_list_for_machines() -> None:
    told = json.loads(run("list", "--json").output)
    assert len(told["models"]) == len(catalogue().models)
    assert {one["name"] for one in told["packs"]} == set(catalogue().packs)
    one = listed("de")["opus-mt-en-de"]
    assert one["pairs"] == [["en", "de"]]
    assert one["packs"] == ["de"]
    assert one["installed_version"] is None
    assert "Helsinki-NLP" in str(one["credit"])


def test_from_pulling_to_removing(mirror: FileServer, models: Path) -> None:
    pulled = run("pull", NAME)
    assert pulled.exit_code == 0, pulled.output
    for words in (
        f"{NAME} 2024.10 is installed, 11.0 MB.",
        "model.bin: 75 % of 11.0 MB",
        str(models),
        "To be credited",
    ):
        assert words in pulled.output
    assert listed()[NAME]["installed_version"] == "2024.10"
    assert f"{NAME} 2024.10 is installed." in run("pull", NAME).output
    assert "installed" in run("list", "--installed").output

    verified = run("verify")
    assert verified.exit_code == 0
    assert f"ok  {NAME} 2024.10, 11.0 MB; 5 of its downloads had no checksum" in verified.output

    (models / f"{NAME}@2024.10" / "source.spm").write_bytes(noise(100, 99))
    wrong = run("verify", NAME)
    assert wrong.exit_code == 1
    assert f"!!  {NAME}: source.spm has other content than was installed" in wrong.output
    assert run("pull", NAME, "--force").exit_code == 0
    assert run("verify", "--json").exit_code == 0

    assert run("remove", NAME).output.strip() == f"{NAME}@2024.10 is removed."
    assert not (models / f"{NAME}@2024.10").exists()
    again = run("remove", NAME)
    assert again.exit_code == 1
    assert f"None of it is installed: {NAME}" in again.output
    absent = run("verify", NAME)
    assert absent.exit_code == 1
    assert "is not installed" in absent.output


def test_a_damaged_one_is_shown_as_such(mirror: FileServer, models: Path) -> None:
    assert run("pull", NAME).exit_code == 0
    (models / f"{NAME}@2024.10" / "model.bin").write_bytes(b"short")
    assert "model.bin has 5 bytes instead of 11000000" in str(listed("it")[NAME]["problem"])
    assert "damaged" in run("list", "it").output
    told = json.loads(run("verify", "--json").output)["models"][0]
    assert told["problems"] == ["model.bin has 5 bytes instead of 11000000"]
    # Also what is no longer in the catalogue can be taken away.
    (models / f"{NAME}@2024.10").rename(models / "something-old@1")
    assert run("remove", "something-old").exit_code == 0


def test_what_is_not_the_models_is_not_removed(mirror: FileServer, models: Path) -> None:
    assert run("pull", NAME).exit_code == 0
    mine = models / f"{NAME}@2024.10" / "my-notes.txt"
    mine.write_text("mine")
    (models / "own").mkdir()
    (models / "own" / "file").write_text("own")
    refused = run("remove", NAME)
    assert refused.exit_code == 1
    assert "has my-notes.txt, which is not the model's" in refused.output
    assert mine.exists()
    assert run("remove", "--force", NAME).exit_code == 0
    assert (models / "own" / "file").exists()
    for name in ("own", "../models", ".downloads", "."):
        assert run("remove", name).exit_code == 1
    assert (models / "own" / "file").exists()


@pytest.mark.parametrize("command", ["pull", "verify"])
def test_names_that_nothing_has(command: str) -> None:
    result = run(command, "moonshine-small-streaming-dee")
    assert result.exit_code == 2
    assert "did you mean moonshine-small-streaming-de" in " ".join(result.output.split())


def test_a_pull_that_fails(mirror: FileServer, models: Path) -> None:
    del mirror.files[next(path for path in mirror.files if path.endswith("target.spm"))]
    result = run("pull", NAME)
    assert result.exit_code == 1
    assert "target.spm: the server answers 404: it does not have the file" in result.output
    assert "Traceback" not in result.output
    assert listed()[NAME]["installed_version"] is None
    # What was fetched of it is not kept for ever.
    cleared = run("remove", NAME)
    assert cleared.exit_code == 0
    assert "What was downloaded of it, and not installed, is deleted." in cleared.output
    assert run("remove", NAME).exit_code == 1
    assert not any(tree(models / ".downloads"))


def test_a_pull_goes_on(mirror: FileServer) -> None:
    weights = next(path for path in mirror.files if path.endswith("model.bin"))
    mirror.faults[weights] += [Fault(), *[Fault(cut_after=5_000_000)] * 1, Fault(status=404)]
    assert run("pull", NAME).exit_code == 1
    mirror.asked.clear()
    assert run("pull", NAME).exit_code == 0
    assert next(one.first for one in mirror.asked if one.path == weights) == 5_000_000


def test_from_a_folder(server: FileServer, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    for path, content in server.files.items():
        place = stick / path.removeprefix("/m/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    result = run("pull", NAME, "--from", str(stick))
    assert result.exit_code == 0, result.output
    assert not server.asked
    assert run("pull", "de", "--from", str(stick)).exit_code == 1
    assert run("pull", NAME, "--from", str(tmp_path / "absent")).exit_code == 2


def test_bars_on_a_terminal() -> None:
    out = io.StringIO()
    model = catalogue().models[NAME]
    with reporter(Console(file=out, force_terminal=True, width=120)) as report:
        report.planned(plan(resolve(catalogue(), ["de"]), {}))
        report.progress(model.remotes[1], 80_000_000, None)
        report.waiting(model.remotes[1], 4.2, "the connection broke")
        report.unpacking(model, model.remotes[1])
    assert "5 models, 413.3 MB in all" in out.getvalue()
    assert "model.bin: the connection broke; once more in 4 s" in out.getvalue()
    assert "80.0/160.0 MB" in out.getvalue()


def test_that_a_server_is_away_is_said_once_for_all_that_wait_for_it() -> None:
    out, model = io.StringIO(), catalogue().models[NAME]
    with reporter(Console(file=out, width=120)) as report:
        for seconds in (1.0, 1.2, 2.0, 1.9, 4.0):
            for remote in model.remotes:
                report.waiting(remote, seconds, "no connection could be made (Connection refused)")
        report.waiting(model.remotes[1], 1.0, "the server answers 503")
    first = model.remotes[0].path
    assert [line.rpartition(" in ")[2] for line in out.getvalue().splitlines()] == ["1 s", "2 s", "4 s", "1 s"]
    assert out.getvalue().startswith(f"{first}: no connection could be made (Connection refused); once more in 1 s")


def test_a_bar_fits_a_terminal() -> None:
    out, model = io.StringIO(), catalogue().models["piper-de-thorsten"]
    with reporter(Console(file=out, force_terminal=True, width=80)) as report:
        report.progress(model.remotes[0], 12_300_000, 67_214_254)
    shown = Text.from_ansi(out.getvalue()).plain.splitlines()
    (line,) = {line for line in shown if "vits-piper" in line}
    assert "12.3/67.2 MB" in line
    assert "?" in line.split("MB")[1], "the speed is in the same line"


def test_who_is_to_be_named_is_said_whenever_it_is_asked_for(mirror: FileServer) -> None:
    """Also by the command that goes on after one that was cut off."""
    assert run("pull", NAME).exit_code == 0
    assert "To be credited: Helsinki-NLP" in run("pull", NAME).output


@pytest.mark.parametrize("name", ["de-DE", "German", "DE_at"])
def test_a_language_by_another_name(name: str) -> None:
    result = run("pull", name)
    assert result.exit_code == 2
    assert "did you mean de?" in result.output


def test_what_the_doctor_says(mirror: FileServer, models: Path) -> None:
    def examined() -> str:
        out = io.StringIO()
        Doctor(Console(file=out, width=240), Settings())._models()
        return out.getvalue()

    assert f"no models in {models}" in examined()
    assert run("pull", NAME).exit_code == 0
    assert f"ok  model for translation: {NAME} 2024.10 — Opus-MT's quality" in examined()
    folder = models / f"{NAME}@2024.10"
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text().replace("2024.10", "2023.01"))
    assert f"..  model {NAME} 2023.01 is here, 2024.10 is there: kallglot models pull {NAME}" in examined()
    (folder / "config.json").unlink()
    assert f"!!  model {NAME} is not used: config.json is missing: kallglot models pull --force {NAME}" in examined()


def test_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    assert Settings().models_folder == models
    monkeypatch.setenv("KALLGLOT_MODELS_DIR", str(tmp_path / "elsewhere"))
    assert Settings().models_folder == tmp_path / "elsewhere"
    monkeypatch.setenv("KALLGLOT_MODELS_MIRROR", "https://mirror.example.com/models/")
    assert Settings().models_mirror == "https://mirror.example.com/models"
    for wrong in ("mirror.example.com", "ftp://mirror.example.com", "https://mirror.example.com/?a=b"):
        monkeypatch.setenv("KALLGLOT_MODELS_MIRROR", wrong)
        with pytest.raises(ValidationError, match="expected an address"):
            Settings()
