"""HTTP to addresses that customers name: to public ones only, checked at the one really connected to, on every request;
no redirects, no proxies, bounded in time and size."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import httpcore

from kallglot.webhooks.addresses import Network, chosen

CONNECT_SECONDS: Final = 5.0
MOST_BYTES: Final = 64 * 1024
_PORTS: Final = frozenset((443, 8443))


class Unreachable(Exception):
    """In words that may be shown to the customer."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class SafeClient:
    """``exceptions`` are networks that an operator allows; to them http and any port may be used too."""

    def __init__(self, exceptions: Iterable[Network] = ()) -> None:
        self._exceptions = tuple(exceptions)
        self._pools: dict[bool, httpcore.AsyncConnectionPool] = {}

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> Answer:
        """Raises :class:`Unreachable`."""
        try:
            parsed = httpcore.URL(url)
        except (ValueError, TypeError):
            raise Unreachable("The URL cannot be read.") from None
        if parsed.scheme not in (b"https", b"http") or not parsed.host:
            raise Unreachable("An https URL is expected.")
        usual = parsed.scheme == b"https" and (parsed.port or 443) in _PORTS
        if not usual and not self._exceptions:
            raise Unreachable("An https URL on port 443 or 8443 is expected.")
        # httpcore adds neither of them to a request that is made by hand.
        own = {"host": _host(parsed).decode(), "content-length": str(len(body))}
        sent = {**own, "user-agent": "Kallglot", "content-type": "application/json", **headers}
        request = httpcore.Request(
            "POST",
            parsed,
            headers=[(name.encode(), value.encode()) for name, value in sent.items()],
            content=body,
            extensions={"timeout": dict.fromkeys(("read", "write", "pool"), timeout_s) | {"connect": CONNECT_SECONDS}},
        )
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._connections(usual).handle_async_request(request)
                try:
                    return Answer(response.status, _headers(response), await _read(response))
                finally:
                    await response.aclose()
        except TimeoutError:
            raise Unreachable(f"There was no answer within {timeout_s:g} s.") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            raise Unreachable(f"The connection failed: {type(error).__name__}.") from None

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    def _connections(self, public: bool) -> httpcore.AsyncConnectionPool:
        if public not in self._pools:
            self._pools[public] = httpcore.AsyncConnectionPool(
                ssl_context=ssl.create_default_context(),
                max_connections=100,
                keepalive_expiry=15,
                network_backend=_Checked(self._exceptions, public),
            )
        return self._pools[public]


class _Checked(httpcore.AsyncNetworkBackend):
    """Looks a name up itself and connects to what it found: a name that changes in between changes nothing."""

    def __init__(self, exceptions: tuple[Network, ...], public: bool) -> None:
        self._exceptions = exceptions
        self._public = public
        self._real = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise Unreachable("The name of the host leads nowhere.") from None
        address = chosen([str(entry[4][0]) for entry in found], self._exceptions, public=self._public)
        if address is None:
            raise Unreachable("The host has an address that nothing is sent to: it is not public.")
        return await self._real.connect_tcp(address, port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _read(response: httpcore.Response) -> bytes:
    body = b""
    async for part in response.aiter_stream():
        body += part
        if len(body) > MOST_BYTES:
            raise Unreachable(f"The answer is larger than {MOST_BYTES} bytes.")
    return body


def _host(url: httpcore.URL) -> bytes:
    host = b"[%b]" % url.host if b":" in url.host else url.host
    return host if url.port is None else b"%b:%d" % (host, url.port)


def _headers(response: httpcore.Response) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
