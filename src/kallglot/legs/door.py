"""The door that lets streams in: it makes a listener for each upgrade request and owns the tasks of all of them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from picows import WSListener, WSUpgradeRequest, WSUpgradeResponse
from picows.picows import WSProtocol  # pyright: ignore[reportUnknownVariableType, reportAttributeAccessIssue]

from kallglot.carriers.arrivals import Handshake
from kallglot.clock import Clock
from kallglot.legs.address import parse
from kallglot.legs.ports import NoTelephony, Telephony
from kallglot.legs.socket import CLOSE_TIMEOUT_S, MAX_MESSAGE_BYTES, StreamSocket
from kallglot.session.switchboard import Switchboard
from kallglot.session.tokens import StreamTokens

_NO_SUCH_STREAM: Final = (
    b'{"error":{"type":"not_found_error","code":"resource_not_found","message":"There is no such stream."}}'
)


CallKey = tuple[str, str, str]
"""Session, carrier, the carrier's id of the call."""


class StreamDoor:
    def __init__(
        self, switchboard: Switchboard, tokens: StreamTokens, clock: Clock, telephony: Telephony | None = None
    ) -> None:
        self.switchboard = switchboard
        self.tokens = tokens
        self.clock = clock
        self.telephony: Telephony = telephony or NoTelephony()
        self.packer = ThreadPoolExecutor(1, "mp3")
        self._calls: dict[CallKey, StreamSocket] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets: set[StreamSocket] = set()

    def protocol(self) -> Any:
        return WSProtocol(  # pyright: ignore[reportUnknownVariableType]
            None,
            None,
            False,
            self._listener,
            logging.getLogger("picows.server"),
            True,
            10.0,
            True,
            20.0,
            20.0,
            1,  # WSAutoPingStrategy.PING_WHEN_IDLE
            True,
            2 * MAX_MESSAGE_BYTES,
            None,
            16 * 1024,
        )

    def legs(self) -> Counter[str]:
        """Connections that carry audio, by the dialect that they speak."""
        return Counter(kind for socket in self._sockets if (kind := socket.kind) is not None)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def opened(self, socket: StreamSocket) -> None:
        self._sockets.add(socket)

    def closed(self, socket: StreamSocket) -> None:
        self._sockets.discard(socket)

    def takes_over(self, socket: StreamSocket, call: CallKey) -> None:
        """A call has one stream: a newer one, of a carrier that has connected again, takes the older one's place."""
        older = self._calls.get(call)
        self._calls[call] = socket
        if older is not None:
            older.close(1000, "another stream of the call has come")

    def has(self, session_id: str, carrier: str, carrier_call_id: str) -> bool:
        """Whether the call has a stream here."""
        return (session_id, carrier, carrier_call_id) in self._calls

    def hang_up(self, session_id: str, carrier: str, carrier_call_id: str) -> bool:
        """Closes the call's stream, on which its carrier does what comes next; whether there was one."""
        socket = self._calls.get((session_id, carrier, carrier_call_id))
        if socket is not None:
            socket.close(1000, "hung up")
        return socket is not None

    def left(self, socket: StreamSocket) -> bool:
        """Whether the call has lost its stream; not where another took its place."""
        keys = [call for call, one in self._calls.items() if one is socket]
        for call in keys:
            del self._calls[call]
        return bool(keys)

    async def close(self) -> None:
        for socket in list(self._sockets):
            socket.close(1001, "server going away")
        waiting = [asyncio.create_task(socket.gone.wait()) for socket in self._sockets]
        waiting += list(self._tasks)
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=CLOSE_TIMEOUT_S + 0.5)
            for task in late:
                task.cancel()
        self.packer.shutdown(wait=False, cancel_futures=True)

    def _listener(self, request: WSUpgradeRequest) -> WSListener | Any:
        target = request.path.decode("latin-1")
        address = parse(target, request.headers.get("authorization"))
        if address is None:
            headers = {"Content-Type": "application/json"}
            refusal = WSUpgradeResponse.create_error_response(404, _NO_SUCH_STREAM, headers)
            from picows import WSUpgradeResponseWithListener

            return WSUpgradeResponseWithListener(refusal, None)
        headers = {name.lower(): value for name, value in request.headers.items()}
        return StreamSocket(self, address, Handshake(target, headers))
