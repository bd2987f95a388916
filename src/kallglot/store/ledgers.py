"""Reading the ledgers, and checking that they add up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, cast

from sqlalchemy import BigInteger, Select, and_, case, exists, func, or_, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.accounts import credits
from kallglot.accounts.credits import CreditEntry
from kallglot.accounts.ports import Page
from kallglot.errors import KallglotError
from kallglot.store.paging import page_of
from kallglot.store.tables.accounts import organizations
from kallglot.store.tables.ledgers import credit_ledger, engine_ledger, usage_ledger
from kallglot.store.tables.sessions import sessions

_LARGEST_ID: Final = 2**31 - 1


class SqlLedgers:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def credits(self, organization_id: str, page: Page) -> tuple[list[CreditEntry], bool]:
        """Newest first. Raises ``invalid_field_value`` for a cursor that is not in the list."""
        query = select(credit_ledger).where(credit_ledger.c.organization_id == organization_id)
        numbered = replace(
            page,
            starting_after=_number(page.starting_after, "starting_after"),
            ending_before=_number(page.ending_before, "ending_before"),
        )
        found, more = await page_of(self._connection, query, credit_ledger, numbered)
        return [CreditEntry(**row) for row in found], more

    async def problems(self, limit: int = 100) -> list[str]:
        """What does not add up, a sentence each, at most ``limit`` of a kind. Each kind is one statement, so that it
        sees one moment, whatever is going on."""
        found: list[str] = []
        for say, query in (
            (_unbalanced, _balances()),
            (_jumps, _running()),
            (_unpaid, _sessions_without_credit()),
            (_unentered, _ended_without_line()),
            (_wrong, _lines_unlike_their_session()),
            (_astray, _engine_lines_without_session()),
        ):
            rows = (await self._connection.execute(query.limit(limit))).mappings()
            found.extend(say(dict(row)) for row in rows)
        return found


def _number(cursor: str | None, name: str) -> Any:
    if cursor is None:
        return None
    if not cursor.isdecimal() or not cursor.isascii() or int(cursor) > _LARGEST_ID:
        raise KallglotError("invalid_field_value", f"{name} names no object of this list: {cursor}.", param=name)
    return cast(Any, int(cursor))


def _balances() -> Select[*tuple[Any, ...]]:
    table, ledger = organizations, credit_ledger
    total = func.coalesce(func.sum(ledger.c.amount), 0)
    plan = func.coalesce(func.sum(ledger.c.plan_amount), 0)
    return (
        select(table.c.id, table.c.credits_remaining, table.c.plan_credits, total.label("total"), plan.label("plan"))
        .join(ledger, ledger.c.organization_id == table.c.id, isouter=True)
        .group_by(table.c.id)
        .having(
            or_(
                total != table.c.credits_remaining,
                plan != table.c.plan_credits,
                table.c.plan_credits < 0,
                table.c.plan_credits > table.c.credits_remaining,
            )
        )
        .order_by(table.c.id)
    )


def _unbalanced(row: dict[str, Any]) -> str:
    return (
        f"organisation {row['id']} has {row['credits_remaining']} credits, {row['plan_credits']} of them its plan's;"
        f" its ledger adds up to {row['total']}, {row['plan']} of them the plan's"
    )


def _running() -> Select[*tuple[Any, ...]]:
    ledger = credit_ledger
    running = func.sum(ledger.c.amount).over(partition_by=ledger.c.organization_id, order_by=ledger.c.id)
    lines = select(ledger.c.id, ledger.c.organization_id, ledger.c.balance_after, running.label("running")).subquery()
    return select(lines).where(lines.c.balance_after != lines.c.running).order_by(lines.c.id)


def _jumps(row: dict[str, Any]) -> str:
    return (
        f"credit line {row['id']} of organisation {row['organization_id']} says {row['balance_after']} are left; the"
        f" lines up to it add up to {row['running']}"
    )


def _sessions_without_credit() -> Select[*tuple[Any, ...]]:
    ledger = credit_ledger
    paid = exists().where(
        ledger.c.organization_id == sessions.c.organization_id,
        ledger.c.reason == credits.SESSION,
        ledger.c.reference == sessions.c.id,
    )
    return select(sessions.c.id).where(sessions.c.livemode.is_(True), ~paid).order_by(sessions.c.id)


def _unpaid(row: dict[str, Any]) -> str:
    return f"session {row['id']} is live, but no credit was taken for it"


def _ended_without_line() -> Select[*tuple[Any, ...]]:
    entered = exists().where(usage_ledger.c.session_id == sessions.c.id)
    return select(sessions.c.id).where(sessions.c.status == "ended", ~entered).order_by(sessions.c.id)


def _unentered(row: dict[str, Any]) -> str:
    return f"session {row['id']} has ended, but has no usage line"


def _lines_unlike_their_session() -> Select[*tuple[Any, ...]]:
    table, line = sessions, usage_ledger

    def ms(seconds: Any) -> Any:
        return sql_cast(func.round(func.coalesce(seconds, 0) * 1000), BigInteger)

    differs = or_(
        table.c.status != "ended",
        line.c.organization_id != table.c.organization_id,
        line.c.livemode != table.c.livemode,
        ms(table.c.session_seconds) != line.c.session_ms,
        ms(table.c.translation_seconds) != line.c.translation_ms,
        ms(table.c.ai_agent_seconds) != line.c.ai_agent_ms,
    )
    why = case((table.c.status != "ended", "it has not ended"), else_="its seconds or its owner differ")
    return (
        select(line.c.id, line.c.session_id, why.label("why"))
        .join(table, and_(table.c.id == line.c.session_id, differs))
        .order_by(line.c.id)
    )


def _engine_lines_without_session() -> Select[*tuple[Any, ...]]:
    line, entered = engine_ledger, usage_ledger
    same = exists().where(
        entered.c.session_id == line.c.session_id,
        entered.c.organization_id == line.c.organization_id,
        entered.c.livemode == line.c.livemode,
        entered.c.ended_at == line.c.ended_at,
    )
    return select(line.c.id, line.c.session_id).where(~same).order_by(line.c.id)


def _astray(row: dict[str, Any]) -> str:
    return f"engine line {row['id']} is of session {row['session_id']}, which has no usage line like it"


def _wrong(row: dict[str, Any]) -> str:
    return f"usage line {row['id']} is not that of session {row['session_id']}: {row['why']}"
