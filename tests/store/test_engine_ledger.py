"""What engines did: on the turn while there is one, in the ledger for good."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.store.test_journal import CLOCK, turn
from tests.store.test_store import organization, session

from kallglot.billing.usage import EngineGroup, Group, UsageFilter
from kallglot.session.model import Usage
from kallglot.speech.used import EngineUse
from kallglot.store import SqlJournal, SqlStore

HEARD = EngineUse("recognition", "deepgram", "de", audio_ms=1500)
SPOKEN = EngineUse("synthesis", "espeak-ng", "en", audio_ms=900, characters=12)
CHOSEN = {"recognition": {"de": ["deepgram", "local"]}}


async def test_it_outlives_the_session_and_stays_as_it_is(store: SqlStore, journal: SqlJournal) -> None:
    owner = organization()
    made = replace(session(owner.id), engines=CHOSEN)
    async with store.write() as unit:
        await unit.organizations.add(owner)
        await unit.sessions.add(made)
    assert (await journal.load(made.id)).engines == CHOSEN  # type: ignore[union-attr]
    await journal.add_turn(turn(made.id, 1))
    await journal.add_turn(replace(turn(made.id, 2), engines=(HEARD,)))
    await journal.add_turn(replace(turn(made.id, 3), engines=(HEARD,)))
    await journal.add_uses({turn(made.id, 3).id: (HEARD, SPOKEN), "turn_of_nobody": (SPOKEN,)})
    assert [one.engines for one in await journal.turns(made.id)] == [(), (HEARD,), (HEARD, SPOKEN)]
    now = CLOCK.now()
    for _ in range(2):
        await journal.ended(made.id, now, "completed", Usage(5.0, 1.0, 0.0), (replace(HEARD, audio_ms=250),))
    async with store.write() as unit:
        await unit.privacy.delete_session(made.id, now)
    where = UsageFilter(owner.id, made.livemode, now - timedelta(1), now + timedelta(1), ("mode",))
    async with store.read() as unit:
        found = await unit.usage.engines(where)
        elsewhere = await unit.usage.engines(replace(where, livemode=not made.livemode))
    group = Group(mode=made.mode)
    assert found == [
        EngineGroup(group, "recognition", "deepgram", 1, 3250, 0),
        EngineGroup(group, "synthesis", "espeak-ng", 1, 900, 12),
    ]
    assert elsewhere == []
    for statement in ("UPDATE engine_ledger SET characters = 0", "DELETE FROM engine_ledger"):
        with pytest.raises(DBAPIError, match="append-only"):
            async with store.database.write() as connection:
                await connection.execute(text(statement))
