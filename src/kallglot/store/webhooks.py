"""Webhook endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kallglot.store.tables import webhook_endpoints
from kallglot.webhooks.model import Endpoint

FIELDS = tuple(Endpoint.__dataclass_fields__)


def endpoint(row: Mapping[Any, Any]) -> Endpoint:
    values = {name: row[name] for name in FIELDS}
    values["events"] = tuple(values["events"])
    return Endpoint(**values)


class SqlWebhookEndpoints:
    def __init__(self, connection: AsyncConnection, cipher: Fernet) -> None:
        self._connection = connection
        self._cipher = cipher

    async def add(self, endpoint: Endpoint, secret: str | None) -> None:
        values = {name: getattr(endpoint, name) for name in FIELDS}
        values["events"] = list(endpoint.events)
        values["secret"] = None if secret is None else self._cipher.encrypt(secret.encode())
        await self._connection.execute(insert(webhook_endpoints).values(values))
