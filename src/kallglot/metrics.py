"""What Prometheus reads: taken from the live objects when it asks, so nothing is counted on the media path."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kallglot.session.switchboard import Switchboard
from kallglot.speech.registry import EngineRegistry

DAY: Final = timedelta(days=1)


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


def exposition(switchboard: Switchboard, engines: EngineRegistry) -> bytes:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Snapshot(switchboard, engines))
    return generate_latest(registry)
