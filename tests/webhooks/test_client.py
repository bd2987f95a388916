"""The client that goes where customers say, over real sockets. Every connection that is begun is seen at the socket."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.webhooks.test_addresses import FORBIDDEN, HOSTS

from kallglot.webhooks.addresses import networks
from kallglot.webhooks.client import MOST_BYTES, SafeClient, Unreachable

LOOPBACK = "127.0.0.0/8"
ENOUGH_S = 20.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nja"
_watching: list[list[Any]] = []


def _audit(event: str, given: tuple[Any, ...]) -> None:
    # Threads that earlier tests left, as an exporter of traces, have addresses of their own.
    here = threading.current_thread() is threading.main_thread()
    if event == "socket.connect" and _watching and here and given[0].family != socket.AF_UNIX:
        _watching[-1].append(given[1])


sys.addaudithook(_audit)


@pytest.fixture
def connects() -> Any:
    """The addresses to which a connection was begun in this process, by the thread that connects."""
    _watching.append([])
    yield _watching[-1]
    _watching.pop()


class Server:
    """Reads a request, keeps it, and writes what it is told to."""

    def __init__(self, answer: bytes | Callable[[asyncio.StreamWriter], Awaitable[None]] = OK) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.left = asyncio.Event()
        self.connections = 0
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/calls?a=1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                self.requests.append(head + await reader.readexactly(length))
                if callable(self.answer):
                    await self.answer(writer)
                else:
                    writer.write(self.answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.left.set()
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as made:
        yield made


@pytest.fixture
async def client() -> AsyncIterator[SafeClient]:
    made = SafeClient(networks(LOOPBACK))
    yield made
    await made.close()


def names(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Every name leads to the first of ``answers``, then to the next; the names that were asked for."""
    asked: list[str] = []

    def look_up(host: str) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    resolver(monkeypatch, look_up)
    return asked


