"""The server on its port: that first of all, as who asks now waits; then the node, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
import uvloop
from fastapi import FastAPI

from kallglot import garbage
from kallglot.app import running
from kallglot.legs.handover import http_protocol
from kallglot.settings import Settings

log = logging.getLogger(__name__)


def serve(settings: Settings, *, announce_key: Callable[[str], None]) -> int:
    """Runs until a signal ends it; the exit status."""
    return uvloop.run(_serve(settings, announce_key))


async def _serve(settings: Settings, announce_key: Callable[[str], None]) -> int:
    listening = _listen(settings.host, settings.port)
    try:
        async with running(settings) as (node, deployment):
            if deployment.new_secret is not None:
                announce_key(deployment.new_secret)
            config = uvicorn.Config(
                node.api,
                http=http_protocol(node.door),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                backlog=_BACKLOG,
                server_header=False,
                date_header=True,
                timeout_graceful_shutdown=3,
            )
            server = _Server(config)
            loop = asyncio.get_running_loop()
            for signum in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(signum, server.handle_exit, signum, None)
            _find_routes(node.api)
            async with garbage.kept(deployment.clock, lambda: node.switchboard.legs):
                await asyncio.sleep(_SETTLING_SECONDS)
                node.switchboard.saturation.begin()
                log.info("listening on %s", settings.base_url)
                await server.serve(sockets=[listening])
    finally:
        listening.close()
    return 0


def _find_routes(api: FastAPI) -> None:
    """They are put together for the first request, which takes a tenth of a second."""
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": []}
    for route in api.router.routes:
        route.matches(scope)


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn raises them again when it has stopped, which would end the process before the
    streams, the engines and the store were closed."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


_BACKLOG: Final = 2048
_SETTLING_SECONDS: Final = 0.1
"""Ticks that the start held back come in it."""


def _listen(host: str, port: int) -> socket.socket:
    """First of all: a port that is taken is said before migrations run and engines load, and whoever asks meanwhile, as
    the carrier of a call that a restart cut, waits for the answer instead of being refused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    listening.listen(_BACKLOG)
    listening.set_inheritable(False)
    return listening
