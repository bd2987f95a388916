"""The REST clients of connections, made when they are first needed and kept while their connection stays as it is."""

from __future__ import annotations

from collections.abc import Callable

from kallglot.carriers.client import CarrierClient
from kallglot.carriers.model import Connection

Maker = Callable[[Connection], CarrierClient]
MOST: int = 256


class Lines:
    def __init__(self, make: Maker) -> None:
        self._make = make
        self._open: dict[str, tuple[Connection, CarrierClient]] = {}

    async def of(self, connection: Connection) -> CarrierClient:
        known = self._open.get(connection.id)
        if known is not None and known[0] == connection:
            return known[1]
        client = self._make(connection)
        self._open[connection.id] = connection, client
        if known is not None:
            await known[1].close()
        elif len(self._open) > MOST:
            await self._open.pop(next(iter(self._open)))[1].close()
        return client

    async def close(self) -> None:
        clients, self._open = [client for _, client in self._open.values()], {}
        for client in clients:
            await client.close()
