"""HTTP to addresses that customers name: to public ones only, checked at the one really connected to, whenever one is;
no redirects, no proxies, no cookies, bounded in time and size."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from kallglot.webhooks.addresses import Network, in_turn
from kallglot.webhooks.connections import CONNECT_SECONDS, Connection, Stale
from kallglot.webhooks.http1 import MOST_BYTES, Answer, BadAnswer
from kallglot.webhooks.names import Names, UnknownName
from kallglot.webhooks.urls import Place, read

IDLE_SECONDS: Final = 15.0
MOST_IDLE: Final = 256
MOST_ADDRESSES: Final = 3
"""Of a name that leads to several, those that are tried."""
NEXT_SECONDS: Final = 2.0
"""So long one of them has, if there is another."""

__all__ = ["MOST_BYTES", "Answer", "SafeClient", "Unreachable"]


class Unreachable(Exception):
    """In words that may be shown to the customer."""


class SafeClient:
    """``exceptions`` are networks that an operator allows; to them http and any port may be used too."""

    def __init__(self, exceptions: Iterable[Network] = (), names: Names | None = None) -> None:
        self._exceptions = tuple(exceptions)
        self._names = names or Names()
        self._idle: OrderedDict[Connection, Place] = OrderedDict()
        """Those that were used last are last."""
        self._of: dict[Place, list[Connection]] = {}
        self._tls: ssl.SSLContext | None = None
        self._sweep: asyncio.TimerHandle | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> Answer:
        """Raises :class:`Unreachable`."""
        place, head = _read(url)
        if not place.usual and not self._exceptions:
            raise Unreachable("An https URL on port 443 or 8443 is expected.")
        request = _request(head, body, headers)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(place, request)
        except TimeoutError:
            raise Unreachable(f"There was no answer within {timeout_s:g} s.") from None
        except BadAnswer as error:
            raise Unreachable(str(error)) from None
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(f"The connection failed: its certificate is not valid: {error.verify_message}.") from None
        except OSError as error:
            raise Unreachable(f"The connection failed: {_why(error)}.") from None

    async def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        self._of.clear()

    async def _exchange(self, place: Place, request: bytes) -> Answer:
        # One that was idle may be closed by now, which says nothing of the server: another is asked, at last a new one.
        while True:
            kept = self._take(place)
            connection = await self._connect(place) if kept is None else kept
            try:
                answer = await connection.exchange(request)
            except Stale:
                if kept is None:
                    raise BadAnswer("The connection failed: it was closed at once.") from None
                continue
            if connection.usable:
                self._keep(connection, place)
            else:
                connection.close()
            return answer

    async def _connect(self, place: Place) -> Connection:
        """Looks the name up itself and connects to what it found: a name that changes in between changes nothing."""
        try:
            found = await self._names.addresses(place.host)
        except UnknownName as error:
            raise Unreachable(str(error)) from None
        addresses = in_turn(found, self._exceptions, public=place.usual)[:MOST_ADDRESSES]
        if not addresses:
            raise Unreachable("The host has an address that nothing is sent to: it is not public.")
        if place.tls and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        tls = self._tls if place.tls else None
        while True:
            address = addresses.pop(0)
            within_s = NEXT_SECONDS if addresses else CONNECT_SECONDS
            try:
                return await Connection.open(address, place.port, place.host, tls, within_s)
            except ssl.SSLError:
                # Somebody is there.
                raise
            except OSError as error:
                if addresses:
                    continue
                if isinstance(error, TimeoutError):
                    raise Unreachable("The connection failed: nobody took it in time.") from None
                raise

    def _take(self, place: Place) -> Connection | None:
        kept = self._of.get(place)
        while kept:
            connection = kept.pop()
            if not kept:
                del self._of[place]
            del self._idle[connection]
            if connection.usable:
                return connection
            connection.close()
        return None

    def _keep(self, connection: Connection, place: Place) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle[connection] = place
        self._of.setdefault(place, []).append(connection)
        if len(self._idle) > MOST_IDLE:
            self._drop(next(iter(self._idle)))
        if self._sweep is None:
            self._sweep = loop.call_later(IDLE_SECONDS, self._swept)

    def _swept(self) -> None:
        self._sweep = None
        loop = asyncio.get_running_loop()
        over = loop.time() - IDLE_SECONDS
        for connection in [one for one in self._idle if one.idle_since <= over or not one.usable]:
            self._drop(connection)
        if self._idle:
            self._sweep = loop.call_later(IDLE_SECONDS, self._swept)

    def _drop(self, connection: Connection) -> None:
        place = self._idle.pop(connection)
        self._of[place].remove(connection)
        if not self._of[place]:
            del self._of[place]
        connection.close()


@functools.lru_cache(4096)
def _read(url: str) -> tuple[Place, str]:
    """Where a URL leads, and how the request begins. Raises :class:`Unreachable`."""
    try:
        place = read(url)
    except ValueError as error:
        raise Unreachable(f"The URL cannot be used: {error}.") from None
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    named = f"[{place.host.partition('%')[0]}]" if ":" in place.host else place.host
    named = named if parts.port is None else f"{named}:{parts.port}"
    return place, f"POST {target} HTTP/1.1\r\nhost: {named}\r\n"


def _request(head: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    sent = {"user-agent": "Kallglot", "content-type": "application/json", "accept": "*/*", **headers}
    lines = [f"{name}: {value}\r\n" for name, value in sent.items()]
    if any("\r" in line[:-2] or "\n" in line[:-2] for line in lines):
        raise ValueError("a header has one line")
    return f"{head}content-length: {len(body)}\r\n{''.join(lines)}\r\n".encode("latin-1") + body


def _why(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "it was refused"
    if isinstance(error, ssl.SSLError):
        return "TLS did not come about"
    return type(error).__name__
