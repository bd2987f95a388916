# ruff: noqa: F811
from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from tests.store.conftest import clock, database_url, kind, postgres, store  # noqa: F401
from tests.store.test_store import organization

from kallglot.clock import FakeClock
from kallglot.ids import EVENT, WEBHOOK_ENDPOINT, new_id
from kallglot.outbox import Event
from kallglot.store import SqlDeliveries, SqlStore
from kallglot.store.tables.webhooks import webhook_deliveries, webhook_endpoints
from kallglot.webhooks.courier import Courier
from kallglot.webhooks.http1 import Answer
from kallglot.webhooks.model import Endpoint
from kallglot.webhooks.ports import Poster
from kallglot.webhooks.signatures import new_secret

OK = Answer(200, {}, b"ok")


@dataclass(frozen=True, slots=True)
class Post:
    url: str
    body: bytes
    headers: Mapping[str, str]
    at: datetime

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Peers:
    """Everybody's servers: what they were sent, and what they answer, by URL."""

    clock: FakeClock
    posts: list[Post] = field(default_factory=list)
    answers: dict[str, Callable[[Post], Awaitable[Answer] | Answer]] = field(default_factory=dict)
    now: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    most_at_once: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> Answer:
        post = Post(url, body, dict(headers), self.clock.now())
        self.posts.append(post)
        self.now[url] += 1
        self.most_at_once[url] = max(self.most_at_once[url], self.now[url])
        try:
            await asyncio.sleep(0)
            answer = self.answers.get(url, lambda _: OK)(post)
            return answer if isinstance(answer, Answer) else await answer
        finally:
            self.now[url] -= 1

    def to(self, url: str) -> list[str]:
        """The ids of the events that were sent there."""
        return [post.event_id for post in self.posts if post.url == url]


async def _until(so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await so():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class Office:
    """A store with an organisation in it, and couriers that come and go."""

    def __init__(self, store: SqlStore, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.owner = organization()
        self.couriers: list[Courier] = []
        self.deliveries = SqlDeliveries(store.database, store.cipher)

    async def another(self) -> str:
        """An organisation."""
        made = organization()
        async with self.store.write() as unit:
            await unit.organizations.add(made)
        return made.id

    async def endpoint(self, url: str, secret: str | None = None, owner_id: str | None = None, **more: Any) -> Endpoint:
        given = {"events": ("*",), "created_at": self.clock.now(), **more}
        made = Endpoint(new_id(WEBHOOK_ENDPOINT), owner_id or self.owner.id, True, url, **given)
        own = secret or (None if made.session_id else new_secret())
        async with self.store.write() as unit:
            await unit.webhook_endpoints.add(made, own)
        return made

    async def event(
        self,
        kind: str = "session.ended",
        session_id: str | None = None,
        data: Any = None,
        owner_id: str | None = None,
    ) -> str:
        body = {"data": data or {"text": "Grüezi"}}
        made = Event(new_id(EVENT), owner_id or self.owner.id, True, session_id, kind, body, self.clock.now())
        async with self.store.write() as unit:
            await unit.events.add([made])
        return made.id

    async def events(self, count: int) -> list[str]:
        return [await self.event() for _ in range(count)]

    async def courier(self, client: Poster, runner: str = "one", **more: Any) -> Courier:
        made = Courier(more.pop("store", self.deliveries), client, self.clock, runner, poll_s=0.02, **more)
        self.store.database.on_deliveries = made.wake
        await made.start()
        self.couriers.append(made)
        return made

    async def change(self, endpoint: Endpoint, **values: Any) -> None:
        async with self.store.database.write() as connection:
            await connection.execute(
                update(webhook_endpoints).where(webhook_endpoints.c.id == endpoint.id).values(**values)
            )

    async def row(self, endpoint: Endpoint) -> Any:
        async with self.store.database.read() as connection:
            table = webhook_endpoints
            return (await connection.execute(select(table).where(table.c.id == endpoint.id))).mappings().one()

    async def counts(self, endpoint: Endpoint) -> dict[str, int]:
        """Deliveries by status."""
        table = webhook_deliveries
        query = select(table.c.status, func.count()).where(table.c.endpoint_id == endpoint.id).group_by(table.c.status)
        async with self.store.database.read() as connection:
            return {row[0]: row[1] for row in await connection.execute(query)}

    async def rows(self, endpoint: Endpoint) -> list[Any]:
        table = webhook_deliveries
        query = select(table).where(table.c.endpoint_id == endpoint.id).order_by(table.c.sequence)
        async with self.store.database.read() as connection:
            return list((await connection.execute(query)).mappings())

    async def counted(self, endpoint: Endpoint, **expected: int) -> None:
        """When it has come to that."""

        async def so() -> bool:
            return await self.counts(endpoint) == expected

        await _until(so)

    async def eventually(self, endpoint: Endpoint, **expected: Any) -> None:
        async def so() -> bool:
            row = await self.row(endpoint)
            return all(row[name] == value for name, value in expected.items())

        await _until(so)

    async def attempted(self, endpoint: Endpoint, times: int) -> None:
        """The first of its deliveries."""

        async def so() -> bool:
            return (await self.rows(endpoint))[0]["attempts"] >= times

        await _until(so)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def hours(self, count: float) -> datetime:
        return self.clock.now() + timedelta(hours=count)


@pytest.fixture
async def office(store: SqlStore, clock: FakeClock) -> AsyncIterator[Office]:
    made = Office(store, clock)
    async with store.write() as unit:
        await unit.organizations.add(made.owner)
    yield made
    for courier in made.couriers:
        await courier.close()


@pytest.fixture
def peers(clock: FakeClock) -> Peers:
    return Peers(clock)
