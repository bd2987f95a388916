"""The socket of DeepL Voice: a session is asked for by HTTP, then spoken with over a WebSocket of its own.

There is no way to end an utterance but to end its session. That is hidden here: behind one socket for the base are as
many sessions, one after another, as utterances were ended; the next begins when there is audio for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from kallglot.speech.remote.codec import Opening
from kallglot.speech.remote.config import Patience
from kallglot.speech.remote.errors import unusable
from kallglot.speech.remote.exchange import Request
from kallglot.speech.remote.http import HttpClient

END: Final = '{"end_of_source_media":{}}'
IDLE: Final = '{"idle":{}}'
"""Of ours: ends a session, where there is one, that the vendor would else end for want of audio."""
VENDOR: Final = ".deepl.com"
ENDED: Final = '{"end_of_stream":{}}'


class MessageType(Enum):
    TEXT = auto()


@dataclass(frozen=True, slots=True)
class Told:
    data: str
    type: MessageType = MessageType.TEXT


@dataclass(frozen=True, slots=True)
class VoiceOpening(Opening):
    """``url`` and ``headers`` are those of the request for a session, ``document`` is its body."""

    document: Any = field(default=None, repr=False)


class _Session(msgspec.Struct):
    streaming_url: str
    token: str


class VoiceClient(HttpClient):
    async def connect(self, opening: Opening, patience: Patience) -> Any:
        """A session, over which :class:`VoiceSocket` takes care. Raises :class:`EngineError`."""
        socket = VoiceSocket(self, opening, patience)
        await socket.begin()
        return socket

    async def session(self, opening: Opening, patience: Patience) -> Any:
        document = opening.document if isinstance(opening, VoiceOpening) else None
        request = Request(opening.url, headers=opening.headers, document=document, repeatable=False)
        async with self.open(request) as streamed:
            answer = await streamed.whole()
        try:
            session = msgspec.json.decode(answer.body, type=_Session)
        except msgspec.MsgspecError:
            raise unusable(self._name, "the answer to the request for a session cannot be understood") from None
        if not allowed(opening.url, session.streaming_url):
            raise unusable(self._name, "the address of the session is somebody else's, or not safe")
        # The vendor wants it in the address: it is good for this connection only.
        joint = "&" if "?" in session.streaming_url else "?"
        url = f"{session.streaming_url}{joint}{urlencode({'token': session.token})}"
        return await super().connect(Opening(url), patience)


def allowed(asked: str, streaming_url: str) -> bool:
    """Whether a session that was asked for there may be spoken with at this address: at the same host or one of the
    vendor's, and without TLS only where it was asked for without."""
    try:
        ours, theirs = urlsplit(asked), urlsplit(streaming_url)
        host = theirs.hostname
    except ValueError:
        return False
    safe = theirs.scheme == "wss" or (theirs.scheme == "ws" and ours.scheme in ("http", "ws"))
    known = host is not None and (host == ours.hostname or f".{host}".endswith(VENDOR))
    return safe and known and "@" not in theirs.netloc


class VoiceSocket:
    """What the base uses of aiohttp's WebSocket."""

    def __init__(self, client: VoiceClient, opening: Opening, patience: Patience) -> None:
        self._client = client
        self._opening = opening
        self._patience = patience
        self._speaking: Any = None
        self._listening: deque[Any] = deque()
        """Sessions in order; of all but the last the audio has ended. None: one that there was no need of."""
        self._news = asyncio.Event()
        self._leaving: set[asyncio.Task[Any]] = set()
        self.closed = False
        self.close_code: int | None = None

    async def begin(self) -> None:
        await self._begun()

    async def _begun(self) -> Any:
        self._speaking = session = await self._client.session(self._opening, self._patience)
        self._listening.append(session)
        self._news.set()
        return session

    async def send_str(self, message: str) -> None:
        if message in (END, IDLE):
            speaking, self._speaking = self._speaking, None
            if speaking is not None:
                await speaking.send_str(END)
            elif message == END:
                self._listening.append(None)
                self._news.set()
            return
        session = self._speaking or await self._begun()
        await session.send_str(message)

    async def receive(self) -> Any:
        while not self._listening:
            self._news.clear()
            await self._news.wait()
        session = self._listening[0]
        if session is None:
            self._listening.popleft()
            return Told(ENDED)
        message = await session.receive()
        if message.type.name == "TEXT" and "end_of_stream" in message.data[:32] and session is not self._speaking:
            self._listening.popleft()
            self._leave(session)
            return Told(ENDED)
        if message.type.name != "TEXT":
            self.close_code = session.close_code
            self.closed = session.closed
        return message

    async def close(self) -> None:
        self.closed = True
        sessions = [session for session in self._listening if session is not None]
        self._listening.clear()
        await asyncio.gather(*(session.close() for session in sessions), *self._leaving, return_exceptions=True)

    def _leave(self, session: Any) -> None:
        leaving = asyncio.create_task(session.close())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
