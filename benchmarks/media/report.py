"""What a measurement came to, in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.media import search
from benchmarks.media.runs import Outcome

LIMITS: Final = (20.0, 60.0)
RATIOS: Final = (
    ("kallglot", "pipecat"),
    ("kallglot", "pipecat-documented"),
    ("kallglot", "fastrtc"),
    ("kallglot", "picows"),
    ("kallglot-silero", "pipecat-silero"),
    ("kallglot-silero", "pipecat-documented-silero"),
)


@dataclass(slots=True)
class Visit:
    """One system in one round: every number of legs that was tried, each once."""

    system: str
    round: int
    tries: list[Outcome] = field(default_factory=list)
    spoilt: list[Outcome] = field(default_factory=list)
    """Thrown away: the generator itself was late."""
    rss_before: int = 0
    cut_short: set[float] = field(default_factory=set)
    """The limits whose search did not come to its end, the time being over."""
    proof: str | None = None
    trouble: str | None = None

    @property
    def tried(self) -> dict[int, float]:
        return {one.legs: one.value_ms for one in self.tries}

    def held(self, limit: float) -> int:
        return search.held(self.tried, limit)

    @property
    def best(self) -> Outcome | None:
        """The run with the most legs that held the first limit, else the second."""
        legs = self.held(LIMITS[0]) or self.held(LIMITS[1])
        return next((one for one in self.tries if one.legs == legs), None)

    def described(self) -> dict[str, Any]:
        return {
            "system": self.system,
            "round": self.round,
            "held": {f"{limit:.0f} ms": self.held(limit) for limit in LIMITS},
            "cut_short": [f"{limit:.0f} ms" for limit in sorted(self.cut_short)],
            "proof": self.proof,
            "trouble": self.trouble,
            "tries": [one.described() for one in self.tries],
            "spoilt": [one.described() for one in self.spoilt],
        }


def ratios(visits: Sequence[Visit], of: str, to: str, limit: float) -> list[float]:
    """Within each round, where both held anything."""
    legs = {(visit.round, visit.system): visit.held(limit) for visit in visits}
    rounds = sorted({visit.round for visit in visits})
    pairs = [(legs.get((one, of), 0), legs.get((one, to), 0)) for one in rounds]
    return [mine / theirs for mine, theirs in pairs if mine and theirs]


def markdown(
    visits: Sequence[Visit], systems: Mapping[str, str], machine: Mapping[str, str], how: Mapping[str, str]
) -> str:
    rounds = len({visit.round for visit in visits})
    lines = ["# Legs on one core", ""]
    lines += _table(("", ""), [*machine.items(), *how.items(), ("rounds", str(rounds))])
    lines += [
        "",
        "Each leg sends and gets fifty frames a second of speech. The most legs whose round trips stay, at the 99th",
        "percentile, below the limit; every number of legs is tried once in a round. Medians over the rounds, and the",
        "range. What it costs and the other figures are of the run with the most legs below 20 ms (below 60 ms where",
        "there was none). ≥: the time was over before the search was, and at least so many held; a ratio with such a",
        "number on one side is ≥ or ≤, with one on both sides ~.",
        "",
    ]
    head = (
        "system",
        "",
        "< 20 ms",
        "< 60 ms",
        "CPU ms per leg-second",
        "p50 / p95 / p99 / max ms",
        "frames late p99 ms",
    )
    head = (*head, "loop lag ms", "RSS per leg")
    lines += _table(head, (_row(name, what, visits) for name, what in systems.items()))
    lines += ["", "## Ratios within the rounds", ""]
    lines += _table(("", "< 20 ms", "< 60 ms"), _ratio_rows(visits))
    notes = [note for visit in visits for note in _notes(visit)]
    if notes:
        lines += ["", "## Notes", "", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def _row(name: str, what: str, visits: Sequence[Visit]) -> tuple[str, ...]:
    own = [visit for visit in visits if visit.system == name]
    best = [visit.best for visit in own]
    runs = [one for one in best if one is not None]
    trips = [one.figures["round_trip_ms"] for one in runs]
    shown = [
        f"{statistics.median(trip[which] for trip in trips):.1f}" for which in ("p50", "p95", "p99", "max") if trips
    ]
    late = [one.figures["arrival_late_ms"]["p99"] for one in runs]
    lag = [one.lag_ms for one in runs if one.lag_ms is not None]
    return (
        name,
        what,
        *(
            ("≥ " if _cut_short(visits, name, limit) else "") + _spread([visit.held(limit) for visit in own], "{:.0f}")
            for limit in LIMITS
        ),
        _spread([one.cpu_ms_per_leg_second for one in runs], "{:.2f}"),
        " / ".join(shown) or "–",
        _spread(late, "{:.1f}"),
        _spread(lag, "{:.1f}"),
        _spread([one.rss_per_leg / 1024 for one in runs], "{:.0f} KiB"),
    )


def _ratio_rows(visits: Sequence[Visit]) -> Iterable[tuple[str, ...]]:
    known = {visit.system for visit in visits}
    for of, to in RATIOS:
        if {of, to} <= known:
            yield (f"{of} to {to}", *(_ratio(visits, of, to, limit) for limit in LIMITS))


def _ratio(visits: Sequence[Visit], of: str, to: str, limit: float) -> str:
    within = ratios(visits, of, to, limit)
    bounds = {(False, False): "", (True, False): "≥ ", (False, True): "≤ ", (True, True): "~ "}
    bound = bounds[_cut_short(visits, of, limit), _cut_short(visits, to, limit)] if within else ""
    return bound + _spread(within, "{:.2f}")


def _cut_short(visits: Sequence[Visit], name: str, limit: float) -> bool:
    return any(limit in visit.cut_short for visit in visits if visit.system == name)


def _notes(visit: Visit) -> Iterable[str]:
    where = f"{visit.system}, round {visit.round}"
    if visit.trouble:
        yield f"{where}: {visit.trouble}"
    if visit.spoilt:
        yield f"{where}: {len(visit.spoilt)} runs thrown away, the generator itself was late"
    if visit.proof:
        yield f"{where}: it says {visit.proof}"


def _spread(values: Sequence[float], form: str) -> str:
    if not values:
        return "–"
    middle, low, high = statistics.median(values), min(values), max(values)
    shown, *ends = (form.format(one) for one in (middle, low, high))
    return shown if ends[0] == ends[1] else f"{shown} ({ends[0]}–{ends[1]})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
