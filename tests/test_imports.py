"""What is imported because an engine exists: nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "sherpa_onnx ctranslate2 sentencepiece onnxruntime pocketsphinx moonshine_voice livekit torch"
    " google.cloud deepgram openai kallglot.speech.providers. kallglot.speech.remote."
).split()
IMPORTS = """
import json, sys
{statements}
print(json.dumps(sorted(sys.modules)))
"""
RUNNING = """
import asyncio, sys
from pathlib import Path
from kallglot.app import running
from kallglot.settings import Settings

async def main():
    async with running(Settings(data_dir=Path({folder!r}), port=0, recognition_processes=1)):
        pass

asyncio.run(main())
"""


def modules(statements: str) -> list[str]:
    """Of a process that ran these."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("KALLGLOT_")}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS.format(statements=statements)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=bare,
    )
    return json.loads(done.stdout.splitlines()[-1])


def heavy(found: list[str]) -> list[str]:
    return [name for name in found if any(name == one or name.startswith(f"{one.rstrip('.')}.") for one in HEAVY)]


def test_the_server_and_its_command_line_import_no_engine() -> None:
    found = modules("import kallglot.app, kallglot.cli, kallglot.speech.registry, kallglot.speech.failover.chosen")
    assert heavy(found) == []
    assert not any(name.startswith("kallglot.speech.engines.") for name in found)


@pytest.mark.slow
def test_a_server_without_models_and_remote_engines_runs_without_what_they_need(tmp_path: Path) -> None:
    found = modules(RUNNING.format(folder=str(tmp_path)))
    assert heavy(found) == []
    engines = {name.rpartition(".")[2] for name in found if name.startswith("kallglot.speech.engines.")}
    assert not engines & {"local", "translation_models", "voices", "sherpa", "sherpa_offline", "sherpa_online"}
