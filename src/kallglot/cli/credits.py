"""``kallglot credits``: an organisation's balance, its ledger, and whether the ledgers add up."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from kallglot.accounts import credits as reasons
from kallglot.accounts.plans import plan_named
from kallglot.accounts.ports import Page
from kallglot.billing.check import check
from kallglot.cli.shell import OrganizationOption, console, note, organization_named, refuse, say, with_store
from kallglot.cli.shell import show as show_table
from kallglot.clock import iso
from kallglot.deployment import Deployment
from kallglot.ids import new_id

credits = typer.Typer(no_args_is_help=True, help="API credits of an organisation, and whether the ledgers add up.")


@credits.command("show")
def show(org: OrganizationOption = None) -> None:
    """What is left, what was used, and until when."""

    async def work(deployment: Deployment) -> None:
        async with deployment.store.read() as unit:
            one = await organization_named(unit, org)
        table = Table(show_header=False)
        monthly = plan_named(one.plan).credits_a_month
        for name, value in (
            ("organisation", f"{one.id}  {one.name}"),
            ("status", one.status),
            ("subscription", one.subscription or "none"),
            ("plan", f"{one.plan}, {'no allowance' if monthly is None else f'{monthly} credits a month'}"),
            ("remaining", str(one.credits_remaining)),
            ("of them the plan's", str(one.plan_credits)),
            ("used", str(one.credits_used)),
            ("period", "none" if one.period is None else f"{iso(one.period.start)} to {iso(one.period.end)}"),
        ):
            table.add_row(name, value)
        show_table(table)

    with_store(work)


@credits.command("grant")
def grant(
    amount: Annotated[int, typer.Argument(min=1, max=reasons.LARGEST_GRANT, help="How many credits; they stay.")],
    org: OrganizationOption = None,
    reference: Annotated[
        str | None,
        typer.Option(help="What for, an invoice number say: granted once for each. Made up when unset."),
    ] = None,
) -> None:
    """Grants credits that do not end with a period."""
    what_for = reference or new_id("grant_")
    if len(what_for) > 80:
        refuse("A reference has at most 80 characters.", 2)

    async def work(deployment: Deployment) -> None:
        now = deployment.clock.now()
        async with deployment.store.write() as unit:
            one = await organization_named(unit, org)
            try:
                granted = await unit.organizations.grant_credits(one.id, amount, reasons.GRANT, what_for, now)
            except OverflowError as error:
                refuse(str(error))
            if granted:
                await note(unit, deployment, one.id, "credits.granted", None, credits=amount, reference=what_for)
            after = await unit.organizations.get(one.id)
        if not granted:
            say(f"Credits were granted for {what_for} before; nothing is changed.")
            return
        left = one.credits_remaining if after is None else after.credits_remaining
        say(f"{amount} credits granted to {one.id}; {left} are left.")

    with_store(work)


@credits.command("ledger")
def ledger(
    org: OrganizationOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many lines, the newest.")] = 20,
) -> None:
    """The lines of the credit ledger, newest first."""

    async def work(deployment: Deployment) -> None:
        async with deployment.store.read() as unit:
            one = await organization_named(unit, org)
            found, more = await unit.ledgers.credits(one.id, Page(limit=limit))
        table = Table("id", "when", "amount", "left", "reason", "reference")
        for line in found:
            amount = f"{line.amount:+d}"
            table.add_row(
                str(line.id), iso(line.created_at), amount, str(line.balance_after), line.reason, line.reference
            )
        show_table(table)
        if more:
            say(f"There are more; --limit shows more than {limit}.")

    with_store(work)


@credits.command("check")
def check_ledgers() -> None:
    """Adds up the ledgers of all organisations; says what is wrong, and ends with 1 where anything is."""

    async def work(deployment: Deployment) -> None:
        problems = await check(deployment.store)
        for problem in problems:
            console.print(problem, style="red", highlight=False, soft_wrap=True)
        if problems:
            raise typer.Exit(1)
        say("The ledgers add up.")

    with_store(work)
