"""Spans over OTLP: requests, sessions with their turns, and the work around them. Made when each is over.

The trace of a session has the session's own ULID as its id, and the session's span the last 64 bits of it: whatever
belongs to a session is in its trace, whichever process did it, also after a restart, and who knows the session finds
the trace. OpenTelemetry's SDK is imported where an address is set, nowhere else.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from starlette.types import Scope
from ulid import ULID

from kallglot.api.watching import UNROUTED, Finished, Handled
from kallglot.session.timings import TurnTimes
from kallglot.work import Work

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

log = logging.getLogger(__name__)

EXPORT_SECONDS: Final = 5
"""For one batch, its retries among them."""
CLOSE_SECONDS: Final = 2.0
DELAY_MS: Final = 2000
MOST_WAITING: Final = 4096
"""Spans; newer ones are dropped while so many wait."""
_HEADERS: Final = ("traceparent", "tracestate")
_SESSION_PREFIX: Final = "sess_"
_NAMES: Final = {
    "session": "session",
    "stay": "session in this process",
    "recording": "render recording",
    "carrier_request": "carrier",
    "webhook_attempt": "webhook",
    "analysis": "analysis",
}

Value = str | int | float | bool


class TracesUnavailable(Exception):
    """In words, with what gets them."""


def missing(endpoint: str | None) -> str | None:
    """Why traces cannot be sent; None where they can, or are not wanted."""
    if endpoint is None:
        return None
    try:
        there = find_spec("opentelemetry.sdk") and find_spec("opentelemetry.exporter.otlp.proto.http")
    except ModuleNotFoundError:
        there = None
    if there:
        return None
    return "KALLGLOT_OTLP_ENDPOINT is set and OpenTelemetry is not installed: pip install 'kallglot[traces]'"


def open_traces(endpoint: str | None, version: str) -> Traces | None:
    """None where none are wanted. Raises :class:`TracesUnavailable`."""
    if endpoint is None:
        return None
    words = missing(endpoint)
    if words is not None:
        raise TracesUnavailable(words)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return Traces(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=EXPORT_SECONDS), version)


class Traces:
    """No method blocks or raises. ``exported`` counts spans by what became of them: sent, lost."""

    def __init__(self, exporter: SpanExporter, version: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        class Ids(RandomIdGenerator):
            """Random ones, but for the next span where it has to have its own."""

            chosen: tuple[int, int] | None = None

            def generate_span_id(self) -> int:
                return super().generate_span_id() if self.chosen is None else self.chosen[1]

            def generate_trace_id(self) -> int:
                return super().generate_trace_id() if self.chosen is None else self.chosen[0]

        self.exported: Counter[str] = Counter()
        self._ids = Ids()
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "kallglot", "service.version": version}),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                _reporting(exporter, self.exported),
                max_queue_size=MOST_WAITING,
                schedule_delay_millis=DELAY_MS,
                export_timeout_millis=EXPORT_SECONDS * 1000,
            )
        )
        self._tracer = self._provider.get_tracer("kallglot", version)
        self._propagator = TraceContextTextMapPropagator()
        self._request: ContextVar[Any] = ContextVar("span of the request", default=None)

    def close(self) -> None:
        """Sends what waits, for a moment at most."""
        # The last export may wait for a receiver that is dead; nobody waits for it.
        closing = threading.Thread(target=self._provider.shutdown, name="traces-close", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)

    def request(self, scope: Scope) -> Finished:
        """A :data:`kallglot.api.watching.Watch`: a server span, in the caller's trace where it names one."""
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

        given = {
            name: value.decode("latin-1")
            for raw, value in scope.get("headers", ())
            if (name := raw.decode("latin-1")) in _HEADERS
        }
        parent = self._propagator.extract(given)
        span = self._tracer.start_span(scope["method"], parent, SpanKind.SERVER)
        token = self._request.set(set_span_in_context(span))

        def finished(request: Handled) -> None:
            self._request.reset(token)
            routed = request.route != UNROUTED
            span.update_name(f"{request.method} {request.route}" if routed else request.method)
            span.set_attributes(
                _present(
                    {
                        "http.request.method": request.method,
                        "http.route": request.route if routed else None,
                        "http.response.status_code": request.status,
                        "url.scheme": scope.get("scheme", "http"),
                        "error.type": request.code or (str(request.status) if request.status >= 500 else None),
                        "kallglot.request.id": request.request_id,
                        "kallglot.session.id": request.session_id,
                    }
                )
            )
            if request.status >= 500:
                span.set_status(StatusCode.ERROR)
            span.end()

        return finished

    def work(self, work: Work) -> None:
        """A :data:`kallglot.work.Observe`."""
        about = {"kallglot.name": work.name, "kallglot.outcome": work.outcome, **work.about}
        ended = _ns(work.ended_at)
        client = work.kind in ("carrier_request", "webhook_attempt")
        name = f"{_NAMES[work.kind]} {work.name}" if client else _NAMES[work.kind]
        self._span(
            name,
            ended - round(work.seconds * 1e9),
            ended,
            about,
            session_id=work.session_id,
            root=work.kind == "session",
            client=client,
            failed=work.failed,
        )

    def turn(self, times: TurnTimes, began_at: datetime) -> None:
        """A turn with its stages; ``began_at`` is the moment from which its times are counted."""
        zero, session_id = _ns(began_at), times.session_id

        def at(ms: int) -> int:
            return zero + ms * 1_000_000

        last = max(
            times.speech_end_ms, times.committed_ms, times.translated_ms or 0, times.final_ms or 0, times.heard_ms or 0
        )
        about = _present(
            {
                "kallglot.turn.id": times.turn_id,
                "kallglot.listeners": len(times.listeners),
                "kallglot.cleared": sum(1 for one in times.listeners if one.cleared),
            }
        )
        context = self._span("turn", at(times.speech_start_ms), at(last), about, session_id=session_id)
        stages: list[tuple[str, int, int | None, Mapping[str, Value]]] = [
            ("speech", times.speech_start_ms, times.speech_end_ms, {}),
            ("recognition", times.speech_end_ms, times.committed_ms, {}),
            ("translation", times.committed_ms, times.translated_ms, {}),
            ("storing", times.translated_ms or times.committed_ms, times.final_ms, {}),
        ]
        for one in times.listeners:
            about = {"kallglot.listener": one.listener, "kallglot.language": one.language}
            if one.first_audio_ms is not None:
                stages.append(("playout", times.translated_ms or times.committed_ms, one.first_audio_ms, about))
                stages.append(("heard", one.first_audio_ms, one.heard_ms, about))
        for name, start, end, about in stages:
            if end is not None:
                self._span(name, at(start), at(max(start, end)), about, session_id=session_id, parent=context)

    def _span(
        self,
        name: str,
        start: int,
        end: int,
        about: Mapping[str, Value],
        *,
        session_id: str | None,
        root: bool = False,
        client: bool = False,
        failed: bool = False,
        parent: Any = None,
    ) -> Any:
        """Times are nanoseconds; what it returns is the context of its children."""
        from opentelemetry.context import Context
        from opentelemetry.trace import (
            Link,
            NonRecordingSpan,
            SpanContext,
            SpanKind,
            StatusCode,
            TraceFlags,
            get_current_span,
            set_span_in_context,
        )

        asked, links = self._request.get(), []
        own = _session_ids(session_id)
        if parent is None and own is not None:
            sampled = SpanContext(*own, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
            parent = Context() if root else set_span_in_context(NonRecordingSpan(sampled), Context())
            if asked is not None:
                links = [Link(get_current_span(asked).get_span_context())]
        elif parent is None:
            parent = asked or Context()
        self._ids.chosen = own if root else None
        try:
            kind = SpanKind.CLIENT if client else SpanKind.INTERNAL
            span = self._tracer.start_span(name, parent, kind, dict(about), links, start)
        finally:
            self._ids.chosen = None
        if session_id is not None:
            span.set_attribute("kallglot.session.id", session_id)
        if failed:
            span.set_status(StatusCode.ERROR)
        span.end(end)
        return set_span_in_context(span, Context())


def _reporting(exporter: SpanExporter, exported: Counter[str]) -> SpanExporter:
    """Says once that spans are lost, and once that they are not any more."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Reporting(SpanExporter):
        lost = False

        def export(self, spans: Any) -> SpanExportResult:
            some: list[ReadableSpan] = list(spans)
            try:
                result = exporter.export(some)
            except Exception as error:
                log.debug("traces: %s", type(error).__name__)
                result = SpanExportResult.FAILURE
            well = result is SpanExportResult.SUCCESS
            exported["sent" if well else "lost"] += len(some)
            if well == self.lost:
                self.lost = not well
                log.log(
                    logging.INFO if well else logging.WARNING,
                    "traces are taken again" if well else "traces are lost: their receiver does not take them",
                )
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

        def force_flush(self, timeout_millis: int = 30000) -> bool:
            return exporter.force_flush(timeout_millis)

    return Reporting()


def _session_ids(session_id: str | None) -> tuple[int, int] | None:
    """The trace and the span of a session."""
    if session_id is None or not session_id.startswith(_SESSION_PREFIX):
        return None
    try:
        trace = int(ULID.from_str(session_id.removeprefix(_SESSION_PREFIX)))
    except ValueError:
        return None
    return (trace, trace & (2**64 - 1) or 1) if trace else None


def _present(about: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in about.items() if value is not None}


def _ns(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6) * 1000
