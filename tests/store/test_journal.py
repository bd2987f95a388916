from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from tests.store.test_store import organization, session

from kallglot.clock import FakeClock
from kallglot.session.model import Participant, Session, Translation, Turn, Usage
from kallglot.session.ports import Unstorable
from kallglot.store import SqlJournal, SqlStore

CLOCK = FakeClock()


def turn(session_id: str, sequence: int, turn_id: str | None = None) -> Turn:
    return Turn(
        id=turn_id or f"turn_{session_id}_{sequence}",
        session_id=session_id,
        sequence=sequence,
        participant_id="part_c",
        speaker="customer",
        language="de",
        text="Grüße\u2028😀",
        start_ms=sequence * 1000,
        end_ms=sequence * 1000 + 500,
        created_at=CLOCK.now(),
        confidence=0.5,
        translations=(Translation("en", "Greetings"),),
    )


@pytest.fixture
async def live(store: SqlStore) -> Session:
    owner = organization()
    made = session(owner.id)
    async with store.write() as unit:
        await unit.organizations.add(owner)
        await unit.sessions.add(made)
    return made


async def test_turns_given_at_once_are_all_durable_and_in_order(journal: SqlJournal, live: Session) -> None:
    await asyncio.gather(*(journal.add_turn(turn(live.id, n)) for n in range(1, 101)))
    assert await journal.turns(live.id) == [turn(live.id, n) for n in range(1, 101)]


async def test_the_same_turn_twice_is_one_turn(journal: SqlJournal, live: Session) -> None:
    await asyncio.gather(journal.add_turn(turn(live.id, 1)), journal.add_turn(turn(live.id, 1)))
    assert len(await journal.turns(live.id)) == 1


async def test_a_turn_that_cannot_be_stored_harms_no_other(journal: SqlJournal, live: Session) -> None:
    given = [turn(live.id, 1), turn("sess_nowhere", 1), turn(live.id, 1, "turn_other"), turn(live.id, 2)]
    found = await asyncio.gather(*(journal.add_turn(one) for one in given), return_exceptions=True)
    assert [type(one) for one in found] == [type(None), Unstorable, Unstorable, type(None)]
    await journal.add_turn(turn(live.id, 3))
    assert [one.sequence for one in await journal.turns(live.id)] == [1, 2, 3]


async def test_a_waiter_that_gave_up_harms_nobody(journal: SqlJournal, live: Session) -> None:
    giving_up = asyncio.create_task(journal.add_turn(turn(live.id, 1)))
    staying = asyncio.create_task(journal.add_turn(turn(live.id, 2)))
    await asyncio.sleep(0)
    giving_up.cancel()
    await staying
    assert 2 in [one.sequence for one in await journal.turns(live.id)]


async def test_closing_finishes_what_was_accepted(store: SqlStore, live: Session) -> None:
    journal = SqlJournal(store)
    await journal.start()
    accepted = [asyncio.create_task(journal.add_turn(turn(live.id, n))) for n in range(1, 20)]
    await asyncio.sleep(0)
    await journal.close()
    await asyncio.gather(*accepted)
    assert len(await journal.turns(live.id)) == 19


async def test_a_session_moves_forward_only(journal: SqlJournal, live: Session) -> None:
    async def status() -> str:
        found = await journal.load(live.id)
        assert found is not None
        return found.status

    await journal.started(live.id, CLOCK.now())
    await journal.connecting(live.id)
    assert await status() == "active"
    await journal.started(live.id, CLOCK.now() + timedelta(hours=1))
    found = await journal.load(live.id)
    assert found is not None
    assert found.started_at == CLOCK.now()
    await journal.ending(live.id)
    await journal.started(live.id, CLOCK.now())
    assert await status() == "ending"
    ended = await journal.ended(live.id, CLOCK.now(), "completed", Usage(1.5, 0.5, 0.0))
    assert ended is not None
    assert (ended.status, ended.usage, ended.end_reason) == ("ended", Usage(1.5, 0.5, 0.0), "completed")
    assert await journal.ended(live.id, CLOCK.now() + timedelta(1), "error", Usage(9, 9, 9)) == ended
    await journal.waiting(live.id, CLOCK.now())
    assert (await journal.overdue(CLOCK.now())) == []
    assert await journal.ended("sess_nowhere", CLOCK.now(), "completed", Usage(0, 0, 0)) is None


async def test_deadlines(journal: SqlJournal, live: Session) -> None:
    await journal.connecting(live.id)
    assert await journal.overdue(CLOCK.now() + timedelta(days=1)) == []
    assert await journal.orphaned(CLOCK.now() + timedelta(minutes=5)) == 1
    assert await journal.orphaned(CLOCK.now() + timedelta(minutes=9)) == 0
    assert await journal.overdue(CLOCK.now() + timedelta(minutes=4)) == []
    assert [one.id for one in await journal.overdue(CLOCK.now() + timedelta(minutes=5))] == [live.id]


async def test_languages_are_kept(journal: SqlJournal, live: Session) -> None:
    known = (live.participants[0], Participant("part_a", "agent", "en"))
    await journal.participants(live.id, known)
    found = await journal.load(live.id)
    assert found is not None
    assert found.participants == known


WRITER = """
import asyncio, sys
sys.path.insert(0, {root!r})
from cryptography.fernet import Fernet
from kallglot.store import SqlJournal, SqlStore
from tests.store.test_journal import turn
async def main():
    store = SqlStore({url!r}, Fernet(Fernet.generate_key()))
    journal = SqlJournal(store)
    await journal.start()
    for n in range(1, 100000):
        await journal.add_turn(turn({session!r}, n))
        print(n, flush=True)
asyncio.run(main())
"""


async def test_kill_9_loses_no_turn_that_was_acknowledged(store: SqlStore, database_url: str, live: Session) -> None:
    root = str(Path(__file__).parents[2])
    script = WRITER.format(root=root, url=database_url, session=live.id)
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    assert writer.stdout is not None
    acknowledged = 0
    for line in writer.stdout:
        acknowledged = int(line)
        if acknowledged == 50:
            os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    reopened = SqlStore(database_url, Fernet(Fernet.generate_key()))
    try:
        found = await SqlJournal(reopened).turns(live.id)
    finally:
        await reopened.close()
    assert [one.sequence for one in found][:acknowledged] == list(range(1, acknowledged + 1))
    assert acknowledged >= 50


async def test_an_error_does_not_tell_what_was_said(journal: SqlJournal, live: Session) -> None:
    with pytest.raises(Unstorable) as failed:
        await journal.add_turn(turn("sess_nowhere", 1))
    assert "Grüße" not in str(failed.value)
