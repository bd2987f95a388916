"""Twilio's own server for Media Streams, twilio-agent-connect, with a model that repeats what the caller says.

Arguments: port, account sid, auth token, the address that stands for https://api.twilio.com. What it has seen is at
/seen, /dial?to= places a call. Nothing of its Twilio side is replaced.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from tac import TAC, TACConfig
from tac.channels.voice import VoiceChannel
from tac.channels.voice.media_streams.openai_realtime.config import OpenAIRealtimeProviderConfig
from tac.channels.voice.media_streams.openai_realtime.provider import OpenAIRealtimeProvider
from tac.models.outbound import InitiateVoiceConversationOptions
from tac.server import TACFastAPIServer, TACServerConfig
from twilio.http.http_client import TwilioHttpClient

BARGE_IN_AFTER = 25
"""Messages of the caller's until the model says that somebody speaks over it."""

seen: dict[str, list[Any]] = {"starts": [], "heard": [], "statuses": [], "amd": [], "truncated": []}


class Model:
    """In place of OpenAI's WebSocket."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[str | None] = asyncio.Queue()
        self._appended = 0

    async def send(self, text: str) -> None:
        message = json.loads(text)
        if message["type"] == "conversation.item.truncate":
            seen["truncated"].append(message["audio_end_ms"])
        if message["type"] != "input_audio_buffer.append":
            return
        self._appended += 1
        seen["heard"].append(message["audio"])
        delta = {"type": "response.output_audio.delta", "item_id": "item_1", "delta": message["audio"]}
        self._events.put_nowait(json.dumps(delta))
        if self._appended == BARGE_IN_AFTER:
            self._events.put_nowait(json.dumps({"type": "input_audio_buffer.speech_started"}))

    async def close(self) -> None:
        self._events.put_nowait(None)

    def __aiter__(self) -> Model:
        return self

    async def __anext__(self) -> str:
        event = await self._events.get()
        if event is None:
            raise StopAsyncIteration
        return event


class Provider(OpenAIRealtimeProvider):
    async def _connect_model(self, conv_id: str) -> None:
        self._calls[conv_id].model_ws = Model()

    def _register_call(self, start: dict[str, Any], websocket: Any) -> str:
        seen["starts"].append(start)
        return super()._register_call(start, websocket)


class Config(OpenAIRealtimeProviderConfig):
    def create_provider(self, channel: VoiceChannel, tac_config: TACConfig) -> Provider:
        return Provider(channel, tac_config, self)


def main(port: int, account_sid: str, auth_token: str, api_url: str) -> None:
    plain = TwilioHttpClient.request

    def elsewhere(self: TwilioHttpClient, method: str, url: str, *args: Any, **options: Any) -> Any:
        return plain(self, method, url.replace("https://api.twilio.com", api_url), *args, **options)

    TwilioHttpClient.request = elsewhere
    tac = TAC(
        TACConfig(
            account_sid=account_sid,
            auth_token=auth_token,
            api_key=account_sid,
            api_secret=auth_token,
            phone_number="+14155550100",
            voice_public_domain="agent.test",
        )
    )
    voice = VoiceChannel(tac, config=Config(openai_api_key="none"))

    async def on_status(event: Any) -> None:
        seen["statuses"].append(event.call_status)

    async def on_amd(event: Any) -> None:
        seen["amd"].append(event.answered_by)

    voice.on_call_status(on_status)
    voice.on_amd(on_amd)
    app = FastAPI()

    @app.get("/seen")
    async def show() -> dict[str, list[Any]]:
        return seen

    @app.get("/dial")
    async def dial(to: str) -> dict[str, Any]:
        options = InitiateVoiceConversationOptions(
            to=to,
            call_options={
                "machine_detection": "Enable",
                "async_amd": "true",
                "status_callback_event": ["initiated", "ringing", "answered", "completed"],
            },
        )
        placed = await voice.initiate_outbound_conversation(options)
        return {"sid": placed.call_sid}

    @app.get("/hang-up")
    async def hang_up(sid: str) -> dict[str, Any]:
        return {"done": await voice.end_call(sid)}

    server = TACFastAPIServer(
        tac=tac, voice_channel=voice, config=TACServerConfig(host="127.0.0.1", port=port), app=app
    )
    uvicorn.run(server.app, host="127.0.0.1", port=port, log_level="warning", proxy_headers=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:5])
