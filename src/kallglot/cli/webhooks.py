"""``kallglot webhooks``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

import typer
from rich.table import Table

from kallglot.accounts.model import Organization
from kallglot.accounts.ports import Page
from kallglot.api.ports.store import UnitOfWork
from kallglot.api.ports.webhooks import Dispatch
from kallglot.api.webhooks import fail_stranded
from kallglot.cli.shell import OrganizationOption, note, organization_named, refuse, say, show, with_store
from kallglot.clock import iso
from kallglot.deployment import Deployment
from kallglot.ids import DELIVERY, new_id
from kallglot.webhooks.model import Delivery, DeliveryStatus
from kallglot.webhooks.ports import Target
from kallglot.webhooks.signatures import new_secret

app = typer.Typer(no_args_is_help=True, help="Webhook endpoints of an organisation, and what became of deliveries.")

_STATUSES: Final[tuple[DeliveryStatus, ...]] = ("pending", "delivered", "failed")
_MOST_SHOWN_OF_ERROR: Final = 80

EndpointId = Annotated[str, typer.Argument(help="wh_…")]
DeliveryId = Annotated[str, typer.Argument(help="wh_del_…")]


@app.command("list")
def list_endpoints(org: OrganizationOption = None) -> None:
    """Shows an organisation's endpoints, live ones first; not those of sessions with a webhook_url."""

    async def work(deployment: Deployment) -> tuple[str, list[Target]]:
        async with deployment.store.read() as unit:
            owner = await organization_named(unit, org)
            live, _ = await unit.webhook_endpoints.list(owner.id, True, Page(limit=100))
            test, _ = await unit.webhook_endpoints.list(owner.id, False, Page(limit=100))
        return owner.name, [*live, *test]

    name, found = with_store(work)
    table = Table("id", "url", "mode", "events", "state", "failing since", "secret ends in", title=name)
    table.columns[0].no_wrap = True
    for one in found:
        endpoint = one.endpoint
        state = "enabled" if endpoint.enabled else f"disabled: {endpoint.disabled_reason}"
        table.add_row(
            endpoint.id,
            endpoint.url,
            "live" if endpoint.livemode else "test",
            " ".join(endpoint.events),
            state,
            iso(endpoint.failing_since) if endpoint.failing_since else "",
            f"…{one.secrets.current[-4:]}",
        )
    show(table)


@app.command()
def deliveries(
    endpoint_id: EndpointId,
    status: Annotated[str | None, typer.Option(help="pending, delivered or failed; all when unset.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest.")] = 20,
    org: OrganizationOption = None,
) -> None:
    """Shows what was and is to be delivered to an endpoint, newest first."""
    wanted = _status(status)

    async def work(deployment: Deployment) -> tuple[list[Dispatch], bool]:
        async with deployment.store.read() as unit:
            _, one = await _endpoint(unit, endpoint_id, org)
            return await unit.webhook_log.list(one.endpoint.id, Page(limit=limit), wanted)

    found, more = with_store(work)
    table = Table("id", "event", "type", "created", "status", "attempts", "next attempt", "last answer")
    table.columns[0].no_wrap = True
    for one in found:
        delivery = one.delivery
        last = delivery.log[-1] if delivery.log else None
        answer = "" if last is None else str(last.status or last.error or "")[:_MOST_SHOWN_OF_ERROR]
        due = iso(delivery.next_attempt_at) if delivery.next_attempt_at else ""
        table.add_row(
            delivery.id,
            delivery.event_id,
            one.event.type,
            iso(delivery.created_at),
            delivery.status,
            str(delivery.attempts),
            due,
            answer,
        )
    show(table)
    if more:
        say(f"There are more; --limit shows more than {limit}.")


@app.command()
def enable(endpoint_id: EndpointId, org: OrganizationOption = None) -> None:
    """Enables an endpoint, and forgets that it failed. What was to be delivered meanwhile is not delivered."""

    async def work(deployment: Deployment) -> bool:
        async with deployment.store.read() as unit:
            _, before = await _endpoint(unit, endpoint_id, org)
        if not before.endpoint.enabled:
            await fail_stranded(deployment.store, endpoint_id, deployment.clock.now())
        async with deployment.store.write() as unit:
            owner, _ = await _endpoint(unit, endpoint_id, org)
            did = await unit.webhook_endpoints.enable(endpoint_id)
            if did:
                await note(unit, deployment, owner.id, "webhook_endpoint.updated", endpoint_id, changed=["enabled"])
        return did

    say(f"{endpoint_id} is enabled." if with_store(work) else f"{endpoint_id} was enabled before.")


