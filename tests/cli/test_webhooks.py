"""``kallglot webhooks``."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from kallglot.accounts.model import Organization
from kallglot.accounts.ports import Page
from kallglot.api import samples
from kallglot.cli.main import app
from kallglot.clock import FakeClock
from kallglot.deployment import Deployment, open_store
from kallglot.ids import ORGANIZATION, WEBHOOK_ENDPOINT, new_id
from kallglot.settings import Settings
from kallglot.webhooks.model import Endpoint
from kallglot.webhooks.signatures import is_secret, new_secret

NOW = FakeClock().now()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KALLGLOT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("KALLGLOT_DATABASE_URL", raising=False)
    return tmp_path / "data" / "kallglot.sqlite3"


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["webhooks", *words])


def with_store(work: Callable[[Deployment], Awaitable[Any]]) -> Any:
    async def opened() -> Any:
        async with open_store(Settings()) as deployment:
            return await work(deployment)

    return asyncio.run(opened())


def prepared(*, org: str | None = None, livemode: bool = True) -> tuple[str, str, str]:
    """An endpoint, its secret, and the delivery of an event to it; of an organisation of this name, made if need be."""

    async def work(deployment: Deployment) -> tuple[str, str, str]:
        async with deployment.store.write() as unit:
            known = {one.name: one for one in await unit.organizations.list()}
            owner = known.get(org or "Default")
            if owner is None:
                owner = Organization(new_id(ORGANIZATION), org or "Default", "active", "pro", 0, 0, NOW)
                await unit.organizations.add(owner)
            url = "https://example.com/hooks"
            made = Endpoint(new_id(WEBHOOK_ENDPOINT), owner.id, livemode, url, ("session.ended",), NOW)
            secret = new_secret()
            await unit.webhook_endpoints.add(made, secret)
            await unit.events.add([samples.event("session.ended", owner.id, livemode, NOW)])
        async with deployment.store.read() as unit:
            [delivery] = (await unit.webhook_log.list(made.id, Page()))[0]
        return made.id, secret, delivery.delivery.id

    return with_store(work)


def rows(data: Path, query: str) -> list[Any]:
    with sqlite3.connect(data) as database:
        return database.execute(query).fetchall()


def test_lists_show_what_there_is_and_no_secret(data: Path) -> None:
    endpoint, secret, delivery = prepared()
    testing, _, _ = prepared(livemode=False)
    others, _, _ = prepared(org="Other")
    shown = run("list")
    assert shown.exit_code == 0, shown.output
    assert shown.output.index(endpoint) < shown.output.index(testing)
    assert others not in shown.output
    assert (secret in shown.output, secret[-4:] in shown.output) == (False, True)
    assert others in run("list", "--org", "Other").output
    listed = run("deliveries", endpoint).output
    assert (delivery in listed, "session.ended" in listed, "pending" in listed) == (True, True, True)
    assert delivery not in run("deliveries", endpoint, "--status", "failed").output


def test_disabling_and_enabling(data: Path) -> None:
    endpoint, _, delivery = prepared()
    assert "is disabled" in run("disable", endpoint).output
    assert "was disabled before" in run("disable", endpoint).output
    assert "disabled: by_request" in run("list").output
    assert rows(data, "SELECT id, status FROM webhook_deliveries") == [(delivery, "failed")]
    refused = run("resend", delivery)
    assert (refused.exit_code, f"{endpoint} is disabled" in refused.output) == (1, True)
    assert "is enabled" in run("enable", endpoint).output
    assert "was enabled before" in run("enable", endpoint).output
    again = run("resend", delivery)
    assert again.exit_code == 0
    made = again.output.strip()
    assert rows(data, "SELECT id, status FROM webhook_deliveries") == [(delivery, "failed"), (made, "pending")]
    assert rows(data, "SELECT DISTINCT actor FROM audit_log WHERE actor != 'system'") == [("operator",)]
    assert rows(data, "SELECT action, target FROM audit_log WHERE actor != 'system' ORDER BY id") == [
        ("webhook_endpoint.updated", endpoint),
        ("webhook_endpoint.updated", endpoint),
        ("webhook_delivery.resent", made),
    ]


def test_rotating_prints_the_new_secret_once(data: Path) -> None:
    endpoint, secret, _ = prepared()

    async def valid(deployment: Deployment) -> tuple[str, ...]:
        async with deployment.store.read() as unit:
            owner = (await unit.organizations.list())[0]
            found = await unit.webhook_endpoints.get(endpoint, owner.id, True)
        assert found is not None
        return found.secrets.valid(deployment.clock.now() + timedelta(hours=23))

    first = run("rotate", endpoint).stdout.strip()
    assert is_secret(first)
    assert with_store(valid) == (first, secret)
    last = run("rotate", endpoint, "--hours", "0").stdout.strip()
    assert with_store(valid) == (last,)
    shared = run("rotate").stdout.strip()
    assert is_secret(shared)
    assert rows(data, "SELECT action FROM audit_log ORDER BY id")[-1] == ("organization.webhook_secret_rotated",)
    assert not [row for row in rows(data, "SELECT details FROM audit_log") if "whsec" in row[0]]


def test_what_cannot_be(data: Path) -> None:
    theirs, _, delivery = prepared(org="Other")
    for words in (["deliveries", theirs], ["enable", theirs], ["disable", theirs], ["rotate", theirs]):
        refused = run(*words)
        assert (refused.exit_code, f"has no webhook endpoint {theirs}" in refused.output) == (1, True), words
    assert run("resend", delivery).exit_code == 1
    assert run("resend", delivery, "--org", "Other").exit_code == 0
    assert run("list", "--org", "Nobody").exit_code == 1
    assert run("deliveries", theirs, "--status", "lost").exit_code == 2
    assert run("rotate", theirs, "--hours", "169").exit_code == 2
    assert rows(data, "SELECT enabled FROM webhook_endpoints") == [(1,)]
