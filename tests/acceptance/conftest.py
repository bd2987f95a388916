from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
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
