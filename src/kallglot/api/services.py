"""What the API is given to work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from starlette.requests import Request

from kallglot.accounts.model import PhoneNumber
from kallglot.analysis.model import DEFAULT_PROFILE
from kallglot.api.idempotency import Idempotency
from kallglot.api.keyuse import KeyUses
from kallglot.api.ports.recordings import Recordings
from kallglot.api.ports.sessions import SessionControl
from kallglot.api.ports.store import Store
from kallglot.api.ratelimit import RateLimiter
from kallglot.api.watching import Watch, everyone
from kallglot.billing.stripe import StripeHook
from kallglot.carriers.callbacks import Incoming
from kallglot.carriers.exchange import Exchange
from kallglot.clock import Clock
from kallglot.session.tokens import StreamTokens
from kallglot.speech.orders import ChosenKind, Orders
from kallglot.speech.registry import LanguageSupport
from kallglot.webhooks.addresses import Network

Instruct = Callable[[str, PhoneNumber, Incoming], Awaitable[dict[str, Any] | None]]
"""Asks the customer at a URL what to do with a call; None where they don't take it."""


async def _no_instructions(url: str, number: PhoneNumber, incoming: Incoming) -> dict[str, Any] | None:
    return None


class LanguageCatalogue(Protocol):
    def languages(self, orders: Orders | None = None) -> Sequence[LanguageSupport]: ...

    def names(self, kind: ChosenKind) -> Sequence[str]:
        """Of all engines of a kind."""
        ...

    def missing_for(self, source: str | None, target: str | None, orders: Orders | None = None) -> str | None:
        """None where the pair can be served, else the sentence that says what is missing and what gets it."""
        ...


@dataclass(frozen=True, slots=True)
class ApiServices:
    """``readiness`` gives what is wrong, nothing when all is well; ``admission`` the seconds to wait while the server
    is too busy for another call, else None."""

    store: Store
    sessions: SessionControl
    languages: LanguageCatalogue
    clock: Clock
    tokens: StreamTokens
    base_url: str
    stream_base_url: str
    recordings: Recordings | None = None
    exchange: Exchange | None = None
    instructions: Instruct = _no_instructions
    stripe: StripeHook | None = None
    analysis_profiles: Collection[str] = (DEFAULT_PROFILE,)
    wake_analyst: Callable[[], None] = lambda: None
    """There is an analysis to be made."""
    webhook_networks: Sequence[Network] = ()
    """An operator's own, to which webhooks may go too."""
    max_body_bytes: int = 1_048_576
    never_connected_seconds: float = 1800.0
    sip_domain: str | None = None
    """Where SIP calls to a session arrive; None while nothing answers there."""
    readiness: Callable[[], Sequence[str]] = lambda: ()
    warnings: Callable[[], Sequence[str]] = lambda: ()
    """What should be looked at, though calls can be taken."""
    watch: Watch = field(default_factory=lambda: everyone(()))
    admission: Callable[[], int | None] = lambda: None
    process: str = ""
    """Its name, which it has again after a crash."""
    limiter: RateLimiter = field(default_factory=RateLimiter)
    key_uses: KeyUses = field(default_factory=KeyUses)
    idempotency: Idempotency = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "idempotency", Idempotency(self.store, self.clock, self.process))


def services(request: Request) -> ApiServices:
    return cast(ApiServices, request.app.state.services)
