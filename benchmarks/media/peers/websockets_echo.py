"""websockets on uvloop: ``python websockets_echo.py --port 9000 [--bare]``."""

from __future__ import annotations

import argparse
import asyncio

import uvloop
from codec import Echo, bare
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


async def run(port: int, without_work: bool) -> None:
    async def handle(socket: ServerConnection) -> None:
        answer_to = bare if without_work else Echo()
        try:
            while True:
                answer = answer_to(await socket.recv(decode=False))
                if answer is not None:
                    await socket.send(answer, text=True)
        except ConnectionClosed:
            pass

    async with serve(handle, "127.0.0.1", port, compression=None, ping_interval=None) as server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bare", action="store_true")
    asked = parser.parse_args()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(run(asked.port, asked.bare))


if __name__ == "__main__":
    main()
