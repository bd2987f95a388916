"""Who is served when there are fewer lanes than endpoints that have something due."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from tests.waiting import until
from tests.webhooks.conftest import OK, Office, Peers, Post

from kallglot.webhooks.http1 import Answer


class Gate:
    """Servers that answer when they are told to, one request at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(0)
        self._open = False

    async def __call__(self, _: Post) -> Answer:
        if not self._open:
            await self._turn.acquire()
        return OK

    def one(self) -> None:
        self._turn.release()

    def open(self) -> None:
        self._open = True
        for _ in range(1000):
            self._turn.release()


async def test_a_backlog_shuts_out_nobody(office: Office, peers: Peers) -> None:
    """One lane, three endpoints with more than enough to do: after its slice each waits for its turn."""
    urls = [f"https://{n}.example.com/" for n in range(3)]
    ends = [await office.endpoint(url) for url in urls]
    gate = Gate()
    peers.answers = dict.fromkeys(urls, gate)
    events = []
    for _ in range(10):
        events.append(await office.event())
        office.advance(0.001)
    courier = await office.courier(peers, lanes=1)
    for count in range(1, 10):
        await until(lambda count=count: len(peers.posts) == count)
        await until(lambda: all(lane.yields for lane in courier._lanes.values()))
        office.advance(2)
        gate.one()
    served = [post.url for post in peers.posts[:9]]
    assert served[:3] == served[3:6] == served[6:9]
    assert set(served[:3]) == set(urls)
    gate.open()
    for one in ends:
        await office.counted(one, delivered=10)
        assert peers.to(one.url) == events


async def test_within_its_slice_a_lane_goes_on(office: Office, peers: Peers) -> None:
    a, b = [await office.endpoint(f"https://{n}.example.com/") for n in "ab"]
    gate = Gate()
    peers.answers = {a.url: gate, b.url: gate}
    for _ in range(5):
        await office.event()
    courier = await office.courier(peers, lanes=1)
    for count in range(1, 5):
        await until(lambda count=count: len(peers.posts) == count)
        await until(lambda: all(lane.yields for lane in courier._lanes.values()))
        office.advance(0.5)
        gate.one()
    await until(lambda: len(peers.posts) == 4)
    assert len({post.url for post in peers.posts[:3]}) == 1
    assert peers.posts[3].url != peers.posts[0].url
    gate.open()
    await office.counted(a, delivered=5)
    await office.counted(b, delivered=5)


async def test_an_organisation_whose_endpoints_hang_leaves_room_for_others(office: Office, peers: Peers) -> None:
    """Nobody of theirs ever answers, so that none of their lanes ends."""
    gate = Gate()
    slow = [await office.endpoint(f"https://slow{n}.example.com/") for n in range(16)]
    for one in slow:
        peers.answers[one.url] = gate
    for _ in range(3):
        await office.event()
    await office.courier(peers, lanes=8)
    await until(lambda: len(peers.posts) == 6)
    others = [await office.another() for _ in range(5)]
    for other in others:
        end = await office.endpoint(f"https://{other}.example.com/".replace("_", "-"), owner_id=other)
        await office.event(owner_id=other)
        await office.counted(end, delivered=1)
    assert sum(peers.now.values()) == 6
    gate.open()
    for one in slow:
        await office.counted(one, delivered=3)


async def test_a_quarter_of_the_lanes_for_each_while_others_wait(office: Office, peers: Peers) -> None:
    gate = Gate()
    owners = [office.owner.id, *[await office.another() for _ in range(3)]]
    ends = []
    for owner in owners:
        for n in range(8):
            end = await office.endpoint(f"https://{n}.{owner.replace('_', '-').lower()}.example.com/", owner_id=owner)
            peers.answers[end.url] = gate
            ends.append(end)
        await office.event(owner_id=owner)
        office.advance(1)
    await office.courier(peers, lanes=8)
    of = {one.url: one.organization_id for one in ends}
    await until(lambda: len(peers.posts) == 8)
    assert Counter(of[post.url] for post in peers.posts) == dict.fromkeys(owners, 2)
    gate.open()
    for one in ends:
        await office.counted(one, delivered=1)


async def test_failing_ones_take_turns_too(office: Office, peers: Peers) -> None:
    """One that refuses every delivery, but is there, never rests."""
    gate = asyncio.Semaphore(0)

    async def refuse(_: Post) -> Answer:
        await gate.acquire()
        return Answer(400, {}, b"")

    a, b = [
        await office.endpoint(f"https://{n}.example.com/", failures=1, failing_since=office.clock.now()) for n in "ab"
    ]
    peers.answers = {a.url: refuse, b.url: refuse}
    for _ in range(5):
        await office.event()
    courier = await office.courier(peers, lanes=2)
    for count in range(1, 5):
        await until(lambda count=count: len(peers.posts) == count)
        await until(lambda: all(lane.yields for lane in courier._lanes.values()))
        office.advance(2)
        gate.release()
    served = [post.url for post in peers.posts[:4]]
    assert served[:2] == served[2:]
    assert len(set(served)) == 2


@pytest.mark.parametrize("failures", [0, 1])
async def test_many_of_one_hide_none_of_another(office: Office, failures: int) -> None:
    """However long they have waited."""
    since = office.clock.now() if failures else None
    for n in range(20):
        await office.endpoint(f"https://{n}.example.com/", failures=failures, failing_since=since)
    await office.event()
    office.advance(60)
    other = await office.another()
    ends = [
        await office.endpoint(f"https://other{n}.example.com/", owner_id=other, failures=failures, failing_since=since)
        for n in range(3)
    ]
    await office.event(owner_id=other)
    found = await office.deliveries.candidates("one", office.clock.now(), 4)
    assert [one.organization_id for one in found] == [office.owner.id, other] * 2
    assert {one.endpoint_id for one in found if one.organization_id == other} < {one.id for one in ends}
