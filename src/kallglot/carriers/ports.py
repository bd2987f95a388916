"""Where calls are kept, declared by their user; ``store`` implements it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from kallglot.accounts.model import PhoneNumber
from kallglot.carriers.model import Call, Carrier, Connection
from kallglot.outbox import Event

Change = Callable[[Call], tuple[Call, Sequence[Event]] | None]
"""From the call as it is to the call as it shall be, with what is to be told of it; None leaves it as it is."""


class Calls(Protocol):
    """Every method is a transaction of its own."""

    async def add(self, call: Call, events: Sequence[Event] = ()) -> Call:
        """The call as it is kept. Where its id, or the carrier's id of it, is known already nothing is written, no
        event either, and that call is the answer: carriers repeat their webhooks."""
        ...

    async def get(self, call_id: str) -> Call | None: ...

    async def by_carrier_id(self, carrier: Carrier, carrier_call_id: str) -> Call | None:
        """Whosever it is: the caller has to compare its ``connection_id``."""
        ...

    async def of_session(self, session_id: str) -> Sequence[Call]:
        """Oldest first."""
        ...

    async def streamed_to(self, process: str) -> Sequence[Call]:
        """Calls of a connection, in progress, whose last stream ``process`` had."""
        ...

    async def change(self, call_id: str, change: Change) -> Call | None:
        """Runs ``change`` while nobody else can change the call, stores what it gives, and answers with the call as it
        is then; None where there is no such call. What ``change`` raises is passed on, and nothing is stored."""
        ...

    async def connection(self, connection_id: str) -> Connection | None:
        """Active or not, with its secrets."""
        ...

    async def number(self, number: str, livemode: bool = True) -> PhoneNumber | None:
        """The active number, whosever it is: the caller has to compare its ``connection_id``."""
        ...

    async def default_connection(
        self, organization_id: str, livemode: bool, carrier: Carrier | None = None
    ) -> Connection | None:
        """The active default one of ``carrier``, or of any: the oldest where several carriers have one."""
        ...
