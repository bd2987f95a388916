"""The documented samples, read from the documentation itself: what is typed in is what is printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.serverprocess import ServerProcess

NODE_FOLDER = Path(__file__).parent / "node"


@dataclass(frozen=True)
class Documentation:
    folder: Path

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def between(self, name: str, first: str, last: str, *, nth: int = 0) -> str:
        """The ``nth`` passage of a document that begins with the line ``first`` and ends with a line ``last``."""
        lines = self.text(name).splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith(first)]
        start = starts[nth]
        end = next(number for number in range(start, len(lines)) if re.fullmatch(last, lines[number]))
        return "\n".join(lines[start : end + 1])

    def curls(self, name: str) -> list[str]:
        """Every curl command of a document, its continued lines and its quoted body included."""
        found: list[str] = []
        open_command: list[str] = []
        for line in self.text(name).splitlines():
            if not open_command and not line.startswith("curl "):
                continue
            open_command.append(line)
            whole = "\n".join(open_command)
            if not line.endswith("\\") and whole.count("'") % 2 == 0:
                found.append(whole)
                open_command = []
        return found


def as_typed(command: str, url: str, key: str, session_id: str = "") -> str:
    """Host and key put in, and the id of a session where the documentation shows one of its own."""
    command = command.replace("https://api.kallglot.com", url).replace("sk_live_your_api_key", key)
    return command.replace("sess_01HXYZ", session_id) if session_id else command


class Sample:
    """A JavaScript sample in its harness; ``told`` is what the harness saw, line by line."""

    def __init__(self, node: str, server: ServerProcess, folder: Path, source: str, after: str = "") -> None:
        file = folder / f"{uuid.uuid4().hex}.js"
        file.write_text(source.replace("wss://api.kallglot.com", server.url.replace("http", "ws")), encoding="utf-8")
        self.told: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            [node, "harness.cjs"],
            cwd=NODE_FOLDER,
            env=os.environ
            | {"KALLGLOT_URL": server.url, "KALLGLOT_KEY": server.api_key, "SAMPLE": str(file), "AFTER": after},
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Sample:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def until(self, kind: str, containing: str = "") -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            self.told.append(told)
            assert told["kind"] != "failed", told["value"]
            if told["kind"] == kind and containing in json.dumps(told["value"], ensure_ascii=False):
                return told["value"]
        raise AssertionError(f"no {kind} {containing!r} came; there was {self.told}")
