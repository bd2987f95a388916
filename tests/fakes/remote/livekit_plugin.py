"""A plugin for LiveKit Agents, written as its documentation has it, that talks to the plain fake server.

Importing it needs ``livekit-agents``.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectionError,
    APIConnectOptions,
    APIStatusError,
    NotGivenOr,
    stt,
    tts,
    utils,
)


class Ears(stt.STT):
    """``timed`` False leaves the times out, as many plugins do."""

    closed = 0

    def __init__(
        self, *, url: str, api_key: str, rate: int, http_session: aiohttp.ClientSession, timed: bool = True
    ) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.url, self.api_key, self.rate, self.session, self.timed = url, api_key, rate, http_session, timed

    async def _recognize_impl(self, buffer: Any, *, language: Any, conn_options: Any) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        return _Hearing(self, language if isinstance(language, str) else "", conn_options)

    async def aclose(self) -> None:
        Ears.closed += 1


class _Hearing(stt.RecognizeStream):
    def __init__(self, ears: Ears, language: str, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=ears, conn_options=conn_options)
        self._ears = ears
        self._language = language

    async def _run(self) -> None:
        ears = self._ears
        try:
            socket = await ears.session.ws_connect(
                f"{ears.url}/listen?rate={ears.rate}", headers={"Authorization": f"Bearer {ears.api_key}"}
            )
        except aiohttp.WSServerHandshakeError as error:
            raise APIStatusError(f"refused {ears.api_key}", status_code=error.status) from error
        except aiohttp.ClientError as error:
            raise APIConnectionError() from error
        async with socket:
            sending = asyncio.create_task(self._send(socket))
            try:
                await self._receive(socket)
            finally:
                await utils.aio.cancel_and_wait(sending)

    async def _send(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in self._input_ch:
            if isinstance(frame, rtc.AudioFrame):
                await socket.send_bytes(bytes(frame.data))
            else:
                await socket.send_str('{"type":"finish"}')

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            try:
                told = json.loads(message.data)
                kind = {
                    "partial": stt.SpeechEventType.INTERIM_TRANSCRIPT,
                    "final": stt.SpeechEventType.FINAL_TRANSCRIPT,
                }[told["type"]]
            except (ValueError, LookupError, TypeError):
                continue
            times = {}
            if self._ears.timed:
                times = {"start_time": told["start"] / 1000, "end_time": told.get("end", told["start"]) / 1000}
            said = stt.SpeechData(language=self._language or "de", text=told["text"], confidence=0.9, **times)
            self._event_ch.send_nowait(stt.SpeechEvent(kind, alternatives=[said]))
        raise APIConnectionError("the socket was closed")


class Voice(tts.TTS):
    made: list[dict[str, Any]] = []  # noqa: RUF012
    closed = 0

    def __init__(
        self,
        *,
        url: str,
        api_key: str,
        http_session: aiohttp.ClientSession,
        language: str = "",
        voice: str = "",
        rate: int = 16000,
        channels: int = 1,
    ) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=rate, num_channels=channels)
        self.url, self.api_key, self.session = url, api_key, http_session
        Voice.made.append({"language": language, "voice": voice})

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Speaking(tts=self, input_text=text, conn_options=conn_options)

    async def aclose(self) -> None:
        Voice.closed += 1


class _Speaking(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        voice = self._tts
        assert isinstance(voice, Voice)
        try:
            async with voice.session.post(
                f"{voice.url}/speak",
                json={"text": self._input_text, "language": "de", "voice": None},
                headers={"Authorization": f"Bearer {voice.api_key}"},
            ) as response:
                if response.status != 200:
                    raise APIStatusError(f"refused {voice.api_key}", status_code=response.status)
                output_emitter.initialize(
                    request_id=utils.shortuuid(),
                    sample_rate=voice.sample_rate,
                    num_channels=voice.num_channels,
                    mime_type="audio/pcm",
                )
                async for data, _ in response.content.iter_chunks():
                    output_emitter.push(data)
                output_emitter.flush()
        except aiohttp.ClientError as error:
            raise APIConnectionError() from error
