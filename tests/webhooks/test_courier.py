"""Deliveries and those who bring them, on both databases, under a clock that stands still."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from sqlalchemy import delete, text
from standardwebhooks import Webhook
from tests.store.test_store import session
from tests.waiting import until
from tests.webhooks.conftest import OK, Office, Peers, Post
from tests.webhooks.test_client import LOOPBACK, Server
from tests.webhooks.test_signatures import documented

from kallglot.store.tables.accounts import organizations
from kallglot.store.tables.webhooks import webhook_endpoints
from kallglot.webhooks.addresses import networks
from kallglot.webhooks.client import SafeClient, Unreachable
from kallglot.webhooks.http1 import Answer
from kallglot.webhooks.model import of_session
from kallglot.webhooks.signatures import new_secret

A, B = "https://a.example.com/hooks", "https://b.example.com/hooks"
BROKEN = Answer(500, {}, b"oh\x00 no")


def refuses(_: Post) -> Answer:
    raise Unreachable("The connection failed: it was refused.")


async def test_events_arrive_once_and_in_order(office: Office, peers: Peers) -> None:
    a, b = await office.endpoint(A), await office.endpoint(B)
    await office.courier(peers)
    events = await office.events(40)
    await office.counted(a, delivered=40)
    await office.counted(b, delivered=40)
    assert peers.to(A) == peers.to(B) == events
    assert peers.most_at_once == {A: 1, B: 1}
    post = peers.posts[0]
    assert json.loads(post.body) == {
        "id": events[0],
        "object": "event",
        "type": "session.ended",
        "api_version": "v1",
        "created_at": "2026-03-26T11:00:00Z",
        "data": {"text": "Grüezi"},
    }
    row = (await office.rows(a))[0]
    assert post.headers["Kallglot-Webhook-Id"] in {row["id"], (await office.rows(b))[0]["id"]}
    assert row["log"] == [
        {"at": "2026-03-26T11:00:00+00:00", "duration_ms": 0, "status": 200, "error": None, "response": "ok"}
    ]
    assert (row["attempts"], row["completed_at"]) == (1, office.clock.now())
    assert office.couriers[0].stats().attempts == {"delivered": 80}


async def test_what_failed_steps_aside_and_comes_again(office: Office, peers: Peers) -> None:
    secret = new_secret()
    a = await office.endpoint(A, secret)
    answers = iter([BROKEN])
    peers.answers[A] = lambda _: next(answers, OK)
    await office.courier(peers)
    events = await office.events(3)
    await office.counted(a, delivered=2, pending=1)
    assert peers.to(A) == events
    row = (await office.rows(a))[0]
    assert timedelta(seconds=54) <= row["next_attempt_at"] - office.clock.now() <= timedelta(seconds=66)
    assert [(one["status"], one["response"]) for one in row["log"]] == [(500, "oh  no")]
    office.advance(66)
    await office.counted(a, delivered=3)
    first, again = [post for post in peers.posts if post.event_id == events[0]]
    assert first.body == again.body
    assert [post.headers["Kallglot-Retry-Count"] for post in (first, again)] == ["0", "1"]
    assert first.headers["Kallglot-Webhook-Id"] == again.headers["Kallglot-Webhook-Id"] == row["id"]
    stamps = [int(post.headers["webhook-timestamp"]) for post in (first, again)]
    assert stamps[1] - stamps[0] == 66
    originals = {post.headers["Kallglot-Original-Timestamp"] for post in (first, again)}
    assert originals == {str(int(first.at.timestamp()))}
    for post in (first, again):
        assert documented(post.headers["Kallglot-Signature"], post.body, secret)


async def test_after_eight_attempts_it_has_failed(office: Office, peers: Peers) -> None:
    a = await office.endpoint(A)
    peers.answers[A] = lambda _: Answer(400, {}, b"")
    await office.courier(peers)
    await office.event()
    for attempts, delay in enumerate((0, 60, 300, 1800, 7200, 18_000, 36_000, 86_400), 1):
        office.advance(delay * 1.1)
        await until(lambda attempts=attempts: len(peers.posts) == attempts)
        expected = {"failed": 1} if attempts == 8 else {"pending": 1}
        await office.attempted(a, attempts)
        assert await office.counts(a) == expected
    assert [post.headers["Kallglot-Retry-Count"] for post in peers.posts] == list("01234567")


async def test_a_dead_endpoint_rests_and_a_healthy_one_never_waits_for_it(office: Office, peers: Peers) -> None:
    a, b = await office.endpoint(A), await office.endpoint(B)
    peers.answers[A] = refuses
    await office.courier(peers)
    events = await office.events(30)
    await office.counted(b, delivered=30)
    await until(lambda: len(peers.to(A)) == 5)
    assert (await office.counts(a)) == {"pending": 30}
    # One asks whether it is back, and each time later.
    for asked, rest in enumerate((2, 4, 8, 16, 32, 60, 60), 6):
        office.advance(rest)
        await until(lambda asked=asked: len(peers.to(A)) == asked)
        await office.eventually(a, failures=asked)
    peers.answers.clear()
    office.advance(60)
    await until(lambda: set(peers.to(A)) == set(events))
    # Those that asked in vain come again on their own schedule.
    office.advance(330)
    await office.counted(a, delivered=30)
    waited = [one for one in peers.to(A)[12:] if one not in peers.to(A)[:12]]
    assert waited == sorted(waited)
    row = await office.row(a)
    assert (row["failures"], row["failing_since"], row["resting_until"]) == (0, None, None)


async def test_retry_after_delays_the_endpoint(office: Office, peers: Peers) -> None:
    a = await office.endpoint(A)
    answers = iter([Answer(429, {"retry-after": "600"}, b"")])
    peers.answers[A] = lambda _: next(answers, OK)
    await office.courier(peers)
    await office.events(3)
    await until(lambda: peers.posts)
    await office.counted(a, pending=3)
    office.advance(599)
    b = await office.endpoint(B)
    await office.event()
    await office.counted(b, delivered=1)
    assert len(peers.to(A)) == 1
    office.advance(1)
    await office.counted(a, delivered=4)


async def test_one_that_is_gone_is_disabled_and_others_are_told(office: Office, peers: Peers) -> None:
    a, b = await office.endpoint(A), await office.endpoint(B)
    await office.events(20)
    peers.answers[A] = lambda _: Answer(410, {}, b"")
    courier = await office.courier(peers)
    await office.counted(a, failed=20)
    await office.counted(b, delivered=21)
    row = await office.row(a)
    assert (row["enabled"], row["disabled_reason"], row["disabled_at"]) == (False, "gone", office.clock.now())
    told = json.loads(peers.posts[-1].body)
    assert (told["type"], told["data"]["id"], told["data"]["url"]) == ("webhook_endpoint.disabled", a.id, A)
    assert told["data"]["disabled_reason"] == "gone"
    assert len(peers.to(A)) == 1
    assert courier.stats().disabled == 1


async def test_five_days_of_failure_disable(office: Office, peers: Peers) -> None:
    a = await office.endpoint(A, failures=9, failing_since=office.hours(-5 * 24))
    peers.answers[A] = refuses
    await office.events(3)
    await office.courier(peers)
    await office.counted(a, failed=3)
    assert (await office.row(a))["disabled_reason"] == "failing"
    assert len(peers.posts) == 1


async def test_a_slow_peer_holds_up_nobody(office: Office, peers: Peers) -> None:
    a, b = await office.endpoint(A), await office.endpoint(B)
    free = asyncio.Event()

    async def slow(_: Post) -> Answer:
        await free.wait()
        return OK

    peers.answers[A] = slow
    await office.courier(peers)
    events = await office.events(10)
    await office.counted(b, delivered=10)
    assert peers.to(A) == events[:1]
    free.set()
    await office.counted(a, delivered=10)
    assert peers.to(A) == events


async def test_two_runners_bring_nothing_both(office: Office, peers: Peers) -> None:
    urls = [f"https://{n}.example.com/" for n in range(8)]
    ends = [await office.endpoint(url) for url in urls]

    async def busy(_: Post) -> Answer:
        for _ in range(10):
            await asyncio.sleep(0)
        return OK

    peers.answers = dict.fromkeys(urls, busy)
    couriers = [await office.courier(peers, runner) for runner in ("one", "two")]

    def both() -> None:
        for courier in couriers:
            courier.wake()

    office.store.database.on_deliveries = both
    events = await office.events(30)
    for one in ends:
        await office.counted(one, delivered=30)
    for url in urls:
        assert peers.to(url) == events
        assert peers.most_at_once[url] == 1


async def test_another_goes_on_when_the_lease_is_over_and_the_same_at_once(office: Office, peers: Peers) -> None:
    """What a process that was killed leaves behind."""
    a = await office.endpoint(A)
    await office.change(a, lease_owner="dead", lease_until=office.clock.now() + timedelta(seconds=40))
    b = await office.endpoint(B)
    await office.event()
    await office.courier(peers, "other")
    await office.counted(b, delivered=1)
    assert not peers.to(A)
    await office.couriers[0].close()
    await office.courier(peers, "dead")
    await office.counted(a, delivered=1)
    await office.couriers[1].close()
    assert (await office.row(a))["lease_owner"] is None
    await office.change(a, lease_owner="dead", lease_until=office.clock.now() + timedelta(seconds=40))
    await office.event()
    await office.courier(peers, "other")
    office.advance(40)
    await office.counted(a, delivered=2)


async def test_shutting_down_leaves_what_was_on_its_way_for_the_next(office: Office, peers: Peers) -> None:
    a = await office.endpoint(A)
    stuck = asyncio.Event()

    async def hang(_: Post) -> Answer:
        await stuck.wait()
        return OK

    peers.answers[A] = hang
    courier = await office.courier(peers)
    events = await office.events(3)
    await until(lambda: peers.posts)
    await courier.close()
    assert await office.counts(a) == {"pending": 3}
    assert (await office.row(a))["lease_owner"] is None
    peers.answers.clear()
    await office.courier(peers, "two")
    await office.counted(a, delivered=3)
    assert peers.to(A) == [events[0], *events]


@pytest.mark.parametrize("how", ["disabled", "deleted"])
async def test_disabled_or_deleted_in_mid_run(office: Office, peers: Peers, how: str) -> None:
    a, b = await office.endpoint(A), await office.endpoint(B)
    free = asyncio.Event()

    async def hang(_: Post) -> Answer:
        await free.wait()
        return OK

    peers.answers[A] = hang
    courier = await office.courier(peers)
    await office.events(5)
    await until(lambda: peers.to(A))
    if how == "disabled":
        await office.change(a, enabled=False, disabled_reason="by_request")
    else:
        async with office.store.database.write() as connection:
            await connection.execute(delete(webhook_endpoints).where(webhook_endpoints.c.id == a.id))
    await until(lambda: courier._lanes[a.id].stopped)
    free.set()
    await until(lambda: not courier.stats().lanes)
    assert len(peers.to(A)) == 1
    await office.event()
    await office.counted(b, delivered=6)
    assert len(peers.to(A)) == 1


async def test_pointed_elsewhere_in_mid_run_and_its_secret_rotated(office: Office, peers: Peers) -> None:
    old, new = new_secret(), new_secret()
    a = await office.endpoint(A, old)
    turn = asyncio.Semaphore(0)

    async def hang(_: Post) -> Answer:
        await turn.acquire()
        return OK

    peers.answers[A] = hang
    courier = await office.courier(peers)
    await office.events(5)
    await until(lambda: len(peers.posts) == 1)
    sealed = office.store.cipher.encrypt
    await office.change(
        a,
        secret=sealed(new.encode()),
        previous_secret=sealed(old.encode()),
        previous_secret_until=office.hours(24),
    )
    await until(lambda: courier._lanes[a.id].target.secrets.current == new)
    turn.release()
    await until(lambda: len(peers.posts) == 2)
    await office.change(a, url=B)
    await until(lambda: courier._lanes[a.id].target.endpoint.url == B)
    turn.release()
    await office.counted(a, delivered=5)
    assert [post.url for post in peers.posts] == [A, A, B, B, B]
    first, *rest = [post.headers["Kallglot-Signature"] for post in peers.posts]
    assert documented(first, peers.posts[0].body, old)
    assert first.count("v1=") == 1
    for post, header in zip(peers.posts[1:], rest, strict=True):
        assert documented(header, post.body, old)
        assert documented(header, post.body, new)


async def test_an_attempt_that_began_before_it_was_pointed_elsewhere(office: Office, peers: Peers) -> None:
    """What the old address answers says nothing of the new one, which gets it as a retry."""
    a = await office.endpoint(A)
    free = asyncio.Event()

    async def gone(_: Post) -> Answer:
        await free.wait()
        return Answer(410, {}, b"")

    peers.answers[A] = gone
    courier = await office.courier(peers)
    events = await office.events(2)
    await until(lambda: peers.posts)
    await office.change(a, url=B)
    await until(lambda: courier._lanes[a.id].target.endpoint.url == B)
    free.set()
    await office.counted(a, delivered=1, pending=1)
    row = await office.row(a)
    assert (row["enabled"], row["failures"], courier.stats().disabled) == (True, 0, 0)
    office.advance(66)
    await office.counted(a, delivered=2)
    assert [(post.url, post.event_id) for post in peers.posts] == [(A, events[0]), (B, events[1]), (B, events[0])]


async def test_a_sessions_own_endpoint_is_signed_with_the_organisations_secret(office: Office, peers: Peers) -> None:
    """Which is made when it is needed, once, whoever comes first."""
    one = session(office.owner.id, webhook_url=A)
    own = of_session(one)
    assert own is not None
    async with office.store.write() as unit:
        await unit.sessions.add(one)
        await unit.webhook_endpoints.add(own, None)
    b = await office.endpoint(B)
    found = await asyncio.gather(*(office.deliveries.targets([own.id]) for _ in range(5)))
    secrets = {targets[own.id].secrets.current for targets in found}
    assert len(secrets) == 1
    await office.courier(peers)
    await office.event(session_id=one.id)
    await office.event()
    await office.counted(own, delivered=1)
    await office.counted(b, delivered=1)
    post = next(post for post in peers.posts if post.url == A)
    (secret,) = secrets
    assert documented(post.headers["Kallglot-Signature"], post.body, secret)
    async with office.store.database.read() as connection:
        kept = (await connection.execute(organizations.select())).mappings().one()["webhook_secret"]
    assert secret.encode() not in kept
    assert office.store.cipher.decrypt(kept).decode() == secret


async def test_a_store_that_is_away_for_a_while(office: Office, peers: Peers) -> None:
    class Away:
        """Every method raises as long as it is."""

        away = False
        asked = 0

        def __getattr__(self, name: str):
            async def call(*given: object):
                if self.away:
                    self.asked += 1
                    raise ConnectionError("the database is away")
                return await getattr(office.deliveries, name)(*given)

            return call

    store = Away()
    a = await office.endpoint(A)

    def then_away(_: Post) -> Answer:
        if len(peers.posts) == 2:
            store.away = True
        return OK

    peers.answers[A] = then_away
    await office.courier(peers, store=store)
    events = await office.events(5)
    await until(lambda: store.asked >= 5)
    store.away = False
    await office.counted(a, delivered=5)
    assert list(dict.fromkeys(peers.to(A))) == events


@pytest.mark.slow
async def test_a_hundred_thousand_wait_for_a_dead_one(office: Office, peers: Peers) -> None:
    dead, well = await office.endpoint(A, events=("nothing",)), await office.endpoint(B, events=("session.ended",))
    event = await office.event("session.started")
    statement = text(
        """INSERT INTO webhook_deliveries
               (id, endpoint_id, event_id, status, attempts, next_attempt_at, created_at, log)
           WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
           SELECT 'wh_del_' || i, :to, :of, 'pending', 0, made, made, '[]'
           FROM n, (SELECT created_at AS made FROM events WHERE id = :of) AS first"""
    )
    async with office.store.database.write() as connection:
        await connection.execute(statement, {"to": dead.id, "of": event})
    peers.answers[A] = refuses
    courier = await office.courier(peers)
    events = await office.events(50)
    await office.counted(well, delivered=50)
    assert peers.to(B) == events
    await until(lambda: len(peers.to(A)) == 5)
    await until(lambda: courier.stats().pending >= 100_000)
    assert len(peers.to(A)) == 5
    # Disabling it fails all of them, a part at a time.
    peers.answers[A] = lambda _: Answer(410, {}, b"")
    office.advance(10)
    await office.counted(dead, failed=100_000)


async def test_lanes_are_bounded_and_the_failing_take_half_at_most(office: Office, peers: Peers) -> None:
    stuck = asyncio.Event()

    async def hang(_: Post) -> Answer:
        await stuck.wait()
        return BROKEN

    failing = [f"https://bad{n}.example.com/" for n in range(8)]
    healthy = [f"https://good{n}.example.com/" for n in range(8)]
    for url in failing:
        await office.endpoint(url, failures=1, failing_since=office.clock.now())
        peers.answers[url] = hang
    ends = [await office.endpoint(url) for url in healthy]
    await office.event()
    courier = await office.courier(peers, lanes=4)
    for one in ends:
        await office.counted(one, delivered=1)
    await until(lambda: sum(1 for url in failing if peers.to(url)) == 2)
    assert sum(peers.now.values()) == 2
    assert courier.stats().lanes <= 4
    stuck.set()


async def test_over_real_sockets(office: Office) -> None:
    """A connection for all of them; an answer that is cut short is none."""
    secret = new_secret()
    client = SafeClient(networks(LOOPBACK))
    async with Server() as server, Server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n") as liar:
        liar.answer = _cut_short
        a, b = await office.endpoint(server.url(), secret), await office.endpoint(liar.url())
        await office.courier(client)
        events = await office.events(20)
        await office.counted(a, delivered=20)
        assert server.connections == 1
        got = [request.partition(b"\r\n\r\n") for request in server.requests]
        assert [json.loads(body)["id"] for _, _, body in got] == events
        for head, _, body in got:
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
            assert documented(headers["Kallglot-Signature"], body, secret)
            signed = Webhook(secret).sign(headers["webhook-id"], office.clock.now(), body.decode())
            assert headers["webhook-signature"] == signed
        await until(lambda: len(liar.requests) == 5)
        await office.counted(b, pending=20)
        assert "before the answer was complete" in (await office.rows(b))[0]["log"][0]["error"]
    await office.couriers[0].close()
    await client.close()


async def _cut_short(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal")
    await writer.drain()
    raise ConnectionResetError
