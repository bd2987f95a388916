"""``kallglot keys``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final

import typer
from rich.table import Table

from kallglot.accounts.keys import LONGEST_OVERLAP, OVERLAP, KeyOver, make, rotate
from kallglot.accounts.model import SCOPES, ApiKey
from kallglot.accounts.ports import AccountsUnit, Page
from kallglot.cli.shell import OrganizationOption, note, organization_named, refuse, say, show, with_store
from kallglot.clock import iso
from kallglot.deployment import Deployment

app = typer.Typer(no_args_is_help=True, help="API keys, for the operator.")

_AT_A_TIME: Final = 100
_MEANINGS: Final = {
    "sessions:read": "sessions, calls, transcripts, events, usage of them",
    "sessions:write": "creates, changes, ends sessions; places and controls calls",
    "recordings:read": "recordings and their sound",
    "recordings:delete": "deletes recordings",
    "analysis:read": "analyses",
    "analysis:write": "creates analyses",
    "agents:manage": "AI agents and knowledge bases",
    "telephony:manage": "carrier connections and phone numbers",
    "webhooks:manage": "webhook endpoints and their deliveries",
    "admin": "the organisation, its keys – with any scope –, its audit log",
}

KeyId = Annotated[str, typer.Argument(help="key_…")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")] = "operator",
    test: Annotated[bool, typer.Option(help="A test key: sees test objects only, spends no credits.")] = False,
    scope: Annotated[list[str] | None, typer.Option(help="One of the scopes; all when none is given.")] = None,
    days: Annotated[int | None, typer.Option(min=1, max=36_500, help="Expires after so many days.")] = None,
    org: OrganizationOption = None,
) -> None:
    """Makes a key and prints it once."""
    unknown = [given for given in scope or [] if given not in SCOPES]
    if unknown:
        refuse(f"Unknown scope {unknown[0]}; one of {', '.join(SCOPES)}.", 2)
    if not 1 <= len(name) <= 200:
        refuse("--name: 1 to 200 characters are expected.", 2)

    async def work(deployment: Deployment) -> str:
        now = deployment.clock.now()
        async with deployment.store.write() as unit:
            organization = await organization_named(unit, org)
            expires_at = now + timedelta(days=days) if days else None
            key, secret = make(organization.id, name, livemode=not test, scopes=scope, now=now, expires_at=expires_at)
            await unit.api_keys.add(key)
            details = {"name": name, "livemode": key.livemode, "scopes": list(key.scopes)}
            await note(unit, deployment, organization.id, "api_key.created", key.id, **details)
        return secret

    say(with_store(work))


@app.command("list")
def list_keys(org: OrganizationOption = None) -> None:
    """Shows an organisation's keys, newest first."""

    async def work(deployment: Deployment) -> tuple[str, list[ApiKey], datetime]:
        async with deployment.store.read() as unit:
            organization = await organization_named(unit, org)
            return organization.name, await _all(unit, organization.id), deployment.clock.now()

    name, found, now = with_store(work)
    table = Table("id", "name", "mode", "scopes", "ends in", "last used", "state", title=name)
    table.columns[0].no_wrap = True
    for key in found:
        scopes = "all" if set(key.scopes) == set(SCOPES) else " ".join(key.scopes)
        used = iso(key.last_used_at) if key.last_used_at else "never"
        mode = "live" if key.livemode else "test"
        table.add_row(key.id, key.name, mode, scopes, f"…{key.hint}", used, _state(key, now))
    show(table)


@app.command("rotate")
def rotate_key(
    key_id: KeyId,
    hours: Annotated[
        int,
        typer.Option(
            min=0,
            max=int(LONGEST_OVERLAP.total_seconds()) // 3600,
            help="How long the old key is good for; 0 ends it at once.",
        ),
    ] = int(OVERLAP.total_seconds()) // 3600,
    org: OrganizationOption = None,
) -> None:
    """Makes a key like another one, prints it once, and ends the other one."""

    async def work(deployment: Deployment) -> str:
        async with deployment.store.write() as unit:
            key = await _find(unit, key_id, org)
            await unit.organizations.lock(key.organization_id)
            try:
                rotation = rotate(key, deployment.clock.now(), timedelta(hours=hours))
            except KeyOver as over:
                refuse(str(over))
            await unit.api_keys.add(rotation.new)
            await unit.api_keys.update(rotation.old)
            assert rotation.old.expires_at is not None
            details = {"replaced_by": rotation.new.id, "expires_at": iso(rotation.old.expires_at)}
            await note(unit, deployment, key.organization_id, "api_key.rotated", key.id, **details)
        return rotation.secret

    say(with_store(work))


@app.command()
def revoke(key_id: KeyId, org: OrganizationOption = None) -> None:
    """Revokes a key at once; also the last one, which the API would not."""

    async def work(deployment: Deployment) -> bool:
        async with deployment.store.write() as unit:
            key = await _find(unit, key_id, org)
            await unit.organizations.lock(key.organization_id)
            if key.revoked_at is not None:
                return False
            await unit.api_keys.revoke(key.id, deployment.clock.now())
            await note(unit, deployment, key.organization_id, "api_key.revoked", key.id, name=key.name)
        return True

    say(f"{key_id} is revoked." if with_store(work) else f"{key_id} was revoked before.")


@app.command()
def scopes() -> None:
    """What each scope is good for."""
    table = Table("scope", "what a key with it may do")
    for scope in SCOPES:
        table.add_row(scope, _MEANINGS[scope])
    show(table)


async def _all(unit: AccountsUnit, organization_id: str) -> list[ApiKey]:
    found: list[ApiKey] = []
    more = True
    while more:
        page = Page(_AT_A_TIME, starting_after=found[-1].id if found else None)
        keys, more = await unit.api_keys.list(organization_id, page)
        found += keys
    return found


async def _find(unit: AccountsUnit, key_id: str, org: str | None) -> ApiKey:
    """Of any organisation, where none is named."""
    key = await unit.api_keys.get(key_id)
    if org is not None:
        organization = await organization_named(unit, org)
        if key is None or key.organization_id != organization.id:
            refuse(f"{organization.name} has no key {key_id}.")
    if key is None:
        refuse(f"There is no key {key_id}.")
    return key


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "valid"
    if key.expires_at <= now:
        return "rotated" if key.replaced_by else "expired"
    return f"{'rotated, ' if key.replaced_by else ''}valid until {iso(key.expires_at)}"
