"""Traces, as a collector gets them: over a real socket, decoded."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.acceptance.client import StreamClient
from tests.acceptance.telephony import agent, scripted
from tests.serverprocess import ServerProcess
from tests.waiting import until
from ulid import ULID

from kallglot import traces
from kallglot.api.watching import Handled
from kallglot.ids import SESSION, new_id
from kallglot.session.timings import Listened, TurnTimes
from kallglot.work import Work

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector:
    """Takes spans over OTLP/HTTP. ``status`` is what it answers with."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.status = 200
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.asked += 1
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if outer.status == 200 and self.path == "/v1/traces":
                    outer.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            self.resources.append(attributes(resource.resource))
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def attributes(of: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}


def trace_of(session_id: str) -> bytes:
    return ULID.from_str(session_id.removeprefix("sess_")).bytes


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.fixture
def tracing(collector: Collector) -> Iterator[traces.Traces]:
    made = traces.open_traces(collector.url, "1.2.3")
    assert made is not None
    yield made
    made.close()


def turn(session_id: str) -> TurnTimes:
    heard = Listened("part_2", "agent", "en", 2000, 3000)
    cut = Listened("part_3", "agent", "fr", 2100, None, cleared=True)
    return TurnTimes("turn_1", session_id, 100, 900, 1200, 500, 1500, 1510, (heard, cut))


