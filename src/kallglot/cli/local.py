"""A server of one's own for a demonstration or a measurement: a child process, its data in a folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from kallglot.accounts.keys import new_secret
from kallglot.cli.calls import CallFailed, Server


@dataclass(frozen=True, slots=True)
class LocalServer(Server):
    pid: int


@asynccontextmanager
async def local_server(folder: Path, settings: Mapping[str, str] | None = None) -> AsyncGenerator[LocalServer]:
    """Starts a server and stops it again. Raises :class:`CallFailed` where it does not start."""
    folder.mkdir(parents=True, exist_ok=True)
    secret, port = new_secret(True), _free_port()
    environment = {
        **os.environ,
        "KALLGLOT_HOST": "127.0.0.1",
        "KALLGLOT_PORT": str(port),
        "KALLGLOT_DATA_DIR": str(folder / "data"),
        "KALLGLOT_BOOTSTRAP_API_KEY": secret,
        **(settings or {}),
    }
    log_path = folder / "server.log"
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kallglot.cli", "serve", env=environment, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            if not await _ready(url, process):
                raise CallFailed(f"The server did not start; see {log_path}.")
            yield LocalServer(url, secret, process.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _ready(url: str, process: asyncio.subprocess.Process) -> bool:
    async with httpx.AsyncClient(timeout=2) as client:
        for _ in range(600):
            if process.returncode is not None:
                return False
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"{url}/readyz")).status_code == 200:
                    return True
            await asyncio.sleep(0.1)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