def resolver(monkeypatch: pytest.MonkeyPatch, look_up: Callable[[str], list[str]]) -> None:
    """The system's; what names lead to is ``look_up``'s, on the thread that asks."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int | None, *given: Any, **more: Any) -> list[Any]:
        if threading.current_thread().name != "name lookup":
            return real(host, port, *given, **more)
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in one], socket.SOCK_STREAM, 6, "", (one, port or 0)) for one in look_up(host)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


async def refused(client: SafeClient, url: str, timeout_s: float = ENOUGH_S) -> str:
    with pytest.raises(Unreachable) as error:
        await client.post(url, b"{}", {}, timeout_s=timeout_s)
    return str(error.value)


async def test_a_question_and_its_answer(client: SafeClient, server: Server, connects: list[Any]) -> None:
    server.answer = b"HTTP/1.1 201 Created\r\nX-Some: Thing\r\nContent-Length: 2\r\n\r\nja"
    answer = await client.post(server.url(), b'{"a":1}', {"kallglot-signature": "s"}, timeout_s=ENOUGH_S)
    assert (answer.status, answer.body, answer.headers["x-some"]) == (201, b"ja", "Thing")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().lower().split("\r\n")
    assert first == "post /calls?a=1 http/1.1"
    assert {
        f"host: 127.0.0.1:{server.port}",
        "user-agent: kallglot",
        "content-type: application/json",
        "content-length: 7",
        "kallglot-signature: s",
    } <= set(lines)
    assert body == b'{"a":1}'
    assert connects == [("127.0.0.1", server.port)]


async def test_a_connection_is_used_again(client: SafeClient, server: Server, connects: list[Any]) -> None:
    for _ in range(3):
        await client.post(server.url(), b"{}", {}, timeout_s=ENOUGH_S)
    assert (len(server.requests), server.connections, len(connects)) == (3, 1, 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(client: SafeClient, server: Server, connects: list[Any], status: int) -> None:
    async with Server() as other:
        where = f"Location: {other.url()}\r\nContent-Length: 0\r\n\r\n"
        server.answer = f"HTTP/1.1 {status} Go\r\n{where}".encode()
        answer = await client.post(server.url(), b"{}", {}, timeout_s=ENOUGH_S)
        assert answer.status == status
        assert not other.requests
    assert connects == [("127.0.0.1", server.port)]


async def test_no_proxy_is_asked(
    client: SafeClient, server: Server, connects: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    await client.post(server.url(), b"{}", {}, timeout_s=ENOUGH_S)
    assert connects == [("127.0.0.1", server.port)]


async def test_the_largest_answer_and_one_that_is_larger(client: SafeClient, server: Server) -> None:
    server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (MOST_BYTES, b"x" * MOST_BYTES)
    answer = await client.post(server.url(), b"{}", {}, timeout_s=ENOUGH_S)
    assert len(answer.body) == MOST_BYTES
    server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (MOST_BYTES + 1, b"x" * (MOST_BYTES + 1))
    assert "larger" in await refused(client, server.url())


async def test_an_answer_without_end_is_cut_off(client: SafeClient, server: Server) -> None:
    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()

    server.answer = pour
    assert "larger" in await refused(client, server.url())
    await asyncio.wait_for(server.left.wait(), ENOUGH_S)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nzu"])
async def test_an_answer_that_does_not_come_or_not_all_of_it(client: SafeClient, server: Server, head: bytes) -> None:
    async def begin(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await writer.drain()

    server.answer = begin
    assert "no answer" in await refused(client, server.url(), 0.2)
    await asyncio.wait_for(server.left.wait(), ENOUGH_S)


async def test_an_answer_that_comes_a_byte_at_a_time_is_not_waited_for(client: SafeClient, server: Server) -> None:
    """Each byte comes in time; all of them don't."""

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)
        raise ConnectionResetError

    server.answer = drip
    assert "no answer" in await refused(client, server.url(), 0.3)
    await asyncio.wait_for(server.left.wait(), ENOUGH_S)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nzu",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
)
async def test_a_connection_that_is_closed_or_speaks_something_else(
    client: SafeClient, server: Server, sent: bytes
) -> None:
    async def hang_up(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        raise ConnectionResetError

    server.answer = hang_up
    assert "connection failed" in await refused(client, server.url())
    server.answer = OK
    assert (await client.post(server.url(), b"{}", {}, timeout_s=ENOUGH_S)).body == b"ja"


async def test_nobody_listens(client: SafeClient, free_port: int, connects: list[Any]) -> None:
    assert "connection failed" in await refused(client, f"http://127.0.0.1:{free_port}/")
    assert connects == [("127.0.0.1", free_port)]


async def test_a_server_without_tls(client: SafeClient, server: Server) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    assert "connection failed" in await refused(client, f"https://127.0.0.1:{port}/")
    listening.close()


async def test_what_is_connected_to_is_what_was_checked(
    client: SafeClient, server: Server, connects: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads elsewhere the moment after: nobody asks for it again."""
    asked = names(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    await client.post(server.url("rebinding.example.com"), b"{}", {}, timeout_s=ENOUGH_S)
    assert asked == ["rebinding.example.com"]
    assert connects == [("127.0.0.1", server.port)]
    assert f"host: rebinding.example.com:{server.port}".encode() in server.requests[0].lower()


async def test_a_name_that_changes_is_checked_each_time(
    client: SafeClient, server: Server, connects: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nja"
    asked = names(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    await client.post(server.url("rebinding.example.com"), b"{}", {}, timeout_s=ENOUGH_S)
    assert "not public" in await refused(client, server.url("rebinding.example.com"))
    assert len(asked) == 2
    assert connects == [("127.0.0.1", server.port)]


async def test_the_next_address_where_the_first_refuses(
    client: SafeClient, server: Server, connects: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, ["127.0.0.2", "127.0.0.2", "127.0.0.1"])
    answer = await client.post(server.url("hooks.example.com"), b"{}", {}, timeout_s=ENOUGH_S)
    assert answer.body == b"ja"
    assert connects == [("127.0.0.2", server.port), ("127.0.0.1", server.port)]


async def test_three_addresses_at_most(
    client: SafeClient, free_port: int, connects: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, [f"127.0.0.{n}" for n in range(2, 8)])
    assert "refused" in await refused(client, f"http://hooks.example.com:{free_port}/")
    assert connects == [(f"127.0.0.{n}", free_port) for n in (2, 3, 4)]


async def test_the_next_address_where_the_first_says_nothing(
    client: SafeClient, server: Server, connects: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection and leaves it at that."""
    monkeypatch.setattr("kallglot.webhooks.client.NEXT_SECONDS", 0.1)
    names(monkeypatch, ["127.0.0.1", "127.0.0.2"])
    assert "refused" in await refused(client, f"https://hooks.example.com:{server.port}/")
    assert connects == [("127.0.0.1", server.port), ("127.0.0.2", server.port)]


async def test_all_addresses_are_checked_before_one_is_tried(
    client: SafeClient, free_port: int, connects: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "10.0.0.1"])
    assert "not public" in await refused(client, f"http://hooks.example.com:{free_port}/")
    assert connects == []


@pytest.mark.parametrize("behind", [b"1;", b"0\r\n", b"0\r\nX: "])
async def test_what_stands_beside_the_body_has_an_end_too(client: SafeClient, server: Server, behind: bytes) -> None:
    """Extensions of chunks, many trailers, a long one."""
    line = b"X-%d: " % 7 + b"v" * 1000 + b"\r\n" if behind.endswith(b"\r\n") else b"v" * 1000

    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + behind)
        while True:
            writer.write(line)
            await writer.drain()

    server.answer = pour
    assert "larger" in await refused(client, server.url())
    await asyncio.wait_for(server.left.wait(), ENOUGH_S)


