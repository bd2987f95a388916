"""ElevenLabs' streamed speech over real sockets: https://elevenlabs.io/docs/api-reference/text-to-speech/stream."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from aiohttp import web
from tests.fakes.remote.plain import spoken
from tests.fakes.remote.server import Asked, FakeServer, Fault, Reply, json_reply

KEY = "sk_1f2e3d4c5b6a79880f1e2d3c4b5a69788f7e6d5c4b3a2910"


class FakeElevenLabs(FakeServer):
    def __init__(self, key: str = KEY) -> None:
        super().__init__()
        self.key = key
        self.endless = False
        self.hung_up = asyncio.Event()
        """Whoever listened to an endless answer has gone."""

    def routes(self) -> None:
        self.route("POST", "/v1/text-to-speech/{voice}/stream", self._speak)

    def refusal(self, fault: Fault, asked: Asked) -> web.Response:
        status = {401: "invalid_api_key", 429: "too_many_concurrent_requests"}.get(fault.status, "system_busy")
        detail = {"status": status, "message": f"refused: {asked.headers.get('xi-api-key')}"}
        return web.json_response({"detail": detail}, status=fault.status, headers=dict(fault.headers))

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(asked.body) for asked in self.asked]

    async def _speak(self, asked: Asked, request: web.Request) -> Reply:
        if asked.headers.get("xi-api-key") != self.key:
            return json_reply({"detail": {"status": "invalid_api_key", "message": "Invalid API key"}}, status=401)
        document = json.loads(asked.body)
        form = re.fullmatch(r"pcm_(\d+)", asked.query.get("output_format", "mp3_44100_128"))
        if form is None:
            return Reply([b"ID3\x04\x00\x00\x00\x00\x00\x23TSSE\x00\x00\x00\x0f\x00\x00"], "audio/mpeg")
        if not re.fullmatch(r"[A-Za-z0-9]{20}", request.match_info["voice"]):
            return json_reply(
                {"detail": {"status": "voice_not_found", "message": "A voice was not found."}}, status=404
            )
        if len(document["text"]) > 2500:
            return json_reply({"detail": {"status": "max_character_limit_exceeded", "message": "x"}}, status=400)
        speed = document.get("voice_settings", {}).get("speed", 1.0)
        if not 0.7 <= speed <= 1.2:
            return json_reply({"detail": {"status": "invalid_voice_settings", "message": "x"}}, status=400)
        if self.endless:
            await self._speak_on(request)
        pcm = spoken(document["text"], int(form[1]))
        return Reply([pcm[at : at + 777] for at in range(0, len(pcm), 777)], "audio/pcm")

    async def _speak_on(self, request: web.Request) -> None:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(range(1, 101)) * 20)
        finally:
            self.hung_up.set()
