"""A carrier's stream that wants MP3 files: gathers what is to be heard, and sends a file about once a second."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np
import soundfile  # pyright: ignore[reportMissingTypeStubs]

from kallglot.legs.telnyx import MP3_RATE, Packing, TelnyxCodec

Send = Callable[[bytes], None]


def encode(pcm: bytes) -> bytes:
    """An MP3 file of PCM at :data:`~kallglot.legs.telnyx.MP3_RATE`. Takes milliseconds for each second of it."""
    file = io.BytesIO()
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    soundfile.write(file, samples, MP3_RATE, format="MP3")
    return file.getvalue()


class Mp3Outlet:
    def __init__(self, codec: TelnyxCodec, executor: Executor, send: Send) -> None:
        self._codec = codec
        self._executor = executor
        self._send = send
        self._timer: asyncio.TimerHandle | None = None
        self._made: asyncio.Future[bytes] | None = None

    def added(self) -> None:
        """Something may be waiting."""
        packing = self._codec.packing
        if packing is None or packing.due_ms is None or self._timer is not None or self._made is not None:
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(packing.due_ms / 1000, self._make, packing, loop)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _make(self, packing: Packing, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        pcm = packing.take(loop.time() * 1000)
        if not pcm:
            return
        generation = packing.generation
        self._made = loop.run_in_executor(self._executor, encode, pcm)
        self._made.add_done_callback(lambda made: self._send_made(made, packing, generation, len(pcm), loop.time()))

    def _send_made(self, made: asyncio.Future[bytes], packing: Packing, generation: int, size: int, now: float) -> None:
        self._made = None
        if not made.cancelled() and made.exception() is None and packing.generation == generation:
            for message in self._codec.packed(made.result(), size / 2 * 1000 / MP3_RATE, now * 1000):
                self._send(message)
        self.added()
