"""``POST /v1/payments/stripe``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.api.conftest import Api
from tests.billing import stripes
from tests.billing.stripes import NOW, PLANS, SECRET, signed

from kallglot.accounts.plans import plan_named
from kallglot.api.server import create_api
from kallglot.billing.stripe import open_stripe

PATH = "/v1/payments/stripe"
OBJECT = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}


@pytest.fixture
async def paid(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """The same API, with Stripe set up."""
    app = create_api(replace(api.services, stripe=open_stripe(SECRET, PLANS)))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client


async def tell(client: httpx.AsyncClient, event: Any, **how: Any) -> httpx.Response:
    body, signature = signed(event, **how)
    return await client.post(PATH, content=body, headers={"Stripe-Signature": signature})


async def test_there_is_nothing_where_it_is_not_set_up(api: Api, paid: httpx.AsyncClient) -> None:
    response = await tell(api.client, stripes.checkout("org_1"))
    assert (response.status_code, response.json()["error"]["code"]) == (404, "resource_not_found")
    assert "payments" not in (await paid.get("/openapi.json")).text


async def test_a_customer_from_checkout_to_cancellation(api: Api, paid: httpx.AsyncClient) -> None:
    key = await api.tenant(credits=0, plan="free", status="inactive")

    async def create() -> tuple[int, str | None]:
        response = await api.call("POST", "/v1/sessions", OBJECT, key=key)
        return response.status_code, response.json().get("error", {}).get("code")

    organization_id = (await api.call("GET", "/v1/organization", key=key)).json()["id"]
    assert await create() == (403, "organization_inactive")
    for event in (
        stripes.invoice(),
        stripes.checkout(organization_id),
        stripes.subscription("updated", "active", created=NOW + 1),
    ):
        response = await tell(paid, event)
        assert (response.status_code, response.json()["received"]) == (200, True), response.text
    pro = plan_named("pro").credits_a_month
    shown = (await api.call("GET", "/v1/organization", key=key)).json()
    assert (shown["status"], shown["plan"], shown["subscription"], shown["credits_remaining"]) == (
        "active",
        "pro",
        "active",
        pro,
    )
    assert await create() == (201, None)
    running = (await api.call("GET", "/v1/sessions", key=key)).json()["data"][0]["id"]
    await tell(paid, stripes.subscription("updated", "past_due", created=NOW + 2))
    assert await create() == (201, None)
    await tell(paid, stripes.subscription("deleted", "canceled", created=NOW + 3))
    assert await create() == (403, "organization_inactive")
    # What runs goes on, and can be read and ended.
    assert (await api.call("GET", f"/v1/sessions/{running}", key=key)).json()["status"] == "created"
    assert (await api.call("POST", f"/v1/sessions/{running}/end", key=key)).status_code == 200


async def test_what_is_not_genuine_changes_nothing(api: Api, paid: httpx.AsyncClient) -> None:
    owner = (await api.organization()).id
    before = (await api.organization()).credits_remaining
    event = stripes.top_up(owner, "500")
    body, signature = signed(event)
    changed = body.replace(b"500", b"900")
    for sent, header in (
        (body, None),
        (body, "nonsense"),
        (changed, signature),
        (body, signed(event, secret="whsec_other")[1]),
        (body, signed(event, at=NOW)[1]),
        (b"\xff\xfe", signature),
    ):
        headers = {} if header is None else {"Stripe-Signature": header}
        response = await paid.post(PATH, content=sent, headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")
    for wrong in (b"{", b"[]", b'{"type":"invoice.paid"}'):
        assert (await tell(paid, wrong)).status_code == 400
    too_large = await tell(paid, b" " * 70_000)
    assert too_large.status_code == 413
    assert (await api.organization()).credits_remaining == before


async def test_replayed_and_sent_at_once_it_counts_once(api: Api, paid: httpx.AsyncClient) -> None:
    owner = await api.organization()
    event = stripes.top_up(owner.id, "500", customer="cus_1")
    answers = await asyncio.gather(*(tell(paid, event) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["outcome"] for answer in answers}) == 2
    assert (await tell(paid, event)).json()["outcome"] == "known already"
    assert (await api.organization()).credits_remaining == owner.credits_remaining + 500


async def test_whom_nobody_knows_and_what_nothing_depends_on_is_answered_so_that_it_stops(
    paid: httpx.AsyncClient,
) -> None:
    unknown = await tell(paid, stripes.subscription("updated", "active", customer="cus_nobody"))
    assert (unknown.status_code, unknown.json()["outcome"]) == (200, "nobody knows this customer yet")
    assert (await tell(paid, stripes.event("charge.refunded", {"id": "ch_1"}))).status_code == 200


async def test_the_database_away_is_a_500_so_that_stripe_comes_again(api: Api, paid: httpx.AsyncClient) -> None:
    owner = await api.organization()
    event = stripes.top_up(owner.id, "500")
    await api.store.database.close()
    engine = api.store.database.engine
    api.store.database.engine = create_broken(engine.url.database)
    try:
        assert (await tell(paid, event)).status_code == 500
    finally:
        api.store.database.engine = engine
    assert (await tell(paid, event)).status_code == 200
    assert (await api.organization()).credits_remaining == owner.credits_remaining + 500


def create_broken(path: str | None) -> Any:
    """An engine on a file that is not there any more, in a folder that is not there either."""
    from sqlalchemy.ext.asyncio import create_async_engine

    return create_async_engine(f"sqlite+aiosqlite:///{path}.gone/none.sqlite3")
