"""Everything that is live, as it is when Prometheus asks: nothing is counted on the media path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kallglot import health
from kallglot.metrics.requests import Requests
from kallglot.metrics.turns import TurnLags
from kallglot.metrics.works import Works
from kallglot.session.load import Load
from kallglot.session.saturation import Saturation
from kallglot.speech.counted import Counts
from kallglot.speech.registry import EngineStatus
from kallglot.speech.types import EngineKind


class Board(Protocol):
    @property
    def saturation(self) -> Saturation: ...

    def loads(self) -> Sequence[Load]: ...


class Door(Protocol):
    def legs(self) -> Mapping[str, int]: ...


class Status(Protocol):
    def status(self) -> Sequence[EngineStatus]: ...
    @property
    def given_up(self) -> Mapping[tuple[EngineKind, str], int]: ...
    @property
    def replaced(self) -> Mapping[tuple[EngineKind, str], int]: ...


class Engines(Protocol):
    @property
    def counts(self) -> Mapping[tuple[EngineKind, str], Counts]: ...


class Journal(Protocol):
    @property
    def waiting_turns(self) -> int: ...
    @property
    def batches(self) -> int: ...
    @property
    def stored(self) -> int: ...


class Writes(Protocol):
    @property
    def begun(self) -> int: ...
    @property
    def waited_s(self) -> float: ...
    @property
    def waiting(self) -> int: ...


class Recordings(Protocol):
    @property
    def shelf_away(self) -> bool: ...


class CourierStats(Protocol):
    @property
    def attempts(self) -> Mapping[str, int]: ...
    @property
    def disabled(self) -> int: ...
    @property
    def lanes(self) -> int: ...
    @property
    def pending(self) -> int: ...
    @property
    def resting(self) -> int: ...
    @property
    def oldest_due_seconds(self) -> float: ...


class Courier(Protocol):
    def stats(self) -> CourierStats: ...


class Figures(Protocol):
    @property
    def recordings_waiting(self) -> int: ...
    @property
    def analyses_waiting(self) -> int: ...


class StoredFigures(Protocol):
    @property
    def up(self) -> bool: ...
    @property
    def latest(self) -> Figures: ...


class Spans(Protocol):
    @property
    def exported(self) -> Mapping[str, int]: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """What is looked at."""

    board: Board
    door: Door
    engines: Status
    counted: Engines
    journal: Journal
    writes: Writes
    recordings: Recordings
    courier: Courier
    stored: StoredFigures
    folder: health.Folder
    lags: TurnLags
    requests: Requests
    works: Works
    traces: Spans | None = None


class Snapshot(Collector):
    def __init__(self, sources: Sources) -> None:
        self._from = sources

    def collect(self) -> Iterable[Metric]:
        for part in (self._http, self._sessions, self._engines, self._storage, self._jobs, self._outside):
            yield from part()

    def _http(self) -> Iterator[Metric]:
        requests = self._from.requests
        yield _counter(
            "kallglot_http_requests",
            "HTTP requests, by method, route and class of status.",
            requests.total,
            "method",
            "route",
            "status",
        )
        yield _gauge("kallglot_http_requests_running", "HTTP requests under way.", requests.running)
        yield _counter("kallglot_http_errors", "Errors answered, by their code.", requests.errors, "code")

    def _sessions(self) -> Iterator[Metric]:
        one = self._from
        saturation = one.board.saturation
        loads = one.board.loads()
        modes = Counter(load.mode for load in loads)
        yield _gauge("kallglot_live_sessions", "Sessions that live in this process, by mode.", modes, "mode")
        yield _gauge("kallglot_legs", "Connections that carry audio, by dialect.", one.door.legs(), "kind")
        yield _gauge(
            "kallglot_held_inputs", "Legs not read from, as recognition is behind.", sum(load.held for load in loads)
        )
        waiting = [ms for load in loads for ms in load.recognition_ms]
        yield _seconds(
            "kallglot_recognition_backlog_seconds", "Audio waiting for recognition, altogether.", sum(waiting)
        )
        yield _seconds(
            "kallglot_recognition_backlog_max_seconds",
            "The same, of the speaker furthest behind.",
            max(waiting, default=0),
        )
        queued = [ms for load in loads for ms in load.playout_ms]
        yield _seconds("kallglot_playout_backlog_seconds", "Speech waiting to be heard, altogether.", sum(queued))
        yield _seconds(
            "kallglot_playout_backlog_max_seconds", "The same, of the listener furthest behind.", max(queued, default=0)
        )
        yield _gauge(
            "kallglot_event_loop_lag_seconds", "How late the event loop runs, smoothed.", saturation.lag_ms / 1000
        )
        yield _gauge(
            "kallglot_event_loop_late_seconds",
            "How late all but one in twenty of the last ticks came at most.",
            saturation.late_ms / 1000,
        )
        yield _gauge("kallglot_event_loop_busy", "The share of its time that the event loop works.", saturation.busy)
        yield _counter("kallglot_turns", "Turns that are over.", {(): one.lags.turns})
        yield _counter(
            "kallglot_turn_playbacks",
            "Turns played to a listener, by what became of it.",
            one.lags.playbacks,
            "outcome",
        )
        yield _counter(
            "kallglot_sessions_ended",
            "Sessions that ended, by mode and reason.",
            one.works.of("session"),
            "mode",
            "reason",
        )

    def _engines(self) -> Iterator[Metric]:
        engines = self._from.engines
        found = engines.status()
        ready = {(one.kind, one.name): int(one.ready) for one in found}
        yield _gauge(
            "kallglot_engine_ready", "1 for an engine that works, 0 for one that is missing.", ready, "kind", "engine"
        )
        asked = [one for one in found if one.kind != "detection"]
        yield _gauge(
            "kallglot_engine_down",
            "1 for an engine that works and does not answer.",
            {(one.kind, one.name): int(one.ready and one.down is not None) for one in asked},
            "kind",
            "engine",
        )
        for name, words, counted in (
            ("given_up", "Streams and texts of which an engine failed, stalled or took too long.", engines.given_up),
            ("replaced", "Of these, what another engine took over.", engines.replaced),
        ):
            samples = {(one.kind, one.name): counted.get((one.kind, one.name), 0) for one in asked}
            yield _counter(f"kallglot_engine_{name}", words, samples, "kind", "engine")
        children = {one.name: one.processes for one in found if one.processes is not None}
        states = {
            (name, state): count
            for name, of in children.items()
            for state, count in (("wanted", of.wanted), ("running", of.running))
        }
        yield _gauge("kallglot_engine_processes", "Child processes of an engine.", states, "engine", "state")
        yield _counter(
            "kallglot_engine_process_restarts",
            "Child processes that ended and were replaced.",
            {name: of.restarts for name, of in children.items()},
            "engine",
        )
        yield _gauge(
            "kallglot_engine_streams", "Open streams.", {name: of.streams for name, of in children.items()}, "engine"
        )
        yield _gauge(
            "kallglot_engine_waiting_audio_seconds",
            "Audio that an engine's processes have not dealt with.",
            {name: of.waiting_ms / 1000 for name, of in children.items()},
            "engine",
        )
        counts = self._from.counted.counts
        by = ("kind", "engine")
        yield _counter(
            "kallglot_engine_requests",
            "Texts translated or spoken, streams opened.",
            {key: of.requests for key, of in counts.items()},
            *by,
        )
        yield _counter(
            "kallglot_engine_failures", "Of these, failed.", {key: of.failures for key, of in counts.items()}, *by
        )
        yield _gauge(
            "kallglot_engine_running", "Of these, under way.", {key: of.running for key, of in counts.items()}, *by
        )
        yield _counter(
            "kallglot_engine_seconds", "Seconds that these took.", {key: of.seconds for key, of in counts.items()}, *by
        )
        hearing = {key: of for key, of in counts.items() if key[0] == "recognition"}
        yield _counter(
            "kallglot_engine_recoveries",
            "Streams that went on with another process.",
            {key: of.restarts for key, of in hearing.items()},
            *by,
        )
        yield _counter(
            "kallglot_engine_lost_audio_seconds",
            "Audio given up meanwhile.",
            {key: of.lost_ms / 1000 for key, of in hearing.items()},
            *by,
        )

    def _storage(self) -> Iterator[Metric]:
        one = self._from
        yield _gauge("kallglot_database_up", "1 while the database answers.", int(one.stored.up))
        yield _counter("kallglot_database_writes", "Transactions that wrote.", {(): one.writes.begun})
        yield _counter(
            "kallglot_database_write_wait_seconds", "Seconds that they waited to begin.", {(): one.writes.waited_s}
        )
        yield _gauge("kallglot_database_writes_waiting", "Transactions that wait to begin.", one.writes.waiting)
        yield _gauge("kallglot_journal_waiting_turns", "Turns waiting to be stored.", one.journal.waiting_turns)
        yield _counter("kallglot_journal_turns", "Turns that were stored.", {(): one.journal.stored})
        yield _counter("kallglot_journal_batches", "Transactions that stored them.", {(): one.journal.batches})
        yield _gauge("kallglot_data_folder_free_bytes", "Left on the disk of the data folder.", one.folder.free_bytes)
        yield _gauge("kallglot_data_folder_size_bytes", "The size of that disk.", one.folder.size_bytes)

    def _jobs(self) -> Iterator[Metric]:
        one, courier = self._from, self._from.courier.stats()
        yield _gauge(
            "kallglot_recordings_waiting", "Recordings being made or to be made.", one.stored.latest.recordings_waiting
        )
        rendered = Counter[str]()
        for (_, outcome), count in one.works.of("recording").items():
            rendered[outcome] += count
        yield _counter("kallglot_recording_renders", "Renderings, by outcome.", rendered, "outcome")
        yield _counter(
            "kallglot_recording_render_seconds", "Seconds that they took.", {(): one.works.seconds["recording"]}
        )
        yield _gauge(
            "kallglot_recording_store_up", "1 while recordings can be put away.", int(not one.recordings.shelf_away)
        )
        yield _gauge("kallglot_webhook_deliveries_pending", "Deliveries to be made.", courier.pending)
        yield _gauge(
            "kallglot_webhook_oldest_due_seconds", "For how long the oldest has been due.", courier.oldest_due_seconds
        )
        yield _counter(
            "kallglot_webhook_attempts", "Attempts, by what became of the delivery.", courier.attempts, "outcome"
        )
        yield _gauge("kallglot_webhook_lanes_busy", "Endpoints being delivered to.", courier.lanes)
        yield _gauge("kallglot_webhook_endpoints_resting", "Endpoints that failed, and wait.", courier.resting)
        yield _counter("kallglot_webhook_endpoints_disabled", "Endpoints that were disabled.", {(): courier.disabled})
        yield _gauge(
            "kallglot_analyses_waiting", "Analyses being made or to be made.", one.stored.latest.analyses_waiting
        )
        analysed = Counter[str]()
        for (_, outcome), count in one.works.of("analysis").items():
            analysed[outcome] += count
        yield _counter("kallglot_analyses", "Analyses, by outcome.", analysed, "outcome")

    def _outside(self) -> Iterator[Metric]:
        works = self._from.works
        yield _counter(
            "kallglot_carrier_requests",
            "What was asked of carriers, by outcome.",
            works.carrier,
            "carrier",
            "request",
            "outcome",
        )
        yield _counter("kallglot_carrier_seconds", "Seconds that carriers took.", works.carrier_seconds, "carrier")
        if self._from.traces is not None:
            yield _counter(
                "kallglot_trace_spans", "Spans, by what became of them.", self._from.traces.exported, "outcome"
            )


Samples = Mapping[str, float] | Mapping[tuple[str, ...], float] | Mapping[tuple[str, str], float]


def _counter(name: str, words: str, samples: Mapping[object, float] | Samples, *labels: str) -> CounterMetricFamily:
    family = CounterMetricFamily(name, words, labels=labels)
    for key, value in samples.items():
        family.add_metric(_labels(key), value)
    return family


def _gauge(name: str, words: str, samples: Mapping[object, float] | Samples | float, *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=labels)
    for key, value in samples.items() if isinstance(samples, Mapping) else (((), samples),):
        family.add_metric(_labels(key), value)
    return family


def _seconds(name: str, words: str, ms: float) -> GaugeMetricFamily:
    return _gauge(name, words, ms / 1000)


def _labels(key: object) -> list[str]:
    return [str(part) for part in key] if isinstance(key, tuple) else [str(key)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
