"""pipecat's telephone parsing and serializers on a WebSocket: audio is echoed, a digit clears and marks, 9 hangs up.

Arguments: port, account sid, auth token, the address that stands for https://api.twilio.com. What it has understood is
at /seen.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket
from pipecat.frames.frames import (
    EndFrame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputTransportMessageFrame,
)
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.telnyx import TelnyxFrameSerializer
from pipecat.serializers.twilio import TwilioFrameSerializer

RATE = 16000
GATHERED = 5
"""Input frames in each output frame."""

app = FastAPI()
seen: list[dict[str, Any]] = []
account: list[str] = []


@app.get("/seen")
async def show() -> list[dict[str, Any]]:
    return seen


@app.websocket("/stream")
async def stream(socket: WebSocket) -> None:
    await socket.accept()
    transport, call = await parse_telephony_websocket(socket)
    record: dict[str, Any] = {"transport": transport, "call": call.model_dump(), "audio_bytes": 0, "digits": []}
    seen.append(record)
    if transport == "twilio":
        sid, token, base_url = account
        serializer: Any = TwilioFrameSerializer(call["stream_id"], call["call_id"], sid, token, base_url=base_url)
    else:
        encoding = call["outbound_encoding"]
        params = TelnyxFrameSerializer.InputParams(auto_hang_up=False)
        serializer = TelnyxFrameSerializer(call["stream_id"], encoding, "PCMU", call["call_id"], params=params)
    await serializer.setup(SimpleNamespace(audio_in_sample_rate=RATE))

    async def send(frame: Any) -> None:
        text = await serializer.serialize(frame)
        if text is not None:
            await socket.send_text(text)

    def marked(name: str) -> dict[str, Any]:
        ids = {"streamSid": call["stream_id"]} if transport == "twilio" else {}
        return {"event": "mark", **ids, "mark": {"name": name}}

    gathered: list[bytes] = []
    async for text in socket.iter_text():
        frame = await serializer.deserialize(text)
        if isinstance(frame, InputAudioRawFrame):
            record["audio_bytes"] += len(frame.audio)
            gathered.append(frame.audio)
            if len(gathered) == GATHERED:
                await send(OutputAudioRawFrame(b"".join(gathered), RATE, 1))
                gathered.clear()
        elif isinstance(frame, InputDTMFFrame):
            digit = frame.button.value
            record["digits"].append(digit)
            await send(EndFrame() if digit == "9" else InterruptionFrame())
            await send(OutputTransportMessageFrame(message=marked(f"after {digit}")))


if __name__ == "__main__":
    account[:] = sys.argv[2:5]
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
