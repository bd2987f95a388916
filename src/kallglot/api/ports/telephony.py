"""Connections to carriers, phone numbers and calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kallglot.accounts.model import PhoneNumber
from kallglot.accounts.ports import Page
from kallglot.carriers.model import Call, Connection
from kallglot.carriers.ports import Change
from kallglot.outbox import Event


class ConnectionRepository(Protocol):
    async def lock(self, organization_id: str) -> None:
        """Holds back who else would change the organisation's connections and numbers until the transaction ends."""
        ...

    async def add(self, one: Connection) -> None:
        """A default one takes the place of the organisation's other default of this mode and carrier."""
        ...

    async def get(self, connection_id: str, organization_id: str, livemode: bool) -> Connection | None:
        """None too where it is another organisation's, or of the other mode."""
        ...

    async def by_id(self, connection_id: str) -> Connection | None:
        """Whosever it is: for carriers, who are known by their signature."""
        ...

    async def list(self, organization_id: str, livemode: bool, page: Page) -> tuple[list[Connection], bool]: ...

    async def default(self, organization_id: str, livemode: bool, carrier: str | None = None) -> Connection | None:
        """The active default one of ``carrier``, or of any: the oldest where several carriers have one."""
        ...

    async def has_default(self, organization_id: str, livemode: bool, carrier: str) -> bool:
        """Active or not."""
        ...

    async def update(self, one: Connection) -> None:
        """Like :meth:`add` in what a default one does."""
        ...

    async def delete(self, connection_id: str) -> bool:
        """False, and nothing is deleted, while active numbers use it; inactive ones are left without a connection."""
        ...


class PhoneNumberRepository(Protocol):
    async def add(self, number: PhoneNumber) -> bool:
        """False, and nothing is added, where anybody has this number in this mode already."""
        ...

    async def get(self, number_id: str, organization_id: str, livemode: bool) -> PhoneNumber | None:
        """None too where it is another organisation's, or of the other mode."""
        ...

    async def list(self, organization_id: str, livemode: bool, page: Page) -> tuple[list[PhoneNumber], bool]: ...

    async def update(self, number: PhoneNumber) -> None: ...

    async def delete(self, number_id: str) -> None: ...

    async def by_number(self, number: str, livemode: bool) -> PhoneNumber | None:
        """The active number, whosever it is: for calls that come in."""
        ...

    async def owned(self, organization_id: str, number: str, livemode: bool = True) -> PhoneNumber | None:
        """The organisation's own active number, else None. In test mode its live ones count too, after those of test
        mode: nothing is called there."""
        ...


class CallRepository(Protocol):
    async def add(self, call: Call, events: Sequence[Event] = ()) -> Call:
        """The call as it is kept. Where the carrier's id of it is known already nothing is written, no event either,
        and that call is the answer."""
        ...

    async def get(self, call_id: str, organization_id: str, livemode: bool) -> Call | None:
        """None too where it is another organisation's, or of the other mode."""
        ...

    async def by_carrier_id(self, carrier: str, carrier_call_id: str) -> Call | None:
        """Whosever it is."""
        ...

    async def of_session(self, session_id: str) -> list[Call]:
        """Oldest first."""
        ...

    async def newest(self, session_ids: Sequence[str]) -> dict[str, Call]:
        """By session, where it has any."""
        ...

    async def live(self, session_id: str) -> list[Call]:
        """Those that are not over, oldest first."""
        ...

    async def save(self, call: Call, events: Sequence[Event] = ()) -> None: ...

    async def change(self, call_id: str, change: Change) -> Call | None:
        """As :meth:`kallglot.carriers.ports.Calls.change`, in this transaction."""
        ...
