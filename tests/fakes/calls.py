"""A telephone call as a carrier has it: a caller who speaks and hears, a document that is carried out, progress."""

from __future__ import annotations

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from xml.etree import ElementTree as ET

import numpy as np
from tests.fakes.codecs import resampled
from tests.fakes.pace import Pace, Timer
from tests.fakes.streams import FRAME_MS, CallStream, StreamOrder
from tests.fakes.verbs import Dial, DialledLeg, Fetch, Script, Source
from tests.fakes.webhooks import Request, Sign, Webhooks

FRAME_S = FRAME_MS / 1000
WITHIN_S = 30.0

Outcome = Literal["answered", "busy", "no-answer", "failed"]
Delivery = Literal["in order", "swapped", "twice"]
"""How progress callbacks reach the server: as they happen, each second one before the first, or each of them twice."""

S = TypeVar("S", bound=CallStream)


@dataclass(frozen=True, slots=True)
class Trouble:
    """An entry of the carrier's debugger, by Twilio's numbers (https://www.twilio.com/docs/api/errors), or the code of
    an ``error`` frame of Telnyx's."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of a call that is placed by REST: after ``ring_s`` the outcome, and after ``amd_s`` more the
    answering-machine detection says ``answered_by``, in Twilio's words."""

    outcome: Outcome = "answered"
    ring_s: float = 0.0
    answered_by: str = "human"
    amd_s: float = 0.0


