"""The WebSocket shell: one picows listener a connection, and the door that lets them in.

What a slow peer gets: its audio waits in its bounded playout, partial transcripts are left out, and a peer that has not
read for long enough to leave a mebibyte unsent is cut off. What a dead peer gets: a ping after 20 s of silence, and the
end of its connection 20 s later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, WSUpgradeResponse
from picows.picows import WSProtocol  # pyright: ignore[reportUnknownVariableType, reportAttributeAccessIssue]

from kallglot.clock import Clock
from kallglot.ids import new_id
from kallglot.legs import commands as do
from kallglot.legs import compat
from kallglot.legs import messages as wire
from kallglot.legs.address import BadAddress, StreamAddress, output_format, parse
from kallglot.legs.native import NativeCodec
from kallglot.legs.patience import Allowance, BadMessages
from kallglot.session import events
from kallglot.session.leg import OutputFormat
from kallglot.session.live import LiveSession
from kallglot.session.model import Participant
from kallglot.session.switchboard import StreamRefused, Switchboard
from kallglot.session.tokens import StreamTokens

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES: Final = 512 * 1024
MAX_UNSENT_BYTES: Final = 1024 * 1024
WRITE_HIGH_WATER_BYTES: Final = 128 * 1024
EARLY_FRAMES: Final = 256
CLOSE_TIMEOUT_S: Final = 2.0
MESSAGES_PER_SECOND: Final = 2000.0
CONTROL_PER_SECOND: Final = 50.0


class StreamDoor:
    """Makes a listener for each upgrade request and owns the tasks of all of them."""

    def __init__(self, switchboard: Switchboard, tokens: StreamTokens, clock: Clock) -> None:
        self.switchboard = switchboard
        self.tokens = tokens
        self.clock = clock
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

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def opened(self, socket: StreamSocket) -> None:
        self._sockets.add(socket)

    def closed(self, socket: StreamSocket) -> None:
        self._sockets.discard(socket)

    async def close(self) -> None:
        for socket in list(self._sockets):
            socket.close(1001, "server going away")
        waiting = [asyncio.create_task(socket.gone.wait()) for socket in self._sockets]
        waiting += list(self._tasks)
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=CLOSE_TIMEOUT_S + 0.5)
            for task in late:
                task.cancel()

    def _listener(self, request: WSUpgradeRequest) -> WSListener | Any:
        address = parse(request.path.decode("latin-1"), request.headers.get("authorization"))
        if address is None:
            body = (
                b'{"error":{"type":"not_found_error","code":"resource_not_found","message":"There is no such stream."}}'
            )
            headers = {"Content-Type": "application/json"}
            refusal = WSUpgradeResponse.create_error_response(404, body, headers)
            from picows import WSUpgradeResponseWithListener

            return WSUpgradeResponseWithListener(refusal, None)
        return StreamSocket(self, address)


class StreamSocket(WSListener):
    """One connection: the leg of a session, once its token was found good."""

    def __init__(self, door: StreamDoor, address: StreamAddress) -> None:
        self.id = new_id("leg_")
        self.participant_id: str | None = None
        self.output = OutputFormat()
        self.writable = True
        self.gone = asyncio.Event()
        self._door = door
        self._address = address
        self._transport: WSTransport | None = None
        self._live: LiveSession | None = None
        self._codec: NativeCodec | None = None
        self._fragments: list[bytes] = []
        self._fragment_type = WSMsgType.TEXT
        self._early: list[tuple[WSMsgType, bytes]] | None = []
        self._bad = BadMessages()
        self._all = Allowance(MESSAGES_PER_SECOND, 2 * MESSAGES_PER_SECOND)
        self._control = Allowance(CONTROL_PER_SECOND, 2 * CONTROL_PER_SECOND)
        self._holds: set[str] = set()
        self._closing = False

    # picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        self._door.opened(self)
        self._hold("attaching", True)
        self._door.spawn(self._attach())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            self._peer_closed(transport, frame)
            return
        if self._closing or kind in (WSMsgType.PING, WSMsgType.PONG):
            return
        data = frame.get_payload_as_bytes()
        if not frame.fin or kind == WSMsgType.CONTINUATION:
            whole = self._assemble(kind, frame.fin, data)
            if whole is None:
                return
            kind, data = whole
        if len(data) > MAX_MESSAGE_BYTES:
            self.close(1009, "message too big")
        elif self._early is not None:
            if len(self._early) >= EARLY_FRAMES:
                self.close(1008, "too much before session.ready")
            else:
                self._early.append((kind, data))
        else:
            self._receive(kind, data)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        self._closing = True
        self.gone.set()
        self._door.closed(self)
        if self._live is not None:
            self._door.spawn(self._door.switchboard.disconnect(self._live, self))

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True

    # What the session asks of its leg

    def deliver(self, event: events.SessionEvent) -> None:
        if self._codec is None or (not self.writable and isinstance(event, events.TranscriptPartial)):
            return
        self._send(WSMsgType.TEXT, self._codec.event(event))

    def deliver_audio(self, listener: Participant, speaker: str, turn_id: str | None, payload: bytes) -> None:
        codec = self._codec
        if codec is None:
            return
        if codec.binary_out:
            self._send(WSMsgType.BINARY, payload)
        else:
            self._send(WSMsgType.TEXT, codec.audio(listener, speaker, turn_id, payload))

    def hold_input(self, held: bool) -> None:
        self._hold("engines", held)

    def close(self, code: int, reason: str) -> None:
        transport = self._transport
        if transport is None or self._closing:
            return
        self._closing = True
        transport.send_close(code, reason.encode()[:120])  # pyright: ignore[reportArgumentType]
        self._holds.clear()
        transport.underlying_transport.resume_reading()
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._abandon)

    # Inside

    async def _attach(self) -> None:
        try:
            livemode = self._check_token()
            self._live = await self._door.switchboard.connect(self._address.session_id, livemode, self._admit)
        except StreamRefused as refusal:
            self._refuse(refusal.close_code, refusal.code, refusal.message)
        except Exception:
            log.exception("attaching a stream failed")
            self._refuse(1011, "internal_error", "The stream could not be attached.")
        else:
            if self._transport is None:
                await self._door.switchboard.disconnect(self._live, self)
                return
            early, self._early = self._early or [], None
            for kind, data in early:
                self._receive(kind, data)
        finally:
            self._hold("attaching", False)

    def _check_token(self) -> bool:
        token = self._address.token
        if token is None:
            raise StreamRefused(4401, "invalid_token", "A stream token is required: ?token= or Authorization: Bearer.")
        verdict = self._door.tokens.check(token, self._address.session_id)
        if verdict == "expired":
            raise StreamRefused(4401, "expired_token", "The stream token has expired; GET the session for a fresh one.")
        if verdict != "ok":
            raise StreamRefused(4401, "invalid_token", "The stream token is not valid for this session.")
        return token.startswith("kst_live_")

    def _admit(self, live: LiveSession) -> StreamSocket:
        address = self._address
        if address.protocol not in (None, "native", "json", "binary"):
            raise StreamRefused(1008, "invalid_message", "protocol must be native; carriers' dialects come later.")
        bound: Participant | None = None
        if address.participant is not None:
            bound = live.find(address.participant)
            if bound is None:
                message = f"No participant has the id or role {address.participant[:64]!r}."
                raise StreamRefused(1008, "unknown_speaker", message)
        try:
            self.output = output_format(address)
        except BadAddress as error:
            raise StreamRefused(1008, error.code, error.message) from None
        self.participant_id = bound.id if bound is not None else None
        customer = live.find("customer")
        older_speaker = None if bound is not None or customer is None else customer.id
        translate_older = partial(compat.current, speaker=older_speaker)
        self._codec = NativeCodec(address.session_id, self.output, bound, live.find, translate_older)
        return self

    def _refuse(self, close_code: int, code: str, message: str) -> None:
        self._send(WSMsgType.TEXT, wire.encode(wire.ErrorOut(code, message)))
        self.close(close_code, code)

    def _receive(self, kind: WSMsgType, data: bytes) -> None:
        live, codec = self._live, self._codec
        if live is None or codec is None or self._closing:
            return
        now = self._door.clock.monotonic()
        try:
            command = codec.binary(data) if kind == WSMsgType.BINARY else codec.text(data)
            if command is not None:
                self._obey(command, live, codec, now)
        except do.BadMessage as bad:
            self._send(WSMsgType.TEXT, wire.encode(wire.ErrorOut(bad.code, bad.message)))
            if self._bad.too_many(now):
                self.close(1008, "too many bad messages")
        wait = self._all.take(now)
        if wait > 0:
            self._hold("pace", True)
            asyncio.get_running_loop().call_later(wait, self._hold, "pace", False)

    def _obey(self, command: do.Command, live: LiveSession, codec: NativeCodec, now: float) -> None:
        if isinstance(command, do.Audio):
            live.audio(self, command.participant_id, command.pcm, command.sample_rate_hz, command.timestamp_ms)
            return
        if self._control.take(now) > 0:
            raise do.BadMessage("rate_limit_exceeded", f"At most {CONTROL_PER_SECOND:.0f} such messages a second.")
        match command:
            case do.AnswerPing():
                self._send(WSMsgType.TEXT, codec.pong())
            case do.Text():
                live.text(command.participant_id, command.text)
            case do.SetMute():
                live.mute(command.participant_id, command.muted)
            case do.SpeakIn():
                live.speaks_in(command.participant_id, command.language)
            case do.Mark():
                live.mark(self, command.name)
            case do.Clear():
                live.clear(self)
            case do.Digits():
                live.dtmf(self, command.digits)
            case do.End():
                self._door.spawn(self._end(live))

    async def _end(self, live: LiveSession) -> None:
        await self._door.switchboard.end(live.record, "explicit_end")

    def _assemble(self, kind: WSMsgType, fin: bool, data: bytes) -> tuple[WSMsgType, bytes] | None:
        """Puts a fragmented message together (RFC 6455, 5.4); None until its last frame."""
        if kind != WSMsgType.CONTINUATION:
            self._fragments = []
            self._fragment_type = kind
        self._fragments.append(data)
        if sum(map(len, self._fragments)) > MAX_MESSAGE_BYTES:
            self._fragments = []
            self.close(1009, "message too big")
            return None
        if not fin:
            return None
        whole, self._fragments = b"".join(self._fragments), []
        return self._fragment_type, whole

    def _send(self, kind: WSMsgType, data: bytes) -> None:
        transport = self._transport
        if transport is None or self._closing:
            return
        transport.send(kind, data)
        if not self.writable and transport.underlying_transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            log.warning("stream %s: the peer does not read; cutting it off", self.id)
            self._closing = True
            transport.underlying_transport.abort()

    def _hold(self, why: str, held: bool) -> None:
        before = bool(self._holds)
        (self._holds.add if held else self._holds.discard)(why)
        if self._transport is None or self._closing or bool(self._holds) == before:
            return
        under = self._transport.underlying_transport
        if self._holds:
            under.pause_reading()
        else:
            under.resume_reading()

    def _peer_closed(self, transport: WSTransport, frame: WSFrame) -> None:
        if not self._closing:
            self._closing = True
            transport.send_close(WSCloseCode.OK)
        transport.disconnect()

    def _abandon(self) -> None:
        if self._transport is not None:
            self._transport.disconnect(False)
