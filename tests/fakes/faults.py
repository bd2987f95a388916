"""A carrier's REST server, and how it fails."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

Fault = Literal["silence", "drop", "refuse"]
"""The request is carried out but never answered; it is carried out and the connection drops; it is not carried out and
answered with an error."""


@dataclass(frozen=True, slots=True)
class Served:
    """A request that was taken: ``fields`` of the form, of the JSON or of the query string."""

    method: str
    path: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Plan:
    method: str
    path: str
    fault: Fault
    status: int
    carried_out: bool
    headers: Mapping[str, str] = field(default_factory=dict)


class Faults(ABC):
    def __init__(self) -> None:
        self.app = web.Application(middlewares=[self._middleware])
        self.asked: list[Served] = []
        self.url = ""
        self._plans: list[_Plan] = []
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()

    def fail_next(
        self,
        method: str,
        path: str,
        fault: Fault,
        *,
        status: int = 500,
        carried_out: bool | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """The next request whose path ends with ``path``. ``status`` is of ``refuse``; ``carried_out`` whether the
        request takes effect all the same, which it does by default but for ``refuse``."""
        done = fault != "refuse" if carried_out is None else carried_out
        self._plans.append(_Plan(method, path, fault, status, done, headers or {}))

    def served(self, request: Served) -> None:
        self.asked.append(request)

    async def start(self) -> None:
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def close(self) -> None:
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()

    @abstractmethod
    async def handle(self, request: web.Request, handler: Any) -> web.StreamResponse: ...

    @abstractmethod
    def refusal(self, status: int) -> web.Response: ...

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        plan = next((p for p in self._plans if p.method == request.method and request.path.endswith(p.path)), None)
        if plan is None:
            return await self.handle(request, handler)
        self._plans.remove(plan)
        if plan.carried_out:
            await self.handle(request, handler)
        if plan.fault == "refuse":
            refusal = self.refusal(plan.status)
            refusal.headers.update(plan.headers)
            return refusal
        if plan.fault == "silence":
            with contextlib.suppress(asyncio.CancelledError):
                await self._stopping.wait()
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
