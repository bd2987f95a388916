"""Who makes analyses: from the rows of a real store, in real child processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from tests.analysis.conversations import ENGLISH, turns
from tests.databases import migrated_sqlite
from tests.fakes.chat import ChatServer, answers, refuses, silent
from tests.store.test_store import organization, session
from tests.waiting import until

from kallglot import child
from kallglot.accounts import credits
from kallglot.accounts.ports import Page
from kallglot.analysis.analyst import ATTEMPTS, INTERRUPTED, Analyst
from kallglot.analysis.llm import ChatModel
from kallglot.analysis.model import PARTS, Analysis
from kallglot.analysis.profiles import load
from kallglot.analysis.reader import Reader, ReadingFailed
from kallglot.api.ports.events import EventFilter
from kallglot.clock import FakeClock
from kallglot.ids import ANALYSIS, new_id
from kallglot.session.model import Session, Turn
from kallglot.store import SqlAnalysisQueue, SqlJournal, SqlStore
from kallglot.work import Work

GOOD = {"summary": "So.", "sentiment": {"customer": "a", "agent": "b"}, "keywords": ["router"]}


class Bench:
    """A store with one ended session, and analysts that come and go."""

    def __init__(self, store: SqlStore, over: Session, clock: FakeClock) -> None:
        self.store = store
        self.over = over
        self.clock = clock
        self.queue = SqlAnalysisQueue(store.database)
        self.works: list[Work] = []
        self._running: list[Analyst] = []

    async def start(self, *, owner: str = "one", **options: Any) -> Analyst:
        analyst = Analyst(self.queue, load(), self.clock, owner, observe=self.works.append, poll_s=0.02, **options)
        await analyst.start()
        self._running.append(analyst)
        return analyst

    async def stop(self) -> None:
        while self._running:
            await self._running.pop().close()

    async def add(self, **changes: Any) -> str:
        one = Analysis(
            new_id(ANALYSIS),
            self.over.id,
            self.over.organization_id,
            True,
            "processing",
            "default",
            PARTS,
            self.clock.now(),
        )
        one = replace(one, **changes)
        async with self.store.write() as unit:
            await unit.analyses.add(one)
            assert await unit.organizations.take_credit(
                one.organization_id, 1, credits.ANALYSIS, one.id, one.created_at
            )
        return one.id

    async def get(self, analysis_id: str) -> Analysis:
        async with self.store.read() as unit:
            found = await unit.analyses.get(analysis_id, self.over.organization_id, True)
        assert found is not None
        return found

    async def ended(self, analysis_id: str) -> Analysis:
        async with asyncio.timeout(60):
            while (found := await self.get(analysis_id)).status == "processing":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return found

    async def told(self) -> list[str]:
        async with self.store.read() as unit:
            found, _ = await unit.events.list(EventFilter(self.over.organization_id, True), Page(100))
        return [one.type for one in found if one.type.startswith("analysis.")]

    async def credits(self) -> int:
        async with self.store.read() as unit:
            found = await unit.organizations.get(self.over.organization_id)
        assert found is not None
        return found.credits_remaining


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    clock = FakeClock()
    store = SqlStore(migrated_sqlite(tmp_path / "analyses.sqlite3"), Fernet(Fernet.generate_key()))
    await store.start()
    journal = SqlJournal(store)
    await journal.start()
    owner = organization()
    over = session(owner.id, status="ended")
    async with store.write() as unit:
        await unit.organizations.add(owner)
        await unit.sessions.add(over)
    for one in turns(ENGLISH, "en"):
        speaker: Any = one.speaker
        await journal.add_turn(
            Turn(
                new_id("turn_"),
                over.id,
                one.sequence,
                one.participant_id,
                speaker,
                "en",
                one.text,
                one.start_ms,
                one.end_ms,
                clock.now(),
            )
        )
    made = Bench(store, over, clock)
    yield made
    await made.stop()
    await journal.close()
    await store.close()


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with ChatServer() as opened:
        yield opened


def model(server: ChatServer, bench: Bench) -> ChatModel:
    async def sleep(_: float) -> None:
        return

    return ChatModel(server.url, "model-1", None, bench.clock, sleep=sleep)


async def test_everything_is_made_without_a_model(bench: Bench) -> None:
    analyst = await bench.start()
    done = await bench.ended(await bench.add(profile="support"))
    assert done.status == "completed"
    assert done.result is not None
    assert set(done.result) == {*PARTS, "engine"}
    assert done.result["engine"] == "extractive"
    assert "My internet has been down" in done.result["summary"]
    assert done.result["compliance"]["status"] == "ok"
    assert done.result["performance"]["turns"] == {"customer": 9, "agent": 10}
    await until(lambda: analyst.stats().completed == 1 and analyst.stats().waiting == 0)
    assert (analyst.stats().running, analyst.stats().failed) == (0, 0)
    assert await bench.told() == ["analysis.complete"]
    assert [(work.kind, work.name, work.outcome) for work in bench.works] == [("analysis", "extractive", "ok")]


async def test_only_what_was_asked_for(bench: Bench) -> None:
    await bench.start()
    done = await bench.ended(await bench.add(include=("compliance", "performance")))
    assert done.result is not None
    assert (set(done.result), done.result["engine"]) == ({"compliance", "performance", "engine"}, None)


async def test_a_model_makes_what_needs_understanding(bench: Bench, server: ChatServer) -> None:
    server.otherwise = answers(GOOD)
    await bench.start(engine=model(server, bench))
    done = await bench.ended(await bench.add())
    assert done.result is not None
    assert (done.result["summary"], done.result["engine"]) == ("So.", "model-1")
    assert done.result["performance"]["turns"] == {"customer": 9, "agent": 10}
    assert len(server.asked) == 1


async def test_a_model_is_not_asked_about_what_is_counted(bench: Bench, server: ChatServer) -> None:
    await bench.start(engine=model(server, bench))
    assert (await bench.ended(await bench.add(include=("performance",)))).status == "completed"
    assert server.asked == []


async def test_a_model_that_refuses_fails_the_analysis_and_gives_its_credit_back(
    bench: Bench, server: ChatServer
) -> None:
    server.otherwise = answers(None, refusal="no")
    analyst = await bench.start(engine=model(server, bench))
    failed = await bench.ended(await bench.add())
    assert (failed.status, failed.result) == ("failed", None)
    assert failed.error == "The language model refused to analyse this conversation."
    assert await bench.credits() == 10
    assert await bench.told() == ["analysis.failed"]
    await until(lambda: analyst.stats().failed == 1)
    assert bench.works[-1].failed


async def test_a_model_that_is_away_is_asked_again_later_and_at_last_no_more(
    bench: Bench, server: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.otherwise = refuses(503)
    analyst = await bench.start(engine=model(server, bench))
    analysis = await bench.add()
    for attempt in range(1, ATTEMPTS + 1):
        await until(lambda attempt=attempt: len(server.asked) == 3 * attempt and not analyst.stats().running)
        if attempt < ATTEMPTS:
            assert (await bench.get(analysis)).status == "processing"
            bench.clock.advance(15 * 4 ** (attempt - 1))
    failed = await bench.ended(analysis)
    assert failed.error == "The language model's server answered 503."
    assert (await bench.credits(), await bench.told()) == (10, ["analysis.failed"])


async def test_a_model_that_comes_back_in_time(bench: Bench, server: ChatServer) -> None:
    server.plan = [refuses(429, Retry_After="120")]
    server.otherwise = answers(GOOD)
    analyst = await bench.start(engine=model(server, bench))
    analysis = await bench.add()
    await until(lambda: len(server.asked) == 1 and not analyst.stats().running)
    bench.clock.advance(119)
    analyst.wake()
    await until(lambda: analyst.stats().waiting == 1)
    assert len(server.asked) == 1, "it said when"
    bench.clock.advance(1)
    assert (await bench.ended(analysis)).status == "completed"
    assert await bench.credits() == 9


async def test_a_profile_that_is_gone(bench: Bench) -> None:
    await bench.start()
    failed = await bench.ended(await bench.add(profile="astrology"))
    assert failed.error == "There is no profile astrology any more."
    assert await bench.credits() == 10


async def test_what_is_interrupted_every_time_fails(bench: Bench) -> None:
    analysis = await bench.add()
    for _ in range(ATTEMPTS):
        assert await bench.queue.claim("one", bench.clock.now(), bench.clock.now(), 1, ())
    await bench.start()
    failed = await bench.ended(analysis)
    assert (failed.error, await bench.credits()) == (INTERRUPTED, 10)


async def test_a_polite_end_frees_what_was_begun(bench: Bench, server: ChatServer) -> None:
    server.plan = [silent]
    server.otherwise = answers(GOOD)
    await bench.start(engine=model(server, bench))
    analysis = await bench.add()
    await until(lambda: len(server.asked) == 1)
    await bench.stop()
    [claimed] = await bench.queue.claim("two", bench.clock.now(), bench.clock.now(), 1, ())
    assert (claimed.analysis.id, claimed.attempt) == (analysis, 1), "as if it had not been begun"


async def test_many_are_made_a_few_at_a_time_by_several(bench: Bench, server: ChatServer) -> None:
    """Each exactly once."""
    gate = asyncio.Event()

    async def held(writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
        await gate.wait()
        await answers(GOOD)(writer, asked)

    server.otherwise = held
    made = [await bench.add(include=("summary",)) for _ in range(8)]
    first = await bench.start(owner="one", engine=model(server, bench), at_once=2)
    second = await bench.start(owner="two", engine=model(server, bench), at_once=3)
    await until(lambda: len(server.asked) == 5)
    assert (first.stats().running, second.stats().running) == (2, 3)
    gate.set()
    assert {(await bench.ended(one)).status for one in made} == {"completed"}
    await until(lambda: first.stats().completed + second.stats().completed == 8)
    assert len(server.asked) == 8
    assert await bench.told() == ["analysis.complete"] * 8


async def test_who_lost_its_lease_stops(bench: Bench, server: ChatServer) -> None:
    server.plan = [silent]
    slow = await bench.start(owner="slow", engine=model(server, bench), lease_s=0.1)
    analysis = await bench.add(include=("summary",))
    await until(lambda: len(server.asked) == 1)
    async with bench.store.write() as unit:
        await unit.privacy.delete_session(bench.over.id, bench.clock.now())
    await until(lambda: slow.stats().running == 0)
    assert await bench.queue.waiting() == 0
    assert (slow.stats().completed, slow.stats().failed, analysis != "") == (0, 0, True)


async def test_a_reader_that_dies_is_another_attempt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Reader()
    tried: list[int] = []

    async def dies(order: bytes) -> Any:
        tried.append(len(order))
        return await Reader(timeout_s=20).read(order if len(tried) > 1 else b"{")

    monkeypatch.setattr(broken, "read", dies)
    analyst = await bench.start(reader=broken)
    analysis = await bench.add()
    with caplog.at_level(logging.ERROR):
        await until(lambda: tried and not analyst.stats().running)
    bench.clock.advance(15)
    assert (await bench.ended(analysis)).status == "completed"
    assert await bench.told() == ["analysis.complete"]


async def test_a_reader_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    original = child._end

    async def noted(process: asyncio.subprocess.Process) -> None:
        await original(process)
        assert process.returncode is not None
        ended.append(process.returncode)

    monkeypatch.setattr(child, "_end", noted)
    with pytest.raises(ReadingFailed, match="took more"):
        await Reader(timeout_s=0.01).read(b"{}")
    assert ended == [-9]


async def test_a_reader_that_fails_quotes_nothing_that_was_said(caplog: pytest.LogCaptureFixture) -> None:
    for order in (b'{"conversation": {"turns": []}, "parts": ["Wiedersehensfreude"]}', b"{"):
        with caplog.at_level(logging.ERROR), pytest.raises(ReadingFailed, match="without an answer"):
            await Reader(timeout_s=20).read(order)
    assert "ValidationError" in caplog.text
    assert "in main" in caplog.text, "where it was"
    assert "Wiedersehensfreude" not in caplog.text
