"""gRPC calls in series, as what the base of streaming recognition takes for one socket.

A binary message is a request or a response as it is; the text message ``end`` half-closes the call that is open, and
comes back when that call has ended well. The next request begins the next call. ``ready`` comes when the first call was
answered, or not refused within :data:`ANSWER_S`: what is written to a call that is being refused hides why it was.
"""

from __future__ import annotations

import asyncio
import importlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any, Final

from kallglot.speech.providers.google_recognition_wire import END, READY
from kallglot.speech.remote.errors import of_status

HTTP: Final = {
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "NOT_FOUND": 404,
    "UNIMPLEMENTED": 404,
    "RESOURCE_EXHAUSTED": 429,
    "DEADLINE_EXCEEDED": 504,
    "INTERNAL": 500,
}
"""The statuses of gRPC as those of HTTP, after google/rpc/code.proto. The others pass: with ``OUT_OF_RANGE`` and
``ABORTED`` Google ends a call that got no audio for too long, or lasted too long."""


ANSWER_S: Final = 0.5
STATUS_S: Final = 0.25
"""From an empty head to the status: a refusal has nothing between them."""


class Kind(Enum):
    TEXT = auto()
    BINARY = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Received:
    type: Kind
    data: Any = None


class Calls:
    """``begin`` opens a call (``grpc.aio.StreamStreamCall``); ``eof`` is what one reads at its end."""

    def __init__(self, name: str, begin: Callable[[], Any], eof: object, now: Callable[[], datetime]) -> None:
        self._name = name
        self._now = now
        self._begin = begin
        self._eof = eof
        self._calls: deque[tuple[Any, asyncio.Event]] = deque()
        self._open: tuple[Any, asyncio.Event] | None = None
        self._some = asyncio.Event()
        self._closed = asyncio.Event()
        self._answer: asyncio.Task[Any] | None = None
        self.close_code: int | None = None

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    async def send_bytes(self, data: bytes) -> None:
        if self.closed:
            raise ConnectionResetError
        if self._open is None:
            self._open = (self._begin(), asyncio.Event())
            self._calls.append(self._open)
            self._some.set()
        await self._in_words(self._open[0].write(data))

    async def send_str(self, data: str) -> None:
        if data == END and self._open is not None:
            (call, half_closed), self._open = self._open, None
            half_closed.set()
            await self._in_words(call.done_writing())

    async def receive(self) -> Received:
        """Raises :class:`RemoteError` where a call failed."""
        while not self._calls:
            self._some.clear()
            waits = [asyncio.ensure_future(event.wait()) for event in (self._some, self._closed)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            if self.closed:
                return Received(Kind.CLOSED)
        call, half_closed = self._calls[0]
        if self._answer is None:
            await self._answered(call)
            if not call.done():
                return Received(Kind.TEXT, READY)
        try:
            message = await call.read()
        except asyncio.CancelledError:
            if self.closed:
                return Received(Kind.CLOSED)
            raise
        except Exception:
            # AioRpcError: the call's status says the same.
            message = self._eof
        if message is not self._eof:
            return Received(Kind.BINARY, message)
        return await self._ended(call, half_closed.is_set())

    async def close(self) -> None:
        """Cancels what is under way."""
        self._closed.set()
        for call, _ in self._calls:
            call.cancel()

    async def _answered(self, call: Any) -> None:
        # Cancelling it would cancel the call.
        answer = self._answer = asyncio.ensure_future(call.initial_metadata())
        answer.add_done_callback(_forgotten)
        await asyncio.wait((answer,), timeout=ANSWER_S)
        if answer.done() and not answer.exception() and not answer.result():
            status = asyncio.ensure_future(call.code())
            await asyncio.wait((status,), timeout=STATUS_S)
            # Nobody else waits for it, and cancelling it cancels nothing else.
            status.cancel()

    async def _ended(self, call: Any, half_closed: bool) -> Received:
        status = (await call.code()).name
        if status == "OK":
            if not half_closed:
                return Received(Kind.CLOSED)
            self._calls.popleft()
            return Received(Kind.TEXT, END)
        if self.closed:
            return Received(Kind.CLOSED)
        after_s = _retry_after_s(await call.trailing_metadata())
        headers = {} if after_s is None else {"retry-after": f"{after_s:g}"}
        raise of_status(self._name, HTTP.get(status, 503), headers, self._now(), status)

    async def _in_words(self, sending: Any) -> None:
        try:
            await sending
        except asyncio.CancelledError:
            raise
        except Exception:
            # AioRpcError, or InvalidStateError of a call that is over: whoever receives learns why.
            raise ConnectionResetError from None


def _forgotten(task: asyncio.Task[Any]) -> None:
    """What it failed with is what the call failed with."""
    if not task.cancelled():
        task.exception()


def _retry_after_s(trailers: Any) -> float | None:
    """Seconds, of the ``google.rpc.RetryInfo`` among the details of a status."""
    details = next((value for key, value in trailers or () if key == "grpc-status-details-bin"), None)
    if details is None:
        return None
    info = importlib.import_module("google.rpc.error_details_pb2").RetryInfo()
    try:
        status = importlib.import_module("google.rpc.status_pb2").Status.FromString(details)
        found = any(detail.Unpack(info) for detail in status.details)
    except Exception:
        # DecodeError: there are details, and nobody knows which.
        return None
    return info.retry_delay.seconds + info.retry_delay.nanos / 1e9 if found else None
