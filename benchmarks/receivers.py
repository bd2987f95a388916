"""Receivers of webhooks in a process of their own: good ones, slow ones, dead ones and liars.

Reads a JSON list of ``{"kind", "secret"}`` from standard input's first line, answers with their ports, then with a
report to every further line.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httptools
import uvloop
from standardwebhooks import Webhook, WebhookVerificationError

SLOW_S = 0.02
UP_S, DOWN_S = 6.0, 3.0
"""A flapping one."""
VERIFIED = 50
"""Every so many requests are verified."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ANSWERS = {
    "redirecting": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n",
    "gone": b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
    "garbage": b"SSH-2.0-OpenSSH_9.2\r\n",
    "truncated": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok",
    "overlong": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok, and much more than was said",
    "failing": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
}
HANGS_UP = ("garbage", "truncated")
GOOD = ("healthy", "slow", "overlong", "flapping")
"""Those who take what they are sent, at least now and then."""


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """By both schemes; the first as the documentation has it."""
    stamp, given = "", []
    for part in headers["kallglot-signature"].split(","):
        name, _, value = part.partition("=")
        if name == "t":
            stamp = value
        elif name == "v1":
            given.append(value)
    expected = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    if not any(hmac.compare_digest(expected, one) for one in given):
        return False
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


class Receiver:
    def __init__(self, kind: str, secret: str, trap: int) -> None:
        self.kind = kind
        self.secret = secret
        self.trap = trap
        self.requests = 0
        self.accepted = 0
        self.bad_signatures = 0
        self.verified = 0
        self.firsts: dict[str, float] = {}
        """By event in the order in which they came: milliseconds after the event."""
        self.last = 0.0

    @property
    def up(self) -> bool:
        return self.kind != "flapping" or time.monotonic() % (UP_S + DOWN_S) < UP_S

    def take(self, headers: dict[str, str], body: bytes) -> None:
        now = time.time()
        self.requests += 1
        if self.requests % VERIFIED == 1:
            self.verified += 1
            self.bad_signatures += not verified(self.secret, headers, body)
        if self.kind not in GOOD or not self.up:
            return
        self.accepted += 1
        self.last = now
        event_id = headers["webhook-id"]
        if event_id not in self.firsts:
            at = body.index(b'"created_at":"') + 14
            created = datetime.fromisoformat(body[at : body.index(b'"', at)].decode()).timestamp()
            self.firsts[event_id] = (now - created) * 1000

    def report(self, *, full: bool) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "requests": self.requests,
            "accepted": self.accepted,
            "distinct": len(self.firsts),
            "verified": self.verified,
            "bad_signatures": self.bad_signatures,
            "last": self.last,
            "firsts": list(self.firsts.items()) if full else [],
        }


class Conversation(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._headers: dict[str, str] = {}
        self._body = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._receiver.kind == "black hole":
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._headers, self._body = {}, b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        receiver = self._receiver
        receiver.take(self._headers, self._body)
        if receiver.kind == "slow":
            asyncio.get_running_loop().call_later(SLOW_S, self._write, OK)
        elif receiver.kind == "dripping":
            self._write(b"HTTP/1.1 200 OK\r\nX-A: ")
            self._drip()
        elif receiver.kind == "flapping":
            self._write(OK if receiver.up else ANSWERS["failing"])
        else:
            answer = ANSWERS.get(receiver.kind, OK)
            self._write(answer % receiver.trap if b"%d" in answer else answer)
            if receiver.kind in HANGS_UP:
                self._transport.close()

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _drip(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"a")
            asyncio.get_running_loop().call_later(0.5, self._drip)


async def main() -> None:
    loop = asyncio.get_running_loop()
    line: Callable[[], Any] = sys.stdin.readline
    wanted = json.loads(await loop.run_in_executor(None, line))
    trap = Receiver("trap", "", 0)
    trap_port = await _listen(trap)
    receivers = [Receiver(one["kind"], one["secret"], trap_port) for one in wanted]
    ports = [_refusing() if one.kind == "refusing" else await _listen(one) for one in receivers]
    print(json.dumps(ports), flush=True)
    while asked := await loop.run_in_executor(None, line):
        full = asked.strip() == "full"
        print(json.dumps([one.report(full=full) for one in (*receivers, trap)]), flush=True)


async def _listen(receiver: Receiver) -> int:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conversation(receiver), "127.0.0.1", 0, backlog=1024)
    return int(server.sockets[0].getsockname()[1])


_kept: list[socket.socket] = []


def _refusing() -> int:
    """Bound, so that nobody else listens there, and not listened on."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    _kept.append(bound)
    return int(bound.getsockname()[1])


if __name__ == "__main__":
    uvloop.run(main())
