"""Whether the ledgers add up."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from kallglot.billing.ports import CheckedBooks


class CheckedStore(Protocol):
    def read(self) -> AbstractAsyncContextManager[CheckedBooks]: ...


async def check(store: CheckedStore) -> list[str]:
    """What is wrong with the credit and the usage ledger, a sentence for each line; nothing where all adds up.

    Credits: each organisation's lines add up to its balance, and each line's balance to the lines before it; every live
    session was paid for once. Usage: every session that has ended has its line, with the session's own seconds, and no
    other session has one.
    """
    async with store.read() as unit:
        return await unit.ledgers.problems()
