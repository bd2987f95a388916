"""REST and media on one port: uvicorn takes the connection, and hands it to picows when it is an upgrade."""

from __future__ import annotations

from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kallglot.legs.door import StreamDoor


def http_protocol(door: StreamDoor) -> type[HttpToolsProtocol]:
    """The class to give to ``uvicorn.Config(http=…)``."""

    class HandoverProtocol(HttpToolsProtocol):
        def data_received(self, data: bytes) -> None:
            self._unset_keepalive_if_required()
            try:
                self.parser.feed_data(data)  # pyright: ignore[reportOptionalMemberAccess]
            except httptools.HttpParserUpgrade as upgrade:
                if self._should_upgrade():
                    self._hand_over(data[cast(int, upgrade.args[0]) :])
                else:
                    self.send_400_response("Only websocket upgrades are understood.")
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")

        def _should_upgrade(self) -> bool:
            return self._get_upgrade() == b"websocket"

        def _hand_over(self, behind: bytes) -> None:
            self.connections.discard(self)
            head = [self.scope["method"].encode(), b" ", self.url, b" HTTP/1.1\r\n"]
            for name, value in self.headers:
                head += [name, b": ", value, b"\r\n"]
            protocol: Any = door.protocol()
            protocol.connection_made(self.transport)
            replayed = memoryview(b"".join([*head, b"\r\n", behind]))
            while replayed and not self.transport.is_closing():
                into = protocol.get_buffer(-1)
                count = min(len(into), len(replayed))
                into[:count] = replayed[:count]
                protocol.buffer_updated(count)
                replayed = replayed[count:]
            self.transport.set_protocol(protocol)

    return HandoverProtocol
