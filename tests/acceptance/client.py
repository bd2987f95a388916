"""A client of the stream for tests: waits for messages, never for time."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

LOUD = bytes([0x10, 0x10, 0x10, 0x10, 0x90, 0x90, 0x90, 0x90] * 20)
"""20 ms of a loud 1 kHz square wave in mu-law: what scripted recognition takes for speech."""
SILENT = b"\xff" * 160


class StreamClient:
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []
        self.audio: list[dict[str, Any]] = []
        self._clock_ms = 0

    @classmethod
    async def open(cls, url: str, token: str, query: str = "", **options: Any) -> StreamClient:
        socket = await connect(f"{url}?token={token}{query}", compression=None, **options)
        return cls(socket)

    async def __aenter__(self) -> StreamClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def send(self, message: dict[str, Any]) -> None:
        await self.socket.send(json.dumps(message))

    async def say(self, speech_ms: int = 600, silence_ms: int = 500, speaker: str | None = "customer") -> None:
        """An utterance, as fast as the socket takes it."""
        await self.send_frames([LOUD] * (speech_ms // 20) + [SILENT] * (silence_ms // 20), speaker)

    async def send_frames(self, frames: list[bytes], speaker: str | None = None, *, paced: bool = False) -> None:
        """Mu-law frames of 20 ms; ``paced`` at the speed of speech."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        for frame in frames:
            if paced:
                due += 0.02
                await asyncio.sleep(max(0.0, due - loop.time()))
            message: dict[str, Any] = {
                "type": "audio.input",
                "sequence": self._clock_ms // 20,
                "timestamp_ms": self._clock_ms,
                "audio": {"encoding": "mulaw", "sample_rate_hz": 8000, "payload": base64.b64encode(frame).decode()},
            }
            if speaker is not None:
                message["speaker"] = speaker
            await self.send(message)
            self._clock_ms += 20

    async def until(
        self, kind: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True, *, within: float = 30.0
    ) -> dict[str, Any]:
        """The next message of a type. Raises ``AssertionError`` when the stream ends before it."""
        async with asyncio.timeout(within):
            while True:
                try:
                    raw = await self.socket.recv()
                except ConnectionClosed as closed:
                    raise AssertionError(f"{kind} did not come; the stream closed: {closed}") from None
                message = {"type": "binary", "data": raw} if isinstance(raw, bytes) else json.loads(raw)
                (self.audio if message["type"] == "audio.output" else self.messages).append(message)
                if message["type"] == kind and fits(message):
                    return message

    async def closed(self, within: float = 30.0) -> int | None:
        """Reads to the end; the close code."""
        async with asyncio.timeout(within):
            while True:
                try:
                    raw = await self.socket.recv()
                except ConnectionClosed:
                    return self.socket.close_code
                if isinstance(raw, str):
                    self.messages.append(json.loads(raw))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]
