"""Kallglot as a system that is measured: a server of its own, and sessions whose voices go through.

Both sides of each session speak one language, so that what one says is heard by the other unaltered: it is decoded,
placed, routed, played out and coded. Nothing is recognised: no engine knows their language, only that of a third who
never comes. With ``activity`` there is an engine that takes whole utterances, so that the server's own voice activity
finds these; what answers it is here, and understands nothing.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import httpx
from aiohttp import web

from benchmarks.media import machine
from benchmarks.media.runs import LegLine
from kallglot.cli.local import LocalServer, local_server

FRESH_S: Final = 200.0
"""Tokens are good for five minutes."""
AT_ONCE: Final = 8
TWO: Final = [{"role": "customer", "language": "de"}, {"role": "agent", "language": "de"}]
THIRD: Final = {"role": "agent", "language": "en"}
SCRIPT: Final = {"languages": ["de", "en"], "recognition": {"en": ["nobody says this"]}}
SETTINGS: Final = {
    "KALLGLOT_LOG_LEVEL": "warning",
    "KALLGLOT_ACCESS_LOG": "false",
    "KALLGLOT_RECONNECT_SECONDS": "1800",
    "KALLGLOT_RECOGNITION_PROCESSES": "1",
    "KALLGLOT_OVERLOAD_LAG_MS": "60000",
    "KALLGLOT_OVERLOAD_BUSY": "1",
}
ENGINES: Final = """
[engines.utterances]
type = "openai"
url = "{url}"
api_key = "none-needed-here"
model = "nothing"
kinds = ["recognition"]
languages = ["de"]
options = {{ voice_activity = "silero" }}
budget = {{ at_once = 256, waiting = 100000, wait_s = 60 }}

[recognition]
"*" = ["utterances"]
"""


@dataclass(slots=True)
class _Session:
    id: str
    token: str
    fetched: float


@dataclass(slots=True)
class Kallglot:
    server: LocalServer
    rest: httpx.AsyncClient
    dialect: Literal["twilio", "native"]
    heard: list[int] | None
    sessions: list[_Session] = field(default_factory=list)

    @property
    def port(self) -> int:
        return urlsplit(self.server.url).port or 80

    @property
    def pid(self) -> int:
        return self.server.pid

    async def lines(self, count: int) -> Sequence[LegLine]:
        """Sessions are kept from one run to the next, and get fresh tokens."""
        missing = (count + 1) // 2 - len(self.sessions)
        await self._each([self._create] * max(0, missing))
        old = [one for one in self.sessions[: (count + 1) // 2] if time.monotonic() - one.fetched > FRESH_S]
        await self._each([lambda one=one: self._refresh(one) for one in old])
        made: list[LegLine] = []
        for one in self.sessions:
            path = f"/v1/sessions/{one.id}/connect"
            for role in ("customer", "agent"):
                if self.dialect == "native":
                    made.append(LegLine(f"{path}?token={one.token}&participant={role}", "native"))
                else:
                    made.append(LegLine(path, parameters=json.dumps({"token": one.token, "participant": role})))
        return made[:count]

    async def lag_ms(self) -> float:
        found = re.search(
            r"^kallglot_event_loop_lag_seconds(?:{.*})? (\S+)$", (await self.rest.get("/metrics")).text, re.MULTILINE
        )
        assert found
        return float(found[1]) * 1000

    async def proof(self) -> str | None:
        """How many utterances its voice activity found."""
        return None if self.heard is None else json.dumps({"utterances": self.heard[0]})

    async def _each(self, wanted: Sequence[Callable[[], object]]) -> None:
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(make: Callable[[], object]) -> None:
            async with turns:
                await make()  # pyright: ignore[reportGeneralTypeIssues]

        async with asyncio.TaskGroup() as tasks:
            for make in wanted:
                tasks.create_task(one(make))

    async def _create(self) -> None:
        participants = TWO if self.heard is not None else [*TWO, THIRD]
        body = {"mode": "bidirectional_translation", "participants": participants}
        answer = await self.rest.post("/v1/sessions", json=body)
        if answer.is_error:
            raise RuntimeError(f"no session was made: {answer.text}")
        made = answer.json()
        self.sessions.append(_Session(made["id"], made["stream"]["token"], time.monotonic()))

    async def _refresh(self, one: _Session) -> None:
        found = (await self.rest.get(f"/v1/sessions/{one.id}")).raise_for_status().json()
        one.token, one.fetched = found["stream"]["token"], time.monotonic()


def started(
    dialect: Literal["twilio", "native"] = "twilio", *, activity: bool = False
) -> Callable[[int | None, Path], AbstractAsyncContextManager[Kallglot]]:
    @asynccontextmanager
    async def start(core: int | None, folder: Path) -> AsyncGenerator[Kallglot]:
        """Its children, where it has any, are on the same core."""
        async with AsyncExitStack() as stack:
            settings, heard = dict(SETTINGS), None
            if activity:
                url, heard = await stack.enter_async_context(_deaf_engine())
                engines = folder / "engines.toml"
                engines.write_text(ENGINES.format(url=url), encoding="utf-8")
                settings["KALLGLOT_ENGINES"] = str(engines)
            else:
                script = folder / "script.json"
                script.write_text(json.dumps(SCRIPT), encoding="utf-8")
                settings["KALLGLOT_SCRIPTED_ENGINES"] = str(script)
            with machine.on_core(core):
                server = await stack.enter_async_context(local_server(folder, settings))
            headers = {"Authorization": f"Bearer {server.api_key}"}
            rest = await stack.enter_async_context(httpx.AsyncClient(base_url=server.url, headers=headers, timeout=120))
            yield Kallglot(server, rest, dialect, heard)

    return start


@asynccontextmanager
async def _deaf_engine() -> AsyncGenerator[tuple[str, list[int]]]:
    """``POST …/audio/transcriptions`` that understands nothing, and counts."""
    heard = [0]

    async def transcribe(request: web.Request) -> web.Response:
        await request.read()
        heard[0] += 1
        return web.json_response({"text": ""})

    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/v1/audio/transcriptions", transcribe)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = int(runner.addresses[0][1])
        yield f"http://127.0.0.1:{port}/v1", heard
    finally:
        await runner.cleanup()
