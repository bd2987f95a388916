"""One connection of a recognition stream: audio out, messages in, and a look now and then whether it still lives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from kallglot.speech.remote.codec import Flushed, Heard, Message, Ready, RecognitionCodec
from kallglot.speech.remote.config import Patience
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.ledger import Audio, Gap, Ledger, Mark
from kallglot.speech.types import EngineError

if TYPE_CHECKING:
    import aiohttp

    from kallglot.audio.resample import Resampler

MOST_MS: Final = 250
"""Audio in one message."""
MOST_GARBLED: Final = 50
"""Messages in a row that cannot be understood."""
LOOKS: Final = 4
"""How often within the shortest wait the connection is looked at."""
NOT_UNDERSTOOD: Final = (ValueError, LookupError, TypeError, AttributeError, msgspec.MsgspecError, RecursionError)


class _BrokenOff(RemoteError):
    """Nothing can be sent any more."""


class Connection:
    """``heard`` gets what the codec makes of messages. ``serve`` ends only by an :class:`EngineError`."""

    def __init__(
        self,
        name: str,
        socket: aiohttp.ClientWebSocketResponse,
        codec: RecognitionCodec,
        ledger: Ledger,
        patience: Patience,
        *,
        heard: Callable[[Heard], None],
        sent: Callable[[float], None],
        garbled: Callable[[], None],
        pending: Callable[[], bool],
        looked: Callable[[float], None],
        spoken: Callable[[], Awaitable[bool]],
    ) -> None:
        self._name = name
        self._socket = socket
        self._codec = codec
        self._ledger = ledger
        self._patience = patience
        self._heard = heard
        self._sent = sent
        self._garbled = garbled
        self._pending = pending
        self._looked = looked
        self._spoken = spoken
        self._loop = asyncio.get_running_loop()
        self.begun = self._loop.time()
        self._listening = self.begun
        self._wake = asyncio.Event()
        self._ready = asyncio.Event()
        self._garbled_in_a_row = 0
        self._quiet_s = self._mute_s = self._asking_s = 0.0
        self._keepalive_s = float("inf") if codec.keepalive_s is None else codec.keepalive_s
        self._idle_s = 0.0
        """Since something was sent."""
        self._sending_s: float | None = None
        """For how long the message that is being sent is; None while there is none."""
        self._loud_before = 0
        self._loud_sent = 0
        self.stalled_s = 0.0
        """How long ago the trouble began that ended it, where it is a stall."""
        self._resampler = _resampler(ledger.rate, codec.sample_rate_hz)

    def notify(self) -> None:
        """There may be something to send."""
        if self._ledger.ready(self._piece(self._codec.piece_ms)):
            self._wake.set()

    async def ready(self) -> None:
        """Waits for the server's word that it listens. Raises :class:`EngineError`."""
        if not self._codec.waits_for_ready:
            self._ready.set()
            return
        reading = asyncio.create_task(self._read())
        try:
            async with asyncio.timeout(self._patience.ready_s):
                await reading
        except TimeoutError:
            raise RemoteError(f"{self._name} says nothing") from None
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        self._listening = self._loop.time()

    async def greet(self, messages: Sequence[Message]) -> None:
        try:
            async with asyncio.timeout(self._patience.final_s):
                await self._send_all(messages)
        except TimeoutError:
            raise self._takes_no_more() from None
        except _BrokenOff as error:
            raise await self._last_word(error) from None

    async def _last_word(self, error: _BrokenOff) -> EngineError:
        """What the server has said before it went says more than that it is gone."""
        try:
            async with asyncio.timeout(self._patience.close_s):
                while True:
                    await self._read_one()
        except TimeoutError:
            return error
        except EngineError as word:
            return word

    async def serve(self) -> EngineError:
        """Until it ends: why it did."""
        tasks = [asyncio.create_task(work) for work in (self._send_forever(), self._read_forever(), self._look())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        errors = [one for task, one in zip(tasks, outcomes, strict=True) if task in done]
        # The server's own word says more than that the socket is gone.
        errors.sort(key=lambda error: not (isinstance(error, EngineError) and not error.passing))
        for error in errors:
            if isinstance(error, EngineError):
                return error
            if isinstance(error, BaseException):
                raise error
        return RemoteError(f"{self._name} closed the connection")

    async def close(self, *, goodbye: bool) -> None:
        """At most ``close_s``; whoever does not let go by then is let go of. ``goodbye`` is the vendor's, for those who
        still listen."""
        # Cut off, aiohttp's own closing closes the socket at once.
        with contextlib.suppress(TimeoutError, EngineError):
            async with asyncio.timeout(self._patience.close_s):
                if goodbye and not self._socket.closed:
                    await self._send_all(self._codec.close())
                await self._socket.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await self._socket.close()

    def _piece(self, ms: int) -> int:
        return ms * self._ledger.rate // 1000

    async def _send_forever(self) -> None:
        try:
            await self._send_what_comes()
        except _BrokenOff:
            # The reader gets what the server has said about it.
            await asyncio.sleep(self._patience.close_s)
            raise

    async def _send_what_comes(self) -> None:
        most = self._piece(max(MOST_MS, self._codec.piece_ms))
        while True:
            if not self._ledger.ready(self._piece(self._codec.piece_ms)):
                self._wake.clear()
                await self._wake.wait()
                if self._idle_s >= self._keepalive_s:
                    await self._send_all(self._codec.keepalive())
                    self._idle_s = 0.0
                continue
            await self._pace()
            entry = self._ledger.take(most)
            if isinstance(entry, Audio):
                self._sent((entry.end - entry.start) / self._ledger.rate)
                self._loud_sent += entry.end - entry.start if entry.loud else 0
                await self._send_all(self._encoded(entry.pcm))
            elif isinstance(entry, Gap):
                silence = min(entry.end - entry.start, self._piece(self._codec.gap_silence_ms))
                if silence:
                    self._ledger.filled(silence)
                    await self._send_all(self._encoded(bytes(silence * 2)))
            elif isinstance(entry, Mark):
                await self._send_all(self._codec.finish())

    def _encoded(self, pcm: bytes) -> Sequence[Message]:
        if self._resampler is not None:
            pcm = self._resampler.process(pcm)
        return self._codec.audio(pcm) if pcm else ()

    async def _pace(self) -> None:
        """What was kept is sent again faster than it was said, and not faster than servers bear."""
        patience = self._patience
        elapsed_ms = (self._loop.time() - self._listening) * 1000
        early_ms = self._ledger.sent_ms - patience.burst_ms - elapsed_ms * patience.catch_up
        if early_ms > 0:
            await asyncio.sleep(early_ms / 1000 / patience.catch_up)

    async def _send_all(self, messages: Sequence[Message]) -> None:
        for message in messages:
            await self._send(message)

    async def _send(self, message: Message) -> None:
        self._idle_s = self._sending_s = 0.0
        try:
            if isinstance(message, str):
                await self._socket.send_str(message)
            else:
                await self._socket.send_bytes(message)
        except (OSError, RuntimeError) as error:
            # aiohttp's ClientConnectionResetError and "cannot write to closing transport".
            if isinstance(error, RuntimeError) and not self._socket.closed:
                raise
            raise _BrokenOff(f"{self._name} broke off the connection") from None
        finally:
            self._sending_s = None

    def _takes_no_more(self) -> RemoteError:
        return RemoteError(f"{self._name} takes no more audio")

    async def _read_forever(self) -> None:
        while True:
            await self._read_one()

    async def _read(self) -> None:
        while not self._ready.is_set():
            await self._read_one()

    async def _read_one(self) -> None:
        message = await self._socket.receive()
        kind = message.type.name
        if kind in ("TEXT", "BINARY"):
            self._take(message.data if kind == "TEXT" else bytes(message.data))
            return
        if kind in ("CLOSE", "CLOSING", "CLOSED", "ERROR"):
            code = self._socket.close_code
            raise self._codec.closed(code) or RemoteError(f"{self._name} closed the connection ({code or 'no code'})")

    def _take(self, message: Message) -> None:
        self._mute_s = self._quiet_s = 0.0
        try:
            told = list(self._codec.read(message))
        except NOT_UNDERSTOOD:
            self._garbled()
            self._garbled_in_a_row += 1
            if self._garbled_in_a_row >= MOST_GARBLED:
                raise RemoteError(f"{self._name} cannot be understood") from None
            return
        self._garbled_in_a_row = 0
        for heard in told:
            if isinstance(heard, Ready):
                self._ready.set()
            elif isinstance(heard, Flushed):
                self._asking_s = 0.0
            self._heard(heard)

    async def _look(self) -> None:
        """Counted in looks, not by the clock: who was itself held up must not blame the server."""
        patience, codec, ledger = self._patience, self._codec, self._ledger
        interval = min(patience.final_s, patience.utterance_s, patience.mute_s, self._keepalive_s) / LOOKS
        while True:
            await asyncio.sleep(interval)
            self._looked(interval)
            self._idle_s += interval
            if self._idle_s >= self._keepalive_s:
                self._wake.set()
            if self._sending_s is not None:
                self._sending_s += interval
                if self._sending_s > patience.final_s:
                    raise self._takes_no_more()
            self._asking_s = self._asking_s + interval if ledger.asking else 0.0
            self._quiet_s = self._quiet_s + interval if self._pending() else 0.0
            self._mute_s += interval if self._loud_sent > self._loud_before else 0.0
            self._loud_before = self._loud_sent
            if self._asking_s > patience.final_s:
                if not codec.answers_flush and not self._pending() and not ledger.loud:
                    self._asking_s = 0.0
                    self._heard(Flushed())
                    continue
                self.stalled_s = self._asking_s
                raise RemoteError(f"{self._name} does not say what was said")
            if self._quiet_s > patience.utterance_s:
                self.stalled_s = self._quiet_s
                raise RemoteError(f"{self._name} says no more")
            if self._mute_s > patience.mute_s:
                waited_s, self._mute_s = self._mute_s, 0.0
                if not codec.talkative and not await self._spoken():
                    continue
                self.stalled_s = waited_s
                raise RemoteError(f"{self._name} says nothing")


def _resampler(source_hz: int, target_hz: int) -> Resampler | None:
    if source_hz == target_hz:
        return None
    from kallglot.audio.resample import Resampler

    return Resampler(source_hz, target_hz)
