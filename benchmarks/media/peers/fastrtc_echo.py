"""fastrtc's telephone mode with an asynchronous handler that echoes: ``python fastrtc_echo.py --port 9000``.

Its path is ``/telephone/handler``. At 8 kHz, so that nothing is resampled.
"""

from __future__ import annotations

import argparse
import asyncio

import numpy as np
import uvicorn
from fastapi import FastAPI
from fastrtc import AsyncStreamHandler, Stream


class Echo(AsyncStreamHandler):
    def __init__(self) -> None:
        super().__init__(input_sample_rate=8000, output_sample_rate=8000)
        self._frames: asyncio.Queue[tuple[int, np.ndarray]] = asyncio.Queue()

    async def receive(self, frame: tuple[int, np.ndarray]) -> None:
        self._frames.put_nowait((frame[0], frame[1].reshape(1, -1)))

    async def emit(self) -> tuple[int, np.ndarray]:
        return await self._frames.get()

    def copy(self) -> Echo:
        return Echo()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    asked = parser.parse_args()
    app = FastAPI()
    Stream(handler=Echo(), modality="audio", mode="send-receive", concurrency_limit=100_000, verbose=False).mount(app)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=asked.port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        access_log=False,
        log_level="error",
    )


if __name__ == "__main__":
    main()
