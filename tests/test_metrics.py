"""What Prometheus is told: of everything, in its format, with labels that are few."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.acceptance.client import StreamClient
from tests.acceptance.telephony import agent, scripted
from tests.serverprocess import ServerProcess
from tests.waiting import until

from kallglot.api.watching import Handled
from kallglot.clock import FakeClock
from kallglot.metrics import Requests, Stored, Works
from kallglot.session.timings import Listened, TurnTimes
from kallglot.speech.counted import CountedEngines
from kallglot.speech.registry import EngineRegistry, build_registry
from kallglot.speech.types import EngineError, Hints, RecognizerEvent, RecognizerOptions, Restarted, Voice
from kallglot.work import Work

ROOT = Path(__file__).parents[1]
TOKEN = "a-token-for-the-one-that-scrapes"


def documented() -> set[str]:
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(kallglot_\w+)", page, re.MULTILINE))


async def families(server: ServerProcess) -> dict[str, Metric]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(found: dict[str, Metric], name: str, **labels: str) -> float:
    family = found[name.removesuffix("_total")]
    return sum(
        sample.value for sample in family.samples if sample.name == name and labels.items() <= sample.labels.items()
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("metrics")
    settings = {"KALLGLOT_METRICS_TOKEN": TOKEN}
    with ServerProcess(folder / "data", scripted=scripted(folder), settings=settings) as made:
        yield made


@pytest.mark.server
async def test_every_metric_is_documented_and_the_other_way_round(server: ServerProcess) -> None:
    found = await families(server)
    own = {
        f"{name}_total" if family.type == "counter" else name
        for name, family in found.items()
        if not name.startswith("process_") and not name.endswith("_created")
    }
    # It is there where traces are sent only.
    assert own | {"kallglot_trace_spans_total"} == documented()
    assert not [name for name, family in found.items() if not family.documentation.strip()]
    assert all(family.type in ("counter", "gauge", "histogram") for family in found.values())


@pytest.mark.server
async def test_a_stranger_gets_no_metrics(server: ServerProcess) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            answer = await client.get("/metrics", headers=header)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_token")
            assert "kallglot_" not in answer.text


@pytest.mark.server
async def test_a_conversation_is_counted(server: ServerProcess) -> None:
    before = await families(server)
    async with server.rest() as rest:
        body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
        session = (await rest.post("/v1/sessions", json=body | {"recording": {"enabled": True}})).json()
    customer = await StreamClient.open(session["stream"]["url"], session["stream"]["token"], "&participant=customer")
    await customer.until("session.ready")
    colleague = await agent(server, session["id"])
    live = await families(server)
    assert value(live, "kallglot_live_sessions", mode="bidirectional_translation") == 1
    assert value(live, "kallglot_legs", kind="native") == 2
    await customer.say(speaker=None)
    await colleague.until("playback.finished")
    async with server.rest() as rest:
        await rest.post(f"/v1/sessions/{session['id']}/end")
        await rest.get(f"/v1/sessions/{session['id']}")
        await rest.get("/v1/nothing/+4915112345678")

    after: dict[str, Metric] = {}

    async def rendered() -> bool:
        nonlocal after
        after = await families(server)
        return value(after, "kallglot_recording_renders_total", outcome="ok") >= 2

    async with asyncio.timeout(60):
        while not await rendered():  # noqa: ASYNC110
            await asyncio.sleep(0.2)

    def more(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert more("kallglot_turns_total") == 1
    assert more("kallglot_turn_playbacks_total", outcome="heard") == 1
    heard = after["kallglot_turn_heard_seconds"].samples
    assert [sample.value for sample in heard if sample.name.endswith("_count")] == [1.0]
    assert value(after, "kallglot_engine_requests_total", kind="translation", engine="scripted") >= 1
    assert value(after, "kallglot_engine_requests_total", kind="synthesis") >= 1
    assert value(after, "kallglot_engine_requests_total", kind="recognition") >= 1
    assert value(after, "kallglot_engine_failures_total") == 0
    assert more("kallglot_journal_turns_total") == 1
    assert more("kallglot_sessions_ended_total", reason="completed") == 1
    assert more("kallglot_http_requests_total", route="/v1/sessions/{session_id}", method="GET", status="2xx") >= 1
    assert more("kallglot_http_errors_total", code="resource_not_found") == 1
    assert value(after, "kallglot_live_sessions") == 0
    assert value(after, "kallglot_database_up") == 1
    assert value(after, "kallglot_data_folder_free_bytes") > 0
    labels = {one for family in after.values() for sample in family.samples for one in sample.labels.values()}
    assert not [one for one in labels if "+49" in one or session["id"] in one or "org_" in one or "Guten" in one]


@pytest.mark.server
async def test_the_histogram_holds_each_route_once(server: ServerProcess) -> None:
    async with server.rest() as rest:
        for n in range(20):
            await rest.get(f"/v1/sessions/sess_{n:026d}")
            await rest.request(f"MADE{n}UP", "/v1/sessions")
    found = await families(server)
    seen = {
        (sample.labels["method"], sample.labels["route"])
        for sample in found["kallglot_http_request_duration_seconds"].samples
    }
    assert ("GET", "/v1/sessions/{session_id}") in seen
    assert {method for method, _ in seen} <= {"GET", "POST", "OTHER", "PATCH", "DELETE", "PUT"}
    assert len(seen) < 40


@pytest.mark.server
@pytest.mark.speech
async def test_a_child_process_that_is_killed_is_counted(tmp_path: Path) -> None:
    settings = {"KALLGLOT_METRICS_TOKEN": TOKEN, "KALLGLOT_RECOGNITION_PROCESSES": "1"}
    with ServerProcess(tmp_path / "data", settings=settings) as server:
        found = await families(server)
        assert value(found, "kallglot_engine_processes", engine="moonshine-tiny-en", state="running") == 1
        (child,) = [one for one in server.process.children() if "recognition_worker" in " ".join(one.cmdline())]
        child.kill()
        async with asyncio.timeout(60):
            while value(await families(server), "kallglot_engine_process_restarts_total") != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        async with asyncio.timeout(60):
            while value(await families(server), "kallglot_engine_processes", state="running") != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.2)


def request(**changes: Any) -> Handled:
    given = {"method": "GET", "route": "/x", "status": 200, "seconds": 0.1, "request_id": "r", "session_id": None}
    return Handled(**{**given, "code": None, **changes})


def test_requests_are_counted_by_route_and_class_of_status() -> None:
    requests = Requests()
    for status in (200, 201, 404, 503):
        over = requests({})
        assert requests.running == 1
        over(request(status=status, code="unavailable" if status == 503 else None))
    assert requests.running == 0
    assert requests.total == {("GET", "/x", "2xx"): 2, ("GET", "/x", "4xx"): 1, ("GET", "/x", "5xx"): 1}
    assert requests.errors == {"unavailable": 1}


def test_carriers_are_counted_by_themselves() -> None:
    works, now = Works(), FakeClock().now()
    about = {"kallglot.carrier": "twilio"}
    for outcome in ("ok", "refused", "ok"):
        works.observe(Work("carrier_request", "dial", outcome, now, 0.5, about=about))
    works.observe(Work("session", "ai_agent", "completed", now, 3))
    assert works.carrier == {("twilio", "dial", "ok"): 2, ("twilio", "dial", "refused"): 1}
    assert works.carrier_seconds == {"twilio": 1.5}
    assert works.of("session") == {("ai_agent", "completed"): 1}


def test_what_was_cleared_is_not_counted_as_heard() -> None:
    from kallglot.metrics import TurnLags

    lags = TurnLags()
    heard = Listened("part_1", "agent", "en", 10, 20)
    cleared = Listened("part_2", "agent", "en", 10, None, cleared=True)
    lags.observe(TurnTimes("turn_1", "sess_1", 0, 5, 6, listeners=(heard, cleared)))
    assert (lags.turns, lags.playbacks) == (1, {"heard": 1, "cleared": 1, "unfinished": 0})


class Counting:
    def __init__(self) -> None:
        self.asked = 0
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self) -> int:
        self.asked += 1
        await self.gate.wait()
        if self.away:
            raise OSError("gone")
        return self.asked


async def test_the_database_is_asked_once_for_many_who_ask() -> None:
    clock, database = FakeClock(), Counting()
    stored = Stored(database.read, clock, 0)
    database.gate.clear()
    asking = [asyncio.create_task(stored.refresh()) for _ in range(10)]
    await until(lambda: database.asked)
    database.gate.set()
    await asyncio.gather(*asking)
    assert (database.asked, stored.latest, stored.up) == (1, 1, True)
    clock.advance(4.9)
    await stored.refresh()
    assert database.asked == 1
    clock.advance(0.2)
    await stored.refresh()
    assert (database.asked, stored.latest) == (2, 2)


async def test_a_database_that_is_away_leaves_the_last_figures() -> None:
    clock, database = FakeClock(), Counting()
    stored = Stored(database.read, clock, 0, patience_seconds=0.01)
    await stored.refresh()
    database.away = True
    clock.advance(6)
    await stored.refresh()
    assert (stored.latest, stored.up) == (1, False)
    database.gate.clear()
    clock.advance(6)
    await stored.refresh()
    assert (stored.latest, stored.up) == (1, False)
    database.gate.set()
    database.away = False
    clock.advance(6)
    await stored.refresh()
    assert (stored.latest, stored.up) == (4, True)


SCRIPT = {
    "languages": ["de", "en"],
    "recognition": {"de": ["Guten Tag"]},
    "faults": {},
}


@pytest.fixture
async def registry(tmp_path: Path) -> Any:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({key: one for key, one in SCRIPT.items() if one}), encoding="utf-8")
    made = build_registry(recognition_processes=1, scripted=path, models_dir=None)
    await made.start()
    yield made
    await made.close()


async def test_engines_are_counted_and_stay_themselves(registry: EngineRegistry) -> None:
    engines = CountedEngines(registry)
    translator, synthesizer = engines.translator("de", "en"), engines.synthesizer("en")
    assert translator is not None
    assert synthesizer is not None
    assert engines.translator("en", "de") is translator
    assert engines.recognizer("de") is engines.recognizer("de")
    assert engines.recognizer("xx") is None
    await translator.translate("Guten Tag", "de", "en")
    async for _ in synthesizer.synthesize("Hello", "en", Voice()):
        pass
    speaking = synthesizer.synthesize("Hello again", "en", Voice())
    await anext(speaking)
    counts = engines.counts["synthesis", "scripted"]
    assert counts.running == 1
    await speaking.aclose()  # type: ignore[attr-defined]
    assert (counts.requests, counts.running, counts.failures) == (2, 0, 0)
    assert engines.counts["translation", "scripted"].requests == 1


class Failing:
    name = "failing"
    languages = ("de",)

    async def warm(self, source: str, target: str) -> None:
        raise EngineError("no")

    async def translate(self, text: str, source: str, target: str, hints: Hints = Hints()) -> str:
        raise EngineError("no")

    async def open(self, options: RecognizerOptions, on_event: Any) -> Any:
        on_event(Restarted(250))
        return self


class OneEngine:
    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def recognizers(self, language: str | None, orders: Any = None) -> Any:
        return [self.engine]

    def translators(self, source: str, target: str, orders: Any = None) -> Any:
        return [self.engine]

    def translation_chosen(self, source: str, target: str, orders: Any = None) -> bool:
        return False

    def synthesizers(self, language: str, orders: Any = None) -> Any:
        return []

    def detector(self) -> Any:
        return None

    def spoken_detector(self, orders: Any = None) -> Any:
        return None

    def recognised(self, orders: Any = None) -> Any:
        return ["de"]


async def test_failures_and_recoveries_of_engines_are_counted() -> None:
    engines = CountedEngines(OneEngine(Failing()))
    translator, recognizer = engines.translator("de", "en"), engines.recognizer("de")
    assert translator is not None
    assert recognizer is not None
    with pytest.raises(EngineError):
        await translator.translate("x", "de", "en")
    told: list[RecognizerEvent] = []
    await recognizer.open(RecognizerOptions(8000), told.append)
    assert told == [Restarted(250)]
    assert engines.counts["translation", "failing"].failures == 1
    heard = engines.counts["recognition", "failing"]
    assert (heard.restarts, heard.lost_ms, heard.failures) == (1, 250, 0)
