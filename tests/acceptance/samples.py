"""The documented samples, read from the documentation itself: what is typed in is what is printed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


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
