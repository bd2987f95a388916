"""Making webhook endpoints over REST, and looking at them."""

from __future__ import annotations

from typing import Any

import httpx
from tests.api.conftest import Api

from kallglot.accounts.ports import Page

PATH = "/v1/webhook_endpoints"
URL = "https://example.com/hooks"


async def made(api: Api, *, key: str | None = None, **fields: Any) -> dict[str, Any]:
    response = await api.call("POST", PATH, {"url": URL} | fields, key=key)
    assert response.status_code == 201, response.text
    return response.json()


async def shown(api: Api, path: str, *, key: str | None = None) -> dict[str, Any]:
    response = await api.call("GET", path, key=key)
    assert response.status_code == 200, response.text
    return response.json()


async def deliveries(api: Api, endpoint_id: str, query: str = "", *, key: str | None = None) -> list[dict[str, Any]]:
    return (await shown(api, f"{PATH}/{endpoint_id}/deliveries{query}", key=key))["data"]


async def secrets(api: Api, endpoint_id: str) -> tuple[str, ...]:
    """What is signed with now."""
    async with api.store.read() as unit:
        found = await unit.webhook_endpoints.get(endpoint_id, (await api.organization()).id, True)
    assert found is not None
    return found.secrets.valid(api.clock.now())


async def audited(api: Api) -> list[tuple[str, str | None, dict[str, Any]]]:
    """Oldest first."""
    async with api.store.read() as unit:
        found, _ = await unit.audit.list((await api.organization()).id, Page(limit=100))
    return [(one.action, one.target, dict(one.details)) for one in found[::-1]]


def error(response: httpx.Response) -> tuple[int, str, str | None]:
    found = response.json()["error"]
    return response.status_code, found["code"], found["param"]
