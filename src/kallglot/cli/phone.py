"""A telephone on this side of the stream: sends a recording as a phone would, and keeps what comes back."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import soundfile  # pyright: ignore[reportMissingTypeStubs]
import soxr  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect

from kallglot.audio.codec import encoder

RATE: Final = 8000
FRAME_MS: Final = 20
FRAME_SAMPLES: Final = RATE * FRAME_MS // 1000
QUIET_SECONDS: Final = 2.5
SILENT_FRAME: Final = bytes(FRAME_SAMPLES * 2)

Samples = NDArray[np.int16]
Message = dict[str, Any]


def load_speech(path: Path) -> Samples:
    """Any sound file libsndfile reads, as the telephone has it: mono, 8 kHz, 16 bit. Raises ``ValueError``."""
    try:
        audio, rate = cast(
            "tuple[NDArray[np.float32], int]",
            soundfile.read(str(path), dtype="float32", always_2d=True),  # pyright: ignore[reportUnknownMemberType]
        )
    except (soundfile.LibsndfileError, OSError) as error:
        raise ValueError(f"{path} cannot be read as sound: {error}") from None
    mono = audio.mean(axis=1)
    if rate != RATE:
        mono = soxr.resample(mono, rate, RATE, quality="HQ")  # pyright: ignore[reportUnknownMemberType]
    return np.clip(np.asarray(mono) * 32767.0, -32768, 32767).astype(np.int16)


@dataclass(slots=True)
class HeardAudio:
    """What one listener was sent, each piece with the second of the call at which it came."""

    pieces: list[tuple[float, bytes]] = field(default_factory=list[tuple[float, bytes]])

    def together(self) -> Samples:
        """One after the other, without the pauses between."""
        return np.frombuffer(b"".join(pcm for _, pcm in self.pieces), np.int16)


@dataclass(slots=True)
class CallRecord:
    messages: list[tuple[float, Message]] = field(default_factory=list[tuple[float, Message]])
    """Every message but audio, with its second of the call."""
    heard: dict[str, HeardAudio] = field(default_factory=dict[str, HeardAudio])
    first_audio: dict[str, float] = field(default_factory=dict[str, float])
    """By turn id, the second at which its first audio came."""
    ended: str | None = None

    def finals(self) -> list[Message]:
        return [message for _, message in self.messages if message["type"] == "transcript.final"]


class Phone:
    """One connection to a session. ``on_message`` sees every message but audio as it comes."""

    def __init__(self, socket: ClientConnection, on_message: Callable[[float, Message], None] | None = None) -> None:
        self._socket = socket
        self._on_message = on_message
        self._begun = time.monotonic()
        self._encoder = encoder("mulaw", RATE)
        self._sequence = 0
        self._last_news = self._begun
        self._playing: set[str] = set()
        self._reader = asyncio.create_task(self._read())
        self.ready = asyncio.Event()
        self.record = CallRecord()

    @property
    def second(self) -> float:
        return time.monotonic() - self._begun

    async def say(self, speech: Samples, speaker: str, *, fast: bool = False) -> None:
        """Streams speech in 20 ms frames, at the pace of speech unless ``fast``."""
        pcm = speech.tobytes()
        due = time.monotonic()
        for at in range(0, len(pcm), FRAME_SAMPLES * 2):
            frame = pcm[at : at + FRAME_SAMPLES * 2]
            await self._frame(frame + SILENT_FRAME[len(frame) :], speaker)
            due += FRAME_MS / 1000
            if not fast:
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def type(self, text: str, speaker: str) -> None:
        await self.send({"type": "text.input", "speaker": speaker, "text": text})
        self._last_news = time.monotonic()

    async def listen(self, speaker: str, *, at_most: float = 60.0) -> None:
        """Holds the line, with silence on it, until nothing new has come for a while and nothing plays any more."""
        self._last_news = time.monotonic()
        end = self._last_news + at_most
        while time.monotonic() < end and self.record.ended is None and not self._reader.done():
            if not self._playing and time.monotonic() - self._last_news > QUIET_SECONDS:
                return
            await self.say(np.zeros(FRAME_SAMPLES * 5, np.int16), speaker)

    async def send(self, message: Message) -> None:
        await self._socket.send(json.dumps(message))

    async def hang_up(self) -> None:
        """Ends the session and waits until the server has said so."""
        await self.send({"type": "session.end"})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(15):
                await asyncio.wait([self._reader])

    async def _frame(self, pcm: bytes, speaker: str) -> None:
        self._sequence += 1
        payload = base64.b64encode(self._encoder.encode(pcm)).decode()
        await self._socket.send(
            f'{{"type":"audio.input","sequence":{self._sequence},"timestamp_ms":{self._sequence * FRAME_MS},'
            f'"speaker":"{speaker}","audio":{{"encoding":"mulaw","sample_rate_hz":8000,"payload":"{payload}"}}}}'
        )

    async def _read(self) -> None:
        async for raw in self._socket:
            message = cast(Message, json.loads(raw))
            now = self.second
            if message["type"] == "audio.output":
                self._keep(message, now)
                continue
            if message["type"] not in ("pong", "warning"):
                self._last_news = time.monotonic()
            self.record.messages.append((now, message))
            self._follow(message)
            if self._on_message is not None:
                self._on_message(now, message)
        self._playing.clear()

    def _follow(self, message: Message) -> None:
        match message["type"]:
            case "session.ready":
                self.ready.set()
            case "playback.started":
                self._playing.add(message["turn_id"])
            case "playback.finished" | "playback.cleared":
                self._playing.discard(message["turn_id"])
            case "session.ended":
                self.record.ended = message["reason"]
            case _:
                pass

    def _keep(self, message: Message, now: float) -> None:
        turn_id, audio = message["turn_id"], message["audio"]
        pcm = np.frombuffer(base64.b64decode(audio["payload"]), "<i2").tobytes()
        heard = self.record.heard.setdefault(message["listener"], HeardAudio())
        if turn_id is not None and turn_id not in self.record.first_audio:
            self.record.first_audio[turn_id] = now
        heard.pieces.append((now, pcm))


async def dial(
    stream_url: str, token: str, on_message: Callable[[float, Message], None] | None = None, *, query: str = ""
) -> Phone:
    """Connects to a session's stream and returns when the session is ready."""
    address = f"{stream_url}?token={token}&audio=pcm_s16le_8000{query}"
    socket = await connect(address, compression=None, max_queue=1024, ping_interval=20)
    phone = Phone(socket, on_message)
    ready = asyncio.create_task(phone.ready.wait())
    await asyncio.wait([ready, phone._reader], return_when=asyncio.FIRST_COMPLETED, timeout=20)  # pyright: ignore[reportPrivateUsage]
    ready.cancel()
    if not phone.ready.is_set():
        raise ConnectionError(f"the stream was not opened: {socket.close_code} {socket.close_reason}")
    return phone


def save(path: Path, samples: Samples, rate: int = RATE) -> None:
    """Writes a WAV file; two-dimensional samples are channels."""
    soundfile.write(str(path), samples, rate)  # pyright: ignore[reportUnknownMemberType]
