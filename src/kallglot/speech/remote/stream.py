"""A recogniser stream whose recogniser is a server: one timeline over as many connections as it takes."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from kallglot.speech.remote.breaker import Attempt
from kallglot.speech.remote.codec import Acknowledged, Flushed, Heard, RecognitionCodec
from kallglot.speech.remote.codec import Final as FinalText
from kallglot.speech.remote.connection import Connection
from kallglot.speech.remote.engine import RemoteEngine
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.ledger import Ledger
from kallglot.speech.remote.telling import Telling
from kallglot.speech.types import EngineError, Failed, RecognizerEvent, RecognizerOptions, Restarted

log = logging.getLogger(__name__)

QUIET_MS: Final = 3000
"""Silence that was sent so long before the newest audio need not be kept."""
UNTOLD_S: Final = 15.0
"""What was sent so long ago, and nothing was told of, was no speech."""
SPEECH_MS: Final = 1500
"""So much of it in what a server has said nothing about makes its silence a stall."""


class RemoteStream:
    """A :class:`~kallglot.speech.types.RecognizerStream`. What was sent is kept until the server has dealt with it; a
    connection that is lost, stalled or talks nonsense is replaced, and the new one hears it again. After ``give_up_s``
    of trouble, or at once where trying again is useless, it tells ``Failed``."""

    def __init__(
        self,
        engine: RemoteEngine,
        options: RecognizerOptions,
        on_event: Callable[[RecognizerEvent], None],
        codec: Callable[[RecognizerOptions], RecognitionCodec],
    ) -> None:
        patience = engine.config.patience
        self._engine = engine
        self._options = options
        self._on_event = on_event
        self._codec = codec
        self._patience = patience
        self._ledger = Ledger(options.sample_rate_hz, keep_ms=patience.keep_ms, wait_ms=patience.wait_ms)
        self._telling = Telling(self._ledger, partials=options.partials)
        self._connection: Connection | None = None
        self._running: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._held = ExitStack()
        self._draining: list[tuple[int, asyncio.Future[None]]] = []
        self._closed = False
        self._progress = False
        self._sent_before: deque[tuple[float, int]] = deque()
        """At every look, how much time had passed since the one before, and what was sent by then."""
        self._trouble_since: float | None = None
        self._tries = 0

    @property
    def backlog_ms(self) -> int:
        return self._ledger.backlog_ms

    @property
    def dropped_ms(self) -> int:
        return self._ledger.ms(self._ledger.dropped)

    @property
    def lag_ms(self) -> int:
        """Audio sent and not acknowledged."""
        return self._ledger.lag_ms

    @property
    def entries(self) -> int:
        """What is kept of the stream, in pieces: bounded."""
        return self._ledger.entries

    def push(self, pcm: bytes | memoryview) -> None:
        if not self._closed:
            self._ledger.push(pcm)
            self._notify()

    def skip(self, ms: int) -> None:
        if not self._closed:
            self._ledger.skip(ms)
            self._notify()

    def finish(self) -> None:
        if not self._closed:
            self._ledger.finish()
            self._notify()

    async def drain(self) -> None:
        """Ends the utterance in progress, too: a server that gets no more audio would wait for it for ever."""
        if self._closed:
            return
        self.finish()
        position = self._ledger.end
        if self._ledger.dealt_with(position):
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._draining.append((position, done))
        await done

    async def close(self) -> None:
        if not self._closed:
            self._end()
            if self._running is not None:
                self._running.cancel()
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)
            # How it ended has this stream in its traceback.
            self._running = None
        if (connection := self._connection) is not None:
            # It was closed before it had begun to run.
            self._connection = None
            self._leave(connection, goodbye=True)
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def begin(self) -> None:
        """The first connection. Raises :class:`EngineError`."""
        try:
            self._held.enter_context(self._engine.spending.place_at_once())
            # A day that is used up is told before anything is said.
            self._engine.spending.spend_seconds(0.0)
            connection = self._connection = await self._connect(self._engine.breaker.attempt())
        except BaseException:
            self._end()
            raise
        self._running = asyncio.create_task(self._run(connection), name=f"recognition-{self._engine.name}")

    async def _connect(self, attempt: Attempt) -> Connection:
        codec = self._codec(self._options)
        opening = codec.open()
        with attempt:
            socket = await self._engine.http.connect(opening, self._patience)
            self._progress = False
            self._sent_before.clear()
            connection = Connection(
                self._engine.name,
                socket,
                codec,
                self._ledger,
                self._patience,
                heard=self._hear,
                sent=self._sent,
                garbled=self._count_garbled,
                pending=lambda: self._telling.pending,
                looked=self._looked,
                spoken=self._spoken,
            )
            try:
                await connection.greet(opening.greeting)
                await connection.ready()
            except BaseException:
                self._leave(connection, goodbye=False)
                raise
        return connection

    async def _run(self, connection: Connection) -> None:
        try:
            while True:
                self._connection = connection
                connection.notify()
                error = await self._serve(connection)
                again = await self._again(connection, error)
                if again is None:
                    return
                connection = again
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("a stream of %s failed", self._engine.name)
            self._fail(RemoteError(f"{self._engine.name} failed: {type(error).__name__}"))

    async def _serve(self, connection: Connection) -> EngineError:
        goodbye = True
        try:
            error = await connection.serve()
            goodbye = False
            return error
        finally:
            self._connection = None
            self._leave(connection, goodbye=goodbye)

    async def _again(self, lost: Connection, error: EngineError) -> Connection | None:
        """Another connection; None where the stream is given up."""
        loop = asyncio.get_running_loop()
        if self._progress or loop.time() - lost.begun - lost.stalled_s > self._patience.settled_s:
            self._trouble_since, self._tries = None, 0
        if self._trouble_since is None:
            self._trouble_since = loop.time() - lost.stalled_s
        unkept = self._ledger.rewind()
        self._settle_drains()
        dropped = self._ledger.dropped
        backoff = self._patience.backoff_s
        while True:
            wait_s = backoff[min(self._tries, len(backoff) - 1)] * random.uniform(0.75, 1.25)
            wait_s = max(wait_s, error.retry_after_s or 0.0)
            left_s = self._trouble_since + self._patience.give_up_s - loop.time()
            if not error.passing or (isinstance(error, RemoteError) and error.blame != "engine") or wait_s > left_s:
                self._fail(error)
                return None
            log.warning("a recognition stream is connected again: %s", error)
            self._tries += 1
            await asyncio.sleep(wait_s)
            try:
                # A breaker keeps new streams away; one that has something to lose tries until it gives up.
                connection = await self._connect(self._engine.breaker.anyway())
            except EngineError as another:
                error = another
                continue
            self._engine.counters.reconnects += 1
            self._tell(Restarted(self._ledger.ms(unkept + self._ledger.dropped - dropped)))
            return connection

    def _hear(self, heard: Heard) -> None:
        if self._closed:
            return
        for event in self._telling.hear(heard):
            self._tell(event)
        before = self._ledger.committed
        if isinstance(heard, FinalText):
            self._ledger.commit(self._ledger.place(heard.end_ms, ending=True))
        elif isinstance(heard, Acknowledged):
            self._ledger.commit(self._ledger.place(heard.until_ms, ending=True))
        elif isinstance(heard, Flushed):
            self._progress = self._ledger.flushed() or self._progress
        else:
            return
        self._progress = self._progress or self._ledger.committed > before
        if not isinstance(heard, FinalText):
            for event in self._telling.passed():
                self._tell(event)
        self._settle()
        self._settle_drains()

    def _notify(self) -> None:
        if self._connection is not None:
            self._connection.notify()

    def _sent(self, seconds: float) -> None:
        """Raises :class:`EngineError` where no more may be sent."""
        self._engine.spending.spend_seconds(seconds)
        self._settle()

    def _settle(self) -> None:
        if not self._telling.pending:
            self._ledger.settle(QUIET_MS)

    def _looked(self, seconds: float) -> None:
        """So much time has passed."""
        self._sent_before.append((seconds, self._ledger.sent))
        if self._telling.pending or self._ledger.asking:
            self._sent_before.clear()
        while sum(passed for passed, _ in self._sent_before) > UNTOLD_S:
            self._ledger.commit(self._sent_before.popleft()[1])

    async def _spoken(self) -> bool:
        from kallglot.speech.remote import suspicion

        audio = self._ledger.unanswered()
        return await asyncio.to_thread(suspicion.speech_ms, audio, self._ledger.rate) >= SPEECH_MS

    def _tell(self, event: RecognizerEvent) -> None:
        if self._closed:
            return
        try:
            self._on_event(event)
        except Exception:
            log.exception("an event of a recogniser could not be handled")

    def _settle_drains(self) -> None:
        waiting = [(position, done) for position, done in self._draining if not done.done()]
        self._draining = []
        for position, done in waiting:
            if self._ledger.dealt_with(position):
                done.set_result(None)
            else:
                self._draining.append((position, done))

    def _fail(self, error: EngineError) -> None:
        self._engine.counters.given_up += 1
        self._engine.breaker.failed(error)
        self._tell(Failed(str(error)))
        self._end()

    def _end(self) -> None:
        self._closed = True
        self._held.close()
        self._ledger.clear()
        for _, done in self._draining:
            if not done.done():
                done.set_result(None)
        self._draining.clear()

    def _leave(self, connection: Connection, *, goodbye: bool) -> None:
        """A new connection does not wait for the old one to be gone."""
        leaving = asyncio.create_task(connection.close(goodbye=goodbye))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def _count_garbled(self) -> None:
        self._engine.counters.garbled += 1
