"""The first start: a default organisation and the key that owns it."""

from __future__ import annotations

from typing import Final

from kallglot.accounts.keys import hash_secret, is_live, new_secret
from kallglot.accounts.model import SCOPES, ApiKey, Organization
from kallglot.accounts.ports import AccountsStore
from kallglot.clock import Clock
from kallglot.ids import API_KEY, ORGANIZATION, new_id

DEFAULT_CREDITS: Final = 1_000_000


async def ensure_default_organization(store: AccountsStore, *, bootstrap_key: str | None, clock: Clock) -> str | None:
    """Makes the default organisation where there is none; the key's secret where one had to be made.

    A bootstrap key that is not known yet is added to the default organisation, so that changing the setting works.
    Raises ``ValueError`` for a bootstrap key that cannot be a key.
    """
    livemode = is_live(bootstrap_key) if bootstrap_key is not None else True
    async with store.write() as unit:
        organizations = await unit.organizations.list()
        made = None
        if organizations:
            organization = organizations[0]
        else:
            organization = Organization(new_id(ORGANIZATION), "Default", "active", "selfhosted", 0, 0, clock.now())
            await unit.organizations.add(organization)
            await unit.organizations.grant_credits(organization.id, DEFAULT_CREDITS, "bootstrap", organization.id)
            if bootstrap_key is None:
                made = bootstrap_key = new_secret(True)
        if bootstrap_key is not None and await unit.api_keys.by_hash(hash_secret(bootstrap_key)) is None:
            await unit.api_keys.add(
                ApiKey(
                    id=new_id(API_KEY),
                    organization_id=organization.id,
                    name="bootstrap",
                    livemode=livemode,
                    scopes=SCOPES,
                    secret_hash=hash_secret(bootstrap_key),
                    hint=bootstrap_key[-4:],
                    created_at=clock.now(),
                )
            )
    return made
