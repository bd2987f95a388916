from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.samples import NODE_FOLDER, Documentation
from tests.serverprocess import ServerProcess

SCRIPT = {
    "languages": ["de", "en", "es"],
    "recognition": {"de": ["eins", "zwei", "drei"], "en": ["one", "two", "three"]},
    "translation": {"de>en": {"eins": "first", "zwei": "second", "drei": "third"}},
    "synthesis": {"ms_per_character": 20},
}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "scripted.json"
    path.write_text(json.dumps(SCRIPT), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def scripted_server(tmp_path_factory: pytest.TempPathFactory, script: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("scripted") / "data", scripted=script) as process:
        yield process


@pytest.fixture(scope="module")
def documentation() -> Documentation:
    folder = Path(__file__).parents[3] / "shared" / "reference" / "documentation"
    folder = Path(os.environ.get("KALLGLOT_DOCUMENTATION", folder))
    if not folder.is_dir():
        pytest.skip(f"the public documentation is not at {folder}")
    return Documentation(folder)


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    assert found, "node is missing; make test installs it"
    if not (NODE_FOLDER / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=NODE_FOLDER, check=True, timeout=300)
    return found
