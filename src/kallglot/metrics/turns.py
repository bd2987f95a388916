"""How long turns took, and what became of their playback: told once a turn is over."""

from __future__ import annotations

from collections import Counter
from typing import Final

from prometheus_client import Histogram

from kallglot.session.timings import TurnTimes

STAGES: Final = {
    "first_partial": "from the beginning of speech to its first partial transcript",
    "commit": "from the end of speech to its text being settled",
    "translation": "from there to the last translation",
    "playout": "from the last translation to the first listener hearing it",
    "first_audio": "from the end of speech to the first listener hearing it translated",
    "heard": "from the end of speech to the last listener having heard it",
}
BUCKETS: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0)


class TurnLags:
    """A histogram for each stage. ``playbacks`` are counted by listener: heard, cleared, or unfinished."""

    def __init__(self) -> None:
        self.histograms = {
            stage: Histogram(f"kallglot_turn_{stage}_seconds", f"Seconds {what}.", buckets=BUCKETS, registry=None)
            for stage, what in STAGES.items()
        }
        self.turns = 0
        self.playbacks: Counter[str] = Counter({"heard": 0, "cleared": 0, "unfinished": 0})

    def observe(self, times: TurnTimes) -> None:
        self.turns += 1
        for one in times.listeners:
            self.playbacks["cleared" if one.cleared else "unfinished" if one.heard_ms is None else "heard"] += 1
        for stage, seconds in times.lags().items():
            self.histograms[stage].observe(seconds)
