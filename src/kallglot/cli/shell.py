"""What every command of the operator stands on: settings, the store, words on the screen, the audit log."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from kallglot.accounts.audit import OPERATOR, AuditEntry
from kallglot.accounts.model import Organization
from kallglot.accounts.ports import AccountsUnit
from kallglot.deployment import Deployment, open_store
from kallglot.ids import AUDIT, ORGANIZATION, new_id
from kallglot.settings import Settings

console = Console()
_WIDTH_IN_A_PIPE: Final = 240

OrganizationOption = Annotated[
    str | None, typer.Option("--org", help="Its id or its name; the first organisation when left out.")
]
Answer = TypeVar("Answer")


def settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"]).upper()
            console.print(f"KALLGLOT_{field}: {problem['msg']}", style="red", highlight=False)
        raise typer.Exit(2) from None


def with_store(work: Callable[[Deployment], Awaitable[Answer]]) -> Answer:
    """What ``work`` gives. The server may be running: both write to the same database."""

    async def run() -> Answer:
        async with open_store(settings()) as deployment:
            if deployment.new_secret is not None:
                announce_first_key(deployment.new_secret)
            return await work(deployment)

    os.umask(0o077)
    return asyncio.run(run())


def announce_first_key(secret: str) -> None:
    """On standard error, so that what a command prints stays what it is."""
    told = Console(stderr=True)
    told.print("\nThis is the first start. The API key of the default organisation, shown only now:\n")
    told.print(f"    {secret}\n", style="bold green", highlight=False, soft_wrap=True)


def refuse(message: str, status: int = 1) -> NoReturn:
    """2 for a command that cannot be meant, 1 for one that cannot be done."""
    console.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(status)


def say(message: str) -> None:
    console.print(message, highlight=False, markup=False, soft_wrap=True)


def show(table: Table) -> None:
    """In a pipe as wide as it needs to be, so that an id stays in one piece."""
    wide = console if console.is_terminal else Console(width=_WIDTH_IN_A_PIPE)
    wide.print(table)


async def organization_named(unit: AccountsUnit, named: str | None) -> Organization:
    """By id or by name, the first where neither is given. Refuses what is nobody's, and a name that is several's."""
    everybody = await unit.organizations.list()
    if named is None:
        return everybody[0]
    found = [one for one in everybody if one.id == named] or [one for one in everybody if one.name == named]
    if not found:
        word = "id" if named.startswith(ORGANIZATION) else "name"
        refuse(f"There is no organisation with the {word} {named}; kallglot orgs list shows them.")
    if len(found) > 1:
        refuse(f"{len(found)} organisations are called {named}; say which: {', '.join(one.id for one in found)}.")
    return found[0]


async def note(
    unit: AccountsUnit, deployment: Deployment, organization_id: str, action: str, target: str | None, **details: Any
) -> None:
    """In the transaction of the act. ``details`` must hold no secrets."""
    now = deployment.clock.now()
    await unit.audit.add(AuditEntry(new_id(AUDIT), organization_id, OPERATOR, action, now, target, details))
