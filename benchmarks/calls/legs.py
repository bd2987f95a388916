"""The two sides of a call at the other end of a socket: a customer whose carrier is Twilio, an agent in the native
dialect.

Each sends 20 ms of mu-law every 20 ms, plays what comes as a telephone does, and notes how late that was: from the
first frame of a spurt on, a frame is late by how much it comes after the moment at which it has to be played for the
spurt not to stop.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pybase64
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.calls import words
from kallglot.audio.g711 import audioop

FRAME_S: Final = 0.02
FRAME_BYTES: Final = 160
GAP_S: Final = 0.3
SILENCE: Final = b"\xff" * FRAME_BYTES


def _speech() -> list[bytes]:
    """A second of syllables on a voice of 140 Hz; loud enough all the time to be taken for speech."""
    found: list[bytes] = []
    for start in range(0, 8000, FRAME_BYTES):
        pcm = bytearray()
        for n in range(start, start + FRAME_BYTES):
            syllable = 0.65 + 0.35 * math.sin(2 * math.pi * 4 * n / 8000)
            voice = sum(math.sin(2 * math.pi * 140 * k * n / 8000 + k * k) / k for k in (1, 2, 3, 5, 8))
            pcm += round(4500 * syllable * voice).to_bytes(2, "little", signed=True)
        found.append(audioop.lin2ulaw(bytes(pcm), 2))
    return found


SPEECH: Final = _speech()
_CODED: Final = [pybase64.b64encode(frame) for frame in SPEECH]
_CODED_SILENCE: Final = pybase64.b64encode(SILENCE)


@dataclass
class Heard:
    """What one side heard; times by ``time.perf_counter``."""

    frames: int = 0
    late_ms: list[float] = field(default_factory=list)
    turns: list[tuple[int, float]] = field(default_factory=list)
    """The family of each translated turn that was heard, and when its first sound came."""
    spurt_s: float = 0.0
    spurt_frames: int = 0
    last_s: float = -1.0
    family: int | None = None

    def audio(self, mulaw: bytes, now: float, measuring: bool) -> None:
        for at in range(0, len(mulaw), FRAME_BYTES):
            self._frame(mulaw[at : at + FRAME_BYTES], now, measuring)

    def _frame(self, frame: bytes, now: float, measuring: bool) -> None:
        due = self.spurt_s + self.spurt_frames * FRAME_S
        begins = now - self.last_s > GAP_S and now > due
        if begins:
            self.spurt_s, self.spurt_frames, due, self.family = now, 0, now, None
        self.spurt_frames += 1
        self.frames += 1
        self.last_s = now
        if measuring:
            self.late_ms.append(max(0.0, now - due) * 1000)
        family = words.family_of_sound(frame)
        if family is not None and family != self.family:
            self.family = family
            self.turns.append((family, now))

    @property
    def played_until_s(self) -> float:
        return self.spurt_s + self.spurt_frames * FRAME_S


class Leg(WSListener):
    """``measuring`` is asked for each frame that comes."""

    def __init__(self, number: int, url: str, measuring: Callable[[], bool]) -> None:
        super().__init__()
        self.number = number
        self.url = url
        self.heard = Heard()
        self.sent = 0
        self.ready = False
        self.gone = False
        self.close_code: int | None = None
        self.told: dict[str, int] = {}
        """Messages in words, by their type."""
        self._measuring = measuring
        self._transport: WSTransport | None = None

    async def connect(self) -> None:
        await ws_connect(lambda: self, self.url)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self.greet()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        self.gone = True

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.close_code = int(frame.get_close_code())  # pyright: ignore[reportArgumentType]
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            self.text(frame.get_payload_as_bytes(), time.perf_counter())
        elif frame.msg_type == WSMsgType.BINARY:
            self.heard.audio(frame.get_payload_as_bytes(), time.perf_counter(), self._measuring())

    def greet(self) -> None: ...

    def text(self, data: bytes, now: float) -> None: ...

    def say(self, speaks: bool, now: float) -> None: ...

    def end(self) -> None:
        """As one hangs up."""
        self.drop()

    def drop(self) -> None:
        """Without a word."""
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def send(self, data: bytes, kind: WSMsgType = WSMsgType.TEXT) -> None:
        if self._transport is not None:
            self._transport.send(kind, data)

    def count(self, kind: str) -> None:
        self.told[kind] = self.told.get(kind, 0) + 1


class TwilioLeg(Leg):
    """https://www.twilio.com/docs/voice/media-streams/websocket-messages"""

    def __init__(self, number: int, url: str, parameters: dict[str, str], measuring: Callable[[], bool]) -> None:
        super().__init__(number, url, measuring)
        self._parameters = parameters
        self._sid = f"MZ{number:032x}"
        self._head = f'{{"event":"media","streamSid":"{self._sid}","media":{{"track":"inbound","payload":"'.encode()
        self._marks: deque[tuple[float, bytes]] = deque()

    def greet(self) -> None:
        start: dict[str, Any] = {
            "accountSid": f"AC{0:032x}",
            "streamSid": self._sid,
            "callSid": f"CA{self.number:032x}",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self._parameters,
        }
        self.send(b'{"event":"connected","protocol":"Call","version":"1.0.0"}')
        self.send(json.dumps({"event": "start", "streamSid": self._sid, "start": start}).encode())
        self.ready = True

    def text(self, data: bytes, now: float) -> None:
        if data.startswith(b'{"event":"media"'):
            start = data.index(b'"payload":"') + 11
            self.heard.audio(pybase64.b64decode(data[start : data.index(b'"', start)]), now, self._measuring())
            return
        message = json.loads(data)
        self.count(message["event"])
        if message["event"] == "mark":
            self._marks.append((max(now, self.heard.played_until_s), data))
        elif message["event"] == "clear":
            self._marks = deque((now, mark) for _, mark in self._marks)

    def say(self, speaks: bool, now: float) -> None:
        while self._marks and self._marks[0][0] <= now:
            self.send(self._marks.popleft()[1])
        coded = _CODED[(self.sent + self.number * 7) % len(_CODED)] if speaks else _CODED_SILENCE
        self.send(b'%b%b","timestamp":"%d"}}' % (self._head, coded, self.sent * 20))
        self.sent += 1

    def end(self) -> None:
        self.send(json.dumps({"event": "stop", "streamSid": self._sid}).encode())
        if self._transport is not None:
            self._transport.send_close(1000)  # pyright: ignore[reportArgumentType]
            self._transport.disconnect()


class NativeLeg(Leg):
    """Binary frames both ways, once the session is ready. It is told of everybody's turns."""

    def __init__(self, number: int, url: str, measuring: Callable[[], bool]) -> None:
        super().__init__(number, url, measuring)
        self.said: list[str] = []
        """The speaker of each final that was told."""
        self.playback: dict[str, list[tuple[str, float]]] = {"started": [], "finished": [], "cleared": []}
        """Listener and moment of each."""

    def text(self, data: bytes, now: float) -> None:
        message = json.loads(data)
        kind = message["type"]
        self.count(kind)
        if kind == "session.ready":
            self.send(b'{"type":"audio.format","encoding":"mulaw","sample_rate_hz":8000,"output":"binary"}')
            self.ready = True
        elif kind == "transcript.final":
            self.said.append(message["speaker"])
        elif kind.startswith("playback."):
            self.playback.setdefault(kind[9:], []).append((message.get("listener", ""), now))

    def say(self, speaks: bool, now: float) -> None:
        if self.ready:
            self.send(SPEECH[(self.sent + self.number * 7) % len(SPEECH)] if speaks else SILENCE, WSMsgType.BINARY)
            self.sent += 1
