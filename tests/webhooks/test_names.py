"""Names that are looked up, where some of their servers never answer."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
from tests.waiting import until
from tests.webhooks.test_client import ENOUGH_S, LOOPBACK, Server, resolver

from kallglot.webhooks.addresses import networks
from kallglot.webhooks.client import SafeClient
from kallglot.webhooks.names import Names, UnknownName


class Resolver:
    """Names with ``dead`` in them hang until :attr:`free`; then they lead nowhere, unless ``late`` is in them."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.asked: list[str] = []
        self.nowhere = False

    def look_up(self, name: str) -> list[str]:
        self.asked.append(name)
        if "dead" in name:
            self.free.wait(ENOUGH_S)
            if "late" not in name:
                raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")
        if self.nowhere:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return ["127.0.0.1"]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    made = Resolver()
    resolver(monkeypatch, made.look_up)
    yield made
    made.free.set()


async def nowhere(names: Names, name: str) -> str:
    with pytest.raises(UnknownName) as error:
        await names.addresses(name)
    return str(error.value)


async def test_dead_names_hold_up_no_healthy_one(given: Resolver) -> None:
    client = SafeClient(networks(LOOPBACK))
    async with Server() as server:
        waiting = [
            asyncio.create_task(client.post(server.url(f"dead{n}.example"), b"", {}, timeout_s=ENOUGH_S))
            for n in range(20)
        ]
        await until(lambda: len(given.asked) == 20)
        assert (await client.post(server.url("healthy.example"), b"", {}, timeout_s=ENOUGH_S)).status == 200
        # Nor what the whole process looks up.
        assert await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    await client.close()


async def test_a_name_is_looked_up_once_at_a_time(given: Resolver) -> None:
    names = Names()
    asking = [asyncio.create_task(names.addresses(name)) for name in ("late.dead.example", "Late.DEAD.example") * 10]
    await until(lambda: given.asked)
    # One that gives up takes nothing from the others.
    asking.pop().cancel()
    given.free.set()
    assert await asyncio.gather(*asking) == [["127.0.0.1"]] * 19
    assert given.asked == ["late.dead.example"]
    await names.addresses("late.dead.example")
    assert len(given.asked) == 2


async def test_a_name_that_takes_too_long_counts_as_failed(given: Resolver) -> None:
    passed = [0.0]
    names = Names(limit_s=0.05, failed_s=60, now=lambda: passed[0])
    assert "in time" in await nowhere(names, "dead.example")
    for _ in range(5):
        assert "nowhere" in await nowhere(names, "dead.example")
    # When that is over it is still the same lookup that is waited for.
    passed[0] += 60
    assert "in time" in await nowhere(names, "dead.example")
    assert given.asked == ["dead.example"]


async def test_one_that_failed_is_asked_again_later(given: Resolver) -> None:
    passed = [0.0]
    names = Names(failed_s=60, now=lambda: passed[0])
    given.nowhere = True
    for _ in range(5):
        assert "nowhere" in await nowhere(names, "hooks.example")
    assert given.asked == ["hooks.example"]
    given.nowhere = False
    passed[0] += 60
    assert await names.addresses("hooks.example") == ["127.0.0.1"]


async def test_one_that_was_late_is_asked_again_at_once(given: Resolver) -> None:
    names = Names(limit_s=0.05)
    assert "in time" in await nowhere(names, "late.dead.example")
    given.free.set()
    await until(lambda: not names._running)
    assert await names.addresses("late.dead.example") == ["127.0.0.1"]


async def test_no_more_threads_than_that(given: Resolver) -> None:
    """A name for which there was none is not held to have failed; addresses need none."""
    names = Names(threads=2, limit_s=0.05)
    for n in range(2):
        assert "in time" in await nowhere(names, f"dead{n}.example")
    assert "in time" in await nowhere(names, "healthy.example")
    assert len(given.asked) == 2
    assert await names.addresses("127.0.0.1") == ["127.0.0.1"]
    given.free.set()
    await until(lambda: not names._running)
    assert await names.addresses("healthy.example") == ["127.0.0.1"]


async def test_what_failed_is_not_kept_without_end(given: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kallglot.webhooks.names.MOST_FAILED", 3)
    given.nowhere = True
    names = Names()
    for n in range(10):
        await nowhere(names, f"{n}.example")
    assert list(names._failed) == ["7.example", "8.example", "9.example"]


async def test_a_system_without_threads(given: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    names = Names(threads=1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert "too much" in await nowhere(names, "hooks.example")
    assert await names.addresses("hooks.example") == ["127.0.0.1"]


def test_a_lookup_holds_up_neither_the_loops_end_nor_the_process(given: Resolver) -> None:
    async def look() -> None:
        client = SafeClient(networks(LOOPBACK))
        asking = asyncio.create_task(client.post("http://dead.example/", b"", {}, timeout_s=ENOUGH_S))
        await until(lambda: given.asked)
        asking.cancel()
        await client.close()

    asyncio.run(look())
    (left,) = [one for one in threading.enumerate() if one.name == "name lookup"]
    assert left.daemon
    given.free.set()
    left.join(ENOUGH_S)
    assert not left.is_alive()
