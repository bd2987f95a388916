"""Cartesia's streamed speech over real sockets: https://docs.cartesia.ai/api-reference/tts/bytes."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web
from tests.fakes.remote.plain import spoken
from tests.fakes.remote.server import Asked, FakeServer, Fault, Reply, json_reply

KEY = "sk_car_h3vRkc7TqZ"
LANGUAGES = frozenset("de en es fr it ja no tl zh pt".split())


class FakeCartesia(FakeServer):
    def __init__(self, key: str = KEY) -> None:
        super().__init__()
        self.key = key

    def routes(self) -> None:
        self.route("POST", "/tts/bytes", self._speak)

    def refusal(self, fault: Fault, asked: Asked) -> web.Response:
        code = {401: "unauthorized", 429: "concurrency_limited", 402: "quota_exceeded"}.get(fault.status)
        said = f"You sent {asked.headers.get('Authorization')}."
        body = {"error_code": code, "title": "Refused", "message": said, "request_id": "550e8400"}
        return web.json_response(body, status=fault.status, headers=dict(fault.headers))

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(asked.body) for asked in self.asked]

    async def _speak(self, asked: Asked, request: web.Request) -> Reply:
        if asked.headers.get("Authorization") != f"Bearer {self.key}":
            return _error(401, "unauthorized")
        if not asked.headers.get("Cartesia-Version"):
            return _error(400, "version_required")
        document = json.loads(asked.body)
        form = document["output_format"]
        if form["container"] != "raw" or form["encoding"] != "pcm_s16le" or document["language"] not in LANGUAGES:
            return _error(400, "invalid_request")
        if document["voice"]["mode"] != "id" or len(document["voice"]["id"]) != 36:
            return _error(404, "voice_not_found")
        pcm = spoken(document["transcript"], form["sample_rate"])
        return Reply([pcm[at : at + 1001] for at in range(0, len(pcm), 1001)], "audio/pcm")


def _error(status: int, code: str) -> Reply:
    return json_reply({"error_code": code, "title": "t", "message": "m", "request_id": "550e8400"}, status=status)
