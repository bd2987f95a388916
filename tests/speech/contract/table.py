"""What was run against what, as Markdown."""

from __future__ import annotations

from tests.speech.contract.makers import Maker

_SIGNS = {"passed": "✓", "failed": "**✗**"}


class Outcomes:
    def __init__(self) -> None:
        self._found: dict[str, dict[str, dict[str, tuple[str, str]]]] = {}

    def add(self, maker: Maker, case: str, outcome: str, why: str) -> None:
        cases = self._found.setdefault(maker.kind, {}).setdefault(case, {})
        before = cases.get(maker.name)
        if before is None or before[0] == "passed":
            cases[maker.name] = (outcome, why)

    def markdown(self) -> str:
        return "\n".join(
            self._kind(kind) for kind in ("recognition", "translation", "synthesis") if kind in self._found
        )

    def _kind(self, kind: str) -> str:
        cases = self._found[kind]
        engines = list(dict.fromkeys(name for row in cases.values() for name in row))
        notes: dict[str, int] = {}
        lines = [f"### {kind.capitalize()}", "", f"| case | {' | '.join(engines)} |", "|---" * (len(engines) + 1) + "|"]
        for case, row in cases.items():
            cells = [_cell(row.get(name), notes) for name in engines]
            lines.append(f"| {case.replace('_', ' ')} | {' | '.join(cells)} |")
        lines += ["", *(f"{number}. {why}" for why, number in notes.items()), ""]
        return "\n".join(lines)


def _cell(found: tuple[str, str] | None, notes: dict[str, int]) -> str:
    if found is None:
        return ""
    outcome, why = found
    if outcome in _SIGNS:
        return _SIGNS[outcome]
    why = why.removeprefix("Skipped: ")
    return f"– ({notes.setdefault(why, len(notes) + 1)})"
