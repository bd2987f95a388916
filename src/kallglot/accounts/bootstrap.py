"""The first start: a default organisation and the key that owns it."""

from __future__ import annotations

from typing import Final

from kallglot.accounts.audit import SYSTEM, AuditEntry
from kallglot.accounts.keys import hash_secret, is_live, new_secret
from kallglot.accounts.model import SCOPES, ApiKey, Organization
from kallglot.accounts.ports import AccountsStore, AccountsUnit
from kallglot.clock import Clock
from kallglot.ids import API_KEY, AUDIT, ORGANIZATION, new_id

DEFAULT_CREDITS: Final = 1_000_000


async def ensure_default_organization(store: AccountsStore, *, bootstrap_key: str | None, clock: Clock) -> str | None:
    """Makes the default organisation where there is none; the key's secret where one had to be made.

    A bootstrap key that is not known yet is added to the default organisation, so that changing the setting works.
    Raises ``ValueError`` for a bootstrap key that cannot be a key.
    """
    livemode = is_live(bootstrap_key) if bootstrap_key is not None else True
    async with store.write() as unit:
        await unit.organizations.alone()
        organizations = await unit.organizations.list()
        made = None
        if organizations:
            organization = organizations[0]
        else:
            organization = Organization(new_id(ORGANIZATION), "Default", "active", "selfhosted", 0, 0, clock.now())
            await unit.organizations.add(organization)
            await unit.organizations.grant_credits(
                organization.id, DEFAULT_CREDITS, "bootstrap", organization.id, clock.now()
            )
            await _note(unit, organization.id, "organization.created", organization.id, clock)
            if bootstrap_key is None:
                made = bootstrap_key = new_secret(True)
        if bootstrap_key is not None and await unit.api_keys.by_hash(hash_secret(bootstrap_key)) is None:
            key = ApiKey(
                id=new_id(API_KEY),
                organization_id=organization.id,
                name="bootstrap",
                livemode=livemode,
                scopes=SCOPES,
                secret_hash=hash_secret(bootstrap_key),
                hint=bootstrap_key[-4:],
                created_at=clock.now(),
            )
            await unit.api_keys.add(key)
            await _note(unit, organization.id, "api_key.created", key.id, clock)
    return made


async def _note(unit: AccountsUnit, organization_id: str, action: str, target: str, clock: Clock) -> None:
    await unit.audit.add(AuditEntry(new_id(AUDIT), organization_id, SYSTEM, action, clock.now(), target))