async def test_a_header_behind_the_body_is_none(client: SafeClient, server: Server) -> None:
    server.answer = (
        b"HTTP/1.1 429 Slow\r\nRetry-After: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2;a=b\r\nja\r\n0\r\nRetry-After: 86400\r\nX: y\r\n\r\n"
    )
    for _ in range(2):
        answer = await client.post(server.url(), b"{}", {}, timeout_s=ENOUGH_S)
        assert (answer.body, answer.headers) == (b"ja", {"retry-after": "5", "transfer-encoding": "chunked"})
    assert server.connections == 1


async def test_the_largest_answer_in_small_pieces(client: SafeClient, server: Server) -> None:
    pieces = b"4\r\nabcd\r\n" * (MOST_BYTES // 4)
    server.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
    answer = await client.post(server.url(), b"{}", {}, timeout_s=ENOUGH_S)
    assert answer.body == b"abcd" * (MOST_BYTES // 4)


@pytest.mark.parametrize("host", [*HOSTS, "127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::a00:1]"])
async def test_no_connection_is_begun_to_a_host_that_is_forbidden(host: str, connects: list[Any]) -> None:
    client = SafeClient()
    for url in (f"https://{host}/", f"https://{host}:8443/"):
        assert "not public" in await refused(client, url)
    assert "without a user" in await refused(client, f"https://user:pass@{host}/x")
    await client.close()
    assert connects == []


@pytest.mark.parametrize("found", [*([one] for one in FORBIDDEN), ["8.8.8.8", "127.0.0.1"], ["10.0.0.1", "8.8.8.8"]])
async def test_no_connection_is_begun_to_a_name_of_such_a_host(
    found: list[str], connects: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = names(monkeypatch, found)
    for client in (SafeClient(), SafeClient(networks("10.99.0.0/16"))):
        assert "not public" in await refused(client, "https://hooks.example.com/calls")
        await client.close()
    assert len(asked) == 2
    assert connects == []


async def test_names_that_lead_nowhere(connects: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(_: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    resolver(monkeypatch, nowhere)
    client = SafeClient()
    assert "nowhere" in await refused(client, "https://hooks.example.com/")
    await client.close()
    assert connects == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "https:///calls",
        "hooks.example.com",
        "//8.8.8.8/",
        "file:///etc/passwd",
        "ftp://8.8.8.8/",
        "gopher://8.8.8.8:25/_HELO",
        "javascript:alert(1)",
        "http://8.8.8.8/",
        "http://8.8.8.8:443/",
        "https://8.8.8.8:22/",
        "https://8.8.8.8:80/",
        "https://8.8.8.8:99999/",
        "https://8.8.8.8:port/",
        "https://[::1/",
        "https://☃.example.com/",
        "https://ⓛocalhost/",
    ],
)
async def test_urls_that_are_not_gone_to(url: str, connects: list[Any]) -> None:
    client = SafeClient()
    assert await refused(client, url)
    await client.close()
    assert connects == []


@pytest.mark.parametrize("url", ["http://hooks.example.com/", "https://hooks.example.com:6379/", "http://8.8.8.8:443/"])
async def test_an_exception_allows_nothing_else(url: str, connects: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain HTTP and other ports are for the operator's own networks."""
    names(monkeypatch, ["8.8.8.8"])
    client = SafeClient(networks(LOOPBACK))
    assert await refused(client, url, 0.2)
    await client.close()
    assert connects == []


async def test_an_ipv6_host_is_named_as_one(connects: list[Any]) -> None:
    hosts: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        hosts.extend(line for line in head.split(b"\r\n") if line.lower().startswith(b"host:"))
        writer.write(OK)
        writer.close()

    try:
        listening = await asyncio.start_server(serve, "::1", 0)
    except OSError:
        pytest.skip("there is no IPv6 here")
    port = listening.sockets[0].getsockname()[1]
    client = SafeClient(networks("::1"))
    assert (await client.post(f"http://[::1]:{port}/", b"{}", {}, timeout_s=ENOUGH_S)).body == b"ja"
    await client.close()
    listening.close()
    assert hosts == [b"host: [::1]:%d" % port]
    assert [one[:2] for one in connects] == [("::1", port)]
