"""A plugin's recognition stream in the shape of a WebSocket, for the base of streaming recognition to talk to.

Audio goes in as binary messages; the plugin's events come out as text messages, for
:mod:`kallglot.speech.providers.livekit_codec` to read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import msgspec

from kallglot.clock import Clock
from kallglot.speech.providers.livekit_plugin import Plugin, in_words
from kallglot.speech.remote.codec import Opening
from kallglot.speech.remote.config import Patience, ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.http import HttpClient

FLUSH: Final = "flush"
MOST_WAITING: Final = 400
"""Frames that a plugin may have before it without taking them."""


class MessageType(Enum):
    TEXT = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Event:
    type: MessageType
    data: str = ""


@dataclass(frozen=True, slots=True)
class StreamOpening(Opening):
    """``url`` is the plugin's name."""

    sample_rate_hz: int = 16000
    language: str | None = None


class PluginSocket:
    def __init__(self, name: str, plugin: Plugin, clock: Clock, stream: Any, sample_rate_hz: int) -> None:
        self._name = name
        self._plugin = plugin
        self._clock = clock
        self._stream = stream
        self._rate = sample_rate_hz
        self.closed = False
        self.close_code: int | None = None

    async def send_bytes(self, pcm: bytes) -> None:
        waiting = getattr(getattr(self._stream, "_input_ch", None), "qsize", None)
        if waiting is not None and waiting() > MOST_WAITING:
            raise RemoteError(f"{self._name} takes no more audio")
        self._feed(lambda: self._stream.push_frame(self._plugin.rtc.AudioFrame(pcm, self._rate, 1, len(pcm) // 2)))

    async def send_str(self, message: str) -> None:
        if message == FLUSH:
            self._feed(self._stream.flush)

    async def receive(self) -> Event:
        """Raises :class:`EngineError` for what the plugin says went wrong."""
        with in_words(self._name, self._clock):
            event: Any = await anext(self._stream, None)
        if event is None:
            self.closed = True
            return Event(MessageType.CLOSED)
        return Event(MessageType.TEXT, _message(event))

    async def close(self) -> None:
        self.closed = True
        await self._plugin.end(self._stream)

    def _feed(self, feed: Callable[[], None]) -> None:
        try:
            feed()
        except Exception as error:
            # The stream has ended; the reader gets to know why.
            self.closed = True
            raise ConnectionResetError(type(error).__name__) from None


class PluginClient(HttpClient):
    """In place of the HTTP client: it connects to a plugin."""

    def __init__(self, config: ProviderConfig, clock: Clock) -> None:
        super().__init__(config.name, config.timeouts, clock, lambda _status, _body: None)
        self._named = config.name
        self._time = clock
        self._plugin = Plugin(config)
        self._instance: Any = None

    async def start(self) -> None:
        await self._plugin.start()
        self._instance = self._plugin.construct({})
        if not self._instance.capabilities.streaming:
            await self.close()
            raise RemoteError(f"{self._named}: the plugin does not recognise streams", passing=False)

    async def close(self) -> None:
        instance, self._instance = self._instance, None
        if instance is not None:
            await self._plugin.end(instance)
        await self._plugin.close()

    async def connect(self, opening: Opening, patience: Patience) -> Any:
        if self._instance is None or not isinstance(opening, StreamOpening):
            raise RemoteError(f"{self._named} is not started", blame="budget")
        arguments: dict[str, Any] = {} if opening.language is None else {"language": opening.language}
        with in_words(self._named, self._time):
            stream = self._instance.stream(conn_options=self._plugin.connect_options, **arguments)
        return PluginSocket(self._named, self._plugin, self._time, stream, opening.sample_rate_hz)


def _message(event: Any) -> str:
    """Of a ``SpeechEvent`` what is of use here."""
    said: Any = event.alternatives[0] if event.alternatives else None
    told: dict[str, Any] = {"type": str(getattr(event.type, "value", event.type))}
    if said is not None:
        told |= {
            "text": said.text,
            "start": said.start_time,
            "end": said.end_time,
            "confidence": said.confidence,
            "language": str(said.language or ""),
            "sources": list(getattr(said, "source_texts", None) or ()),
        }
    return msgspec.json.encode(told).decode()
