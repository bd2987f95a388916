"""The socket side of remote engines: one aiohttp session an engine, connections kept alive, everything read bounded.

What goes wrong comes out as :class:`RemoteError`, in words of our own: aiohttp's quote addresses, and with them keys.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

from kallglot.clock import Clock
from kallglot.speech.remote.codec import Opening
from kallglot.speech.remote.config import Patience, Timeouts
from kallglot.speech.remote.errors import RemoteError, of_status
from kallglot.speech.remote.exchange import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Generator

    import aiohttp

KEPT_ALIVE_S: Final = 55.0
"""An idle connection; below the minute after which many load balancers drop it."""
MOST_ERROR_BYTES: Final = 16 * 1024
MOST_MESSAGE_BYTES: Final = 4 * 1024 * 1024
USER_AGENT: Final = "kallglot"


class HttpClient:
    def __init__(
        self,
        name: str,
        timeouts: Timeouts,
        clock: Clock,
        reason: Callable[[int, bytes], str | None],
        proxy: str | None = None,
    ) -> None:
        self._name = name
        self._timeouts = timeouts
        self._clock = clock
        self._reason = reason
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None
        self._aiohttp: Any = None

    @property
    def started(self) -> bool:
        return self._session is not None

    async def start(self) -> None:
        if self._session is not None:
            return
        # Importing it takes long enough to be heard in a call.
        self._aiohttp = library = await asyncio.to_thread(importlib.import_module, "aiohttp")
        timeout = library.ClientTimeout(total=None, sock_connect=self._timeouts.connect_s)
        watch = library.TraceConfig()
        watch.on_request_redirect.append(self._redirected)
        self._session = library.ClientSession(
            connector=library.TCPConnector(limit=0, keepalive_timeout=KEPT_ALIVE_S, ttl_dns_cache=60),
            cookie_jar=library.DummyCookieJar(),
            timeout=timeout,
            headers={"User-Agent": USER_AGENT},
            trace_configs=[watch],
        )

    async def _redirected(self, session: Any, context: Any, redirect: Any) -> None:
        """A WebSocket's opening cannot be told to follow none, and would take the key along to wherever it is sent."""
        response = redirect.response
        response.close()
        raise of_status(self._name, response.status, {}, self._clock.now())

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[Streamed]:
        """The answer's head, of a status 2xx, and its body to be read. Raises :class:`RemoteError`."""
        timeouts = self._timeouts
        with self._in_words():
            response = await self._opened().request(
                request.method,
                request.url,
                params=dict(request.query) or None,
                proxy=self._proxy,
                allow_redirects=False,
                timeout=self._aiohttp.ClientTimeout(
                    total=None, sock_connect=timeouts.connect_s, sock_read=timeouts.first_byte_s
                ),
                **self._content(request),
            )
        try:
            headers = {name.lower(): value for name, value in response.headers.items()}
            if not 200 <= response.status < 300:
                raise await self._refusal(response.status, headers, response.content.iter_any())
            yield Streamed(self, response.status, headers, response.content.iter_any(), request.most_bytes, timeouts)
        finally:
            # Read to its end it goes back to be used again; else nobody can tell where the next answer begins.
            response.release() if response.content.at_eof() else response.close()

    async def connect(self, opening: Opening, patience: Patience) -> aiohttp.ClientWebSocketResponse:
        """Raises :class:`RemoteError`."""
        library = self._aiohttp
        with self._in_words():
            session = self._opened()
            try:
                async with asyncio.timeout(patience.connect_s):
                    return await session.ws_connect(
                        _websocket(opening.url),
                        headers=dict(opening.headers),
                        protocols=opening.subprotocols,
                        heartbeat=patience.heartbeat_s,
                        proxy=self._proxy,
                        max_msg_size=MOST_MESSAGE_BYTES,
                        timeout=library.ClientWSTimeout(ws_close=patience.close_s),
                    )
            except library.WSServerHandshakeError as error:
                told: Any = error.headers or {}
                headers: dict[str, str] = {str(name).lower(): str(value) for name, value in told.items()}
                raise of_status(self._name, error.status, headers, self._clock.now()) from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RemoteError(f"{self._name} is not started", blame="budget")
        return self._session

    def _content(self, request: Request) -> dict[str, Any]:
        if request.document is not None:
            data = json.dumps(request.document, ensure_ascii=False).encode(errors="replace")
            return {"data": data, "headers": {"Content-Type": "application/json", **request.headers}}
        if request.parts:
            form = self._aiohttp.FormData(quote_fields=True)
            for part in request.parts:
                form.add_field(part.name, part.content, filename=part.filename, content_type=part.content_type)
            return {"data": form, "headers": dict(request.headers)}
        return {"data": request.body, "headers": dict(request.headers)}

    async def _refusal(self, status: int, headers: Mapping[str, str], body: AsyncIterator[bytes]) -> RemoteError:
        said = bytearray()
        try:
            async with asyncio.timeout(self._timeouts.between_s):
                async for some in body:
                    said += some
                    if len(said) >= MOST_ERROR_BYTES:
                        break
        except (TimeoutError, self._aiohttp.ClientError, OSError):
            # What can be told without the rest of it is told.
            said.clear()
        return of_status(self._name, status, headers, self._clock.now(), self._reason(status, bytes(said)))

    @contextmanager
    def _in_words(self) -> Generator[None]:
        name, library = self._name, self._aiohttp
        try:
            yield
        except RemoteError:
            raise
        except TimeoutError:
            raise RemoteError(f"{name} did not answer in time") from None
        except ssl.SSLError:
            raise RemoteError(f"{name} has no certificate that is trusted here", passing=False) from None
        except OSError as error:
            if library is not None and isinstance(error, library.ClientSSLError):
                raise RemoteError(f"{name} has no certificate that is trusted here", passing=False) from None
            if library is not None and isinstance(error, library.ClientConnectorError):
                raise RemoteError(f"{name} cannot be reached") from None
            raise RemoteError(f"{name} broke off the connection") from None
        except ValueError:
            # aiohttp's InvalidURL is one.
            raise RemoteError(f"{name}: its address (url) is none", passing=False) from None
        except Exception as error:
            if library is not None and isinstance(error, library.ClientError):
                raise RemoteError(f"{name} broke off the connection") from None
            raise

    def in_words(self) -> Any:
        return self._in_words()


