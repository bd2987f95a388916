"""Analyses on both databases: one maker at a time, one event, one credit."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.store.test_store import organization, session

from kallglot.accounts import credits
from kallglot.accounts.model import Organization
from kallglot.accounts.ports import Page
from kallglot.analysis.model import Analysis
from kallglot.analysis.notices import view
from kallglot.analysis.ports import Claimed
from kallglot.api.ports.events import EventFilter
from kallglot.clock import FakeClock
from kallglot.ids import ANALYSIS, new_id
from kallglot.outbox import Event
from kallglot.session.model import Session, Translation, Turn
from kallglot.store import SqlAnalysisQueue, SqlExpiry, SqlJournal, SqlStore
from kallglot.store.tables.sessions import sessions

NOW = FakeClock().now()
LATER = NOW + timedelta(seconds=60)


@pytest.fixture
async def owner(store: SqlStore) -> Organization:
    made = organization()
    async with store.write() as unit:
        await unit.organizations.add(made)
    return made


@pytest.fixture
async def over(store: SqlStore, owner: Organization) -> Session:
    made = session(owner.id, status="ended")
    async with store.write() as unit:
        await unit.sessions.add(made)
    return made


@pytest.fixture
def queue(store: SqlStore) -> SqlAnalysisQueue:
    return SqlAnalysisQueue(store.database)


async def added(store: SqlStore, of: Session, **changes: Any) -> Analysis:
    """Paid for."""
    made = Analysis(
        new_id(ANALYSIS), of.id, of.organization_id, True, "processing", "default", ("summary", "compliance"), NOW
    )
    made = replace(made, **changes)
    async with store.write() as unit:
        await unit.analyses.add(made)
        assert await unit.organizations.take_credit(of.organization_id, 1, credits.ANALYSIS, made.id, NOW)
    return made


async def claim(
    queue: SqlAnalysisQueue, name: str = "one", now: Any = NOW, limit: int = 10, **more: Any
) -> list[Claimed]:
    return await queue.claim(name, now, now + timedelta(seconds=60), limit, more.get("besides", ()))


async def told(store: SqlStore, of: Session) -> list[Event]:
    async with store.read() as unit:
        found, _ = await unit.events.list(EventFilter(of.organization_id, True, session_id=of.id), Page())
    return [one for one in found if one.type.startswith("analysis.")]


async def balance(store: SqlStore, owner: Organization) -> tuple[int, int]:
    async with store.read() as unit:
        found = await unit.organizations.get(owner.id)
    assert found is not None
    return found.credits_remaining, found.credits_used


async def kept(store: SqlStore, one: Analysis) -> Analysis | None:
    async with store.read() as unit:
        return await unit.analyses.get(one.id, one.organization_id, one.livemode)


async def test_an_analysis_comes_back_as_it_was_kept(store: SqlStore, over: Session) -> None:
    one = await added(store, over, call_id="call_1", api_key_id="key_1")
    assert await kept(store, one) == one
    async with store.read() as unit:
        assert await unit.analyses.get(one.id, "org_other", True) is None
        assert await unit.analyses.get(one.id, one.organization_id, False) is None
        assert await unit.analyses.list("sess_other", Page()) == ([], False)


async def test_the_list_is_newest_first(store: SqlStore, over: Session) -> None:
    made = [await added(store, over) for _ in range(3)]
    async with store.read() as unit:
        found, more = await unit.analyses.list(over.id, Page(limit=2))
        rest, none = await unit.analyses.list(over.id, Page(starting_after=found[-1].id))
    assert ([one.id for one in found], more) == ([made[2].id, made[1].id], True)
    assert ([one.id for one in rest], none) == ([made[0].id], False)


async def test_two_that_look_at_once_claim_each_its_own(
    store: SqlStore, over: Session, queue: SqlAnalysisQueue
) -> None:
    made = [(await added(store, over)).id for _ in range(6)]
    found = await asyncio.gather(*(claim(queue, f"runner {n}", limit=2) for n in range(5)))
    claimed = [one.analysis.id for some in found for one in some]
    assert len(claimed) == len(set(claimed))
    while some := await claim(queue, "the last", besides=claimed):
        claimed += [one.analysis.id for one in some]
    assert sorted(claimed) == sorted(made)


async def test_a_lease_keeps_others_away_until_it_is_over(
    store: SqlStore, over: Session, queue: SqlAnalysisQueue
) -> None:
    one = await added(store, over)
    assert [(was.analysis.id, was.attempt) for was in await claim(queue, "one")] == [(one.id, 1)]
    assert await claim(queue, "two") == []
    assert await queue.prolong([one.id, "anl_none"], "one", LATER + timedelta(seconds=60)) == {one.id}
    assert await queue.prolong([one.id], "two", LATER) == set()
    assert await claim(queue, "two", LATER) == []
    assert await claim(queue, "one", besides=[one.id]) == [], "it is being made"
    assert [was.attempt for was in await claim(queue, "one")] == [2], "after a crash, at once"
    assert [was.attempt for was in await claim(queue, "two", LATER + timedelta(seconds=60))] == [3]


async def test_what_is_done_is_told_once(store: SqlStore, over: Session, queue: SqlAnalysisQueue, owner: Any) -> None:
    one = await added(store, over)
    await claim(queue, "one", NOW)
    await claim(queue, "two", LATER)
    result = {"summary": "Grüße 🎉", "compliance": {"status": "ok", "flags": []}, "engine": "extractive"}
    assert not await queue.complete(one.id, "one", {"summary": "late"}, LATER), "it is another's by now"
    done = await asyncio.gather(*(queue.complete(one.id, "two", result, LATER) for _ in range(3)))
    assert sorted(done) == [False, False, True]
    assert not await queue.fail(one.id, "two", "too late", LATER)
    after = await kept(store, one)
    assert after == replace(one, status="completed", result=result, completed_at=LATER)
    [event] = await told(store, over)
    assert (event.type, event.body["data"]) == ("analysis.complete", view(after))
    assert await balance(store, owner) == (9, 1)
    assert await claim(queue, "two", LATER + timedelta(days=1)) == []


async def test_what_fails_gives_its_credit_back_once(
    store: SqlStore, over: Session, queue: SqlAnalysisQueue, owner: Organization
) -> None:
    one = await added(store, over)
    assert await balance(store, owner) == (9, 1)
    await claim(queue)
    failed = await asyncio.gather(*(queue.fail(one.id, "one", "The model refused.", LATER) for _ in range(3)))
    assert sorted(failed) == [False, False, True]
    assert await balance(store, owner) == (10, 0)
    async with store.read() as unit:
        lines, _ = await unit.ledgers.credits(owner.id, Page())
        assert not [words for words in await unit.ledgers.problems() if "add" in words]
    assert [(line.reason, line.reference, line.amount) for line in lines[:2]] == [
        ("refund", one.id, 1),
        ("analysis", one.id, -1),
    ]
    [event] = await told(store, over)
    assert (event.type, event.body["data"]["error"]) == ("analysis.failed", "The model refused.")


async def test_a_test_modes_analysis_costs_nothing_and_gives_nothing_back(
    store: SqlStore, owner: Organization, queue: SqlAnalysisQueue
) -> None:
    of = session(owner.id, status="ended", livemode=False)
    one = Analysis(new_id(ANALYSIS), of.id, owner.id, False, "processing", "default", ("summary",), NOW)
    async with store.write() as unit:
        await unit.sessions.add(of)
        await unit.analyses.add(one)
    await claim(queue)
    assert await queue.fail(one.id, "one", "no", LATER)
    assert await balance(store, owner) == (10, 0)


async def test_postponed_and_given_up(store: SqlStore, over: Session, queue: SqlAnalysisQueue) -> None:
    one = await added(store, over)
    await claim(queue)
    await queue.postpone(one.id, "one", LATER)
    assert await claim(queue, "one", LATER - timedelta(seconds=1)) == []
    assert [was.attempt for was in await claim(queue, "one", LATER)] == [2]
    await queue.give_up("two", [one.id])
    assert await claim(queue, "two", LATER) == [], "it was not two's"
    await queue.give_up("one", [one.id])
    assert [was.attempt for was in await claim(queue, "two", LATER)] == [2], "as if it had not been begun"


async def test_a_session_that_is_deleted_meanwhile(store: SqlStore, over: Session, queue: SqlAnalysisQueue) -> None:
    one = await added(store, over)
    await claim(queue)
    async with store.write() as unit:
        await unit.privacy.delete_session(over.id, NOW)
    assert await queue.conversation(over.id) is None
    assert not await queue.complete(one.id, "one", {}, LATER)
    assert not await queue.fail(one.id, "one", "no", LATER)
    assert await queue.prolong([one.id], "one", LATER) == set()
    assert await queue.waiting() == 0


async def test_completing_and_deleting_at_once_do_not_wait_for_each_other(
    store: SqlStore, owner: Organization, queue: SqlAnalysisQueue
) -> None:
    made: list[tuple[Session, Analysis]] = []
    for _ in range(10):
        of = session(owner.id, status="ended")
        async with store.write() as unit:
            await unit.sessions.add(of)
            one = Analysis(new_id(ANALYSIS), of.id, owner.id, True, "processing", "default", ("summary",), NOW)
            await unit.analyses.add(one)
        made.append((of, one))
    await claim(queue, limit=20)

    async def delete(of: Session) -> None:
        async with store.write() as unit:
            if await unit.privacy.lock(of.id) is not None:
                await unit.privacy.delete_session(of.id, NOW)

    async with asyncio.timeout(60):
        await asyncio.gather(
            *(work for of, one in made for work in (queue.complete(one.id, "one", {}, LATER), delete(of)))
        )
    assert await queue.waiting() == 0


async def test_the_conversation_is_all_of_it_in_order(
    store: SqlStore, journal: SqlJournal, over: Session, queue: SqlAnalysisQueue
) -> None:
    for number in range(1, 451):
        await journal.add_turn(
            Turn(
                f"turn_{over.id}_{number}",
                over.id,
                number,
                "part_1",
                "customer",
                "de",
                f"Satz {number}",
                number,
                number + 1,
                NOW,
                None,
                (Translation("en", f"Sentence {number}"),),
            )
        )
    found = await queue.conversation(over.id)
    assert found is not None
    assert [one["sequence"] for one in found["turns"]] == list(range(1, 451))
    assert found["turns"][449]["translations"] == [{"language": "en", "text": "Sentence 450"}]
    assert found["recorded"] is bool(over.recording["enabled"])
    assert await queue.waiting() == 0


async def test_what_is_deleted_while_it_is_made_is_paid_back(
    store: SqlStore, queue: SqlAnalysisQueue, owner: Organization, over: Session
) -> None:
    lost, made = [await added(store, over) for _ in range(2)]
    test = replace(made, id=new_id(ANALYSIS), livemode=False)
    async with store.write() as unit:
        await unit.analyses.add(test)
    await claim(queue)
    assert await queue.complete(made.id, "one", {}, NOW)
    before, used = await balance(store, owner)
    async with store.write() as unit:
        assert await unit.privacy.lock(over.id) is not None
        await unit.privacy.delete_session(over.id, NOW)
    assert await balance(store, owner) == (before + 1, used - 1)
    assert not await queue.fail(lost.id, "one", "late", NOW)
    assert await balance(store, owner) == (before + 1, used - 1)


async def test_what_expires_while_it_is_made_is_paid_back(
    store: SqlStore, queue: SqlAnalysisQueue, owner: Organization, over: Session
) -> None:
    async with store.database.write() as connection:
        ended = sessions.update().where(sessions.c.id == over.id)
        await connection.execute(ended.values(ended_at=NOW))
    lost = [await added(store, over) for _ in range(2)]
    await claim(queue)
    before, used = await balance(store, owner)
    expiry, later = SqlExpiry(store.database), NOW + timedelta(days=2)
    # At once with the end of one of them, which is a refund too.
    expired, failed = await asyncio.gather(
        expiry.expire_transcripts(owner.id, later, later, 10), queue.fail(lost[0].id, "one", "broken", NOW)
    )
    assert await expiry.expire_transcripts(owner.id, later, later, 10) == 1 - expired
    assert await balance(store, owner) == (before + 2, used - 2), failed
