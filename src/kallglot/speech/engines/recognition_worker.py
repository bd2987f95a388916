"""The child process that recognises speech: frames on stdin, frames on stdout.

The event loop judges windows and keeps the pipe moving; one thread decodes. It ends when its parent does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from kallglot.audio.endpointing import Step
from kallglot.speech import frames
from kallglot.speech.engines.listening import Listening
from kallglot.speech.engines.recognition_models import Heard, Model, ModelSpec, load
from kallglot.speech.engines.schedule import Job, Schedule, Urgency
from kallglot.speech.engines.silero import Silero, Window, model_file
from kallglot.speech.engines.utterances import (
    BEGINNING_MS,
    FEWEST_SPEECH_WINDOWS,
    POST_ROLL_MS,
    Utterance,
    believable,
)
from kallglot.speech.frames import Frame, FrameReader, Kind

COMMIT_EVERY_MS: Final = 500
GATHER_S: Final = 0.008
"""Windows of different streams that become full within that are judged in one run: a quarter of a window."""
PROBABLE_PAUSE_WINDOWS: Final = 2
"""Between words there is rarely as much silence, 64 ms."""
STUCK_SECONDS: Final = 30.0
"""A decoding that takes longer will never end; twelve seconds of speech take less than one."""


class Worker:
    def __init__(self, model: Model, silero: Silero, out: int) -> None:
        self._model = model
        self._silero = silero
        self._out = out
        self._streams: dict[int, Listening] = {}
        self._fresh: dict[int, Listening] = {}
        """Those that something has come for."""
        self._schedule = Schedule()
        self._decoding: Job | None = None
        self._decoding_since = 0.0
        self._decoder = ThreadPoolExecutor(1, "decode")
        self._wake = asyncio.Event()

    async def run(self, reader: asyncio.StreamReader) -> None:
        self._send(frames.encode(Kind.READY))
        judging = asyncio.create_task(self._judge_forever())
        parse = FrameReader()
        try:
            while data := await reader.read(1 << 16):
                for frame in parse.feed(data):
                    self._take(frame)
        finally:
            judging.cancel()
            self._decoder.shutdown(wait=False, cancel_futures=True)

    def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.OPEN:
            self._streams[frame.stream] = Listening(frame.stream, frames.unpack(frame), self._model.cadence)
            return
        if frame.kind is Kind.PING:
            if self._decoding is not None and asyncio.get_running_loop().time() - self._decoding_since > STUCK_SECONDS:
                print("a decoding does not end", file=sys.stderr, flush=True)
                os._exit(1)
            self._send(frames.encode(Kind.PONG))
            return
        stream = self._streams.get(frame.stream)
        if stream is None:
            return
        if frame.kind is Kind.CLOSE:
            del self._streams[frame.stream]
            self._fresh.pop(frame.stream, None)
            self._schedule.drop(frame.stream)
            self._model.forget(frame.stream)
            return
        stream.inbox.append((frame.kind, frame.payload))
        self._fresh[frame.stream] = stream
        self._wake.set()

    async def _judge_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._judge_once()
            if self._fresh:
                self._wake.set()
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(GATHER_S)

    def _judge_once(self) -> None:
        """One window of every stream that has one, in one run of the model."""
        fresh, self._fresh = self._fresh, {}
        for stream in fresh.values():
            self._read_inbox(stream)
        for rate in (8000, 16000):
            asked: list[tuple[Listening, Window]] = []
            for stream in fresh.values():
                if stream.utterances.rate != rate:
                    continue
                window = stream.utterances.next_window()
                if window is None:
                    continue
                heard, worth_asking = window
                if worth_asking:
                    asked.append((stream, heard))
                else:
                    stream.utterances.voice.pass_by(heard)
                    self._step(stream, 0.0)
            states = [(stream.utterances.voice, heard) for stream, heard in asked]
            for (stream, _), probability in zip(asked, self._silero.probabilities(states), strict=True):
                self._step(stream, probability)
        for number, stream in fresh.items():
            if stream.inbox or stream.utterances.next_window_ready():
                self._fresh[number] = stream

    def _read_inbox(self, stream: Listening) -> None:
        """Audio, up to something that has to wait until all before it was judged."""
        taken = 0
        utterances = stream.utterances
        for kind, payload in stream.inbox:
            if kind is Kind.AUDIO:
                utterances.push(payload)
                stream.rested = False
            elif utterances.next_window_ready():
                break
            else:
                self._mark(stream, kind, payload)
            taken += 1
        del stream.inbox[:taken]

    def _mark(self, stream: Listening, kind: Kind, payload: bytes) -> None:
        if kind is Kind.DRAIN:
            stream.drains.append((payload, stream.utterances.count))
            self._settle(stream)
            return
        if stream.utterances.flush():
            self._end(stream)
        if kind is Kind.SKIP:
            stream.utterances.skip(int.from_bytes(payload, "big"))
        stream.rested = True
        self._commit(stream)

    def _step(self, stream: Listening, probability: float) -> None:
        utterances = stream.utterances
        step = utterances.judge(probability)
        utterance = utterances.current
        if step is Step.STARTED and utterance is not None:
            self._tell(stream, "started", utterances.ms(utterance.first))
        elif step is Step.RESUMED:
            self._schedule.forget(stream.number, Urgency.GUESS)
        elif step is Step.PAUSED and utterance is not None:
            if self._model.streaming:
                self._maybe_partial(stream, utterance)
            else:
                utterance.guessing = utterance.last
                self._ask(stream, utterance, Urgency.GUESS)
        elif step is Step.ENDED:
            self._end(stream)
        elif step is Step.CUT:
            cut = utterances.cut_utterance()
            self._tell(stream, "stopped", utterances.ms(cut.last))
            self._owe(stream, cut, cut=True)
            self._tell(stream, "started", utterances.ms(cut.last))
        elif utterance is not None and utterance.guessing is None and not self._may_pause(stream, utterance):
            self._maybe_partial(stream, utterance)
        if utterances.current is None:
            self._commit(stream)

    def _may_pause(self, stream: Listening, utterance: Utterance) -> bool:
        """A partial begun now would be in the way of the guess, which is worth more."""
        silent = stream.utterances.position - utterance.last
        return not self._model.streaming and silent >= PROBABLE_PAUSE_WINDOWS * stream.utterances.window

    def _maybe_partial(self, stream: Listening, utterance: Utterance) -> None:
        utterances = stream.utterances
        wanted = stream.partials or self._model.streaming
        if not wanted or utterances.position < utterance.next_partial:
            return
        behind = utterances.received - utterances.position > utterances.rate
        if not behind:
            self._ask(stream, utterance, Urgency.PARTIAL if utterance.partials else Urgency.FIRST_PARTIAL)
        pause = max(utterances.cadence.every_ms / 1000, 3 * stream.decode_seconds)
        utterance.next_partial = utterances.position + int(pause * utterances.rate)

    def _ask(self, stream: Listening, utterance: Utterance, urgency: Urgency) -> None:
        utterances = stream.utterances
        end = utterances.position
        if urgency is Urgency.GUESS:
            end = min(utterance.last + POST_ROLL_MS * utterances.rate // 1000, utterances.received)
        audio = utterances.audio(utterance.start, end)
        self._schedule.add(stream.job(utterance, urgency, audio))
        self._decode_next()

    def _end(self, stream: Listening) -> None:
        utterances = stream.utterances
        utterance = utterances.finish_utterance()
        self._tell(stream, "stopped", utterances.ms(utterance.last))
        self._owe(stream, utterance)

    def _owe(self, stream: Listening, utterance: Utterance, *, cut: bool = False) -> None:
        """The final text: the guess where it heard all there was, else decoded now."""
        stream.owed[utterance.number] = utterance
        decoding = self._decoding
        if utterance.speech_windows < FEWEST_SPEECH_WINDOWS:
            stream.texts[utterance.number] = Heard("")
        elif utterance.guessed is not None and utterance.guessed[0] == utterance.last:
            stream.texts[utterance.number] = utterance.guessed[1]
        elif (
            decoding is not None
            and (decoding.stream, decoding.utterance) == (stream.number, utterance.number)
            and decoding.urgency is Urgency.GUESS
            and decoding.last == utterance.last
        ):
            pass
        else:
            assert utterance.final_audio is not None
            self._schedule.add(stream.job(utterance, Urgency.FINAL, utterance.final_audio, cut=cut))
            self._decode_next()
        self._settle(stream)

    def _decode_next(self) -> None:
        if self._decoding is not None:
            return
        job = self._schedule.next()
        if job is None:
            return
        self._decoding = job
        loop = asyncio.get_running_loop()
        begun = self._decoding_since = loop.time()
        future = loop.run_in_executor(self._decoder, self._model.recognise, job)
        future.add_done_callback(lambda done: self._decoded(job, done, loop.time() - begun))

    def _decoded(self, job: Job, done: asyncio.Future[Heard], seconds: float) -> None:
        self._decoding = None
        stream = self._streams.get(job.stream)
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            # Whoever is there instead hears again what was not told; audio over which five have died is given up.
            print(f"decoding failed: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        if stream is not None:
            self._use(stream, job, done.result(), seconds)
        else:
            self._model.forget(job.stream)
        self._decode_next()

    def _use(self, stream: Listening, job: Job, heard: Heard, seconds: float) -> None:
        owed = stream.owed.get(job.utterance)
        utterance = stream.utterances.current
        if owed is not None:
            if job.urgency is Urgency.FINAL or (job.urgency is Urgency.GUESS and job.last == owed.last):
                stream.texts[job.utterance] = heard
                self._settle(stream)
            return
        if utterance is None or utterance.number != job.utterance:
            return
        if job.urgency is Urgency.GUESS and utterance.guessing == job.last:
            utterance.guessed = job.last, heard
        if job.urgency is not Urgency.GUESS:
            stream.decode_seconds = seconds
        if stream.partials and believable(heard.text, utterance.speech_windows):
            utterance.partials += 1
            shown, stable = stream.utterances.stable.step(heard.text)
            self._tell(stream, "partial", stream.utterances.ms(utterance.first), shown, stable, heard.text)

    def _settle(self, stream: Listening) -> None:
        """Tells finals in the order in which they were spoken, then what waited for them."""
        while stream.owed:
            number = next(iter(stream.owed))
            if number not in stream.texts:
                break
            utterance = stream.owed.pop(number)
            heard = stream.texts.pop(number)
            utterances = stream.utterances
            assert utterance.end is not None
            if believable(heard.text, utterance.speech_windows):
                span = utterances.ms(utterance.first), utterances.ms(utterance.last)
                self._tell(stream, "final", *span, heard.text, heard.confidence, heard.language, utterance.end)
                stream.committed = utterance.end
                utterances.release(utterance.end)
            else:
                self._commit_to(stream, utterance.end)
        self._commit(stream)
        current = stream.utterances.current
        pending = min((*stream.owed, *((current.number,) if current else ())), default=None)
        while stream.drains and (pending is None or pending > stream.drains[0][1]):
            if pending is None:
                self._commit_to(stream, stream.utterances.received)
            self._send(frames.encode(Kind.DRAINED, stream.number, stream.drains.pop(0)[0]))

    def _commit(self, stream: Listening) -> None:
        """Silence is dealt with as soon as it was heard, but for what the next utterance's beginning may need."""
        if stream.owed or stream.utterances.current is not None:
            return
        utterances = stream.utterances
        if stream.rested:
            self._commit_to(stream, utterances.received)
            return
        reached = utterances.position - BEGINNING_MS * utterances.rate // 1000
        if reached - stream.committed >= COMMIT_EVERY_MS * utterances.rate // 1000:
            self._commit_to(stream, reached)

    def _commit_to(self, stream: Listening, position: int) -> None:
        if position > stream.committed:
            stream.committed = position
            stream.utterances.release(position)
            self._send(frames.encode(Kind.COMMITTED, stream.number, position.to_bytes(8, "big")))

    def _tell(self, stream: Listening, *event: Any) -> None:
        self._send(frames.pack(Kind.EVENT, stream.number, event))

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._out, view) :]


async def main() -> None:
    out = os.dup(1)
    os.dup2(2, 1)
    vad = model_file()
    if vad is None:
        raise SystemExit("the voice activity model is missing")
    try:
        model = load(ModelSpec.from_json(sys.argv[1]))
    except Exception as error:
        raise SystemExit(str(error) or type(error).__name__) from None
    worker = Worker(model, Silero(vad), out)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await worker.run(reader)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(main())
    # A decode that is still running must not keep a child alive whose parent is gone.
    if threading.active_count() > 1:
        os._exit(0)
