"""The WebSocket shell: one picows listener a connection.

What a slow peer gets: its audio waits in its bounded playout, partial transcripts are left out, and a peer that has not
read for long enough to leave a mebibyte unsent is cut off. What a dead peer gets: a ping after 20 s of silence, and the
end of its connection 20 s later. What a stranger gets: five seconds and 32 small messages in which to show a token.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from kallglot.carriers.arrivals import Arrival, CarrierStart, Handshake
from kallglot.ids import new_id
from kallglot.legs import commands as do
from kallglot.legs import messages as wire
from kallglot.legs.address import StreamAddress
from kallglot.legs.admission import Admission
from kallglot.legs.dialect import Dialect
from kallglot.legs.mp3 import Mp3Outlet
from kallglot.legs.native import NativeCodec
from kallglot.legs.opening import DEADLINE_S, Opening, is_carriers
from kallglot.legs.patience import Allowance, BadMessages
from kallglot.legs.telnyx import TelnyxCodec
from kallglot.session import events
from kallglot.session.leg import OutputFormat
from kallglot.session.live import LiveSession
from kallglot.session.model import Participant
from kallglot.session.switchboard import StreamRefused, check_token

if TYPE_CHECKING:
    from kallglot.legs.door import StreamDoor

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES: Final = 512 * 1024
MAX_UNSENT_BYTES: Final = 1024 * 1024
WRITE_HIGH_WATER_BYTES: Final = 128 * 1024
EARLY_FRAMES: Final = 256
CLOSE_TIMEOUT_S: Final = 2.0
MESSAGES_PER_SECOND: Final = 2000.0
CONTROL_PER_SECOND: Final = 50.0
CARRIERS: Final = ("twilio", "telnyx")
_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
_DATA: Final = (_TEXT, _BINARY)


class StreamSocket(WSListener):
    """One connection: the leg of a session, once its token was found good."""

    def __init__(self, door: StreamDoor, address: StreamAddress, handshake: Handshake) -> None:
        self.id = new_id("leg_")
        self.participant_id: str | None = None
        self.writable = True
        self.gone = asyncio.Event()
        self._door = door
        self._address = address
        self._admission = Admission(door, address, handshake)
        self._opening: Opening | None = None
        self._transport: WSTransport | None = None
        self._live: LiveSession | None = None
        self._codec: Dialect | None = None
        self._arrival: Arrival | None = None
        self._outlet: Mp3Outlet | None = None
        self._joining: asyncio.Task[None] | None = None
        """The call is being told of: its audio does not wait for the database."""
        self._fragments: list[bytes] = []
        self._fragment_type = WSMsgType.TEXT
        self._early: list[tuple[WSMsgType, bytes]] | None = []
        self._received = False
        self._hung_up = False
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
        if self._address.token is not None and self._address.protocol not in CARRIERS:
            self._hold("attaching", True)
            self._door.spawn(self._attach(None))
        else:
            self._open()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if self._early is None and frame.fin and not self._closing and kind in _DATA:
            # Fifty times a second.
            data = frame.get_payload_as_bytes()
            if len(data) <= MAX_MESSAGE_BYTES:
                self._receive(kind, data)
                return
        self._on_other_frame(transport, frame)

    def _on_other_frame(self, transport: WSTransport, frame: WSFrame) -> None:
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
        elif self._early is None:
            self._receive(kind, data)
        elif len(self._early) >= EARLY_FRAMES:
            self.close(1008, "too much before session.ready")
        elif self._opening is None:
            self._early.append((kind, data))
        else:
            self._read_opening(self._opening, kind, data)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        self._closing = True
        self.gone.set()
        self._door.closed(self)
        if self._outlet is not None:
            self._outlet.close()
        if self._live is not None:
            self._door.spawn(self._detach(self._live))

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True

    # What the session asks of its leg

    @property
    def output(self) -> OutputFormat:
        return OutputFormat() if self._codec is None else self._codec.output

    @property
    def kind(self) -> str | None:
        """The dialect of one that is attached."""
        return None if self._live is None or self._codec is None else self._codec.kind

    @property
    def late_ms(self) -> float:
        return 0.0 if self._codec is None else self._codec.late_ms

    def deliver(self, event: events.SessionEvent) -> None:
        if self._codec is None or (not self.writable and isinstance(event, events.TranscriptPartial)):
            return
        message = self._codec.event(event, self._now_ms())
        if message is not None:
            self._send(WSMsgType.TEXT, message)

    def deliver_audio(
        self, listener: Participant, speaker: str, turn_id: str | None, payload: bytes, now_ms: float
    ) -> None:
        codec = self._codec
        if codec is None:
            return
        kind = _BINARY if codec.binary_out else _TEXT
        for message in codec.audio(listener, speaker, turn_id, payload, now_ms):
            self._send(kind, message)
        if self._outlet is not None:
            self._outlet.added()

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

    def speak(self, codec: Dialect, bound: Participant | None) -> None:
        """The dialect that the peer speaks, and for whom."""
        self._codec = codec
        self.participant_id = None if bound is None else bound.id
        if isinstance(codec, TelnyxCodec):
            self._outlet = Mp3Outlet(codec, self._door.packer, lambda message: self._send(WSMsgType.TEXT, message))

    # Coming in

    def _open(self) -> None:
        """Nothing says yet who this is."""
        self._opening = Opening(self._address.protocol if self._address.protocol in CARRIERS else None)
        asyncio.get_running_loop().call_later(DEADLINE_S, self._opened_too_late)

    def _opened_too_late(self) -> None:
        if self._opening is None or self._closing:
            return
        try:
            check_token(None)
        except StreamRefused as refusal:
            # A carrier would have said something by now.
            self._refuse(refusal.close_code, refusal.code, refusal.message, told=self._opening.silent)

    def _read_opening(self, opening: Opening, kind: WSMsgType, data: bytes) -> None:
        try:
            found = opening.feed(data, binary=kind == WSMsgType.BINARY)
        except StreamRefused as refusal:
            self.close(refusal.close_code, refusal.code)
            return
        if found is None:
            return
        self._opening = None
        self._hold("attaching", True)
        if isinstance(found, CarrierStart):
            self._door.spawn(self._attach(found))
        else:
            if self._early is not None:
                self._early.append((kind, data))
            self._door.spawn(self._attach(None))

    async def _attach(self, start: CarrierStart | None) -> None:
        try:
            if start is None:
                self._live = await self._admission.native(self)
            else:
                self._live, self._arrival = await self._admission.carrier(self, start)
        except StreamRefused as refusal:
            self._refuse(refusal.close_code, refusal.code, refusal.message, told=start is None)
        except Exception:
            log.exception("attaching a stream failed")
            self._refuse(1011, "internal_error", "The stream could not be attached.", told=start is None)
        else:
            await self._attached(self._live, start)
        finally:
            self._hold("attaching", False)

    async def _attached(self, live: LiveSession, start: CarrierStart | None) -> None:
        if self._transport is None:
            await self._detach(live)
            return
        if start is not None and self._arrival is not None and self.participant_id is not None:
            self._door.takes_over(self, (live.record.id, start.dialect, start.call_id))
            if self._arrival.held:
                live.hold(self.participant_id, True)
            if self._arrival.muted:
                live.mute(self.participant_id, True)
            self._joining = asyncio.create_task(self._door.telephony.joined(self._arrival, self.participant_id))
        early, self._early = self._early or [], None
        for n, (kind, data) in enumerate(early):
            self._receive(kind, data)
            if self._live is None and self._early is not None:
                self._early.extend(early[n + 1 :])
                break

    async def _detach(self, live: LiveSession) -> None:
        await self._door.switchboard.disconnect(live, self)
        if self._joining is not None:
            await asyncio.wait([self._joining])
        if self._arrival is not None and self._door.left(self):
            await self._door.telephony.left(self._arrival, hung_up=self._hung_up)

    async def _start_again(self, live: LiveSession, data: bytes) -> None:
        """It was taken for a native connection because its address had a token, and is a carrier's."""
        await self._door.switchboard.disconnect(live, self)
        self._open()
        came, self._early = [(WSMsgType.TEXT, data), *(self._early or [])], []
        for kind, message in came:
            if self._opening is not None:
                self._read_opening(self._opening, kind, message)
            else:
                self._early.append((kind, message))
        if self._opening is not None:
            self._hold("attaching", False)

    def _refuse(self, close_code: int, code: str, message: str, *, told: bool) -> None:
        if told:
            self._send(WSMsgType.TEXT, wire.encode(wire.ErrorOut(code, message)))
        self.close(close_code, code)

    # Messages

    def _receive(self, kind: WSMsgType, data: bytes) -> None:
        live, codec = self._live, self._codec
        if live is None or codec is None or self._closing:
            return
        if not self._received:
            self._received = True
            if kind == WSMsgType.TEXT and isinstance(codec, NativeCodec) and is_carriers(data):
                self._live, self._codec, self._early = None, None, []
                self._hold("attaching", True)
                self._door.spawn(self._start_again(live, data))
                return
        now = self._door.clock.monotonic()
        try:
            for command in codec.receive(data, binary=kind == _BINARY, now_ms=now * 1000):
                self._obey(command, live, now)
        except do.BadMessage as bad:
            error = codec.error(bad.code, bad.message)
            if error is not None:
                self._send(WSMsgType.TEXT, error)
            if self._bad.too_many(now):
                self.close(1008, "too many bad messages")
        if self._outlet is not None:
            self._outlet.added()
        wait = self._all.take(now)
        if wait > 0:
            self._hold("pace", True)
            asyncio.get_running_loop().call_later(wait, self._hold, "pace", False)

    def _obey(self, command: do.Command, live: LiveSession, now: float) -> None:
        if isinstance(command, do.Audio):
            live.audio(self, command.participant_id, command.pcm, command.sample_rate_hz, command.timestamp_ms)
            return
        if self._control.take(now) > 0:
            raise do.BadMessage("rate_limit_exceeded", f"At most {CONTROL_PER_SECOND:.0f} such messages a second.")
        match command:
            case do.Reply():
                self._send(WSMsgType.TEXT, command.payload)
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
            case do.HungUp():
                self._hung_up = True
                self.close(1000, "call ended")
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

    def _now_ms(self) -> float:
        return self._door.clock.monotonic() * 1000

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
