"""One exchange over real sockets, and what may go wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from tests.fakes.remote.server import Asked, FakeServer, Fault, Reply, json_reply

from kallglot.clock import FakeClock
from kallglot.speech.remote.codec import Opening
from kallglot.speech.remote.config import BreakerLimits, Budget, Patience, ProviderConfig, Retry, Timeouts
from kallglot.speech.remote.engine import RemoteEngine, pause
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.exchange import Part, Request
from kallglot.speech.types import EngineError

KEY = "sk-5ecret"


class Server(FakeServer):
    def routes(self) -> None:
        self.peers: set[Any] = set()
        self.route("POST", "/echo", self._echo)
        self.route("GET", "/echo", self._echo)
        self.route("POST", "/much", self._much)
        self.app.router.add_post("/stops", self._stops)

    async def _echo(self, asked: Asked, request: Any) -> Reply:
        self.peers.add(request.transport.get_extra_info("peername"))
        return json_reply({"body": asked.body.decode(errors="replace"), "query": asked.query})

    async def _much(self, asked: Asked, request: Any) -> Reply:
        return Reply([bytes(10_000)] * 20, "audio/pcm")

    async def _stops(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one")
        await self.gone()
        return response


class Slept:
    def __init__(self, clock: FakeClock) -> None:
        self.waits: list[float] = []
        self._clock = clock

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._clock.advance(seconds)


@asynccontextmanager
async def made(**changes: Any) -> AsyncIterator[tuple[RemoteEngine, Server, Slept]]:
    clock = FakeClock()
    slept = Slept(clock)
    async with Server() as server:
        engine = RemoteEngine(ProviderConfig("acme", server.url, KEY, **changes), clock=clock, sleep=slept)
        await engine.start()
        yield engine, server, slept  # type: ignore[misc]
        await engine.close()


def request(server: Server, path: str = "/echo", **changes: Any) -> Request:
    return Request(f"{server.url}{path}", headers={"Authorization": f"Bearer {KEY}"}, **changes)


async def streamed(engine: RemoteEngine, asked: Request, pieces: list[bytes]) -> None:
    async with engine.stream(asked) as answer:
        async for piece in answer:
            pieces.append(piece)


async def failed(engine: RemoteEngine, asked: Request) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await engine.ask(asked)
    assert KEY not in str(caught.value)
    return caught.value


async def test_kinds_of_content() -> None:
    async with made() as (engine, server, _):
        document = (await engine.ask(request(server, document={"ä": ["好"]}, query={"q": "ü&"}))).json()
        assert document == {"body": '{"ä": ["好"]}', "query": {"q": "ü&"}}
        assert server.asked[-1].headers["Content-Type"] == "application/json"
        assert (await engine.ask(request(server, body=b"raw"))).json()["body"] == "raw"
        parts = [Part("file", b"\1\2", "a.wav", "audio/wav"), Part("model", "m")]
        assert 'name="file"; filename="a.wav"' in (await engine.ask(request(server, parts=parts))).json()["body"]
        assert (await engine.ask(request(server, method="GET"))).status == 200


async def test_connections_are_used_again() -> None:
    async with made() as (engine, server, _):
        for _ in range(3):
            await engine.ask(request(server))
        assert len(server.peers) == 1


async def test_half_characters_in_a_document_do_no_harm() -> None:
    async with made() as (engine, server, _):
        assert (await engine.ask(request(server, document={"text": "a\ud800b"}))).json()["body"] == '{"text": "a?b"}'


async def test_tried_again_while_it_may_pass() -> None:
    async with made(retry=Retry(tries=3, first_wait_s=0.2)) as (engine, server, slept):
        server.fail_next(Fault("refuse", 503))
        assert (await engine.ask(request(server))).status == 200
        assert [0.1 < wait < 0.6 for wait in slept.waits] == [True]
        assert engine.counters.retries == 1


async def test_not_tried_again_once_a_part_of_the_answer_has_come() -> None:
    async with made() as (engine, server, slept):
        server.fail_next(Fault("drop"))
        pieces: list[bytes] = []
        with pytest.raises(EngineError, match="broke off the connection"):
            await streamed(engine, request(server, "/much"), pieces)
        assert sum(map(len, pieces)) == 100_000
        assert slept.waits == []


async def test_what_must_not_be_repeated_is_not() -> None:
    async with made() as (engine, server, _):
        server.fail_next(Fault("refuse", 500))
        assert (await failed(engine, request(server, repeatable=False))).passing
        assert len(server.asked) == 1


async def test_retry_after_is_kept_to_where_it_is_short() -> None:
    async with made() as (engine, server, slept):
        server.fail_next(Fault("refuse", 429, headers={"Retry-After": "1"}))
        assert (await engine.ask(request(server))).status == 200
        assert 1 <= slept.waits[0] < 1.3
        server.fail_next(Fault("refuse", 429, headers={"Retry-After": "60"}))
        assert (await failed(engine, request(server))).retry_after_s == 60
        assert len(slept.waits) == 1


async def test_an_open_breaker_asks_nothing_and_a_trial_closes_it() -> None:
    breaker = BreakerLimits(failures_in_a_row=2, open_s=10)
    async with made(breaker=breaker, retry=Retry(tries=1)) as (engine, server, slept):
        server.fail_next(*[Fault("refuse", 500)] * 2)
        for _ in range(2):
            await failed(engine, request(server))
        assert not engine.healthy
        error = await failed(engine, request(server))
        assert "acme is not asked for now: acme failed: 500 (" not in str(error)
        assert str(error) == "acme is not asked for now: acme failed: 500"
        assert len(server.asked) == 2
        await slept(10)
        assert engine.healthy
        await engine.ask(request(server))
        assert engine.breaker.state == "closed"


async def test_answers_are_bounded() -> None:
    async with made() as (engine, server, _):
        error = await failed(engine, request(server, "/much", most_bytes=50_000))
        assert "too large" in str(error)
        assert engine.healthy


async def test_times_are_bounded() -> None:
    timeouts = Timeouts(first_byte_s=0.05)
    async with made(timeouts=timeouts, retry=Retry(tries=1)) as (engine, server, _):
        server.fail_next(Fault("silent"))
        assert "did not answer in time" in str(await failed(engine, request(server)))
    async with made(timeout_s=0.05) as (engine, server, _):
        server.fail_next(Fault("silent"))
        error = await failed(engine, request(server))
        assert str(error) == "acme did not answer within 0.05 s"
        assert error.passing
        assert engine.breaker.state == "closed"
        assert engine.spending.running == 0


async def test_an_answer_that_stops_is_given_up() -> None:
    async with made(timeouts=Timeouts(between_s=0.05)) as (engine, server, _):
        pieces: list[bytes] = []
        with pytest.raises(EngineError, match="did not answer in time"):
            await streamed(engine, request(server, "/stops"), pieces)
        assert pieces == [b"one"]
        assert engine.spending.running == 0


@pytest.mark.parametrize(
    ("url", "said", "passing"),
    [("http://127.0.0.1:1/x?key=sk-5ecret", "cannot be reached", True), ("nowhere sk-5ecret", "is none", False),
     ("http://user:sk-5ecret@[::1/x", "is none", False)],
)  # fmt: skip
async def test_addresses_that_lead_nowhere(url: str, said: str, passing: bool) -> None:
    async with made(retry=Retry(tries=1)) as (engine, _, _):
        error = await failed(engine, Request(url))
        assert said in str(error)
        assert error.passing is passing


async def test_redirects_are_not_followed() -> None:
    async with made() as (engine, server, _):
        server.fail_next(Fault("refuse", 302, headers={"Location": f"{server.url}/echo"}))
        assert "sends us elsewhere" in str(await failed(engine, request(server)))
        assert len(server.asked) == 1


async def test_only_so_many_at_once() -> None:
    async with made(budget=Budget(at_once=1, waiting=1)) as (engine, server, _):
        server.fail_next(Fault("slow"))
        first = asyncio.create_task(engine.ask(request(server)))
        await server.reached.wait()
        second = asyncio.create_task(engine.ask(request(server)))
        while engine.spending.waiting == 0:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert "1 wait" in str(await failed(engine, request(server)))
        server.release.set()
        assert [answer.status for answer in await asyncio.gather(first, second)] == [200, 200]
        assert engine.spending.running == 0


async def test_not_started_or_closed() -> None:
    engine = RemoteEngine(ProviderConfig("acme", "http://127.0.0.1:1", KEY))
    assert "not started" in str(await failed(engine, Request("http://127.0.0.1:1/x")))
    await engine.close()


def test_missing() -> None:
    assert RemoteEngine(ProviderConfig("acme")).missing() == "acme needs an API key"
    assert RemoteEngine(ProviderConfig("acme", api_key=KEY)).missing() is None


@pytest.mark.parametrize(
    ("error", "waits"),
    [(RemoteError("x"), True), (RemoteError("x", blame="key"), False), (RemoteError("x", blame="request"), False),
     (RemoteError("x", retry_after_s=1.0), True), (RemoteError("x", retry_after_s=3.0), False),
     (EngineError("x"), True), (EngineError("x", passing=False), False), (RemoteError("x", blame="budget"), False)],
)  # fmt: skip
def test_what_is_waited_for(error: EngineError, waits: bool) -> None:
    wait_s = pause(Retry(), 1, error)
    assert (wait_s is not None) is waits
    assert wait_s is None or wait_s >= (error.retry_after_s or 0)


async def test_a_socket_is_not_opened_where_a_server_sends_us() -> None:
    """What follows a redirect takes the key along, to wherever the server says."""

    class Redirecting(Server):
        def routes(self) -> None:
            super().routes()
            self.app.router.add_get("/listen", self._elsewhere)

        async def _elsewhere(self, request: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(f"{elsewhere.url}/listen")

    taken: list[Asked] = []

    class Elsewhere(Server):
        def routes(self) -> None:
            super().routes()
            self.app.router.add_get("/listen", self._listen)

        async def _listen(self, request: web.Request) -> web.StreamResponse:
            taken.append(await self.take(request))
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            return socket

    async with Elsewhere() as elsewhere, Redirecting() as server:
        engine = RemoteEngine(ProviderConfig("acme", server.url, KEY))
        await engine.start()
        with pytest.raises(RemoteError, match="acme sends us elsewhere: 307") as caught:
            await engine.http.connect(Opening(f"{server.ws_url}/listen", {"Api-Key": KEY}), Patience())
        await engine.close()
    assert not caught.value.passing
    assert taken == []
