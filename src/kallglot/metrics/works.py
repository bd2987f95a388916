"""Work that is over, by what it was and what became of it."""

from __future__ import annotations

from collections import Counter

from kallglot.work import Work


class Works:
    """``carrier`` is counted by carrier too, the rest by kind, name and outcome."""

    def __init__(self) -> None:
        self.total: Counter[tuple[str, str, str]] = Counter()
        self.seconds: Counter[str] = Counter()
        self.carrier: Counter[tuple[str, str, str]] = Counter()
        self.carrier_seconds: Counter[str] = Counter()

    def observe(self, work: Work) -> None:
        self.total[work.kind, work.name, work.outcome] += 1
        self.seconds[work.kind] += work.seconds  # type: ignore[assignment]
        if work.kind == "carrier_request":
            carrier = str(work.about.get("kallglot.carrier", "unknown"))
            self.carrier[carrier, work.name, work.outcome] += 1
            self.carrier_seconds[carrier] += work.seconds  # type: ignore[assignment]

    def of(self, kind: str) -> dict[tuple[str, str], int]:
        """By name and outcome."""
        return {(name, outcome): count for (one, name, outcome), count in self.total.items() if one == kind}
