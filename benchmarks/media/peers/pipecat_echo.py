"""pipecat behind FastAPI with its Twilio serializer, a pipeline that echoes: ``python pipecat_echo.py --port 9000``.

As lean as it can be made: uvloop, the sans-IO WebSockets of uvicorn, 8 kHz throughout, 20 ms chunks, no task for the
processor, output that is not paced, nothing that watches turns, no RTVI, no log. ``--documented`` is what the pages on
Twilio set up: 40 ms chunks, metrics, RTVI, uvicorn's own choices, and output at the pace of speech unless
``--unpaced``. ``--silero`` puts its voice activity in front, and ``GET /speech`` says how often that began to hear
speech.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputAudioRawFrame, VADUserStartedSpeakingFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

app = FastAPI()
asked = argparse.Namespace(documented=False, unpaced=False, silero=False)
speech_began = 0


class Echo(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        global speech_began
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            await self.push_frame(OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels))
            return
        if isinstance(frame, VADUserStartedSpeakingFrame) and direction == FrameDirection.DOWNSTREAM:
            speech_began += 1
        await self.push_frame(frame, direction)


def transport_of(socket: WebSocket, call: Any) -> FastAPIWebsocketTransport:
    serializer = TwilioFrameSerializer(
        stream_sid=call["stream_id"],
        call_sid=call["call_id"],
        params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
    )
    lean: dict[str, Any] = {} if asked.documented else {"audio_out_10ms_chunks": 2, "audio_out_auto_silence": False}
    return FastAPIWebsocketTransport(
        websocket=socket,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, add_wav_header=False, serializer=serializer, **lean
        ),
    )


def worker_of(pipeline: Pipeline) -> PipelineWorker:
    if asked.documented:
        params = PipelineParams(
            audio_in_sample_rate=8000, audio_out_sample_rate=8000, enable_metrics=True, enable_usage_metrics=True
        )
        return PipelineWorker(pipeline, params=params)
    return PipelineWorker(
        pipeline,
        params=PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000),
        cancel_on_idle_timeout=False,
        idle_timeout_secs=None,
        check_dangling_tasks=False,
        enable_turn_tracking=False,
        enable_rtvi=False,
    )


async def at_once() -> None:
    """In place of the transport's sleep between two chunks."""


@app.websocket("/{path:path}")
async def stream(socket: WebSocket, path: str) -> None:
    await socket.accept()
    _, call = await parse_telephony_websocket(socket)
    transport = transport_of(socket, call)
    if asked.unpaced or not asked.documented:
        transport.output()._write_audio_sleep = at_once  # type: ignore[attr-defined]
    activity = [VADProcessor(vad_analyzer=SileroVADAnalyzer())] if asked.silero else []
    echo = Echo(enable_direct_mode=not asked.documented)
    worker = worker_of(Pipeline([transport.input(), *activity, echo, transport.output()]))

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(transport: Any, client: Any) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


@app.get("/speech")
async def speech() -> dict[str, int]:
    return {"began": speech_began}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--documented", action="store_true")
    parser.add_argument("--unpaced", action="store_true")
    parser.add_argument("--silero", action="store_true")
    parser.parse_args(namespace=asked)
    if asked.documented:
        uvicorn.run(app, host="127.0.0.1", port=asked.port)
        return
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=asked.port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        access_log=False,
        log_level="error",
    )


if __name__ == "__main__":
    main()