def test_a_turn_is_a_span_with_its_stages(tracing: traces.Traces, collector: Collector) -> None:
    session_id, began = new_id(SESSION), datetime(2026, 3, 26, 11, tzinfo=UTC)
    tracing.turn(turn(session_id), began)
    tracing.close()
    (whole,) = collector.named("turn")
    zero = int(began.timestamp()) * 10**9
    assert (whole.start_time_unix_nano - zero, whole.end_time_unix_nano - zero) == (100 * 10**6, 3000 * 10**6)
    assert whole.trace_id == trace_of(session_id)
    assert whole.parent_span_id == trace_of(session_id)[8:]
    assert attributes(whole) == {
        "kallglot.turn.id": "turn_1",
        "kallglot.listeners": 2,
        "kallglot.cleared": 1,
        "kallglot.session.id": session_id,
    }
    stages = {
        (span.name, (span.start_time_unix_nano - zero) // 10**6, (span.end_time_unix_nano - zero) // 10**6)
        for span in collector.spans
        if span.parent_span_id == whole.span_id
    }
    assert stages == {
        ("speech", 100, 900),
        ("recognition", 900, 1200),
        ("translation", 1200, 1500),
        ("storing", 1500, 1510),
        ("playout", 1500, 2000),
        ("heard", 2000, 3000),
        ("playout", 1500, 2100),
    }
    assert collector.resources[0]["service.name"] == "kallglot"
    assert collector.resources[0]["service.version"] == "1.2.3"


def test_a_session_is_the_root_of_its_trace(tracing: traces.Traces, collector: Collector) -> None:
    session_id, ended = new_id(SESSION), datetime(2026, 3, 26, 11, tzinfo=UTC)
    tracing.work(Work("session", "ai_agent", "completed", ended, 60.0, session_id=session_id))
    tracing.work(Work("stay", "ai_agent", "ok", ended, 50.0, session_id=session_id))
    tracing.work(Work("session", "ai_agent", "error", ended, 1.0, failed=True, session_id=new_id(SESSION)))
    tracing.work(Work("webhook_attempt", "attempt", "delivered", ended, 1.0))
    tracing.close()
    good, bad = collector.named("session")
    assert (good.trace_id, good.span_id) == (trace_of(session_id), trace_of(session_id)[8:])
    assert good.parent_span_id == b""
    assert good.end_time_unix_nano - good.start_time_unix_nano == 60 * 10**9
    assert (good.status.code, bad.status.code) == (0, 2)
    (stay,) = collector.named("session in this process")
    assert (stay.trace_id, stay.parent_span_id) == (good.trace_id, good.span_id)
    (attempt,) = collector.named("webhook attempt")
    assert attempt.trace_id not in (good.trace_id, bad.trace_id)
    assert attempt.parent_span_id == b""


def test_a_request_goes_on_with_the_callers_trace(tracing: traces.Traces, collector: Collector) -> None:
    scope = {"method": "POST", "scheme": "http", "headers": [(b"traceparent", TRACEPARENT.encode())]}
    session_id = new_id(SESSION)
    over = tracing.request(scope)
    now = datetime(2026, 3, 26, 11, tzinfo=UTC)
    tracing.work(Work("carrier_request", "dial", "refused", now, 0.2, failed=True, session_id=session_id))
    tracing.work(Work("carrier_request", "reject", "ok", now, 0.2))
    over(Handled("POST", "/v1/sessions/{session_id}/dial", 502, 0.3, "req_1", session_id, "carrier_error"))
    plain = tracing.request({"method": "GET", "headers": [(b"traceparent", b"nonsense")]})
    plain(Handled("GET", "unrouted", 404, 0.3, "req_2", None, "resource_not_found"))
    tracing.close()
    (server,) = collector.named("POST /v1/sessions/{session_id}/dial")
    assert server.trace_id.hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert server.parent_span_id.hex() == "00f067aa0ba902b7"
    assert (server.kind, server.status.code) == (2, 2)
    assert attributes(server) == {
        "http.request.method": "POST",
        "http.route": "/v1/sessions/{session_id}/dial",
        "http.response.status_code": 502,
        "url.scheme": "http",
        "error.type": "carrier_error",
        "kallglot.request.id": "req_1",
        "kallglot.session.id": session_id,
    }
    (dial,) = collector.named("carrier dial")
    assert dial.trace_id == trace_of(session_id)
    assert [link.span_id for link in dial.links] == [server.span_id]
    assert (dial.kind, dial.status.code) == (3, 2)
    (reject,) = collector.named("carrier reject")
    assert (reject.trace_id, reject.parent_span_id) == (server.trace_id, server.span_id)
    (unrouted,) = collector.named("GET")
    assert unrouted.parent_span_id == b""
    assert "http.route" not in attributes(unrouted)


@pytest.mark.parametrize("session_id", ["sess_", "sess_not-a-ulid", "org_01JQ8Z5V7W3T9N4K2M6P8R1S0G", None])
def test_what_is_no_session_has_a_trace_of_its_own(
    tracing: traces.Traces, collector: Collector, session_id: str | None
) -> None:
    tracing.work(Work("recording", "mixed", "ok", datetime.now(UTC), 1.0, session_id=session_id))
    tracing.close()
    assert len(collector.named("render recording")) == 1


async def test_a_receiver_that_refuses_is_said_once(
    tracing: traces.Traces, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kallglot.traces")
    work = Work("recording", "mixed", "ok", datetime.now(UTC), 1.0)
    collector.status = 400
    for n in (1, 2):
        tracing.work(work)
        await until(lambda n=n: tracing.exported["lost"] == n)

    def said() -> list[str]:
        return [one.message for one in caplog.records if one.name == "kallglot.traces"]

    assert said() == ["traces are lost: their receiver does not take them"]
    collector.status = 200
    tracing.work(work)
    await until(lambda: tracing.exported["sent"] == 1)
    assert said()[1:] == ["traces are taken again"]


async def test_far_too_many_spans_are_dropped_not_kept(collector: Collector) -> None:
    collector.status = 503
    tracing = traces.open_traces(collector.url, "1")
    assert tracing is not None
    for _ in range(3 * traces.MOST_WAITING):
        tracing.work(Work("recording", "mixed", "ok", datetime.now(UTC), 1.0))
    queue = tracing._provider._active_span_processor._span_processors[0]._batch_processor._queue  # type: ignore[attr-defined]
    assert len(queue) <= traces.MOST_WAITING
    await asyncio.to_thread(tracing.close)


def test_nothing_of_it_is_loaded_where_it_is_not_wanted() -> None:
    code = (
        "import sys, kallglot.app; from kallglot import traces; assert traces.open_traces(None, '1') is None;"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')"
        " or name.startswith('opentelemetry.exporter')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def without_opentelemetry(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line as if the packages were not there."""
    code = (
        "import sys\n"
        "class Gone:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter')): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Gone())\n"
        f"sys.argv = ['kallglot', {', '.join(repr(one) for one in command)}]\n"
        "from kallglot.cli import app\napp()\n"
    )
    environment = {
        "PATH": "/usr/bin:/bin",
        "KALLGLOT_DATA_DIR": str(folder / "data"),
        "KALLGLOT_PORT": "0",
        "KALLGLOT_SCRIPTED_ENGINES": str(scripted(folder)),
        "KALLGLOT_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, cwd=folder
    )


@pytest.mark.server
@pytest.mark.parametrize(("command", "status"), [("serve", 2), ("doctor", 1)])
def test_packages_that_are_missing_are_named(tmp_path: Path, command: str, status: int) -> None:
    done = without_opentelemetry(tmp_path, command)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == status, said
    assert "OpenTelemetry is not installed: pip install 'kallglot[traces]'" in said
    assert "Traceback" not in said


async def one_call(server: ServerProcess) -> str:
    """A sentence, heard; the session's id."""
    async with server.rest() as rest:
        body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
        made = await rest.post(
            "/v1/sessions", json=body | {"recording": {"enabled": True}}, headers={"traceparent": TRACEPARENT}
        )
        session = made.raise_for_status().json()
        stream = session["stream"]
        customer = await StreamClient.open(stream["url"], stream["token"], "&participant=customer")
        await customer.until("session.ready")
        colleague = await agent(server, session["id"])
        await customer.say(speaker=None)
        await colleague.until("playback.finished")
        await rest.post(f"/v1/sessions/{session['id']}/end")
        await colleague.until("session.ended")
    return session["id"]


@pytest.mark.server
async def test_a_call_is_one_trace(tmp_path: Path, collector: Collector) -> None:
    settings = {"KALLGLOT_OTLP_ENDPOINT": collector.url}
    with ServerProcess(tmp_path / "data", scripted=scripted(tmp_path), settings=settings) as server:
        session_id = await one_call(server)
        await until(lambda: len(collector.named("render recording")) == 2, within_s=60)
    own = {span.name for span in collector.spans if span.trace_id == trace_of(session_id)}
    assert own >= {"session", "session in this process", "turn", "speech", "translation", "heard", "render recording"}
    (created,) = collector.named("POST /v1/sessions")
    assert created.trace_id.hex() == TRACEPARENT.split("-")[1]
    root, whole = collector.named("session")[0], collector.named("turn")[0]
    assert whole.parent_span_id == root.span_id
    assert root.start_time_unix_nano < whole.start_time_unix_nano
    said = str(collector.spans)
    assert not [one for one in ("Guten Tag", "kst_", "sk_live", "org_") if one in said]


@pytest.mark.server
@pytest.mark.parametrize("fault", ["dead", "silent"])
async def test_calls_do_not_notice_a_receiver_that_is_away(tmp_path: Path, fault: str) -> None:
    silent = await asyncio.start_server(lambda reader, writer: reader.read(), "127.0.0.1", 0)
    port = 9 if fault == "dead" else silent.sockets[0].getsockname()[1]
    settings = {"KALLGLOT_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    with ServerProcess(tmp_path / "data", scripted=scripted(tmp_path), settings=settings) as server:
        await one_call(server)
        await until(lambda: "traces are lost" in server.log, within_s=60)
        await one_call(server)
        async with httpx.AsyncClient() as client:
            page = (await client.get(f"{server.url}/metrics")).text
        assert 'kallglot_trace_spans_total{outcome="lost"}' in page
        # Leaving asserts that it stops within ten seconds.
    assert server.log.count("traces are lost") == 1
    silent.close()
