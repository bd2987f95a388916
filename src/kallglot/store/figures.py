"""What is waiting in the database, counted now and then for the operator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import Final

from sqlalchemy import func, select

from kallglot.clock import Clock
from kallglot.store.database import Database
from kallglot.store.tables.analyses import analyses
from kallglot.store.tables.recordings import recordings
from kallglot.store.tables.telephony import connections

_UNDONE: Final = ("queued", "processing")


@dataclass(frozen=True, slots=True)
class Figures:
    """``skew_seconds``: how far this machine's clock is ahead of the database's."""

    recordings_waiting: int = 0
    analyses_waiting: int = 0
    carrier_connections: int = 0
    skew_seconds: float = 0.0


class SqlFigures:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def read(self) -> Figures:
        async with self._database.read() as connection:
            count = func.count()

            async def counted(*where: object) -> int:
                return (await connection.execute(select(count).where(*where))).scalar_one()  # type: ignore[arg-type]

            skew = 0.0
            if not self._database.is_sqlite:
                before = self._clock.now()
                theirs = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
                after = self._clock.now()
                skew = (before + (after - before) / 2 - theirs.astimezone(UTC)).total_seconds()
            return Figures(
                await counted(recordings.c.status == "processing", recordings.c.deleted.is_(False)),
                await counted(analyses.c.status.in_(_UNDONE)),
                await counted(connections.c.active.is_(True), connections.c.livemode.is_(True)),
                skew,
            )