@app.command()
def disable(endpoint_id: EndpointId, org: OrganizationOption = None) -> None:
    """Disables an endpoint: what is on its way to it has failed."""

    async def work(deployment: Deployment) -> bool:
        async with deployment.store.write() as unit:
            owner, _ = await _endpoint(unit, endpoint_id, org)
            did = await unit.webhook_endpoints.disable(endpoint_id, "by_request", deployment.clock.now())
            if did:
                await note(unit, deployment, owner.id, "webhook_endpoint.updated", endpoint_id, changed=["disabled"])
        return did

    say(f"{endpoint_id} is disabled." if with_store(work) else f"{endpoint_id} was disabled before.")


@app.command()
def rotate(
    endpoint_id: Annotated[
        str | None, typer.Argument(help="wh_…; left out: the secret for sessions with a webhook_url.")
    ] = None,
    hours: Annotated[int, typer.Option(min=0, max=168, help="How long the old secret signs too.")] = 24,
    org: OrganizationOption = None,
) -> None:
    """Makes a new signing secret and prints it once."""

    async def work(deployment: Deployment) -> str:
        secret = new_secret()
        until = deployment.clock.now() + timedelta(hours=hours) if hours else None
        details = {"expires_in_seconds": hours * 3600}
        async with deployment.store.write() as unit:
            if endpoint_id is None:
                owner = await organization_named(unit, org)
                await unit.webhook_endpoints.rotate_organization(owner.id, secret, until)
                await note(unit, deployment, owner.id, "organization.webhook_secret_rotated", owner.id, **details)
            else:
                owner, _ = await _endpoint(unit, endpoint_id, org)
                await unit.webhook_endpoints.rotate(endpoint_id, secret, until)
                await note(unit, deployment, owner.id, "webhook_endpoint.secret_rotated", endpoint_id, **details)
        return secret

    say(with_store(work))


@app.command()
def resend(delivery_id: DeliveryId, org: OrganizationOption = None) -> None:
    """Delivers the same event to the same endpoint again, when the server next looks."""

    async def work(deployment: Deployment) -> str:
        now = deployment.clock.now()
        async with deployment.store.write() as unit:
            owner, known = await _delivery(unit, delivery_id, org)
            if not known.endpoint.enabled:
                refuse(f"{known.endpoint.id} is disabled: enable it first.")
            made = new_id(DELIVERY)
            endpoint, event = known.endpoint.id, known.event.id
            await unit.webhook_log.add(Delivery(made, endpoint, event, "pending", 0, now, next_attempt_at=now))
            await note(unit, deployment, owner.id, "webhook_delivery.resent", made, of=delivery_id)
        return made

    say(with_store(work))


async def _endpoint(unit: UnitOfWork, endpoint_id: str, org: str | None) -> tuple[Organization, Target]:
    owner = await organization_named(unit, org)
    found = await unit.webhook_endpoints.get(endpoint_id, owner.id, True)
    found = found or await unit.webhook_endpoints.get(endpoint_id, owner.id, False)
    if found is None:
        refuse(f"{owner.name} has no webhook endpoint {endpoint_id}.")
    return owner, found


async def _delivery(unit: UnitOfWork, delivery_id: str, org: str | None) -> tuple[Organization, Dispatch]:
    owner = await organization_named(unit, org)
    found = await unit.webhook_log.get(delivery_id, owner.id, True, hold=True)
    found = found or await unit.webhook_log.get(delivery_id, owner.id, False, hold=True)
    if found is None:
        refuse(f"{owner.name} has no webhook delivery {delivery_id}.")
    return owner, found


def _status(given: str | None) -> DeliveryStatus | None:
    for status in _STATUSES:
        if given == status:
            return status
    if given is not None:
        refuse(f"--status: expected pending, delivered or failed, got {given}.", 2)
    return None
