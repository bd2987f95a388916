"""aiohttp on uvloop: ``python aiohttp_echo.py --port 9000 [--bare]``."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import uvloop
from aiohttp import WSMsgType, web
from codec import Echo, bare


def handler(make: Callable[[], Callable[[str], bytes | str | None]]) -> Callable[..., object]:
    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=512 * 1024)
        await socket.prepare(request)
        answer_to = make()
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            answer = answer_to(message.data)
            if answer is not None:
                await socket.send_frame(answer if isinstance(answer, bytes) else answer.encode(), WSMsgType.TEXT)
        return socket

    return handle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bare", action="store_true")
    asked = parser.parse_args()
    app = web.Application()
    app.router.add_get("/{any:.*}", handler((lambda: bare) if asked.bare else Echo))
    web.run_app(app, host="127.0.0.1", port=asked.port, access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
