"""Machine code of the media path: used where it is of these sources, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from kallglot import compiled

WHICH = """
import kallglot.cli
from kallglot import compiled
from kallglot.session import hearing
print(compiled.in_use(), isinstance(hearing.Hearing.tick, type(lambda: 0)))
"""


def which(**environment: str) -> list[str]:
    bare = {name: value for name, value in os.environ.items() if name != "KALLGLOT_COMPILED"}
    run = [sys.executable, "-c", WHICH]
    return subprocess.run(run, env=bare | environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """None of it is to be used here, whatever is found."""
    monkeypatch.setattr(compiled, "folder", lambda: tmp_path)
    return tmp_path


def test_machine_code_of_these_sources_is_used_unless_it_is_told_not_to() -> None:
    if not compiled.is_current():
        if os.environ.get("CI"):
            pytest.fail("there is none: make test makes it")
        pytest.skip("there is none: make test makes it")
    assert which() == ["True", "False"]
    assert which(KALLGLOT_COMPILED="off") == ["False", "True"]


def test_this_run_is_on_what_it_was_asked_for() -> None:
    assert compiled.in_use() == (os.environ["KALLGLOT_COMPILED"] == "on")


def test_none_of_other_sources(folder: Path) -> None:
    assert not compiled.is_current(), "there is none"
    sources = compiled.digests()
    index = folder / compiled.INDEX
    index.write_bytes(msgspec.json.encode(compiled.Index(sources, {})))
    assert compiled.is_current()
    index.write_bytes(msgspec.json.encode(compiled.Index(sources | {"kallglot.clock": "0" * 64}, {})))
    assert not compiled.is_current(), "one of them was changed"
    index.write_bytes(msgspec.json.encode(compiled.Index({"kallglot.clock": sources["kallglot.clock"]}, {})))
    assert not compiled.is_current(), "it was made when there were fewer"
    index.write_bytes(b'{"sources": {')
    assert not compiled.is_current(), "it was cut off"


def test_nothing_is_mixed_with_what_is_imported_already(folder: Path) -> None:
    import kallglot.clock  # noqa: F401

    (folder / compiled.INDEX).write_bytes(msgspec.json.encode(compiled.Index(compiled.digests(), {})))
    before = list(sys.meta_path)
    assert compiled.use() == compiled.in_use()
    assert sys.meta_path == before


@pytest.mark.slow
def test_a_machine_that_cannot_compile_is_told_what_it_takes(tmp_path: Path) -> None:
    """In an environment of its own, as far as it is looked at."""
    run = [sys.executable, "-c", "import sys; sys.prefix = sys.argv.pop(1); from kallglot.cli import app; app()"]
    done = subprocess.run(
        [*run, str(tmp_path), "compile"], env={**os.environ, "CC": "false"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "gcc" in done.stdout
    assert not (tmp_path / "share").exists()
