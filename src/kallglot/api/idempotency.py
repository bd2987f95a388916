"""The same key means the same request: run once, answered as often as it is asked.

A request that comes while the first is running waits for it. Only what succeeded is remembered; the answer is stored in
the transaction that did the work, so that a crash can neither do it twice nor answer for what never happened.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from kallglot.accounts.model import ApiKey
from kallglot.api.ports.idempotency import IdempotencyScope, IdempotentAnswer
from kallglot.api.ports.store import Store, UnitOfWork
from kallglot.clock import Clock
from kallglot.errors import KallglotError
from kallglot.ids import new_id

LEASE: Final = timedelta(seconds=60)
WAIT_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.1
_KEY: Final = re.compile(r"^[\x21-\x7e]{1,255}$")


@dataclass(frozen=True, slots=True)
class Finish:
    """Handed to the work: stores its answer, inside its own transaction."""

    scope: IdempotencyScope | None
    owner: str
    clock: Clock

    async def __call__(self, unit: UnitOfWork, status: int, body: bytes) -> None:
        if self.scope is None:
            return
        if not await unit.idempotency.complete(self.scope, self.owner, status, body, self.clock.now()):
            raise _conflict()


Work = Callable[[Finish], Awaitable[tuple[int, bytes]]]


class Idempotency:
    """``process`` names this process, and the one after it where this is killed: what was running then is free again
    at its start, so that who repeats a request need not wait for a lease to end."""

    def __init__(self, store: Store, clock: Clock, process: str = "") -> None:
        self._store = store
        self._clock = clock
        self._process = process
        self._running: dict[IdempotencyScope, asyncio.Event] = {}

    async def run(
        self, request: Request, key: ApiKey, body: Any, work: Work, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Does ``work`` unless its key was done before. ``headers`` go with the answer, first or replayed."""
        given = request.headers.get("idempotency-key")
        if given is None:
            status, answer = await work(Finish(None, "", self._clock))
            return _response(status, answer, headers)
        scope = IdempotencyScope(key.organization_id, key.livemode, request.method, request.url.path, _checked(given))
        fingerprint = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        owner = f"{self._process}/{new_id('own_')}"
        deadline = self._clock.monotonic() + WAIT_SECONDS
        while True:
            known = await self._claim(scope, fingerprint, owner)
            if known is None:
                break
            if known.fingerprint != fingerprint:
                raise KallglotError(
                    "idempotency_mismatch", "This Idempotency-Key was used with a different request body."
                )
            if known.status is not None and known.body is not None:
                return _response(known.status, known.body, {**(headers or {}), "Idempotent-Replayed": "true"})
            if self._clock.monotonic() >= deadline:
                raise _conflict()
            await self._wait_for(scope, deadline)
        done = self._running[scope] = asyncio.Event()
        try:
            status, answer = await work(Finish(scope, owner, self._clock))
        except BaseException:
            await asyncio.shield(self._release(scope, owner))
            raise
        finally:
            self._running.pop(scope, None)
            done.set()
        return _response(status, answer, headers)

    async def _claim(self, scope: IdempotencyScope, fingerprint: str, owner: str) -> IdempotentAnswer | None:
        now = self._clock.now()
        async with self._store.write() as unit:
            return await unit.idempotency.claim(scope, fingerprint, owner, now, now + LEASE)

    async def _release(self, scope: IdempotencyScope, owner: str) -> None:
        async with self._store.write() as unit:
            await unit.idempotency.release(scope, owner)

    async def _wait_for(self, scope: IdempotencyScope, deadline: float) -> None:
        """Until the running request is over, or ``deadline``. One that runs elsewhere is looked at, without a lock."""
        while self._clock.monotonic() < deadline:
            running = self._running.get(scope)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await (running or asyncio.Event()).wait()
            if running is None:
                async with self._store.read() as unit:
                    known = await unit.idempotency.look(scope)
                if known is None or known.status is not None:
                    return
            elif running.is_set():
                return


def _checked(given: str) -> str:
    key = given.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not _KEY.match(key):
        raise KallglotError(
            "invalid_idempotency_key",
            "Idempotency-Key: 1 to 255 visible ASCII characters are expected.",
            param="Idempotency-Key",
        )
    return key


def _conflict() -> KallglotError:
    message = "A request with this Idempotency-Key is still running."
    return KallglotError("idempotency_conflict", message, retry_after=1)


def _response(status: int, body: bytes, headers: Mapping[str, str] | None) -> Response:
    return Response(body, status, dict(headers or {}), "application/json")
