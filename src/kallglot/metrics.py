"""What Prometheus reads: taken from the live objects when it asks, so nothing is counted on the media path."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kallglot.session.switchboard import Switchboard
from kallglot.session.timings import TurnTimes
from kallglot.speech.registry import EngineRegistry

DAY: Final = timedelta(days=1)


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
    """How long turns took, a histogram for each stage; told once a turn is over."""

    def __init__(self) -> None:
        self.histograms = {
            stage: Histogram(f"kallglot_turn_{stage}_seconds", f"Seconds {what}.", buckets=BUCKETS, registry=None)
            for stage, what in STAGES.items()
        }

    def observe(self, times: TurnTimes) -> None:
        for stage, seconds in times.lags().items():
            self.histograms[stage].observe(seconds)


class _Snapshot(Collector):
    def __init__(self, switchboard: Switchboard, engines: EngineRegistry) -> None:
        self._switchboard = switchboard
        self._engines = engines

    def collect(self) -> Iterable[Metric]:
        board = self._switchboard
        yield GaugeMetricFamily("kallglot_live_sessions", "Sessions that live in this process.", board.live_sessions)
        yield GaugeMetricFamily("kallglot_legs", "Connections that carry audio.", board.legs)
        yield GaugeMetricFamily(
            "kallglot_event_loop_lag_seconds", "How late the event loop runs, smoothed.", board.lag_ms / 1000
        )
        ready = GaugeMetricFamily(
            "kallglot_engine_ready", "1 for an engine that works, 0 for one that is missing.", labels=["kind", "engine"]
        )
        for engine in self._engines.status():
            ready.add_metric([engine.kind, engine.name], float(engine.ready))
        yield ready


def exposition(switchboard: Switchboard, engines: EngineRegistry, lags: TurnLags) -> bytes:
    registry = CollectorRegistry()
    for histogram in lags.histograms.values():
        registry.register(histogram)
    ProcessCollector(registry=registry)
    registry.register(_Snapshot(switchboard, engines))
    return generate_latest(registry)