class FakeCarrier(ABC):
    """What Twilio and Telnyx share. ``calls`` by the carrier's id of them; ``dials`` what becomes of a number that a
    document dials, ``answers`` what becomes of one that is called by REST; ``hosts`` see :class:`Webhooks`;
    ``delivery`` holds for calls that begin from now on."""

    user_agent = "fake"

    def __init__(
        self, *, pace: Pace | None, insecure: bool, hosts: Mapping[str, str] | None, tls: ssl.SSLContext | None
    ) -> None:
        self.pace = pace or Pace()
        self.insecure = insecure
        self.hosts = dict(hosts or {})
        self.tls = tls
        self.calls: dict[str, FakeCall] = {}
        self.dials: dict[str, Dial] = {}
        self.answers: dict[str, Answer] = {}
        self.conferences: dict[str, list[FakeCall]] = {}
        self.delivery: Delivery = "in order"
        self.sign: Sign = self.signed
        self.webhooks = Webhooks(
            lambda *given: self.sign(*given), user_agent=self.user_agent, hosts=self.hosts, tls=tls
        )
        self._tasks: set[asyncio.Task[Any]] = set()

    @abstractmethod
    def signed(self, url: str, fields: Mapping[str, str], body: bytes) -> dict[str, str]: ...

    def forge(self, sign: Sign | None) -> None:
        """From now on requests are signed by ``sign``; None: as they should be."""
        self.sign = sign or self.signed

    def later(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Hangs up whatever is left."""
        for call in list(self.calls.values()):
            await call.hang_up()
        pending = list(self._tasks)
        if pending:
            _, stuck = await asyncio.wait(pending, timeout=1)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)
        await self.webhooks.close()


class FakeCall(ABC):
    """``errors`` is the carrier's debugger, ``requests`` what it asked our server, ``dialled`` the legs of ``<Dial>``.

    ``status`` as Twilio names it. Times are seconds of the carrier's pace.

    The caller speaks only while somebody listens: what :meth:`say` queues waits for a stream.
    """

    stream_failed_event: str

    def __init__(self, carrier: FakeCarrier, sid: str, from_: str, to: str, *, direction: str, rate_hz: int) -> None:
        self.carrier = carrier
        self.pace = carrier.pace
        self.sid = sid
        self.from_ = from_
        self.to = to
        self.direction = direction
        self.rate_hz = rate_hz
        self.status = "ringing"
        self.errors: list[Trouble] = []
        self.streams: list[CallStream] = []
        self.requests: list[Request] = []
        self.said_to_caller: list[str] = []
        self.digits_played = ""
        self.dialled: list[DialledLeg] = []
        self.fallback_url: str | None = None
        self.status_url: str | None = None
        self.status_method = "POST"
        self.status_events: frozenset[str] = frozenset({"completed"})
        self.answered_s: float | None = None
        self.ended_s: float | None = None
        self.created_s = self.pace.now_s()
        self.script = Script(self)
        self._running: asyncio.Task[None] | None = None
        self._finished = asyncio.Event()
        self._waiters: list[tuple[Callable[[], object], asyncio.Future[None]]] = []
        self._speech = bytearray()
        self._tick_timer: Timer | None = None
        self._next_tick_s = 0.0
        self._progressed = 0
        self._callbacks: asyncio.Queue[tuple[str, dict[str, str]] | None] = asyncio.Queue()
        self._calling_back: asyncio.Task[Any] | None = None
        self._delivery: Delivery = carrier.delivery
        carrier.calls[sid] = self

    # --- the caller

    def say(self, pcm: bytes, rate_hz: int = 8000) -> None:
        """Mono signed 16-bit little-endian PCM, to be spoken after what is queued already."""
        self._speech += resampled(pcm, rate_hz, self.rate_hz)

    async def said(self, within_s: float = WITHIN_S) -> None:
        """All that was queued has been sent to every stream."""
        await self.until(lambda: not self._speech, within_s)

    def press(self, digits: str) -> None:
        for digit in digits:
            for stream in self.open_streams:
                stream.press(digit)

    def heard(self, from_s: float | None = None, to_s: float | None = None, rate_hz: int = 8000) -> bytes:
        """PCM that the caller heard between two moments: at first from the first sound to now, silence in the gaps."""
        now_s = self.pace.now_s()
        if from_s is None:
            begun = [stream.played.first_s for stream in self.streams]
            from_s = min((at_s for at_s in begun if at_s is not None), default=now_s)
        to_s = min(now_s, now_s if to_s is None else to_s)
        total = np.zeros(max(0, round((to_s - from_s) * rate_hz)), np.int32)
        for stream in self.streams:
            if stream.played.first_s is not None:
                pcm = resampled(stream.played.window(from_s, to_s), stream.played.rate_hz, rate_hz)
                samples = np.frombuffer(pcm, np.int16)[: len(total)]
                total[: len(samples)] += samples
        return np.clip(total, -32768, 32767).astype(np.int16).tobytes()

    @property
    def heard_s(self) -> float:
        """Seconds of audio that the caller has heard, silence that was sent included."""
        now_s = self.pace.now_s()
        return sum(stream.played.heard_s(now_s) for stream in self.streams)

    async def hang_up(self) -> None:
        """The caller does, or the far end of an outgoing call."""
        await self.finish("completed" if self.answered_s is not None else "canceled")

    # --- waiting

    async def until(self, happened: Callable[[], object], within_s: float = WITHIN_S) -> None:
        """``within_s`` is in real seconds. Raises TimeoutError."""
        if happened():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((happened, future))
        async with asyncio.timeout(within_s):
            await future

    async def streaming(self, count: int = 1, within_s: float = WITHIN_S) -> CallStream:
        """The ``count``-th stream of the call, once it is open."""
        await self.until(lambda: self.over or sum(s.opened.is_set() for s in self.streams) >= count, within_s)
        opened = [stream for stream in self.streams if stream.opened.is_set()]
        assert len(opened) >= count, f"the call is {self.status} without stream {count}: {self.errors} {self.requests}"
        return opened[count - 1]

    async def hears(self, seconds: float, within_s: float = WITHIN_S) -> None:
        await self.until(lambda: self.heard_s >= seconds, within_s)

    async def ended(self, within_s: float = WITHIN_S) -> str:
        """The final status, once the progress callbacks are out."""
        async with asyncio.timeout(within_s):
            await self._finished.wait()
            if self._calling_back is not None:
                await asyncio.wait([self._calling_back])
        return self.status

    def changed(self) -> None:
        if not self._waiters:
            return
        for waiter in list(self._waiters):
            happened, future = waiter
            if future.done() or happened():
                self._waiters.remove(waiter)
                if not future.done():
                    future.set_result(None)

    # --- the call

    @property
    def over(self) -> bool:
        return self.ended_s is not None

    @property
    def open_streams(self) -> list[CallStream]:
        return [stream for stream in self.streams if stream.is_open]

    @property
    def duration_s(self) -> int:
        """Whole seconds since it was answered."""
        if self.answered_s is None:
            return 0
        return int((self.pace.now_s() if self.ended_s is None else self.ended_s) - self.answered_s)

    @abstractmethod
    def new_leg_sid(self) -> str: ...

    @abstractmethod
    def stream_fields(self, stream: CallStream, event: str) -> dict[str, str]:
        """Of a stream's status callback."""

    @abstractmethod
    def fields(self, **extra: str) -> dict[str, str]:
        """Of a voice request."""

    @abstractmethod
    def stream_order(self, noun: ET.Element, *, bidirectional: bool) -> StreamOrder: ...

    @abstractmethod
    def make_stream(self, order: StreamOrder) -> CallStream: ...

    def document(self, body: bytes) -> bytes:
        """What is parsed of an answer's body."""
        return body

    def trouble(self, code: int, text: str) -> None:
        self.errors.append(Trouble(code, text))
        self.changed()

    def begin(self, source: Source) -> None:
        """Carries out a document, in place of the one that runs."""
        if self.over:
            return
        self.replace(self.script.run(source))

    def replace(self, work: Coroutine[Any, Any, None]) -> None:
        """What the call does from now on."""
        if self._running is not None and self._running is not asyncio.current_task():
            self._running.cancel()
        self._running = self.carrier.later(work)

    def answer(self) -> None:
        if self.answered_s is None:
            self.answered_s = self.pace.now_s()
            self.status = "in-progress"
            self.changed()

    async def finish(self, status: str) -> None:
        """Ends the call; does nothing the second time."""
        if self.over:
            return
        self.ended_s = self.pace.now_s()
        self.status = status
        if self._running is not None and self._running is not asyncio.current_task():
            self._running.cancel()
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        for stream in self.open_streams:
            stream.stop()
        for leg in self.dialled:
            leg.end("canceled")
        for members in self.carrier.conferences.values():
            if self in members:
                members.remove(self)
        self.gone()
        self.progress("completed")
        self._callbacks.put_nowait(None)
        self._finished.set()
        self.changed()

    def gone(self) -> None:  # noqa: B027
        """The call has just ended."""

    async def open_stream(self, stream: CallStream) -> bool:
        self.streams.append(stream)
        opened = await stream.open()
        if opened:
            if self.over:
                stream.stop()
            else:
                self.listen()
        return opened

    def listen(self) -> None:
        """Audio flows, every 20 ms, as long as a stream is open."""
        if self._tick_timer is None:
            self._next_tick_s = self.pace.now_s() + FRAME_S
            self._tick_timer = self.pace.call_at(self._next_tick_s, self._tick)

    def _tick(self) -> None:
        streams = self.open_streams
        if not streams or self.over:
            self._tick_timer = None
            return
        size = round(self.rate_hz * FRAME_S) * 2
        pcm = bytes(self._speech[:size])
        del self._speech[:size]
        pcm += bytes(size - len(pcm))
        for stream in streams:
            stream.hear("inbound", pcm)
            if "outbound" in stream.order.tracks:
                at_s = self._next_tick_s
                stream.hear("outbound", self.heard(at_s - FRAME_S, at_s, self.rate_hz).ljust(size, b"\0"))
        self._next_tick_s += FRAME_S
        self._tick_timer = self.pace.call_at(self._next_tick_s, self._tick)
        self.changed()

    # --- progress callbacks

    def progress(self, event: Literal["initiated", "ringing", "answered", "completed"], **extra: str) -> None:
        """Tells the status callback, in the background, if it wants to know of such."""
        number, self._progressed = self._progressed, self._progressed + 1
        if self.status_url is None or event not in self.status_events:
            return
        self.tell(event, self.progress_fields(event, number) | extra)

    def tell(self, event: str, fields: dict[str, str]) -> None:
        self._callbacks.put_nowait((event, fields))
        if self._calling_back is None:
            self._calling_back = self.carrier.later(self._call_back())

    @abstractmethod
    def progress_fields(self, event: str, number: int) -> dict[str, str]: ...

    async def _call_back(self) -> None:
        held: dict[str, str] | None = None
        while (item := await self._callbacks.get()) is not None:
            fields = item[1]
            if self._delivery == "swapped" and held is None and item[0] not in ("completed", "call.hangup"):
                held = fields
                continue
            for one in [fields] * (2 if self._delivery == "twice" else 1) + ([held] if held is not None else []):
                self.requests.append(await self.post_progress(one))
                self.changed()
            held = None

    async def post_progress(self, fields: dict[str, str]) -> Request:
        assert self.status_url is not None
        return await self.carrier.webhooks.form(self.status_url, fields, method=self.status_method)

    async def ask(self, source: Fetch) -> Request:
        request = await self.carrier.webhooks.form(
            source.url, self.fields(**source.extra), method=source.method or "POST"
        )
        self.requests.append(request)
        self.changed()
        return request
