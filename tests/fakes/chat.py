"""A server of the chat completions API, over real sockets, whose faults are told beforehand.

It answers as https://platform.openai.com/docs/api-reference/chat describes: a ``chat.completion`` object with one
choice; errors as ``{"error": {"message", "type", "code"}}``, and, as the real one does, quoting the key on a 401.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

Respond = Callable[[asyncio.StreamWriter, dict[str, Any]], Awaitable[None]]


def http(status: int, body: bytes, **headers: str) -> bytes:
    given = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in (given | headers).items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


def completion(content: str | None, *, finish: str = "stop", refusal: str | None = None) -> bytes:
    message = {"role": "assistant", "content": content, "refusal": refusal}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_774_522_800,
            "model": "model-1",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20},
        }
    ).encode()


def answers(content: Any, **changes: Any) -> Respond:
    async def respond(writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
        text = content if isinstance(content, str) or content is None else json.dumps(content)
        writer.write(http(200, completion(text, **changes)))

    return respond


def refuses(status: int, **headers: str) -> Respond:
    async def respond(writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
        error = {"message": f"Incorrect API key provided: {asked['key']}.", "type": "x", "code": "x"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        writer.write(http(status, json.dumps({"error": error}).encode(), **named))

    return respond


def raw(*parts: bytes) -> Respond:
    async def respond(writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return respond


async def silent(writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
    """Until the client goes."""
    await asyncio.Event().wait()


class ChatServer:
    """``plan`` is what the next requests get, one after the other; then ``otherwise``."""

    def __init__(self, *plan: Respond, otherwise: Respond | None = None) -> None:
        self.plan = list(plan)
        self.otherwise = otherwise
        self.asked: list[dict[str, Any]] = []
        """Bodies, with ``key`` and ``path``."""
        self.url = ""
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ChatServer:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        method, path, _ = first.split(" ")
        assert (method, headers["content-type"]) == ("POST", "application/json")
        asked = {**json.loads(body), "path": path, "key": headers.get("authorization", "").removeprefix("Bearer ")}
        self.asked.append(asked)
        respond = self.plan.pop(0) if self.plan else self.otherwise
        assert respond is not None, "nothing more was expected"
        await respond(writer, asked)
        await writer.drain()
