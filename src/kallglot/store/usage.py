"""What sessions used: the append-only ledger."""

from __future__ import annotations

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.session.model import Session
from kallglot.store.tables import usage_ledger


class SqlUsageLedger:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def enter(self, session: Session) -> None:
        """One line, when the session has ended; a second time changes nothing."""
        assert session.usage is not None
        assert session.ended_at is not None
        dialect = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        await self._connection.execute(
            dialect.insert(usage_ledger)
            .values(
                organization_id=session.organization_id,
                livemode=session.livemode,
                session_id=session.id,
                mode=session.mode,
                api_key_id=session.api_key_id,
                session_ms=round(session.usage.session_seconds * 1000),
                translation_ms=round(session.usage.translation_seconds * 1000),
                ai_agent_ms=round(session.usage.ai_agent_seconds * 1000),
                session_created_at=session.created_at,
                ended_at=session.ended_at,
            )
            .on_conflict_do_nothing()
        )