class Streamed:
    """An answer on its way: pieces of its body as they come, none of them empty. Iterating raises
    :class:`RemoteError`."""

    def __init__(
        self,
        client: HttpClient,
        status: int,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes],
        most_bytes: int,
        timeouts: Timeouts,
    ) -> None:
        self.status = status
        self.headers = headers
        self._client = client
        self._body = body
        self._left = most_bytes
        self._timeouts = timeouts
        self._waited_s = 0.0
        self._begun = False
        self._first: bytes | None = None

    async def first(self) -> None:
        """Waits for the first piece, or for the end."""
        if not self._begun:
            self._first = await self._next(self._timeouts.first_byte_s)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def whole(self) -> Answer:
        return Answer(self.status, self.headers, b"".join([piece async for piece in self]))

    async def _pieces(self) -> AsyncGenerator[bytes]:
        await self.first()
        piece, self._first = self._first, None
        while piece is not None:
            yield piece
            piece = await self._next(self._timeouts.between_s)

    async def _next(self, within_s: float) -> bytes | None:
        self._begun = True
        loop = asyncio.get_running_loop()
        begun = loop.time()
        left_s = self._timeouts.streaming_s - self._waited_s
        with self._client.in_words():
            async with asyncio.timeout(max(0.0, min(within_s, left_s))):
                piece = await anext(self._body, None)
        self._waited_s += loop.time() - begun
        if piece is None:
            return None
        self._left -= len(piece)
        if self._left < 0:
            raise RemoteError("the answer is too large", blame="request")
        return piece


def _websocket(url: str) -> str:
    for http, websocket in (("http://", "ws://"), ("https://", "wss://")):
        if url.startswith(http):
            return websocket + url.removeprefix(http)
    return url
