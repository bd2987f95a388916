"""Whether every event reaches its receivers, once and again, while the server is killed every few seconds.

``python -m benchmarks.webhooks`` makes 10,000 events through the REST API (sessions that are created and ended, each
request with an Idempotency-Key and tried until it is answered) and has them delivered to 50 receivers, some of which
are slow, dead or lying. The status is 1 where a receiver that does its part missed an event, got the first copies out
of order, or a signature that does not verify.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table
from tests.serverprocess import ServerProcess

from kallglot.deployment import open_store
from kallglot.ids import WEBHOOK_ENDPOINT, new_id
from kallglot.settings import Settings
from kallglot.webhooks.model import EVERYTHING, Endpoint
from kallglot.webhooks.signatures import new_secret

SCRIPT = {
    "languages": ["de", "en"],
    "recognition": {"de": ["eins"], "en": ["one"]},
    "translation": {"de>en": {"eins": "one"}},
    "synthesis": {"ms_per_character": 20},
}
BAD = ("refusing", "black hole", "flapping", "redirecting", "truncated", "overlong", "garbage", "gone", "dripping")
STRICT = ("healthy", "slow", "overlong")
"""Those who take all that they are sent: nothing may be missing, and the first copies are in order."""
PER_SECOND = 95
"""What the plan allows is 100 requests a second."""
WORKERS = 12
PATIENCE_S = 900.0


def kinds(receivers: int) -> list[str]:
    """A third of them do something wrong or are slow, each in its own way as far as there are enough."""
    odd = max(2, receivers * 32 // 100)
    wrong = [("slow", *BAD)[n % (len(BAD) + 1)] for n in range(odd)]
    return wrong + ["healthy"] * (receivers - odd)


@dataclass
class Figures:
    events: list[str] = field(default_factory=list)
    """Their ids, in the order in which they were made."""
    reports: list[dict[str, Any]] = field(default_factory=list)
    kills: int = 0
    made_s: float = 0.0
    delivered_s: float = 0.0
    by_session: dict[str, str] = field(default_factory=dict)
    total_order: bool = True
    """PostgreSQL's transactions may become visible in another order than that of the ids: there only a session's own
    events are compared."""

    def disorder(self, got: Sequence[str]) -> int:
        """First copies that came behind a later event."""
        rank = {event_id: n for n, event_id in enumerate(self.events)}
        last: dict[str, int] = {}
        wrong = 0
        for event_id in got:
            if event_id not in rank:
                continue
            of = "" if self.total_order else self.by_session[event_id]
            wrong += rank[event_id] < last.get(of, -1)
            last[of] = max(last.get(of, -1), rank[event_id])
        return wrong

    def failures(self) -> list[str]:
        found: list[str] = []
        for n, one in enumerate(self.reports):
            name = f"receiver {n} ({one['kind']})"
            got = [event_id for event_id, _ in one["firsts"]]
            if one["kind"] in STRICT and (missing := len(set(self.events) - set(got))):
                found.append(f"{name} misses {missing} events")
            if one["kind"] in STRICT and (wrong := self.disorder(got)):
                found.append(f"{name} got {wrong} first copies out of order")
            if one["bad_signatures"]:
                found.append(f"{name} got {one['bad_signatures']} bad signatures of {one['verified']}")
            if one["kind"] == "trap" and one["requests"]:
                found.append("a redirect was followed")
        return found


class Receivers:
    """The other process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.ports: list[int] = []
        self.secrets: list[str] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, wanted: Sequence[str]) -> AsyncIterator[Receivers]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.receivers", stdin=-1, stdout=-1, limit=1 << 30
        )
        made = cls(process)
        try:
            made.secrets = [new_secret() for _ in wanted]
            given = [{"kind": kind, "secret": key} for kind, key in zip(wanted, made.secrets, strict=True)]
            made.ports = await made._asked(json.dumps(given))
            yield made
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()

    async def report(self, *, full: bool = False) -> list[dict[str, Any]]:
        return await self._asked("full" if full else "short")

    async def _asked(self, line: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()
        return json.loads(await self._process.stdout.readline())


class Load:
    """Sessions, created and ended, until there are enough events."""

    def __init__(self, server: ServerProcess, events: int, per_second: float) -> None:
        self._server = server
        self._left = (events + 1) // 2
        self._gap = 1 / per_second
        self._next = 0.0
        self.retries = 0

    async def run(self) -> None:
        headers = {"Authorization": f"Bearer {self._server.api_key}"}
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(self._server.url, headers=headers, timeout=timeout) as rest:
            await asyncio.gather(*(self._work(rest) for _ in range(WORKERS)))

    async def _work(self, rest: aiohttp.ClientSession) -> None:
        body = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
        while self._left > 0:
            self._left -= 1
            session = await self._post(rest, "/v1/sessions", body)
            await self._post(rest, f"/v1/sessions/{session['id']}/end", {})

    async def _post(self, rest: aiohttp.ClientSession, path: str, body: Any) -> Any:
        key = {"Idempotency-Key": str(uuid.uuid4())}
        loop = asyncio.get_running_loop()
        while True:
            self._next = max(self._next + self._gap, loop.time())
            await asyncio.sleep(self._next - loop.time())
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with rest.post(path, json=body, headers=key) as answer:
                    if answer.status < 300:
                        return await answer.json()
                    if answer.status not in (409, 429, 500, 502, 503):
                        raise AssertionError(f"{path}: {answer.status} {await answer.text()}")
            self.retries += 1
            await asyncio.sleep(0.1)


async def measure(
    folder: Path,
    *,
    events: int,
    receivers: int,
    kill_every: float,
    kills: int | None = None,
    per_second: float = PER_SECOND,
    settings: dict[str, str] | None = None,
    say: Any = lambda _: None,
    patience_s: float = PATIENCE_S,
) -> Figures:
    """``kills``: at most so many."""
    wanted = kinds(receivers)
    script = folder / "scripted.json"
    script.write_text(json.dumps(SCRIPT), encoding="utf-8")
    given = {
        "KALLGLOT_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        # A server that is started every few seconds need not be compiled each time.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
        **(settings or {}),
    }
    server = ServerProcess(folder / "data", scripted=script, settings=given)
    figures = Figures(total_order=not given.get("KALLGLOT_DATABASE_URL", "").startswith("postgresql"))
    async with Receivers.started(wanted) as other:
        await add_endpoints(server, folder / "data", given, other)
        await asyncio.to_thread(server.start)
        try:
            begun = time.time()
            load = asyncio.create_task(Load(server, events, per_second).run())
            killer = asyncio.create_task(_kill(server, figures, kill_every, kills, load))
            await load
            figures.made_s = time.time() - begun
            say(f"{events} events were made within {figures.made_s:.0f} s")
            deadline = time.monotonic() + patience_s
            while time.monotonic() < deadline:
                reports = await other.report()
                got = [one["distinct"] for one in reports if one["kind"] in STRICT]
                say(f"{sum(got)} of {len(got) * events} arrived, {figures.kills} kills")
                if min(got) >= 2 * ((events + 1) // 2) or (killer.done() and killer.exception()):
                    break
                await asyncio.sleep(1)
            killer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await killer
            figures.reports = await other.report(full=True)
            figures.delivered_s = max((one["last"] for one in figures.reports), default=begun) - begun
            figures.events = await known_events(server, figures.by_session)
        finally:
            await asyncio.to_thread(server.__exit__)
    return figures


async def add_endpoints(server: ServerProcess, data: Path, settings: dict[str, str], other: Receivers) -> None:
    """Before the server starts, as somebody who may see its database: the receivers have their secrets already."""
    environment = {"bootstrap_api_key": server.api_key, "data_dir": data}
    environment["database_url"] = settings.get("KALLGLOT_DATABASE_URL")  # type: ignore[assignment]
    async with open_store(Settings(**environment)) as deployment, deployment.store.write() as unit:
        organization = (await unit.organizations.list())[0]
        for port, secret in zip(other.ports, other.secrets, strict=True):
            url = f"http://127.0.0.1:{port}/hooks"
            now = deployment.clock.now()
            made = Endpoint(new_id(WEBHOOK_ENDPOINT), organization.id, True, url, (EVERYTHING,), now)
            await unit.webhook_endpoints.add(made, secret)


async def known_events(server: ServerProcess, by_session: dict[str, str]) -> list[str]:
    """Oldest first, but for those that tell of disabled endpoints, which not everybody gets."""
    found: list[str] = []
    async with server.rest() as rest:
        more, after = True, {}
        while more:
            page = (await rest.get("/v1/events", params={"limit": 100, **after})).raise_for_status().json()
            for one in page["data"]:
                if one["type"] != "webhook_endpoint.disabled":
                    found.append(one["id"])
                    by_session[one["id"]] = one["data"]["id"]
            more = page["has_more"]
            after = {"starting_after": page["data"][-1]["id"]} if more else {}
    return found[::-1]


async def _kill(server: ServerProcess, figures: Figures, every: float, most: int | None, load: Any) -> None:
    """As long as there is something to do."""
    while most is None or figures.kills < most:
        await asyncio.sleep(every)
        await asyncio.to_thread(server.kill)
        figures.kills += 1
        await asyncio.to_thread(server.start)


def table(figures: Figures) -> Table:
    made = Table(title="Deliveries by receiver")
    for name in ("receiver", "how many", "requests", "distinct", "again", "missing", "out of order"):
        made.add_column(name, justify="left" if name == "receiver" else "right")
    made.add_column("ms, median", justify="right")
    made.add_column("ms, 95 %", justify="right")
    for kind in dict.fromkeys(one["kind"] for one in figures.reports):
        of = [one for one in figures.reports if one["kind"] == kind]
        late = [ms for one in of for _, ms in one["firsts"]]
        known = set(figures.events)
        got = [[event_id for event_id, _ in one["firsts"] if event_id in known] for one in of]
        taken = any(got)
        made.add_row(
            kind,
            str(len(of)),
            str(sum(one["requests"] for one in of)),
            str(sum(one["distinct"] for one in of)),
            str(sum(one["accepted"] - one["distinct"] for one in of)),
            str(sum(len(known) - len(one) for one in got)) if taken else "–",
            str(sum(figures.disorder(one) for one in got)) if taken else "–",
            f"{statistics.median(late):.0f}" if late else "–",
            f"{statistics.quantiles(late, n=20)[-1]:.0f}" if len(late) > 1 else "–",
        )
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--receivers", type=int, default=50)
    parser.add_argument("--kill-every", type=float, default=8.0, metavar="SECONDS")
    parser.add_argument("--kills", type=int, default=None, help="at most so many; as long as it runs otherwise")
    parser.add_argument("--per-second", type=float, default=PER_SECOND, help="requests to the API")
    parser.add_argument("--database", default=None, help="postgresql://…; SQLite otherwise")
    options = parser.parse_args()
    console = Console() if sys.stdout.isatty() else Console(width=120)
    settings = {} if options.database is None else {"KALLGLOT_DATABASE_URL": options.database}
    os.environ.setdefault("KALLGLOT_LOG_LEVEL", "warning")
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(
            measure(
                Path(folder),
                events=options.events,
                receivers=options.receivers,
                kill_every=options.kill_every,
                kills=options.kills,
                per_second=options.per_second,
                settings=settings,
                say=console.print if console.is_terminal else lambda _: None,
            )
        )
    console.print(table(figures))
    total = sum(one["distinct"] for one in figures.reports)
    console.print(
        f"{len(figures.events)} events, {len(figures.reports) - 1} receivers, {figures.kills} kills; made within"
        f" {figures.made_s:.0f} s, {total} deliveries within {figures.delivered_s:.0f} s:"
        f" {total / max(figures.delivered_s, 0.001):.0f} a second"
    )
    failures = figures.failures()
    for one in failures:
        console.print(f"[red]{one}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
