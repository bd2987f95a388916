"""What watches a running server: the metrics, the traces, the access log, and the verdict on its health."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from kallglot import health, metrics, traces
from kallglot.api.watching import AccessLog, Watch, everyone
from kallglot.clock import Clock
from kallglot.session.timings import TurnTimes
from kallglot.settings import Settings
from kallglot.speech.registry import EngineStatus
from kallglot.store import Figures
from kallglot.work import Work


class Reader(Protocol):
    async def read(self) -> Figures: ...


class Observer:
    """Raises :class:`kallglot.traces.TracesUnavailable` where traces are wanted and cannot be sent."""

    def __init__(self, settings: Settings, clock: Clock, figures: Reader, version: str) -> None:
        self.lags = metrics.TurnLags()
        self.requests = metrics.Requests()
        self.works = metrics.Works()
        self.stored: metrics.Stored[Figures] = metrics.Stored(figures.read, clock, Figures())
        self.traces = traces.open_traces(settings.otlp_endpoint, version)
        self.verdict = health.Verdict(problems=("starting",))
        self._settings = settings
        self._sources: metrics.Sources | None = None

    @property
    def watch(self) -> Watch:
        watches: list[Watch] = [self.requests]
        if self._settings.access_log:
            watches.append(AccessLog())
        if self.traces is not None:
            # The last to begin is the first whose context others see.
            watches.append(self.traces.request)
        return everyone(watches)

    def work(self, work: Work) -> None:
        self.works.observe(work)
        if self.traces is not None:
            self.traces.work(work)

    def turn(self, times: TurnTimes, began_at: datetime) -> None:
        self.lags.observe(times)
        if self.traces is not None:
            self.traces.turn(times, began_at)

    def looks_at(self, sources: metrics.Sources) -> None:
        self._sources = sources

    async def page(self) -> bytes:
        """What Prometheus gets."""
        assert self._sources is not None
        await self.stored.refresh()
        folder = await asyncio.to_thread(health.look_at, self._settings.data_dir)
        return metrics.exposition(replace(self._sources, folder=folder))

    async def look(self, database: str | None) -> health.Verdict:
        """The verdict as of now; ``database`` is what is wrong with it."""
        assert self._sources is not None
        one, settings = self._sources, self._settings
        if database is None:
            await self.stored.refresh()
        figures = self.stored.latest
        shelf = "recordings cannot be put away: the place where they are kept does not answer"
        return health.judge(
            health.Signs(
                database=database,
                folder=await asyncio.to_thread(health.look_at, settings.data_dir),
                kept_in_folder=settings.database.startswith("sqlite"),
                engines=[engine(status) for status in one.engines.status()],
                shelf=shelf if one.recordings.shelf_away else None,
                lag_ms=one.board.saturation.late_ms,
                most_lag_ms=settings.overload_lag_ms,
                oldest_due_seconds=one.courier.stats().oldest_due_seconds,
                skew_seconds=figures.skew_seconds,
                contradictions=health.contradictions(
                    public_url=settings.public_url,
                    stream_url=settings.public_stream_url,
                    host=settings.host,
                    carrier_connections=figures.carrier_connections,
                ),
            )
        )

    async def close(self) -> None:
        if self.traces is not None:
            await asyncio.to_thread(self.traces.close)


def engine(status: EngineStatus) -> health.Engine:
    of = status.processes
    return health.Engine(
        status.kind,
        status.name,
        status.ready,
        None if status.ready else status.note,
        0 if of is None else of.wanted,
        0 if of is None else of.running,
        status.down,
    )
