"""``kallglot orgs``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from kallglot.accounts.bootstrap import DEFAULT_CREDITS
from kallglot.accounts.credits import LARGEST_GRANT
from kallglot.accounts.keys import make
from kallglot.accounts.model import Organization, OrganizationStatus
from kallglot.accounts.plans import plan_named, plan_names
from kallglot.billing.periods import allowance_for
from kallglot.cli.shell import note, organization_named, refuse, say, show, with_store
from kallglot.clock import iso
from kallglot.deployment import Deployment
from kallglot.ids import ORGANIZATION, new_id

app = typer.Typer(no_args_is_help=True, help="Organisations, for the operator.")

Which = Annotated[str, typer.Argument(help="Its id, or its name.")]
Plan = Annotated[str, typer.Option(help=f"One of {', '.join(plan_names())}.")]


@app.command("list")
def list_organizations() -> None:
    """Shows every organisation, oldest first."""

    async def work(deployment: Deployment) -> list[Organization]:
        async with deployment.store.read() as unit:
            return await unit.organizations.list()

    table = Table("id", "name", "status", "plan", "credits left", "used", "created")
    table.columns[0].no_wrap = True
    for one in with_store(work):
        row = (one.id, one.name, one.status, one.plan, one.credits_remaining, one.credits_used, iso(one.created_at))
        table.add_row(*map(str, row))
    show(table)


@app.command("show")
def show_one(which: Which) -> None:
    """Shows one organisation."""

    async def work(deployment: Deployment) -> tuple[Organization, int]:
        async with deployment.store.read() as unit:
            one = await organization_named(unit, which)
            return one, len(await unit.api_keys.living(one.id))

    one, keys = with_store(work)
    plan = plan_named(one.plan)
    table = Table(show_header=False)
    table.add_row("id", one.id)
    table.add_row("name", one.name)
    table.add_row("status", one.status)
    table.add_row("plan", one.plan)
    table.add_row("sessions at a time", str(plan.concurrent_sessions))
    table.add_row("credits left", str(one.credits_remaining))
    table.add_row("of them until the period ends", str(one.plan_credits))
    table.add_row("credits used", str(one.credits_used))
    table.add_row("period ends", iso(one.period_end) if one.period_end else "–")
    table.add_row("subscription", one.subscription or "–")
    table.add_row("live keys, not revoked", str(keys))
    table.add_row("created", iso(one.created_at))
    show(table)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    plan: Plan = "selfhosted",
    credits: Annotated[
        int | None,
        typer.Option(min=0, max=LARGEST_GRANT, help="Credits that stay; a million where the plan grants none."),
    ] = None,
) -> None:
    """Makes an organisation and prints its first key once."""
    _check(name, plan)

    async def work(deployment: Deployment) -> tuple[str, str]:
        now = deployment.clock.now()
        given = credits
        if given is None:
            given = DEFAULT_CREDITS if plan_named(plan).credits_a_month is None else 0
        async with deployment.store.write() as unit:
            if any(one.name == name for one in await unit.organizations.list()):
                refuse(f"There is an organisation called {name} already.")
            made = Organization(new_id(ORGANIZATION), name, "active", plan, given, 0, now)
            await unit.organizations.add(made)
            key, secret = make(made.id, "first", livemode=True, scopes=None, now=now)
            await unit.api_keys.add(key)
            details = {"name": name, "plan": plan, "credits": given}
            await note(unit, deployment, made.id, "organization.created", made.id, **details)
            described = {"name": key.name, "livemode": True, "scopes": list(key.scopes)}
            await note(unit, deployment, made.id, "api_key.created", key.id, **described)
        return made.id, secret

    organization_id, secret = with_store(work)
    say(f"{organization_id}\n{secret}")


@app.command()
def suspend(which: Which) -> None:
    """Refuses every request of its keys from now on. Sessions that are on go on until they end."""
    _set_status(which, "suspended")


@app.command()
def activate(which: Which) -> None:
    """Takes its requests again."""
    _set_status(which, "active")


@app.command()
def rename(which: Which, name: Annotated[str, typer.Argument(help="What it is called from now on.")]) -> None:
    """Gives an organisation another name."""
    _check(name)

    async def work(deployment: Deployment) -> str:
        async with deployment.store.write() as unit:
            one = await organization_named(unit, which)
            if any(other.name == name and other.id != one.id for other in await unit.organizations.list()):
                refuse(f"There is an organisation called {name} already.")
            if one.name != name:
                await unit.organizations.rename(one.id, name)
                await note(unit, deployment, one.id, "organization.updated", one.id, changed=["name"], name=name)
        return one.id

    say(f"{with_store(work)} is called {name}.")


@app.command()
def plan(which: Which, to: Annotated[str, typer.Argument(help=f"One of {', '.join(plan_names())}.")]) -> None:
    """Changes what an organisation may do. A larger allowance of credits is granted at once; one that has no period
    yet begins it within a minute. A payment provider that bills the organisation may change it again."""
    _check(None, to)

    async def work(deployment: Deployment) -> tuple[Organization, int]:
        now = deployment.clock.now()
        granted = 0
        async with deployment.store.write() as unit:
            one = await organization_named(unit, which)
            if one.plan != to:
                await unit.organizations.set_plan(one.id, to)
                allowance = plan_named(to).credits_a_month
                if allowance is not None and one.period is not None and one.period.end > now:
                    whole = allowance_for(allowance, one.period)
                    granted = await unit.organizations.raise_allowance(one.id, whole, now)
                details = {"changed": ["plan"], "plan": to, "before": one.plan, "credits": granted}
                await note(unit, deployment, one.id, "organization.updated", one.id, **details)
        return one, granted

    one, granted = with_store(work)
    say(f"{one.name} ({one.id}) is on the plan {to}." + (f" {granted} credits were granted." if granted else ""))
    if one.subscription is not None:
        say(f"Its subscription is {one.subscription}: what the payment provider says next may change the plan again.")


def _set_status(which: str, status: OrganizationStatus) -> None:
    async def work(deployment: Deployment) -> Organization:
        async with deployment.store.write() as unit:
            one = await organization_named(unit, which)
            if one.status != status:
                await unit.organizations.set_status(one.id, status)
                act = "suspended" if status == "suspended" else "activated"
                await note(unit, deployment, one.id, f"organization.{act}", one.id, before=one.status)
        return one

    one = with_store(work)
    say(f"{one.name} ({one.id}) is {status}.")


def _check(name: str | None, plan: str | None = None) -> None:
    if name is not None and not 1 <= len(name) <= 200:
        refuse("A name has 1 to 200 characters.", 2)
    if name is not None and name.startswith(ORGANIZATION):
        refuse(f"A name does not begin like an id, with {ORGANIZATION}.", 2)
    if plan is not None and plan not in plan_names():
        refuse(f"There is no plan {plan}; one of {', '.join(plan_names())}.", 2)
