"""Who is asking: the API key, its organisation, its scopes, and what its plan still allows this minute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from kallglot.accounts.keys import hash_secret
from kallglot.accounts.model import ApiKey, Organization
from kallglot.accounts.plans import Plan, plan_named
from kallglot.api.services import ApiServices, services
from kallglot.errors import KallglotError

_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="An API key: sk_live_… or sk_test_…")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="apiKey", description="The same key.")


@dataclass(frozen=True, slots=True)
class Caller:
    key: ApiKey
    organization: Organization
    plan: Plan

    @property
    def organization_id(self) -> str:
        return self.organization.id

    @property
    def livemode(self) -> bool:
        return self.key.livemode


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a route asks of its caller; :mod:`kallglot.api.openapi` says so in the document."""

    scopes: tuple[str, ...]
    group: str
    sometimes: tuple[str, ...] = ()
    """Needed too for some of what the route is asked for; it looks itself."""

    async def __call__(
        self,
        request: Request,
        _bearer_documented: Annotated[Any, Security(_bearer)] = None,
        _header_documented: Annotated[Any, Security(_header)] = None,
    ) -> Caller:
        return await _check(request, services(request), self.scopes, self.group)


def requires(scope: str, group: str, *also: str, sometimes: tuple[str, ...] = ()) -> Any:
    """A dependency that gives the :class:`Caller`, checked for ``scope``, and for those that it needs ``also``, and
    counted in the rate limit's ``group``. Scopes that it needs only ``sometimes`` are named, and not checked."""
    return Depends(Requirement((scope, *also), group, sometimes))


async def _check(request: Request, given: ApiServices, scopes: tuple[str, ...], group: str) -> Caller:
    secret = _secret(request)
    async with given.store.read() as unit:
        key = await unit.api_keys.by_hash(hash_secret(secret))
        organization = await unit.organizations.get(key.organization_id) if key is not None else None
    if key is None or organization is None:
        raise KallglotError("invalid_api_key", "The API key is not valid.")
    now = given.clock.now()
    if key.revoked_at is not None:
        raise KallglotError("revoked_api_key", "The API key was revoked.")
    if key.expires_at is not None and key.expires_at <= now:
        raise KallglotError("expired_api_key", "The API key has expired.")
    caller = Caller(key, organization, plan_named(organization.plan))
    tell_credits(request, organization)
    _count(request, given, caller, group)
    if organization.status == "suspended":
        raise KallglotError("organization_suspended", "The organization is suspended.")
    for scope in scopes:
        if scope not in key.scopes:
            raise KallglotError("insufficient_permissions", f"The API key lacks the scope {scope}.")
    if given.key_uses.due(key.id, key.last_used_at, now):
        async with given.store.write() as unit:
            await unit.api_keys.used(key.id, now)
    return caller


def _secret(request: Request) -> str:
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() == "bearer" and secret.strip():
            return secret.strip()
    secret = request.headers.get("x-api-key", "").strip()
    if not secret:
        raise KallglotError("missing_api_key", "An API key is required: Authorization: Bearer sk_… or X-API-Key: sk_….")
    return secret


def tell_credits(request: Request, organization: Organization) -> None:
    tell(
        request,
        {
            "X-API-Credits-Remaining": str(organization.credits_remaining),
            "X-API-Credits-Used": str(organization.credits_used),
        },
    )


def tell(request: Request, headers: dict[str, str]) -> None:
    """Headers that go with whatever the answer will be."""
    request.scope["state"]["headers"].update(headers)


def _count(request: Request, given: ApiServices, caller: Caller, group: str) -> None:
    limit = caller.plan.requests_per_minute[group]
    now = given.clock.now().timestamp()
    found = given.limiter.take(caller.organization_id, caller.livemode, group, limit, now)
    tell(
        request,
        {
            "X-RateLimit-Limit": str(found.limit),
            "X-RateLimit-Remaining": str(found.remaining),
            "X-RateLimit-Reset": str(found.reset_at),
            "RateLimit-Policy": f'"{group}";q={found.limit};w=60',
            "RateLimit": f'"{group}";r={found.remaining};t={found.retry_after}',
        },
    )
    if not found.allowed:
        message = f"Too many requests; try again in {found.retry_after} seconds."
        raise KallglotError("rate_limit_exceeded", message, retry_after=found.retry_after)
