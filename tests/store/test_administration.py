"""Keys that change, and the audit log, on both databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from kallglot.accounts.audit import OPERATOR, AuditEntry, AuditFilter
from kallglot.accounts.keys import locks_out, make
from kallglot.accounts.model import ApiKey, Organization
from kallglot.accounts.ports import Page
from kallglot.clock import FakeClock
from kallglot.ids import AUDIT, ORGANIZATION, new_id
from kallglot.store import SqlStore

CLOCK = FakeClock()


@pytest.fixture
async def owner(store: SqlStore) -> Organization:
    made = Organization(new_id(ORGANIZATION), "Acme", "active", "pro", 10, 0, CLOCK.now())
    async with store.write() as unit:
        await unit.organizations.add(made)
    return made


async def key(store: SqlStore, owner: Organization, *, livemode: bool = True) -> ApiKey:
    made, _ = make(owner.id, "k", livemode=livemode, scopes=None, now=CLOCK.now())
    async with store.write() as unit:
        await unit.api_keys.add(made)
    return made


async def test_a_key_changes_and_what_else_is_known_of_it_stays(store: SqlStore, owner: Organization) -> None:
    made, test = await key(store, owner), await key(store, owner, livemode=False)
    changed = replace(made, name="n", scopes=("admin",), expires_at=CLOCK.now(), replaced_by="key_2")
    used = CLOCK.now() + timedelta(minutes=1)
    async with store.write() as unit:
        await unit.api_keys.used(made.id, used)
        await unit.api_keys.update(changed)
    async with store.read() as unit:
        assert await unit.api_keys.get(made.id) == replace(changed, last_used_at=used)
        assert await unit.api_keys.living(owner.id) == [replace(changed, last_used_at=used)]
        assert await unit.api_keys.list(owner.id, Page(), livemode=False) == ([test], False)
    async with store.write() as unit:
        await unit.api_keys.revoke(made.id, CLOCK.now())
    async with store.read() as unit:
        assert await unit.api_keys.living(owner.id) == []


async def test_of_two_that_revoke_each_other_at_once_one_is_left(store: SqlStore, owner: Organization) -> None:
    both = [await key(store, owner), await key(store, owner)]

    async def revoke(one: ApiKey) -> bool:
        async with store.write() as unit:
            await unit.organizations.lock(owner.id)
            revoked = replace(one, revoked_at=CLOCK.now())
            if locks_out(await unit.api_keys.living(owner.id), one, revoked, CLOCK.now()):
                return False
            await unit.api_keys.revoke(one.id, CLOCK.now())
        return True

    assert sorted(await asyncio.gather(*(revoke(one) for one in both))) == [False, True]
    async with store.read() as unit:
        assert len(await unit.api_keys.living(owner.id)) == 1


async def test_the_audit_log_is_filtered_and_nobody_rewrites_it(store: SqlStore, owner: Organization) -> None:
    made, test = await key(store, owner), await key(store, owner, livemode=False)
    at = CLOCK.now()
    async with store.write() as unit:
        for n, actor in enumerate((OPERATOR, made.id, test.id)):
            moment = at + timedelta(minutes=n)
            await unit.audit.add(AuditEntry(new_id(AUDIT), owner.id, actor, "a.b", moment, f"t_{n}", {"n": n}, "req_1"))

    async def targets(**where: object) -> list[str | None]:
        async with store.read() as unit:
            found, _ = await unit.audit.list(owner.id, Page(), AuditFilter(**where))  # type: ignore[arg-type]
        return [one.target for one in found]

    assert await targets() == ["t_2", "t_1", "t_0"]
    assert await targets(by_test_keys=True) == ["t_2"]
    assert await targets(actor=OPERATOR) == ["t_0"]
    assert await targets(target="t_1", action="a.b") == ["t_1"]
    assert await targets(action="a") == []
    assert await targets(created_after=at, created_before=at + timedelta(minutes=2)) == ["t_1"]
    for act in ("UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log"):
        with pytest.raises(DBAPIError, match="append-only"):
            async with store.database.write() as connection:
                await connection.execute(text(act))
    assert len(await targets()) == 3
