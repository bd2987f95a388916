"""DeepL Voice over real sockets: https://developers.deepl.com/api-reference/voice."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any

from aiohttp import web
from tests.fakes.remote.deepl import KEY
from tests.fakes.remote.plain import translated
from tests.fakes.remote.recognition import Command, FakeRecognition, Message, Session
from tests.fakes.remote.server import Fault
from tests.fakes.remote.words import Words


class FakeDeeplVoice(FakeRecognition):
    """Sessions are asked for first; each token opens one connection. Faults befall the request for a session when they
    refuse, else the connection."""

    path = "/v3/voice/realtime/connect"

    def __init__(self, key: str = KEY) -> None:
        super().__init__()
        self.key = key
        self.requests: list[dict[str, Any]] = []
        self.sessionless = False
        self.streaming_url: str | None = None
        """In place of its own."""
        self.token = "token"
        self._tokens: dict[str, dict[str, Any]] = {}
        self._befalls: dict[str, Fault | None] = {}

    def routes(self) -> None:
        super().routes()
        self.app.router.add_post("/v3/voice/realtime", self._session)

    async def _session(self, request: web.Request) -> web.Response:
        asked = await self.take(request)
        fault = super().fault()
        if fault is not None and fault.what == "refuse":
            return web.json_response(
                {"message": f"refused {asked.headers.get('Authorization')}"},
                status=fault.status,
                headers=dict(fault.headers),
            )
        document = json.loads(asked.body)
        if asked.headers.get("Authorization") != f"DeepL-Auth-Key {self.key}":
            return web.json_response({"message": "Forbidden"}, status=403)
        form = re.fullmatch(r"audio/pcm;encoding=s16le;rate=(8000|16000)", document["source_media_content_type"])
        if form is None or len(document["target_languages"]) > 5 or document["message_format"] != "json":
            return web.json_response({"message": "Bad request"}, status=400)
        if self.sessionless:
            return web.json_response({"session_id": "session"})
        self.requests.append(document)
        token = f"{self.token}{len(self.requests)}"
        self._tokens[token] = {**document, "rate": int(form[1])}
        self._befalls[token] = fault
        url = f"{self.ws_url}{self.path}" if self.streaming_url is None else self.streaming_url
        return web.json_response({"streaming_url": url, "token": token, "session_id": f"session{len(self.requests)}"})

    async def _connected(self, request: web.Request) -> web.StreamResponse:
        token = request.query.get("token", "")
        if token not in self._tokens:
            return web.Response(status=403)
        self._now = self._befalls[token]
        return await super()._connected(request)

    def fault(self) -> Fault | None:
        return self._now

    def rate_of(self, request: web.Request) -> int:
        self._document = self._tokens.pop(request.query["token"])
        return self._document["rate"]

    def greeting(self, session: Session) -> Iterable[Message]:
        session.data["document"] = self._document
        return ()

    def read(self, session: Session, message: Message) -> Command:
        told = json.loads(message)
        if "source_media_chunk" in told:
            pcm = base64.b64decode(told["source_media_chunk"]["data"])
            assert len(pcm) <= session.rate * 2
            return pcm
        assert told == {"end_of_source_media": {}}
        return "finish"

    def partial(self, session: Session, words: Words) -> Iterable[Message]:
        yield _json(source_transcript_update={"concluded": [], "tentative": [_segment(words.text, words)]})

    def final(self, session: Session, words: Words) -> Iterable[Message]:
        yield _json(source_transcript_update={"concluded": [_segment(words.text, words)], "tentative": []})
        for language in session.data["document"]["target_languages"]:
            segment = _segment(translated(words.text, language), words)
            yield _json(target_transcript_update={"language": language, "concluded": [segment], "tentative": []})

    def flushed(self, session: Session, until_ms: int) -> Iterable[Message]:
        yield _json(end_of_source_transcript={})
        for language in session.data["document"]["target_languages"]:
            yield _json(end_of_target_transcript={"language": language})
        yield _json(end_of_stream={})


def _segment(text: str, words: Words) -> dict[str, Any]:
    return {"language": "de", "text": text, "start_time": words.start_ms, "end_time": words.end_ms}


def _json(**message: Any) -> str:
    return json.dumps(message, ensure_ascii=False)
