"""The WebSocket that a carrier opens for a call's audio: what Twilio's and Telnyx's have in common."""

from __future__ import annotations

import asyncio
import ssl
from abc import ABC, abstractmethod
from array import array
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pybase64
from picows import WSCloseCode, WSError, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect
from tests.fakes.codecs import Codec
from tests.fakes.pace import Timer
from tests.fakes.playoutclock import PlayoutClock
from tests.fakes.webhooks import through_proxy

if TYPE_CHECKING:
    from tests.fakes.calls import FakeCall

CONNECT_S = 5.0
CLOSING_S = 2.0
"""How long the far end may take to answer a close frame."""
FRAME_MS = 20

Failure = Literal["timeout", "refused", "tls", "handshake", "scheme", "malformed"]
Dropped = Literal["peer", "lost", "stopped", "failed"]
"""Why a stream is over: the server closed it in order, the connection broke, the carrier ended it, it never opened."""


@dataclass(frozen=True, slots=True)
class StreamOrder:
    """What a document or a command asks for."""

    url: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    bidirectional: bool = True
    tracks: tuple[str, ...] = ("inbound",)
    name: str | None = None
    status_url: str | None = None
    status_method: str = "POST"
    attributes: Mapping[str, str] = field(default_factory=dict)


class CallStream(ABC):
    """``received`` holds what the server sent but for media, ``arrivals_s`` when its media messages came (by the pace),
    ``played`` what the caller heard of it, ``sent`` how many messages it got."""

    def __init__(self, call: FakeCall, order: StreamOrder, inbound: Codec, outbound: Codec) -> None:
        self.call = call
        self.order = order
        self.inbound = inbound
        self.outbound = outbound
        self.id = ""
        self.played = PlayoutClock(outbound.rate_hz)
        self.received: list[dict[str, Any]] = []
        self.arrivals_s: array[float] = array("d")
        self.marks_returned: list[str] = []
        self.sent = 0
        self.failure: Failure | None = None
        self.over: Dropped | None = None
        self.close_code: int | None = None
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self._transport: WSTransport | None = None
        self._sequence = 0
        self._chunks: dict[str, int] = {}
        self._start_s = 0.0
        self._mark_timer: Timer | None = None
        self._parts: list[bytes] = []
        self._goodbye = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._goodbye

    @property
    def now_s(self) -> float:
        return self.call.pace.now_s()

    async def open(self) -> bool:
        """Dials, and says hello; False, with ``failure``, where that cannot be."""
        carrier = self.call.carrier
        url, forwarded = through_proxy(self.order.url.partition("#")[0], carrier.hosts)
        context = carrier.tls if url.startswith("wss:") else None
        try:
            transport, _ = await ws_connect(
                lambda: _Listener(self),
                url,
                extra_headers={**self.headers(), **forwarded},
                ssl_context=context,
                websocket_handshake_timeout=CONNECT_S,
                max_redirects=0,
                max_frame_size=32 << 20,
                logger_name="fake-carrier",
            )
        except TimeoutError:
            return self._failed("timeout")
        except ssl.SSLError:
            return self._failed("tls")
        except WSHandshakeError:
            return self._failed("handshake")
        except (OSError, WSError):
            return self._failed("refused")
        self._transport = transport
        self._goodbye = False
        self._start_s = self.now_s
        self.hello()
        self.opened.set()
        self.call.changed()
        return True

    def _failed(self, why: Failure) -> bool:
        self.failure = why
        return False

    # --- to the server

    @abstractmethod
    def headers(self) -> dict[str, str]: ...

    @abstractmethod
    def hello(self) -> None: ...

    @abstractmethod
    def goodbye(self) -> bytes: ...

    @abstractmethod
    def media_message(self, track: str, chunk: int, timestamp_ms: int, payload: bytes) -> bytes: ...

    @abstractmethod
    def mark_message(self, name: str) -> bytes: ...

    @abstractmethod
    def dtmf_message(self, digit: str) -> bytes: ...

    def next_number(self) -> int:
        self._sequence += 1
        return self._sequence

    def send(self, message: bytes) -> None:
        if self._transport is not None and not self._goodbye:
            self.sent += 1
            self._transport.send(WSMsgType.TEXT, message)

    def hear(self, track: str, pcm: bytes) -> None:
        """Audio of the call, 20 ms at the codec's rate."""
        if self._transport is None or self._goodbye or track not in self.order.tracks:
            return
        chunk = self._chunks.get(track, 0) + 1
        self._chunks[track] = chunk
        payload = pybase64.b64encode(self.inbound.encode(pcm))
        self.send_media(track, chunk, (chunk - 1) * FRAME_MS + 5, payload)

    def send_media(self, track: str, chunk: int, timestamp_ms: int, payload: bytes) -> None:
        self.send(self.media_message(track, chunk, timestamp_ms, payload))

    def press(self, digit: str) -> None:
        if self.order.bidirectional:
            self.send(self.dtmf_message(digit))

    # --- from the server

    def on_text(self, payload: bytes) -> None:
        try:
            message = msgspec.json.decode(payload)
        except msgspec.DecodeError:
            return self.malformed("not JSON")
        if not isinstance(message, dict):
            return self.malformed("not an object")
        self.take(message)
        return self.call.changed()

    @abstractmethod
    def take(self, message: dict[str, Any]) -> None: ...

    @abstractmethod
    def malformed(self, why: str) -> None: ...

    @abstractmethod
    def binary(self) -> None: ...

    @abstractmethod
    def protocol_error(self, why: str) -> None: ...

    def play(self, pcm: bytes) -> None:
        discarded_s = self.played.put(pcm, self.now_s)
        if discarded_s > 0:
            self.overflowed(discarded_s)
        self.call.changed()

    @abstractmethod
    def overflowed(self, seconds: float) -> None: ...

    def put_mark(self, name: str) -> None:
        self.played.mark(name, self.now_s)
        self._return_marks()

    def clear(self) -> None:
        self._returned(self.played.clear(self.now_s))
        self._arm()
        self.call.changed()

    def _return_marks(self) -> None:
        self._returned(self.played.due(self.now_s))
        self._arm()

    def _returned(self, names: list[str]) -> None:
        for name in names:
            self.marks_returned.append(name)
            self.send(self.mark_message(name))
        if names:
            self.call.changed()

    def _arm(self) -> None:
        if self._mark_timer is not None:
            self._mark_timer.cancel()
            self._mark_timer = None
        at_s = self.played.next_mark_s
        if at_s is not None and self.is_open:
            self._mark_timer = self.call.pace.call_at(at_s, self._return_marks)

    # --- the end

    def stop(self) -> None:
        """In order: the message that says so, then a close frame."""
        if self._transport is None or self._goodbye:
            return
        self.send(self.goodbye())
        self.over = self.over or "stopped"
        self._say_goodbye(WSCloseCode.OK)

    def abort(self) -> None:
        """The connection breaks: no ``stop``, no close frame."""
        self.over = self.over or "lost"
        self._goodbye = True
        if self._transport is not None:
            self._transport.underlying_transport.abort()

    def refuse(self) -> None:
        """Closes because of what the server did wrong."""
        self.over = self.over or "failed"
        self._say_goodbye(WSCloseCode.PROTOCOL_ERROR)

    def _say_goodbye(self, code: WSCloseCode) -> None:
        transport = self._transport
        if transport is None or self._goodbye:
            return
        self._goodbye = True
        transport.send_close(code)
        asyncio.get_running_loop().call_later(CLOSING_S, transport.disconnect, False)

    def disconnected(self) -> None:
        self._transport = None
        self.over = self.over or "lost"
        if self._mark_timer is not None:
            self._mark_timer.cancel()
        self.played.stop(self.now_s)
        if self.ended():
            self.closed.set()
        self.call.changed()

    def ended(self) -> bool:
        """False where the carrier is going to dial again."""
        return True

    def frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            code: Any = frame.get_close_code()
            self.close_code = int(getattr(code, "value", code))
            if not self._goodbye:
                self.over = self.over or "peer"
                self._goodbye = True
                with suppress(Exception):
                    transport.send_close(code if self.close_code else WSCloseCode.OK)
            transport.disconnect()
        elif kind in (WSMsgType.PING, WSMsgType.PONG):
            if not frame.fin:
                self.protocol_error("a fragmented control frame")
        elif kind == WSMsgType.BINARY:
            self.binary()
        elif kind in (WSMsgType.TEXT, WSMsgType.CONTINUATION):
            if frame.fin and not self._parts:
                return self.on_text(frame.get_payload_as_bytes())
            self._parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                whole = b"".join(self._parts)
                self._parts.clear()
                self.on_text(whole)
        return None


class _Listener(WSListener):
    def __init__(self, stream: CallStream) -> None:
        super().__init__()
        self._stream = stream

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self._stream.frame(transport, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._stream.disconnected()
